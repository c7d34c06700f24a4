"""Reductions against brute force, position by position."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise import masks
from maskwise.laws import Reduction
from maskwise.masks.mask import Mask, sample_weights
from maskwise.objectives.reconstruction import sample_losses

REDUCTIONS = ("sample_mean", "token_mean", "inverse_ratio")
LENGTH, WIDTH = 24, 3

every_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)


def loss(
    prediction: torch.Tensor, target: torch.Tensor, mask: Mask, reduction: Reduction
) -> float:
    """The loss of a step, with predictions and targets [B, L, P] at every position."""
    losses = sample_losses(at_hidden(prediction, mask), at_hidden(target, mask), mask.hidden_valid)
    weights = sample_weights(mask, reduction)
    return float((weights * losses).sum() / weights.sum())


def at_hidden(values: torch.Tensor, mask: Mask) -> torch.Tensor:
    return values.gather(1, mask.hidden_idx[..., None].expand(-1, -1, values.shape[-1]))


def draw(scope: str, ratio: float | str, partly: bool, seed: int = 0, batch: int = 7) -> Mask:
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(2, LENGTH + 1, (batch, 1), generator=generator)
    order = torch.rand(batch, LENGTH, generator=generator).argsort(1)
    return masks.draw(
        ratio,
        (LENGTH,),
        sample_ids=torch.arange(batch),
        seed=seed,
        scope=scope,
        eligible=order < sizes if partly else None,
    )


def random_values(mask: Mask, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, len(mask), LENGTH, WIDTH)
    prediction, target = torch.randn(shape, generator=generator)
    return prediction, target


@every_reduction
@pytest.mark.parametrize("partly", [False, True])
@pytest.mark.parametrize("scope", ["step", "sample"])
@pytest.mark.parametrize(
    "law", ["fixed:0.05", "fixed:0.5", "fixed:0.95", "uniform:0,1", "likelihood"]
)
def test_a_constant_residual_costs_the_same(
    reduction: Reduction, partly: bool, scope: str, law: str
) -> None:
    mask = draw(scope, law, partly)
    target = random_values(mask)[1]
    assert loss(target + 1.5, target, mask, reduction) == pytest.approx(2.25, rel=1e-5)


@every_reduction
def test_a_sample_that_hides_nothing_costs_nothing(reduction: Reduction) -> None:
    eligible = torch.ones(4, LENGTH, dtype=torch.bool)
    eligible[2] = False
    mask = masks.draw(0.5, (LENGTH,), sample_ids=torch.arange(4), seed=0, eligible=eligible)
    target = random_values(mask)[1]
    assert mask.num_hidden[2] == 0
    assert loss(target + 1.5, target, mask, reduction) == pytest.approx(2.25, rel=1e-5)
    assert sample_weights(mask, reduction)[2] == 0


def brute_force(
    prediction: torch.Tensor, target: torch.Tensor, mask: Mask, reduction: Reduction
) -> float:
    """From the definitions, one position at a time."""
    errors: list[list[float]] = []
    eligible: list[int] = []
    for row in range(len(mask)):
        own = [
            sum(float(d) ** 2 for d in prediction[row, i] - target[row, i]) / WIDTH
            for i in range(LENGTH)
            if mask.hidden[row, i]
        ]
        errors.append(own)
        eligible.append(LENGTH if mask.eligible is None else int(mask.eligible[row].sum()))
    if reduction == "token_mean":
        everything = [error for own in errors for error in own]
        return sum(everything) / len(everything)
    if reduction == "sample_mean":
        return sum(sum(own) / len(own) for own in errors) / len(errors)
    over_ratio = [sum(own) / (len(own) / n) for own, n in zip(errors, eligible, strict=True)]
    return sum(over_ratio) / sum(eligible)


@every_reduction
@pytest.mark.parametrize("partly", [False, True])
@pytest.mark.parametrize("scope", ["step", "sample"])
def test_reductions_by_brute_force(reduction: Reduction, partly: bool, scope: str) -> None:
    for seed in range(4):
        mask = draw(scope, "uniform:0.05,0.95", partly, seed)
        prediction, target = random_values(mask, seed + 10)
        expected = brute_force(prediction, target, mask, reduction)
        assert loss(prediction, target, mask, reduction) == pytest.approx(expected, rel=1e-5)


def test_the_reductions_differ_when_samples_do() -> None:
    mask = draw("sample", "uniform:0.05,0.95", partly=True)
    prediction, target = random_values(mask)
    values = {round(loss(prediction, target, mask, reduction), 5) for reduction in REDUCTIONS}
    assert len(values) == 3


def test_a_hand_made_batch() -> None:
    """Two samples of 4 positions: errors 1 (of one hidden) and 4, 4, 10 (of three)."""
    mask = Mask(torch.tensor([[True, False, False, False], [True, True, False, True]]))
    error = torch.tensor([[1.0, 99, 99, 99], [4.0, 4, 99, 10]])
    prediction, target = error.sqrt()[..., None], torch.zeros(2, 4, 1)
    means = [1.0, 6.0]
    found = {reduction: loss(prediction, target, mask, reduction) for reduction in REDUCTIONS}
    assert found["sample_mean"] == pytest.approx(sum(means) / 2)
    assert found["token_mean"] == pytest.approx((1 + 4 + 4 + 10) / 4)
    assert found["inverse_ratio"] == pytest.approx((1 / 0.25 + 18 / 0.75) / 8)


@given(
    st.sampled_from(REDUCTIONS), st.booleans(), st.integers(0, 100), st.sampled_from([1e9, -1e9])
)
def test_padded_and_visible_positions_never_count(
    reduction: Reduction, partly: bool, seed: int, junk: float
) -> None:
    mask = draw("sample", "uniform:0,1", partly, seed)
    prediction, target = random_values(mask)
    clean = loss(prediction, target, mask, reduction)
    spoilt = torch.where(mask.hidden[..., None], prediction, junk)
    assert loss(spoilt, target, mask, reduction) == pytest.approx(clean, rel=1e-6)


def test_padding_gets_no_gradient() -> None:
    mask = draw("sample", "uniform:0,1", partly=True)
    assert mask.hidden_valid is not None
    prediction, target = random_values(mask)
    own = at_hidden(prediction, mask).requires_grad_()
    sample_losses(own, at_hidden(target, mask), mask.hidden_valid).sum().backward()
    assert own.grad is not None
    assert bool((own.grad[~mask.hidden_valid] == 0).all())
    assert bool((own.grad[mask.hidden_valid] != 0).all())


def test_low_precision_predictions_are_compared_in_float32() -> None:
    target = torch.full((1, 1, 1), 1.001)
    losses = sample_losses(torch.ones(1, 1, 1, dtype=torch.bfloat16), target, None)
    assert losses.dtype == torch.float32
    assert math.isclose(float(losses), 1e-6, rel_tol=1e-2)
