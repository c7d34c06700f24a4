import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise import UserError, laws
from maskwise.laws import Beta, Choice, Fixed, Law, Mixture, Scheduled, TruncatedNormal, Uniform

INSIDE = st.floats(1e-6, 1 - 1e-6)
BOUNDS = st.lists(st.floats(0, 1), min_size=2, max_size=2, unique=True).map(sorted)
WEIGHTS = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=7)
PLAIN = st.one_of(
    INSIDE.map(Fixed),
    BOUNDS.map(lambda bounds: Uniform(*bounds)),
    st.builds(Beta, st.floats(1e-3, 1e6), st.floats(1e-3, 1e6)),
    st.builds(TruncatedNormal, INSIDE, st.floats(0.1, 5)),
    WEIGHTS.flatmap(
        lambda weights: st.lists(INSIDE, min_size=len(weights), max_size=len(weights)).map(
            lambda ratios: Choice(ratios, weights)
        )
    ),
)
MIXTURES = st.lists(st.tuples(PLAIN, st.floats(1e-3, 1e3)), min_size=1, max_size=5).map(
    lambda parts: Mixture(*zip(*parts, strict=True))
)


@given(st.one_of(PLAIN, MIXTURES))
def test_any_law_survives_its_string(law: Law) -> None:
    assert laws.parse(str(law)) == law


@given(INSIDE, INSIDE, st.sampled_from(["linear", "cosine", "step"]))
def test_any_schedule_survives_its_string(start: float, end: float, shape: str) -> None:
    law = Scheduled(start, end, shape)
    assert laws.parse(str(law)) == law


@pytest.mark.parametrize(
    ("text", "law"),
    [
        ("0.75", Fixed(0.75)),
        (0.75, Fixed(0.75)),
        (" uniform:0.1,0.8 ", Uniform(0.1, 0.8)),
        ("uniform: 0.1, 0.8", Uniform(0.1, 0.8)),
        ("truncnormal:0.5,0.1", TruncatedNormal(0.5, 0.1, 0, 1)),
        ("choice:0.1,0.2", Choice([0.1, 0.2], [0.5, 0.5])),
        ("choice:1*0.1,3*0.2", Choice([0.1, 0.2], [0.25, 0.75])),
        ("mixture:0.1+uniform:0,1", Mixture([Fixed(0.1), Uniform(0, 1)], [0.5, 0.5])),
        ("scheduled:linear,0.3..0.15", Scheduled(0.3, 0.15)),
    ],
)
def test_parse(text: str | float, law: Law) -> None:
    assert laws.parse(text) == law


@pytest.mark.parametrize("name", ["unifrom:0.1,0.8", "", "gauss", "Uniform:0,1", "cosine2"])
def test_an_unknown_law_lists_the_forms(name: str) -> None:
    with pytest.raises(UserError) as error:
        laws.parse(name)
    message = str(error.value)
    assert f"unknown law '{name}'" in message
    assert all(form in message for form, _ in laws.FORMS.values())
    assert "\n" not in message


BAD = {
    "outside (0, 1)": [
        "fixed:0", "fixed:1", "fixed:-0.1", "fixed:1.5", "fixed:nan", "75", "choice:0.5,1",
        "uniform:-0.1,0.5", "uniform:0.5,1.1", "uniform:nan,0.5", "truncnormal:0.5,0.1,0,2",
    ],
    "must rise": ["uniform:0.8,0.1", "uniform:0.5,0.5", "truncnormal:0.5,0.1,0.9,0.2"],
    "cannot be read": [
        "fixed:", "fixed", "fixed:0.1,0.2", "fixed:half", "uniform", "uniform:0.1",
        "uniform:0.1,0.2,0.3", "uniform:0.1;0.2", "beta:1", "beta:1,2,3", "truncnormal:0.5",
        "truncnormal:0.5,0.1,0,1,2", "cosine:0.5", "cosine:junk", "likelihood:3", "choice:",
        "choice:0.5*0.3,0.7", "choice:a*0.3", "mixture:uniform:0,1+0.2*beta:3,9",
        "mixture:x*uniform:0,1", "scheduled:linear", "scheduled:linear,0.1",
        "scheduled:linear,0.1..0.2..0.3", "scheduled:0.1..0.5",
    ],
    "needs a > 0": ["beta:0,1", "beta:-1,1", "beta:nan,1", "beta:inf,1"],
    "needs b > 0": ["beta:1,0", "beta:1,inf"],
    "standard deviation": ["truncnormal:0.5,0", "truncnormal:0.5,-1", "truncnormal:0.5,inf"],
    "no mass": ["truncnormal:9,0.1", "truncnormal:-9,0.1,0.5,1"],
    "must be > 0": ["choice:0*0.5,1*0.2", "mixture:-1*0.5+2*0.2", "choice:nan*0.5"],
    "unknown law": ["mixture:", "mixture:0.5*unifrom:0,1", "scheduled:linear,..0.5"],
    "unknown schedule shape": ["scheduled:square,0.1..0.5"],
    "differ": ["scheduled:linear,0.1..cosine", "scheduled:linear,choice:0.1,0.2..choice:0.5"],
    "cannot hold": ["mixture:0.5+likelihood", "scheduled:linear,likelihood..likelihood",
        "mixture:" * 2000 + "0.5", "scheduled:linear," * 2000 + "0.5..0.6",
        "mixture:scheduled:linear,0.1..0.2+0.5"],
    "the weights sum to 0.5: they must sum to 1": ["mixture:0.5*fixed:0.1"],
    "give 0.001 to 1e+06": ["beta:1e-300,1e-300", "beta:2,1e9"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("says", "text"), [(says, t) for says, texts in BAD.items() for t in texts]
)
def test_a_bad_law_names_itself_and_its_form(says: str, text: str) -> None:
    with pytest.raises(UserError) as error:
        laws.parse(text)
    message = str(error.value)
    name = "fixed" if text == "75" else text.partition(":")[0]
    assert says in message
    assert text in message
    assert f"the form is {laws.FORMS[name][0]}" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "make",
    [
        lambda: Choice([]),
        lambda: Choice([0.5], [0.5, 0.5]),
        lambda: Mixture([]),
        lambda: Mixture([Mixture([Fixed(0.5)])]),
        lambda: Mixture([Scheduled(0.1, 0.2)]),
        lambda: Scheduled(Scheduled(0.1, 0.2), Scheduled(0.1, 0.2)),
        lambda: Scheduled(0.1, 1.0),
    ],
)
def test_laws_that_make_no_sense(make: object) -> None:
    with pytest.raises(UserError):
        make()


def test_reading_back_never_changes_a_weight() -> None:
    """Weights are normalised; doing so again must not move them by a rounding error."""
    rng = np.random.default_rng(0)
    for num in (2, 3, 7, 20):
        for _ in range(200):
            choice = Choice(np.linspace(0.1, 0.9, num), rng.random(num).tolist())
            assert laws.parse(str(choice)) == choice
