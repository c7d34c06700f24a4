"""Laws as nodes, and the moments of rows masked at each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise import laws
from maskwise.errors import UserError
from maskwise.theory import ar1, isotropic, latent_factor, power_law, risk, risks, spectra
from maskwise.theory.risks import Setting, classes_of
from maskwise.theory.spectra import solve

RATIO = st.floats(0.01, 0.99)


@pytest.mark.parametrize(
    ("law", "mean", "square"),
    [
        (0.3, 0.3, 0.09),
        ("fixed:0.3", 0.3, 0.09),
        (([0.1, 0.5], [0.25, 0.75]), 0.4, 0.19),
        ("choice:0.25*0.1,0.75*0.5", 0.4, 0.19),
        ("uniform:0.2,0.8", 0.5, 0.28),
        (laws.parse("uniform:0,1"), 0.5, 1 / 3),
        ("beta:3,9", 0.25, 3 * 4 / (12 * 13)),
        ("mixture:0.5*fixed:0.2+0.5*uniform:0.2,0.8", 0.35, 0.16),
        # Midpoints of time: the variance of a moving ratio is 1/16² short of that of a uniform.
        ("scheduled:linear,0.2..0.8", 0.5, 0.25 + 0.03 * (1 - 1 / 256)),
        ("scheduled:linear,uniform:0.1,0.3..uniform:0.5,0.7", 0.4, 0.16 + 0.16 / 12 + 0.04 / 12),
    ],
    ids=str,
)
def test_nodes_have_the_moments_of_the_law(law, mean, square):
    ratios, weights = risks.nodes_of(law)
    assert weights.sum() == pytest.approx(1)
    assert weights @ ratios == pytest.approx(mean, rel=1e-4)
    assert weights @ ratios**2 == pytest.approx(square, rel=1e-3)


@pytest.mark.parametrize("rescale", [False, True])
@given(ratio=RATIO)
def test_moments_are_those_of_masked_numbers(rescale, ratio):
    """Of two numbers with covariance Σ, each hidden with probability p."""
    full, diagonal, cross = (part[0] for part in risks.moments(np.array([ratio]), rescale))
    scale = 1 / (1 - ratio) if rescale else 1.0
    # E[m m'] = (1-p)² for two entries, (1-p) for one with itself.
    assert full == pytest.approx((1 - ratio) ** 2 * scale**2)
    assert full + diagonal == pytest.approx((1 - ratio) * scale**2)
    assert cross == pytest.approx((1 - ratio) * scale)


def test_only_rows_whose_target_is_hidden_count():
    law = ([0.2, 0.6], [0.5, 0.5])
    found = risks.classes_of(law, Setting(target_hidden=True, weights=[3.0, 1.0]))
    assert found.share == pytest.approx([0.25, 0.75])
    assert found.full == pytest.approx([3 * 0.64, 0.16])
    assert found.diagonal == pytest.approx([3 * 0.16, 0.24])
    assert found.cross == pytest.approx([3 * 0.8, 0.4])
    assert found.second == pytest.approx(np.array([[3 * 0.64, 3 * 0.16], [0.16, 0.24]]))


def test_weights_are_a_function_or_numbers():
    ratios = np.array([0.2, 0.5])
    assert risks.loss_weights(None, ratios).tolist() == [1, 1]
    assert risks.loss_weights([2, 3], ratios).tolist() == [2, 3]
    assert risks.loss_weights(lambda p: 1 / p, ratios).tolist() == [5, 2]


def test_a_test_law_is_averaged():
    assert risks.moments_at(0, rescale=True) == (1, 0, 1)
    assert risks.moments_at(0.5, rescale=False) == (0.25, 0.25, 0.5)
    assert risks.moments_at(0.5, rescale=True) == (1, 1, 1)
    mixed = risks.moments_at(([0.2, 0.5], [0.5, 0.5]), rescale=False)
    assert mixed == pytest.approx(((0.64 + 0.25) / 2, (0.16 + 0.25) / 2, 0.65))


BAD_LAWS = [
    (0.0, "ratio 0 is outside (0, 1)"),
    (1.0, "ratio 1 is outside (0, 1)"),
    (-0.2, "ratio -0.2 is outside (0, 1)"),
    (float("nan"), "ratio nan is outside (0, 1)"),
    ("fixed:1.5", "1.5"),
    ("nonsense:3", "nonsense"),
    (([0.2, 1.2], [0.5, 0.5]), "ratio 1.2 is outside (0, 1)"),
    (([0.2, 0.3], [0.5, 0.6]), "weights (0.5, 0.6) must be >= 0 and sum to 1"),
    (([0.2, 0.3], [1.5, -0.5]), "weights (1.5, -0.5) must be >= 0 and sum to 1"),
    (([0.2, 0.3], [0.5, float("nan")]), "weights (0.5, nan) must be >= 0 and sum to 1"),
    (([0.2, 0.3], [1.0]), "2 ratios and 1 weights"),
    (([], []), "0 ratios and 0 weights"),
    ((0.2, 0.5, 0.3), "not 3 things"),
    ((np.full(8, 0.5), np.full(8, 0.5)), "weights (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, ...) must be"),
]


@pytest.mark.parametrize(("law", "message"), BAD_LAWS, ids=[message for _, message in BAD_LAWS])
def test_bad_laws(law, message):
    with pytest.raises(UserError) as caught:
        risks.nodes_of(law)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "weights of shape (1,) must be one per ratio: 2"),
        (2.0, "weights of shape () must be one per ratio: 2"),
        ([1.0, 0.0], "loss weights (1, 0) must be finite and > 0"),
        ([1.0, np.nan], "loss weights (1, nan)"),
        (lambda ratios: -ratios, "loss weights (-0.2, -0.5)"),
    ],
)
def test_bad_weights(weights, message):
    with pytest.raises(UserError) as caught:
        risks.loss_weights(weights, np.array([0.2, 0.5]))
    assert message in str(caught.value)


@pytest.mark.parametrize("ratio", [1.0, -0.1, 2, float("nan")])
def test_bad_test_ratios(ratio):
    with pytest.raises(UserError, match=f"test ratio {ratio:g} is outside"):
        risks.moments_at(ratio, rescale=False)


MODELS = [isotropic(60), power_law(60, 2.0), ar1(60, 0.95), latent_factor(60, 3)]
LAW = (np.linspace(0.05, 0.95, 7), np.full(7, 1 / 7))


@pytest.mark.parametrize("model", MODELS, ids=["isotropic", "power_law", "ar1", "latent_factor"])
@pytest.mark.parametrize(
    ("num_samples", "identity", "offset"),
    [(20, 1.0, 0.0), (59, 1.0, 0.0), (61, 0.0, 1.0), (200, 0.0, 1.0), (60, 0.01, 1.0)],
)
def test_the_equations_hold(model, num_samples, identity, offset):
    classes = classes_of(LAW, Setting(weights=lambda p: 1 / p))
    point = solve(
        model, classes.share, classes.second, num_samples, identity=identity, offset=offset
    )
    assert point.full == pytest.approx(np.sum(classes.share * point.gain * classes.full))
    assert point.diagonal == pytest.approx(np.sum(classes.share * point.gain * classes.diagonal))
    first, second = model.traces(point.identity, point.full, point.diagonal)
    eta = classes.second @ first / num_samples
    assert point.gain == pytest.approx(1 / (offset + eta), rel=1e-9)
    assert point.second == pytest.approx(second)
    # n Σ_k share g_k η_k + ι tr Q is the number of features.
    taken = num_samples * np.sum(classes.share * point.gain * eta)
    assert taken == pytest.approx(60 - identity * trace_of_q(model, point), rel=1e-8)


def trace_of_q(model, point):
    """tr Q as a derivative: tr ΣQ is 1/A of what is left of the features."""
    first, _ = model.traces(point.identity, point.full, point.diagonal)
    if point.identity == 0:
        return 0.0
    return (60 - point.full * first[0] - point.diagonal * first[1]) / point.identity


def test_one_class_of_uncorrelated_features_is_elementary():
    classes = classes_of(0.25, Setting())
    # C = (1-p) I: d/(1 + n/(dη)·...) gives η = (1-p) d/n - (1-p) over the threshold.
    few = solve(isotropic(60), classes.share, classes.second, 20, identity=1.0, offset=0.0)
    assert 1 / few.gain == pytest.approx([0.75 * (60 - 20) / 20])
    many = solve(isotropic(60), classes.share, classes.second, 90, identity=0.0, offset=1.0)
    assert 1 / many.gain - 1 == pytest.approx([60 / 90 / (1 - 60 / 90)])


@given(
    st.sampled_from(MODELS),
    st.tuples(st.floats(1e-6, 0.5), st.floats(0.5, 1 - 1e-6), st.floats(0, 1)),
    st.floats(1, 1e6),
    st.floats(-8, 4).map(lambda power: 10**power) | st.just(0.0),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["static", "fresh"]),
)
def test_extremes_have_a_risk_or_an_error(model, law, num_samples, ridge, hidden, rescale, masks):
    low, high, share = law
    try:
        found = risk(
            model,
            ([low, high], [share, 1 - share]),
            num_samples,
            0.1,
            ridge=ridge,
            target_hidden=hidden,
            rescale=rescale,
            masks=masks,
            test_ratio=0.5,
        )
    except UserError as error:
        assert "ridge" in str(error)  # noqa: PT017
        return
    assert np.isfinite(found.total)
    assert found.total >= found.irreducible * (1 - 1e-9)
    assert found.variance >= 0


@pytest.mark.parametrize("model", MODELS, ids=["isotropic", "power_law", "ar1", "latent_factor"])
def test_close_to_as_many_rows_as_features_it_is_found(model):
    for gap in (1e-4, -1e-4, 1e-3, -1e-3):
        near, nearer = (risk(model, LAW, 60 + by, 0.1).total for by in (gap, gap / 1.01))
        assert nearer / near == pytest.approx(1.01, rel=0.01)


def test_where_rows_are_as_many_as_features_up_to_rounding_is_an_error():
    for rows in (60, np.nextafter(60, 0), np.nextafter(60, 61), 60 + 1e-6):
        with pytest.raises(UserError, match=r"60 features .* give a ridge"):
            risk(isotropic(60), 0.3, rows)
    with pytest.raises(UserError, match="60 features"):
        risk(isotropic(60), ([0.1, 0.7], [0.5, 0.5]), 150, target_hidden=True)
    assert np.isfinite(risk(isotropic(60), 0.3, 60, ridge=1e-3).total)
    assert np.isfinite(risk(isotropic(60), 0.3, 60, masks="fresh").total)


def test_no_convergence_is_an_error(monkeypatch):
    monkeypatch.setattr(spectra, "MOST_STEPS", 1)
    with pytest.raises(UserError, match=r"not converge in 1 steps .* give a ridge > 0") as caught:
        risk(latent_factor(60, 3), LAW, 59)
    assert "\n" not in str(caught.value)


def test_few_steps_are_enough(monkeypatch):
    monkeypatch.setattr(spectra, "MOST_STEPS", 25)
    for model in MODELS:
        for num_samples in (1, 20, 59, 61, 10**5):
            risk(model, LAW, num_samples, 0.1)
