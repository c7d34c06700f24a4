"""The variances of what a model of features predicts."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from maskwise.columns.losses import fit_feature_noise
from maskwise.columns.model import TabularModel, TabularModelSettings
from maskwise.columns.networks import ColumnNetwork, Output, Reading
from maskwise.columns.tabular import TabularRows
from maskwise.errors import UserError
from maskwise.measure.losses import RATIOS
from maskwise.modalities import build
from tests.columns.small_samples import cells_of, make_model, rows_of, table_of

SPREAD = np.array([0.2, 0.5, 1.0, 2.0, 0.7, 0.3])


class Nothing(ColumnNetwork):
    """A network that expects zero everywhere."""

    num_layers = 1

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, shown: Reading) -> Output:
        return Output(torch.zeros(*shown.values.shape, 1), torch.zeros_like(shown.categories))

    def said(self, shown: Reading, layers: Sequence[int]) -> tuple[Output, Tensor, list[Tensor]]:
        return self(shown), shown.values, []

    def features(self, shown: Reading, layer: int = -1) -> Tensor:
        return shown.values


def expecting_zero(sizes: tuple[int, ...]) -> TabularModel:
    return build(table_of(sizes), TabularModelSettings(), seed=0, encoder=Nothing)


def normal(num: int, seed: int = 0) -> Tensor:
    """Return independent features of known variances."""
    values = np.random.default_rng(seed).normal(size=(num, len(SPREAD))) * SPREAD
    return torch.from_numpy(values.astype(np.float32))


def variances(model: TabularModel) -> np.ndarray:
    """Return what the model says of each number blank and each feature, [F, F]."""
    return (model.log_variance[:, None] + model.log_spread).exp().numpy()


def holes(samples: Tensor, share: float) -> Tensor:
    rng = torch.Generator().manual_seed(4)
    return samples.masked_fill(torch.rand(samples.shape, generator=rng) < share, torch.nan)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_variances_of_features_are_found(missing: float) -> None:
    """The error of zero is the value itself, however many features are blank."""
    model, samples = expecting_zero((0,) * 6), holes(normal(6000), missing)
    fit_feature_noise(model, rows_of(samples), num_samples=6000)
    expected = np.nanvar(samples.numpy(), axis=0)
    found = variances(model)
    np.testing.assert_allclose(found[-1], expected, rtol=0.03)
    # With little blank fewer values are seen.
    np.testing.assert_allclose(found, np.broadcast_to(expected, (6, 6)), rtol=0.15)


@torch.no_grad()
def test_the_density_has_the_right_mean() -> None:
    """Minus the entropy of a normal distribution."""
    model = expecting_zero((0,) * 6)
    fit_feature_noise(model, rows_of(normal(6000)), num_samples=6000)
    samples = normal(4000, seed=1)
    hidden = torch.ones(samples.shape, dtype=torch.bool)
    found = model.conditional_log_prob(samples, hidden).mean(0).numpy()
    entropy = np.log(2 * np.pi * np.e * SPREAD**2) / 2
    np.testing.assert_allclose(found, -entropy, atol=0.05)


class Scaled(Nothing):
    """A network whose error grows with the number of blank features."""

    def forward(self, shown: Reading) -> Output:
        off = shown.blank.sum(1, keepdim=True).sqrt() * torch.from_numpy(SPREAD).float()
        return Output(off[..., None], torch.zeros_like(shown.categories))


def test_errors_of_two_factors_are_found() -> None:
    """Of zeros, all of one size: the number blank times the square of the feature's."""
    model = build(table_of((0,) * 6), TabularModelSettings(), seed=0, encoder=Scaled)
    fit_feature_noise(model, rows_of(torch.zeros(64, 6)), batch_size=11)
    wanted = np.arange(1, 7)[:, None] * SPREAD**2
    np.testing.assert_allclose(variances(model), wanted, rtol=1e-3)
    assert model.training


def test_what_is_missing_counts_as_blank() -> None:
    model = build(table_of((0,) * 6), TabularModelSettings(), seed=0, encoder=Scaled)
    samples = torch.zeros(300, 6)
    samples[:, 4:] = holes(samples[:, 4:], 0.5)
    fit_feature_noise(model, rows_of(samples), num_samples=300)
    np.testing.assert_allclose(variances(model), np.arange(1, 7)[:, None] * SPREAD**2, rtol=1e-3)


def test_what_no_row_has_takes_what_others_have() -> None:
    """Two of six features are missing in every row, and a seventh is in all."""
    samples = torch.cat([normal(4000), torch.full((4000, 1), torch.nan)], dim=1)
    samples[:2000, :2] = samples[2000:, 2:4] = torch.nan
    model = expecting_zero((0,) * 7)
    fit_feature_noise(model, rows_of(samples), num_samples=4000)
    found = variances(model)
    np.testing.assert_allclose(found[:, :6], np.broadcast_to(SPREAD**2, (7, 6)), rtol=0.1)
    np.testing.assert_allclose(found[:, 6], (SPREAD**2).mean(), rtol=0.1)
    torch.testing.assert_close(model.log_variance[:3], model.log_variance[3].expand(3))


def test_rows_without_numbers_give_no_variances() -> None:
    model = expecting_zero((0, 0, 2))
    nothing = torch.tensor([[torch.nan, torch.nan, 1.0]]).repeat(9, 1)
    fit_feature_noise(model, rows_of(nothing))
    with pytest.raises(UserError, match="no likelihood yet"):
        model.conditional_log_prob(torch.zeros(2, 3), torch.ones(2, 3) > 0)


def test_categories_have_no_variance() -> None:
    sizes = (0, 3, 0, 2)
    samples = torch.stack([normal(500)[:, 0], torch.arange(500.0) % 3] * 2, dim=1)
    samples[:, 3] = samples[:, 1].clamp(max=1)
    model = expecting_zero(sizes)
    fit_feature_noise(model, rows_of(samples))
    np.testing.assert_allclose(variances(model)[-1, [0, 2]], SPREAD[0] ** 2, rtol=0.1)
    with torch.no_grad():
        hidden = torch.ones(samples.shape, dtype=torch.bool)
        found = model.conditional_log_prob(samples, hidden)
    torch.testing.assert_close(found[:, 1], torch.full((500,), -math.log(3)))
    torch.testing.assert_close(found[:, 3], torch.full((500,), -math.log(2)))


def test_counts_and_categories_need_none() -> None:
    modality, counts, _ = cells_of(20, 6)
    for model, samples in ((make_model(modality), counts), (expecting_zero((3, 2)), counts)):
        before = model.log_variance.clone()
        fit_feature_noise(model, rows_of(samples))
        assert torch.equal(model.log_variance, before)


def test_samples_are_chosen_by_a_seed_and_the_batch_size_does_not_matter() -> None:
    samples, seen = normal(200), []
    whole = rows_of(samples)

    def read(index: np.ndarray) -> Tensor:
        seen.extend(index.tolist())
        return whole.read(index)

    found = []
    for seed, batch_size in ((0, 256), (0, 7), (1, 256)):
        model = expecting_zero((0,) * 6)
        rows = TabularRows(read, np.arange(200))
        fit_feature_noise(model, rows, num_samples=30, seed=seed, batch_size=batch_size)
        found.append(variances(model))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    assert not np.allclose(found[0], found[2], rtol=1e-2)
    assert sorted(seen[:30]) == sorted(seen[30:60]) != sorted(seen[60:])
    assert len(set(seen[:30])) == 30


def test_between_the_sizes_it_is_interpolated() -> None:
    num = 40
    model = expecting_zero((0,) * num)
    values = np.random.default_rng(3).normal(size=(50, num)).astype(np.float32)
    fit_feature_noise(model, rows_of(torch.from_numpy(values)))
    sizes = sorted({max(round(ratio * num), 1) for ratio in RATIOS})
    assert sizes[:5] == [1, 2, 4, 8, 12]
    table = model.log_variance
    assert table.isfinite().all()
    torch.testing.assert_close(table[2], (table[1] + table[3]) / 2)
    torch.testing.assert_close(table[8], table[7] + (table[11] - table[7]) / 4)
