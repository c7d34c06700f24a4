"""Score curves and what is read from them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwise import likelihood
from maskwise.likelihood import PPCA, RatioSupportWarning, ScoreCurve, outside_support


@pytest.fixture(scope="module")
def model():
    generator = torch.Generator().manual_seed(2)
    return PPCA(torch.randn(9, 2, generator=generator, dtype=torch.float64), 0.2)


def test_some_masks_estimate_all_masks(model):
    x = model.sample(1).expand(3000, -1)
    exact = likelihood.score_at_size(model, x[:1], 3, exhaustive=True)
    found = likelihood.score_at_size(model, x, 3, num_masks=2)
    stderr = float(found.std()) / math.sqrt(len(found))
    assert abs(float(found.mean() - exact)) < 4 * stderr


def test_all_masks_by_hand(model):
    """S(x; 2) of three positions that may be hidden, the others given."""
    x = model.sample(2)
    eligible = torch.zeros(9, dtype=torch.bool)
    eligible[[1, 4, 8]] = True
    total = torch.zeros(2, dtype=torch.float64)
    for pair in ([1, 4], [1, 8], [4, 8]):
        hidden = torch.zeros(2, 9, dtype=torch.bool)
        hidden[:, pair] = True
        total += model.conditional_log_prob(x, hidden)[:, pair].mean(dim=1) / 3
    for batch_size in (1, 2, 1000):
        found = likelihood.score_at_size(
            model, x, 2, exhaustive=True, eligible=eligible, batch_size=batch_size
        )
        torch.testing.assert_close(found, total, rtol=1e-12, atol=0)


def test_scores_have_gradients_and_curves_do_not():
    loadings = torch.ones(4, 1, dtype=torch.float64, requires_grad=True)
    model = PPCA(loadings, 0.5)
    x = torch.eye(4, dtype=torch.float64)
    assert likelihood.score_at_size(model, x, 2).requires_grad
    assert likelihood.partial(model, x, 2).requires_grad
    assert not likelihood.score_curve(model, x).per_sample.requires_grad


def test_a_curve_is_its_scores(model):
    x = model.sample(7)
    curve = likelihood.score_curve(model, x, [1, 4, 9], exhaustive=True)
    for place, size in enumerate((1, 4, 9)):
        wanted = likelihood.score_at_size(model, x, size, exhaustive=True)
        torch.testing.assert_close(curve.per_sample[:, place], wanted, rtol=1e-12, atol=0)
        assert curve.scores[place] == pytest.approx(float(wanted.mean()))
        assert curve.stderr[place] == pytest.approx(float(wanted.std()) / math.sqrt(7))
    assert curve.ratios.tolist() == pytest.approx([1 / 9, 4 / 9, 1])
    assert np.isnan(likelihood.score_curve(model, x[:1], [1]).stderr).all()


def test_ratios_hide_a_share_of_each_sample(model):
    class Count:
        def __init__(self):
            self.counts = set()

        def conditional_log_prob(self, x, hidden):
            self.counts |= set(map(tuple, torch.stack([x[:, 0], hidden.sum(1)], 1).tolist()))
            return torch.zeros(hidden.shape)

    eligible = torch.ones(2, 50, dtype=torch.bool)
    eligible[1, 10:] = False
    x = torch.arange(2.0)[:, None].expand(2, 50)
    count = Count()
    curve = likelihood.score_curve(count, x, ratios=[0.01, 0.14, 1.0], eligible=eligible)
    assert count.counts == {(0, 1), (0, 7), (0, 50), (1, 1), (1, 2), (1, 10)}
    assert curve.length == 30
    assert curve.sizes.tolist() == [1, 4.5, 30]


def test_sizes_have_masks_of_their_own():
    """Errors at different sizes are independent: masks are not nested."""
    seen = {}

    class Record:
        def conditional_log_prob(self, x, hidden):
            seen[int(hidden.sum(1)[0])] = hidden
            return torch.zeros(hidden.shape)

    likelihood.score_curve(Record(), torch.zeros(20, 9), [2, 6], num_masks=1)
    assert (seen[2] & ~seen[6]).any()


def test_the_area_interpolates():
    line = ScoreCurve(
        np.array([1.0, 2.0, 9.0]), np.array([-1.0, -2.0, -9.0]), np.zeros(3), torch.zeros(1, 3), 9
    )
    assert line.area == pytest.approx(-45)
    assert line.every_size.tolist() == list(range(-1, -10, -1))


@given(st.lists(st.floats(-5, 0), min_size=2, max_size=30))
@settings(max_examples=50)
def test_biases_of_all_sizes_sum_to_zero(scores):
    values = np.array(scores)
    sizes = np.arange(1.0, len(scores) + 1)
    curve = ScoreCurve(sizes, values, 0 * values, torch.zeros(1, len(scores)), len(scores))
    bias = likelihood.fixed_ratio_bias(curve)
    assert abs(bias.sum()) < 1e-9 * len(scores) ** 2
    assert bias[np.argmax(values)] == pytest.approx(bias.max(), abs=1e-12)


def test_the_crossing_is_where_a_fixed_ratio_is_right():
    scores = np.array([-1.0, -1.0, -1.0, -2.0, -5.0])  # mean -2, crossed at the fourth of five
    curve = ScoreCurve(np.arange(1.0, 6), scores, 0 * scores, torch.zeros(1, 5), 5)
    assert likelihood.crossing_ratio(curve) == pytest.approx(0.8)
    flat = ScoreCurve(np.arange(1.0, 6), scores * 0, 0 * scores, torch.zeros(1, 5), 5)
    assert math.isnan(likelihood.crossing_ratio(flat))


@pytest.mark.parametrize("size", [0, 10, 2.5, -1])
def test_sizes_out_of_range(model, size):
    with pytest.raises(ValueError, match=r"size .* is outside 1\.\.9"):
        likelihood.score_at_size(model, model.sample(2), size)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": [0, 1]}, r"sizes \[0, 1\] must rise within 1\.\.9"),
        ({"sizes": [3, 2]}, r"must rise within 1\.\.9"),
        ({"sizes": [2, 10]}, r"must rise within 1\.\.9"),
        ({"sizes": []}, "must be whole numbers"),
        ({"sizes": [0.5]}, "must be whole numbers"),
        ({"ratios": [0.0]}, r"must be in \(0, 1\]"),
        ({"ratios": [1.5]}, r"must be in \(0, 1\]"),
        ({"ratios": [0.5], "sizes": [1]}, "sizes not given beside"),
        ({"num_masks": 0}, "num_masks 0 must be at least 1"),
    ],
)
def test_bad_arguments(model, arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        likelihood.score_curve(model, model.sample(2), **arguments)
    assert "\n" not in str(caught.value)


def test_too_many_masks_of_a_size():
    model = PPCA(torch.ones(40, 1), 0.2)
    with pytest.raises(ValueError, match="masks of 20 out of 40 positions"):
        likelihood.score_at_size(model, model.sample(1), 20, exhaustive=True)


def test_support_over_the_whole_training():
    ratios = [0.05, 0.2, 0.5, 0.8, 1.0]
    rising = "scheduled:linear,fixed:0.1..fixed:0.6"
    assert outside_support(rising, ratios, 100).tolist() == [True, False, False, True, True]
    assert outside_support("fixed:0.15", [0.15, 0.16], 100).tolist() == [False, True]
    # 0.15 of 7 positions is one of them, a ratio of 0.143.
    assert not outside_support("fixed:0.15", [1 / 7], 7).any()
    assert not outside_support("likelihood", ratios, 100).any()


def test_a_curve_warns_of_what_training_never_hid(model):
    with pytest.warns(RatioSupportWarning, match="67% of the sizes .* uniform:0.4,0.9"):
        likelihood.score_curve(model, model.sample(2), [1, 5, 9], law="uniform:0.4,0.9")
    likelihood.score_curve(model, model.sample(2), [4, 5, 8], law="uniform:0.4,0.9")
