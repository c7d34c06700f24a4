"""Ratios of a batch: scope, sampling, peers; and what draw refuses."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from maskwise import UserError, laws, masks
from maskwise.masks import Mask
from maskwise.rng import Keys, Stream, uniforms

# Under the likelihood law a count is 1 + floor(u L): with L a multiple of the batch it tells the
# interval in which u lies.
LENGTH = 960


def counts(ids: torch.Tensor, sampling: str, **more) -> torch.Tensor:
    more = {"seed": 5, "epoch": 0} | more
    return masks.draw(
        "likelihood", (LENGTH,), sample_ids=ids, scope="sample", sampling=sampling, **more
    ).num_hidden


@pytest.mark.parametrize("batch", [1, 2, 3, 8, 15, 16, 64])
def test_stratified_has_one_in_each_interval(batch: int) -> None:
    for epoch in range(5):
        hidden = counts(torch.arange(batch) * 7, "stratified", epoch=epoch)
        strata = (hidden - 1) * batch // LENGTH
        assert sorted(strata.tolist()) == list(range(batch))


@pytest.mark.parametrize("batch", [2, 3, 8, 15, 64])
def test_antithetic_pairs_sum_to_one(batch: int) -> None:
    """u and 1 - u give h and L + 1 - h; with an odd batch one sample is left alone."""
    for epoch in range(5):
        hidden = counts(torch.arange(batch) * 7, "antithetic", epoch=epoch).tolist()
        alone = list(hidden)
        for value in hidden:
            if value in alone and LENGTH + 1 - value in alone and alone.count(value) >= 1:
                alone.remove(value)
                alone.remove(LENGTH + 1 - value)
        assert len(alone) == batch % 2


@pytest.mark.parametrize("sampling", ["independent", "stratified", "antithetic"])
def test_each_sample_alone_is_uniform(sampling: str) -> None:
    """Kolmogorov-Smirnov over epochs, for the first, middle and last of a batch of 6."""
    ids = torch.tensor([50, 3, 8, 2, 90, 91])
    seen = torch.stack([counts(ids, sampling, epoch=epoch) for epoch in range(250)])
    for column in (0, 2, 5):
        u = (seen[:, column].numpy() - 0.5) / LENGTH
        assert stats.kstest(u, "uniform").pvalue > 1e-5


@pytest.mark.parametrize("sampling", ["stratified", "antithetic"])
def test_spread_does_not_depend_on_how_ranks_share_a_batch(sampling: str) -> None:
    ids = torch.randperm(24, generator=torch.Generator().manual_seed(0)) * 3
    whole = counts(ids, sampling)
    for parts in (ids.view(2, 12), ids.view(12, 2).T, ids.view(24, 1)):
        by_sample = {
            int(sample): int(count)
            for part in parts
            for sample, count in zip(part, counts(part, sampling, peers=ids), strict=True)
        }
        assert [by_sample[int(sample)] for sample in ids] == whole.tolist()
    # Nor on the order of the batch.
    order = torch.arange(23, -1, -1)
    assert torch.equal(counts(ids[order], sampling), whole[order])


@pytest.mark.parametrize("sampling", ["stratified", "antithetic"])
def test_spread_lowers_the_variance_of_a_batch(sampling: str) -> None:
    def deviation(kind: str) -> float:
        means = [counts(torch.arange(16), kind, epoch=e).double().mean() for e in range(60)]
        return float(torch.stack(means).std())

    assert deviation(sampling) < 0.5 * deviation("independent")


def test_likelihood_counts_are_uniform_and_may_hide_all() -> None:
    n, num = 16, 8000
    for pattern in ("scattered", "block", "inverse-block"):
        hidden = masks.draw(
            "likelihood",
            (n,),
            sample_ids=torch.arange(num),
            seed=2,
            scope="sample",
            pattern=pattern,
        ).num_hidden
        times = np.bincount(hidden.numpy(), minlength=n + 1)
        assert times[0] == 0
        assert ((times[1:] - num / n) ** 2 / (num / n)).sum() < stats.chi2.isf(1e-6, n - 1)
    ragged = torch.tensor([[True] * 5 + [False] * 11]).expand(2000, 16)
    hidden = masks.draw(
        "likelihood",
        (n,),
        sample_ids=torch.arange(2000),
        seed=2,
        scope="sample",
        eligible=ragged,
    ).num_hidden
    times = np.bincount(hidden.numpy(), minlength=6)
    assert len(times) == 6
    assert ((times[1:] - 400) ** 2 / 400).sum() < stats.chi2.isf(1e-6, 4)


@pytest.mark.parametrize("name", ["uniform:0.1,0.8", "beta:3,9", "choice:0.25,0.75", "cosine"])
@pytest.mark.parametrize("scope", ["step", "sample"])
def test_ratios_follow_the_law(name: str, scope: str) -> None:
    """The counts are those of the law at the keyed uniforms, so their mean is the law's."""
    law, length, ids = laws.parse(name), 200, torch.arange(500)
    if scope == "sample":
        ratios = masks.draw(law, (length,), sample_ids=ids, seed=4, scope="sample").ratio
    else:
        ratios = torch.cat([
            masks.draw(law, (length,), sample_ids=ids[:1], seed=4, step=step).ratio
            for step in range(500)
        ])  # fmt: skip
    u = uniforms(4, Stream.RATIO, sample_ids=ids).numpy()
    np.testing.assert_allclose(ratios.numpy(), laws.num_hidden(law, u, length) / length, atol=1e-6)
    low, high = law.support()
    bound = 5 * (high - low) / 2 / math.sqrt(500) + 0.5 / length
    assert abs(float(ratios.mean()) - law.mean()) < bound


def test_schedules_see_the_progress() -> None:
    ratios = [
        masks.draw(
            "scheduled:linear,0.2..0.8",
            (100,),
            sample_ids=torch.arange(2),
            seed=0,
            progress=progress,
        ).ratio.tolist()
        for progress in (0.0, 0.5, 1.0)
    ]
    assert ratios == pytest.approx(np.array([[0.2] * 2, [0.5] * 2, [0.8] * 2]))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(9, 12))
def test_indices_agree_with_hidden(sizes: list[int], length: int) -> None:
    scores = torch.rand(len(sizes), length, generator=torch.Generator().manual_seed(sum(sizes)))
    hidden = scores.argsort(1) < torch.tensor(sizes)[:, None]
    mask = Mask(hidden)
    assert mask.num_hidden.tolist() == sizes
    assert mask.is_rectangular == (len(set(sizes)) == 1)
    assert mask.hidden_idx.shape == (len(sizes), max(sizes))
    assert mask.visible_idx.shape == (len(sizes), length - min(sizes))
    assert (mask.hidden_valid is None) == (mask.visible_valid is None) == mask.is_rectangular
    for row, own in enumerate(hidden):
        hidden_at, visible_at = mask.hidden_idx[row], mask.visible_idx[row]
        if mask.hidden_valid is not None and mask.visible_valid is not None:
            # A sample's own hidden positions come first, its own visible ones last.
            assert mask.hidden_valid[row].tolist() == [i < sizes[row] for i in range(max(sizes))]
            hidden_at, visible_at = (
                hidden_at[mask.hidden_valid[row]],
                visible_at[mask.visible_valid[row]],
            )
            assert mask.visible_valid[row].flip(0)[: length - sizes[row]].all()
        assert hidden_at.tolist() == own.nonzero().flatten().tolist()
        assert visible_at.tolist() == (~own).nonzero().flatten().tolist()


def test_rows_of_a_mask() -> None:
    eligible = torch.tensor([[True, True, False], [True, True, True], [True, False, True]])
    mask = masks.draw(0.5, (3,), sample_ids=torch.arange(3), seed=0, eligible=eligible)
    part = mask[1:]
    assert len(mask) == 3
    assert len(part) == 2
    assert torch.equal(part.hidden, mask.hidden[1:])
    assert part.eligible is not None
    assert torch.equal(part.eligible, eligible[1:])
    assert torch.equal(part.ratio, mask.ratio[1:])


@given(st.lists(st.integers(0, 20), min_size=1, max_size=6), st.floats(0.01, 1))
def test_subset(sizes: list[int], fraction: float) -> None:
    hidden = torch.arange(20) < torch.tensor(sizes)[:, None]
    ids = torch.arange(len(sizes))
    part = masks.subset(Mask(hidden), fraction, Keys(3, 0, ids))
    assert not bool((part.hidden & ~hidden).any())
    assert part.num_hidden.tolist() == [math.ceil(fraction * size - 1e-9) for size in sizes]
    row = masks.subset(Mask(hidden[-1:]), fraction, Keys(3, 0, ids[-1:]))
    assert torch.equal(row.hidden, part.hidden[-1:])


def test_subset_is_uniform_over_the_hidden_positions() -> None:
    hidden = torch.tensor([True, False, True, True, False, True]).expand(10_000, 6)
    part = masks.subset(Mask(hidden), 0.5, Keys(0, 0, torch.arange(10_000)))
    share = part.hidden.double().mean(0)[hidden[0]]
    assert bool(((share - 0.5).abs() < 5 * 0.5 / 100).all())
    # It does not depend on the scores that decided what is hidden.
    mask = masks.draw(0.5, (40,), sample_ids=torch.arange(2000), seed=0)
    half = masks.subset(mask, 0.5, Keys(0, 0, torch.arange(2000)))
    fewer = masks.draw(0.25, (40,), sample_ids=torch.arange(2000), seed=0)
    overlap = (half.hidden & fewer.hidden).sum() / half.hidden.sum()
    assert float(overlap) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("says", "change"),
    [
        ("unknown law 'unifrom:0,1'", {"law": "unifrom:0,1"}),
        ("unknown pattern 'blok'; patterns are scattered, shared, units", {"pattern": "blok"}),
        ("pattern 'scattered:2' cannot be read; the form is", {"pattern": "scattered:2"}),
        ("pattern 'units:x' cannot be read; the form is units[:SIZE]", {"pattern": "units:x"}),
        ("at least 1, not 0", {"pattern": "units:0"}),
        ("columns:5 names no axis of a grid of 2", {"pattern": "columns:5"}),
        ("columns:-3 names no axis", {"pattern": "columns:-3"}),
        ("tubes:2 names no axis", {"pattern": "tubes:2"}),
        ("tubes are lines of a grid of two axes or more", {"pattern": "tubes", "grid": (4,)}),
        ("unknown scope 'batch'; scopes are step, sample", {"scope": "batch"}),
        ("unknown sampling 'sobol'", {"scope": "sample", "sampling": "sobol"}),
        ("unknown sampling 'sobol'", {"sampling": "sobol"}),
        ("sample 1 is not among the peers",
         {"scope": "sample", "sampling": "stratified", "peers": torch.tensor([0, 2])}),
        ("grid () is empty", {"grid": ()}),
        ("grid (4, 0) is empty", {"grid": (4, 0)}),
        ("grid (-4, 4) is empty", {"grid": (-4, 4)}),
        ("eligible is torch.float32", {"eligible": torch.ones(16)}),
        ("give bool [16] or [2, 16]", {"eligible": torch.ones(15, dtype=torch.bool)}),
        ("give bool [16] or [2, 16]", {"eligible": torch.ones(3, 16, dtype=torch.bool)}),
        ("give bool [16] or [2, 16]", {"eligible": torch.ones(4, 4, dtype=torch.bool)}),
        ("give bool [16] or [2, 16]", {"eligible": torch.tensor(True)}),
    ],
)  # fmt: skip
def test_draw_refuses_in_one_line(says: str, change: dict) -> None:
    arguments = {"law": "fixed:0.5", "grid": (4, 4), "sample_ids": torch.arange(2), "seed": 0}
    with pytest.raises(UserError) as error:
        masks.draw(**(arguments | change))
    assert says in str(error.value)
    assert "\n" not in str(error.value)
