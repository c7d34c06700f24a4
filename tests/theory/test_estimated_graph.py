"""Estimated mask graphs: against exact ones, closed forms and brute force."""

import numpy as np
import pytest
from scipy import sparse

from maskwise.errors import UserError
from maskwise.theory import (
    World,
    bit_world,
    estimate_mask_graph,
    estimate_mask_graphs,
    mask_graph,
)
from maskwise.theory.estimated_graph import _bandwidths, _kernel

WORLD = bit_world(["00001111", "11110000"], 0.15)
HIDDEN = np.isin(np.arange(8), [1, 2, 5])


def drawn(num, seed=0, world=WORLD):
    """Samples of a world with their classes."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(world.samples), num, p=world.probability)
    return world.samples[rows], (rng.random(num) < world.posterior[rows, 1]).astype(int)


def frequencies(x, y):
    """The world in which every sample is as frequent as it was seen."""
    codes = x @ 2 ** np.arange(x.shape[1])
    _, rows, index, counts = np.unique(codes, True, True, True)
    posterior = np.bincount(index, y) / counts
    return World(x[rows], counts / len(x), np.stack([1 - posterior, posterior], axis=1))


def gaussian(num, correlation, seed=0, width=1):
    rng = np.random.default_rng(seed)
    v, m = rng.standard_normal((2, num, width))
    m[:, 0] = correlation * v[:, 0] + np.sqrt(1 - correlation**2) * m[:, 0]
    return v, m


def test_equal_parts_only_is_the_graph_of_frequencies():
    x, y = drawn(150)
    found = estimate_mask_graph(x[:, ~HIDDEN], x[:, HIDDEN], y, neighbours=1)
    exact = mask_graph(frequencies(x, y), HIDDEN)
    num = len(exact.singular_values)
    np.testing.assert_allclose(found.singular_values[:num], exact.singular_values, atol=1e-7)
    np.testing.assert_allclose(found.singular_values[num:], 0, atol=1e-7)
    assert found.gap == pytest.approx(exact.gap)
    assert found.alignment == pytest.approx(exact.alignment)


def test_frequencies_converge_from_above():
    """σ₂ is too large by as much as samples are few; the exact one is reached."""
    exact = mask_graph(WORLD, HIDDEN)
    errors = []
    for num in (100, 1000, 20_000):
        graphs = [mask_graph(frequencies(*drawn(num, seed)), HIDDEN) for seed in range(8)]
        errors.append(exact.gap - np.mean([graph.gap for graph in graphs]))
    assert errors[0] > 2 * errors[1] > 0
    assert abs(errors[2]) < 5e-3
    assert graphs[0].disagreement == pytest.approx(exact.disagreement, abs=5e-3)


def test_the_bias_of_unrelated_parts():
    """n Σ σ² over all but the first is (V - 1)(M - 1) n/(n - 1): the mean of a χ² statistic."""
    rng, num = np.random.default_rng(0), 80
    total = 0.0
    for _ in range(40):
        x = rng.integers(0, 2, (num, 4))
        values = estimate_mask_graph(x[:, :2], x[:, 2:], neighbours=1).singular_values
        total += num * (values[1:] ** 2).sum() / 40
    assert total == pytest.approx(9 * num / (num - 1), abs=4 * np.sqrt(18 / 40))


def test_classes_converge_to_the_exact_graph():
    x, y = drawn(600)
    found = estimate_mask_graph(x[:, ~HIDDEN], x[:, HIDDEN], y, neighbours=1)
    exact = mask_graph(WORLD, HIDDEN)
    assert found.gap == pytest.approx(exact.gap, abs=0.05)
    assert found.disagreement == pytest.approx(exact.disagreement, abs=0.04)
    assert found.class_error == pytest.approx(exact.class_error, abs=0.04)
    assert found.alignment == pytest.approx(exact.alignment, abs=0.02)


def test_classes_by_brute_force():
    """Over all pairs of different samples, and with each sample left out of its own vote."""
    x, y = drawn(60)
    found = estimate_mask_graph(x[:, ~HIDDEN], x[:, HIDDEN], y, neighbours=1)
    visible, target = x[:, ~HIDDEN].tolist(), x[:, HIDDEN].tolist()
    differ = total = wrong = 0.0
    for i in range(60):
        same = [j for j in range(60) if target[j] == target[i]]
        for j in same:
            if j != i:
                differ += (y[i] != y[j]) / len(same)
                total += 1 / len(same)
        votes = np.zeros(2)
        for j in range(60):
            if j != i and visible[j] == visible[i]:
                votes[y[j]] += 1
        if not votes.any():
            votes = np.bincount(y)
        wrong += votes.argmax() != y[i]
    assert found.disagreement == pytest.approx(differ / total)
    assert found.class_error == pytest.approx(wrong / 60)


def test_jointly_normal_parts_have_powers_of_their_correlation():
    """The singular values of two normal variables are 1, ρ, ρ², ... (Mehler's formula)."""
    found = estimate_mask_graph(*gaussian(600, 0.8), neighbours=15)
    np.testing.assert_allclose(found.singular_values[:3], [1, 0.8, 0.64], atol=0.06)


def test_blur_lowers_and_few_samples_raise():
    parts = gaussian(300, 0.8)
    second = [
        estimate_mask_graph(*parts, neighbours=k).singular_values[1] for k in (3, 10, 30, 100)
    ]
    assert (np.diff(second) < 0).all()
    assert second[0] > 0.85
    assert second[-1] < 0.7


def test_unrelated_parts_show_the_unrelated_gap():
    related = estimate_mask_graph(*gaussian(200, 0.9))
    unrelated = estimate_mask_graph(*gaussian(200, 0.0))
    assert related.gap < related.unrelated_gap - 0.3
    assert unrelated.gap == pytest.approx(unrelated.unrelated_gap, abs=0.15)


def test_a_sample_far_from_all_others_is_no_graph_of_its_own():
    v, m = gaussian(200, 0.5)
    before = estimate_mask_graph(v, m).singular_values[1]
    v[0], m[0] = 1e3, -1e3
    after = estimate_mask_graph(v, m).singular_values[1]
    assert after < 0.9
    assert after == pytest.approx(before, abs=0.15)


def test_units_do_not_matter():
    v, m = gaussian(80, 0.7, width=2)
    one, other = estimate_mask_graph(v, m), estimate_mask_graph(1e4 * v, 1e-3 * m + 5)
    np.testing.assert_allclose(one.singular_values, other.singular_values, atol=1e-5)


def test_nodes_join_as_many_samples_as_asked_for():
    x = np.random.default_rng(0).standard_normal((60, 3))
    distance = ((x[:, None] - x[None]) ** 2).sum(-1)
    for neighbours in (1.5, 10.0, 55.0):
        joined = np.exp(-distance / _bandwidths(distance, neighbours)[:, None]).sum(1)
        np.testing.assert_allclose(joined, neighbours, rtol=1e-4)
    kernel = _kernel(x, 10.0)
    np.testing.assert_allclose(kernel, kernel.T)
    np.testing.assert_allclose(kernel.sum(1), 1, atol=1e-7)
    assert (kernel >= 0).all()


def test_where_enough_are_equal_others_are_not_joined():
    """Twelve copies of three points: ten neighbours are found without leaving a point."""
    x = np.repeat([[0.0], [1.0], [5.0]], 12, axis=0)
    np.testing.assert_allclose(_kernel(x, 10.0), _kernel(x, 1.0), atol=1e-7)


def test_the_curve_is_means_over_nested_masks():
    x = np.random.default_rng(0).standard_normal((40, 4)).cumsum(1)
    y = np.where(x[:, 0] > 0, "high", "low")
    curve = estimate_mask_graphs(x, y, num_masks=2, seed=3)
    rng = np.random.default_rng(3)
    rng.permutation(40)
    orders = [rng.permutation(4) for _ in range(2)]
    z = (x - x.mean(0)) / x.std(0)
    for index, num in enumerate(curve.num_hidden):
        graphs = [estimate_mask_graph(z[:, o[num:]], z[:, o[:num]], y) for o in orders]
        assert curve.gap[index] == pytest.approx(np.mean([g.gap for g in graphs]))
        assert curve.disagreement[index] == pytest.approx(
            np.mean([g.disagreement for g in graphs])
        )
    assert curve.num_positions == 4
    assert curve.under(0.5)["gap"] == pytest.approx(curve.gap[1])


def test_which_numbers_are_hidden():
    x = np.random.default_rng(0).standard_normal((15, 41)).cumsum(1)
    options = {"num_masks": 1, "neighbours": 3}
    counts = estimate_mask_graphs(x, **options).num_hidden
    assert len(counts) == 15
    assert counts[[0, -1]].tolist() == [1, 40]
    some = estimate_mask_graphs(x, ratios=[0.9, 0.25, 0.001, 0.2501], **options)
    assert some.num_hidden.tolist() == [1, 10, 37]


def test_constant_columns_are_left_out_and_samples_are_drawn():
    x = np.random.default_rng(0).poisson(1.0, (50, 5)) * np.array([1, 0, 1, 1, 1])
    options = {"num_masks": 1, "num_samples": 30, "neighbours": 5}
    dense = estimate_mask_graphs(x, **options)
    assert dense.num_positions == 4
    np.testing.assert_array_equal(
        dense.gap, estimate_mask_graphs(sparse.csr_array(x), **options).gap
    )
    assert (dense.gap != estimate_mask_graphs(x, seed=1, **options).gap).any()


V, M = gaussian(20, 0.5)
BAD = [
    (lambda: estimate_mask_graph(V[:1], M[:1]), "visible parts of shape (1, 1)"),
    (lambda: estimate_mask_graph(V, M[:, 0]), "hidden parts of shape (20,)"),
    (lambda: estimate_mask_graph(V, M[:, :0]), "hidden parts of shape (20, 0)"),
    (lambda: estimate_mask_graph(V, M[:9]), "20 visible and 9 hidden parts"),
    (lambda: estimate_mask_graph(V, 0 * M), "the hidden part never varies"),
    (lambda: estimate_mask_graph(V * np.inf, M), "the visible part of row 0 is not finite"),
    (lambda: estimate_mask_graph(V, M, neighbours=20), "neighbours=20 must be"),
    (lambda: estimate_mask_graph(V, M, neighbours=0.5), "neighbours=0.5 must be"),
    (lambda: estimate_mask_graph(V, M, neighbours=np.nan), "neighbours=nan must be"),
    (lambda: estimate_mask_graph(V, M, np.zeros(19)), "labels of shape (19,) for 20 samples"),
    (lambda: estimate_mask_graph(V, M, [*"ab" * 9, "a", None]), "the label of row 19 is missing"),
    (lambda: estimate_mask_graph(V, M, [np.nan, *[0.0] * 19]), "the label of row 0 is missing"),
    (lambda: estimate_mask_graph(V, M, np.arange(20)), "labels have 20 different values"),
    (
        lambda: estimate_mask_graph(V, M, [0, 1] * 10, neighbours=1),
        "no two samples have the same hidden part: give neighbours above 1",
    ),
    (lambda: estimate_mask_graphs(np.ones((20, 3))), "0 columns vary"),
    (lambda: estimate_mask_graphs([1.0, 2.0]), "data of shape (2,)"),
    (lambda: estimate_mask_graphs(np.hstack([V, M]), num_samples=1), "num_samples=1 must be"),
    (lambda: estimate_mask_graphs(np.hstack([V, M]), num_masks=0), "num_masks=0 must be"),
    (lambda: estimate_mask_graphs(np.hstack([V, M]), ratios=[1.0]), "ratio 1 is outside (0, 1)"),
    (lambda: estimate_mask_graphs(np.hstack([V, M]), [0, 1]), "labels of shape (2,)"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input(call, message):
    with pytest.raises(UserError) as caught:
        call()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
