"""Exact mask graphs: a table of known values, brute force, and what is always so."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from maskwise.errors import UserError
from maskwise.theory import World, bit_world, mask_graph, mask_graphs
from maskwise.theory.graphs import _parts

PROTOTYPES = ["00001111", "11110000"]
WORLDS = {
    "global": bit_world(PROTOTYPES, 0.15),
    "local": bit_world(PROTOTYPES, 0.05, unit=2, unit_flip=0.25),
}
# σ₂², label disagreement, correlation of σ₂'s function with the class, for 1..7 hidden of 8.
TABLE = {
    "global": (
        (0.469, 0.615, 0.719, 0.733, 0.719, 0.615, 0.469),
        (0.255, 0.171, 0.104, 0.072, 0.046, 0.032, 0.021),
        (1, 1, 1, 1, 1, 1, 1),
    ),
    "local": (
        (0.660, 0.626, 0.714, 0.680, 0.714, 0.626, 0.660),
        (0.399, 0.340, 0.298, 0.267, 0.246, 0.231, 0.222),
        (0.664, 0.853, 0.838, 0.925, 0.913, 1, 1),
    ),
}


def random_world(seed, num=30, length=5, classes=3):
    rng = np.random.default_rng(seed)
    rows = np.unique(rng.integers(0, 3, (num, length)), axis=0)
    posterior = rng.dirichlet(np.ones(classes), len(rows))
    return World(rows, rng.dirichlet(np.ones(len(rows))), posterior)


@pytest.fixture(scope="module")
def curves():
    return {name: mask_graphs(world) for name, world in WORLDS.items()}


@pytest.mark.parametrize("name", WORLDS)
def test_the_table_of_the_eight_bit_worlds(curves, name):
    curve = curves[name]
    assert curve.num_hidden.tolist() == [1, 2, 3, 4, 5, 6, 7]
    for values, expected in zip(
        (1 - curve.gap, curve.disagreement, curve.alignment), TABLE[name], strict=True
    ):
        assert values.round(3).tolist() == list(expected)


@pytest.mark.parametrize("name", WORLDS)
def test_spectra_are_symmetric_but_classes_are_not(curves, name):
    curve = curves[name]
    np.testing.assert_allclose(curve.gap, curve.gap[::-1], rtol=1e-9)
    assert (np.diff(curve.disagreement) < 0).all()
    assert (np.diff(curve.class_error) > -1e-9).all()
    assert curve.class_error[-1] > 1.5 * curve.class_error[0]


@given(seed=st.integers(0, 99))
@settings(max_examples=5, deadline=None)
def test_more_hidden_means_less_disagreement_and_more_error_in_any_world(seed):
    curve = mask_graphs(random_world(seed, length=4))
    np.testing.assert_allclose(curve.gap, curve.gap[::-1], rtol=1e-6, atol=1e-9)
    assert (np.diff(curve.disagreement) < 1e-9).all()
    assert (np.diff(curve.class_error) > -1e-9).all()


def test_masks_together_are_no_graph():
    """Pooled over masks, visible parts know their positions: σ₂ = 1, whatever the world."""
    tables = []
    for chosen in itertools.combinations(range(8), 2):
        hidden = np.isin(np.arange(8), chosen)
        tables.append(_parts(WORLDS["global"], hidden)[0])
    pooled = linalg.block_diag(*tables) / len(tables)
    scaled = pooled / np.sqrt(np.outer(pooled.sum(1), pooled.sum(0)))
    assert linalg.svdvals(scaled)[1] == pytest.approx(1)


def test_two_bits_in_closed_form():
    """The singular value of two bits is their correlation, (1 - 2 flip)²."""
    flip = 0.1
    graph = mask_graph(bit_world(["00", "11"], flip), [True, False])
    np.testing.assert_allclose(graph.singular_values, [1, (1 - 2 * flip) ** 2])
    assert graph.gap == pytest.approx(1 - (1 - 2 * flip) ** 4)
    assert graph.disagreement == pytest.approx(2 * flip * (1 - flip))
    assert graph.class_error == pytest.approx(flip)
    assert graph.alignment == pytest.approx(1)


@given(seed=st.integers(0, 99), mask=st.integers(1, 30))
@settings(max_examples=15, deadline=None)
def test_brute_force(seed, mask):
    """Every number from its definition, by summing over samples and pairs of samples."""
    world = random_world(seed)
    hidden = (mask >> np.arange(5) & 1).astype(bool)
    graph = mask_graph(world, hidden)
    p, y = world.probability, world.posterior
    same_v, same_m = (
        (world.samples[:, None, part] == world.samples[None, :, part]).all(-1)
        for part in (~hidden, hidden)
    )
    # Projections on functions of a part, in coordinates √p · f: those of equal parts are averaged.
    project_v, project_m = (
        np.sqrt(np.outer(p, p)) * same / (same @ p)[:, None] for same in (same_v, same_m)
    )
    values = linalg.svdvals(project_v @ project_m)
    num = len(graph.singular_values)
    np.testing.assert_allclose(values[:num], graph.singular_values, atol=1e-9)
    np.testing.assert_allclose(values[num:], 0, atol=1e-9)
    pairs = same_m * np.outer(p, p) / (same_m @ p)[:, None]
    assert graph.disagreement == pytest.approx((pairs * (1 - y @ y.T)).sum())
    guess = (same_v @ (p[:, None] * y)).argmax(1)
    assert graph.class_error == pytest.approx(1 - p @ y[np.arange(len(p)), guess])
    assert 0 <= graph.alignment <= 1 + 1e-9


def test_alignment_of_two_classes_is_the_correlation_with_one():
    hidden = np.array([0, 1, 1, 0, 0, 1, 0, 0], dtype=bool)
    world = WORLDS["local"]
    joint, visible, _ = _parts(world, hidden)
    p = joint.sum(1)
    left, *_ = linalg.svd(joint / np.sqrt(np.outer(p, joint.sum(0))))
    function, class_one = left[:, 1] / np.sqrt(p), visible[:, 1] / p
    moments = np.cov(function, class_one, aweights=p)
    expected = abs(moments[0, 1]) / np.sqrt(moments[0, 0] * moments[1, 1])
    assert mask_graph(world, hidden).alignment == pytest.approx(expected)


def test_functions_that_share_the_second_value_count_together():
    """Two bits that are copied: each is a function of σ = 1; the class is the second of them."""
    rows = np.array(list(itertools.product((0, 1), repeat=2)))
    world = World(np.hstack([rows, rows]), np.full(4, 0.25), rows[:, 1])
    graph = mask_graph(world, [True, True, False, False])
    np.testing.assert_allclose(graph.singular_values, 1)
    assert graph.gap == pytest.approx(0)
    assert graph.alignment == pytest.approx(1)


def test_classes_that_are_not_known_or_do_not_vary():
    rows, p = [[0, 0], [0, 1], [1, 1]], [0.5, 0.2, 0.3]
    for labels in (None, [0, 0, 0]):
        graph = mask_graph(World(rows, p, labels), [True, False])
        assert np.isnan(graph.alignment)
        assert 0 < graph.gap < 1
    assert graph.disagreement == pytest.approx(0)


def test_a_part_that_never_varies_tells_nothing():
    graph = mask_graph(World([[0, 0], [0, 1]], [0.5, 0.5], [0, 1]), [True, False])
    np.testing.assert_allclose(graph.singular_values, [1])
    assert graph.gap == 1
    assert np.isnan(graph.alignment)


def test_bad_masks_and_large_worlds():
    world = WORLDS["global"]
    for hidden, says in [
        ([False] * 8, "the mask hides nothing"),
        ([True] * 8, "the mask hides everything"),
        ([True] * 7, r"a mask of shape \(7,\), bool: give 8 booleans"),
        ([0, 1] * 4, r"a mask of shape \(8,\), int64: give 8 booleans"),
    ]:
        with pytest.raises(UserError, match=says):
            mask_graph(world, hidden)
    with pytest.raises(UserError, match="13 positions have 8,190 masks; 12 are the most"):
        mask_graphs(World(np.eye(13, dtype=int), np.full(13, 1 / 13)))
    rows = np.repeat(np.arange(2100), 2).reshape(-1, 2)
    with pytest.raises(UserError, match="2,100 visible and 2,100 hidden parts make a graph too"):
        mask_graph(World(rows, np.full(2100, 1 / 2100)), [True, False])


PAIR = [[0, 0], [1, 1]]
BAD = [
    (lambda: World([0, 1], [0.5, 0.5]), "samples of shape (2,)"),
    (lambda: World([[0, 1]], [1.0]), "samples of shape (1, 2)"),
    (lambda: World([[0], [1]], [0.5, 0.5]), "samples of shape (2, 1)"),
    (lambda: World(PAIR, [1.0]), "2 samples and probabilities of shape (1,)"),
    (lambda: World(PAIR, [0.5, 0.6]), "probabilities sum to 1.1, not to 1"),
    (lambda: World(PAIR, [1.5, -0.5]), "probabilities must be finite and >= 0"),
    (lambda: World(PAIR, [0.5, np.nan]), "probabilities must be finite and >= 0"),
    (lambda: World(PAIR, [0.5, 0.5], [0]), "2 samples, but classes of shape (1,)"),
    (lambda: World(PAIR, [0.5, 0.5], [[0.5, 0.5]]), "2 samples, but classes of shape (1, 2)"),
    (
        lambda: World(PAIR, [0.5, 0.5], [[0.5, 0.5], [0.5, 0.1]]),
        "class probabilities of each sample sum to 0.6, not to 1",
    ),
    (lambda: bit_world([], 0.1), "0 bits"),
    (lambda: bit_world(["0"], 0.1), "1 bits: give 2 to 16"),
    (lambda: bit_world(["0" * 17], 0.1), "17 bits: give 2 to 16"),
    (lambda: bit_world(["00", "111"], 0.1), "must be strings of 0 and 1 of one length"),
    (lambda: bit_world(["02"], 0.1), "must be strings of 0 and 1 of one length"),
    (lambda: bit_world(["000"], 0.1, unit=2), "unit 2 does not divide 3 bits"),
    (lambda: bit_world(["00"], 1.5), "flip 1.5 is no probability"),
    (lambda: bit_world(["00"], 0.5, unit_flip=np.nan), "unit_flip nan is no probability"),
]


@pytest.mark.parametrize(("build", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input(build, message):
    with pytest.raises(UserError) as caught:
        build()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bits_are_flipped_in_units_and_alone():
    """Brute force over the class, both flips of units and all flips of single bits."""
    prototypes, flip, unit_flip = ["0001", "1110"], 0.05, 0.25
    expected = np.zeros((16, 2))
    for label, *units in itertools.product((0, 1), (0, 1), (0, 1)):
        for bits in itertools.product((0, 1), repeat=4):
            shared = np.repeat(units, 2)
            x = (np.array(list(prototypes[label]), dtype=int) + shared + bits) % 2
            chance = 0.5 * np.prod(np.where(units, unit_flip, 1 - unit_flip))
            chance *= np.prod(np.where(bits, flip, 1 - flip))
            expected[int("".join(map(str, x)), 2), label] += chance
    world = bit_world(prototypes, flip, unit=2, unit_flip=unit_flip)
    codes = world.samples @ [8, 4, 2, 1]
    np.testing.assert_allclose(world.probability, expected.sum(1)[codes])
    np.testing.assert_allclose(world.posterior * world.probability[:, None], expected[codes])


def test_what_never_happens_is_left_out():
    assert len(bit_world(["000", "011"], 0.0).samples) == 2
    world = World([[0, 0], [0, 1], [1, 1]], [0.5, 0.0, 0.5], ["a", "b", "c"])
    assert world.samples.tolist() == PAIR
    assert world.posterior.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert World(PAIR, [0.5, 0.5]).posterior is None
