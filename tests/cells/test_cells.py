"""Expression profiles: library sizes from what is visible, and zeros at a lower rate."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwise.cells.cells import Cells
from maskwise.errors import UserError
from maskwise.masks import draw
from maskwise.rng import Keys

PROFILE = (0.4, 0.25, 0.2, 0.1, 0.05)
GENES = tuple("abcde")


def cells(loss="nb", **changes):
    options = {"profile": () if loss == "mse" else PROFILE, "target_sum": 1000.0}
    return Cells(GENES, loss, **{**options, **changes})


def poisson(num, library, seed=0):
    """Counts of cells, all of one library size."""
    rng = torch.Generator().manual_seed(seed)
    return torch.poisson(library * torch.tensor(PROFILE).expand(num, -1), generator=rng)


def library_of(modality, samples, hidden):
    """The library size that a model is told; it must be the same from each gene."""
    found = modality.log_library(samples, hidden).exp() / torch.tensor(PROFILE)
    torch.testing.assert_close(found, found[:, :1].expand_as(found))
    return found[:, 0]


@pytest.mark.parametrize("library", [5.0, 200.0, 9000.0])
@pytest.mark.parametrize("hidden", [(), (0,), (1, 3), (0, 1, 2, 3)])
def test_the_library_is_right_on_average(library, hidden):
    """Whatever is hidden; up to the one count that keeps it positive."""
    samples = poisson(20_000, library)
    mask = torch.zeros(len(samples), 5, dtype=torch.bool)
    mask[:, hidden] = True
    modality = cells(target_sum=library)
    found = library_of(modality, samples, mask).double()
    # With one count more at the usual depth the expectation is exact.
    error = float(found.std()) / len(found) ** 0.5
    assert float(found.mean()) == pytest.approx(library, abs=4.5 * error)
    # And where the usual depth is another, it is drawn there by what one count weighs.
    away = cells(target_sum=50.0)
    seen = sum(share for gene, share in enumerate(PROFILE) if gene not in hidden)
    found = library_of(away, samples, mask).double()
    expected = (library * seen + 1) / (seen + 1 / 50)
    assert float(found.mean()) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("loss", ["nb", "zinb"])
def test_the_library_is_of_visible_genes_only(loss):
    samples = poisson(30, 300.0)
    samples[3, 2] = torch.nan
    hidden = torch.rand(30, 5, generator=torch.Generator().manual_seed(1)) < 0.5
    modality = cells(loss)
    found = library_of(modality, samples, hidden)
    for other in (samples.masked_fill(hidden, 7e4), samples.masked_fill(hidden, torch.nan)):
        assert torch.equal(library_of(modality, other, hidden), found)
        assert torch.equal(modality.inputs(other, hidden), modality.inputs(samples, hidden))
    for row in range(30):
        seen = (~hidden[row] & ~samples[row].isnan()).numpy()
        total = samples[row].numpy()[seen].sum() + 1
        assert float(found[row]) == pytest.approx(
            total / (np.array(PROFILE)[seen].sum() + 1e-3), rel=1e-5
        )
    # Of all genes it does not depend on which are hidden: a leak, for who wants it.
    every = cells(loss, library="all")
    torch.testing.assert_close(
        library_of(every, samples, hidden),
        library_of(modality, samples, torch.zeros_like(hidden)),
    )


def test_a_cell_of_which_nothing_is_known_is_an_average_one():
    nothing = torch.full((1, 5), torch.nan)
    hidden = torch.ones(1, 5, dtype=torch.bool)
    for samples in (nothing, poisson(1, 50.0)):
        assert float(library_of(cells(), samples, hidden)[0]) == pytest.approx(1000.0)
    assert (cells().inputs(nothing, ~hidden) == 0).all()


def test_what_a_network_reads():
    hidden = torch.tensor([[False, True, False, False, False]])
    expression = torch.tensor([[0.5, 1.0, 0.0, torch.nan, 2.0]])
    assert cells("mse").inputs(expression, hidden).tolist() == [[0.5, 0.0, 0.0, 0.0, 2.0]]
    # Counts become log1p of what they would be at the usual depth.
    counts = torch.tensor([[30.0, 9.0, 0.0, torch.nan, 4.0]])
    library = 35 / (0.4 + 0.2 + 0.05 + 1e-3)
    expected = np.log1p(np.array([30.0, 0, 0, 0, 4]) * 1000 / library)
    np.testing.assert_allclose(cells().inputs(counts, hidden)[0], expected, rtol=1e-6)
    # The last column of batches is none of a gene.
    told = torch.cat([counts, torch.ones(1, 1)], dim=1)
    of_batches = cells(batches=("one", "two"))
    assert torch.equal(of_batches.inputs(told, hidden), cells().inputs(counts, hidden))
    assert of_batches.eligible(told).tolist() == [[True, True, True, False, True]]
    assert (of_batches.num_batches, of_batches.grid, of_batches.sizes) == (2, (5,), (0,) * 5)
    assert of_batches.names == GENES
    assert of_batches.weights(told) is None
    assert torch.equal(of_batches.log_scale, torch.zeros(5))


def half_empty(num=4000):
    """Cells with about half of their genes at zero, and a few not measured."""
    rng = torch.Generator().manual_seed(2)
    samples = torch.poisson(torch.full((num, 40), 0.7), generator=rng)
    return samples.masked_fill(torch.rand(num, 40, generator=rng) < 0.1, torch.nan)


def many(**changes):
    return Cells(tuple(f"g{i}" for i in range(40)), **changes)


@pytest.mark.parametrize("zeros", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("ratio", [0.3, 0.75])
def test_zeros_are_hidden_at_a_share_of_the_ratio(zeros, ratio):
    samples = half_empty()
    ids = torch.arange(len(samples))
    eligible = many(zeros=zeros).eligible(samples, Keys(0, 0, ids))
    hidden = draw(f"fixed:{ratio}", (40,), sample_ids=ids, seed=0, eligible=eligible).hidden
    assert not hidden[samples.isnan()].any()
    error = 4 / (2 * 5e4**0.5) + 0.01  # and rounding to whole numbers of each cell
    for what, expected in ((samples == 0, zeros * ratio), (samples > 0, ratio)):
        assert float(hidden[what].float().mean()) == pytest.approx(expected, abs=error)
        # In each gene.
        by_gene = (hidden & what).sum(0) / what.sum(0)
        np.testing.assert_allclose(by_gene, expected, atol=0.06)


def test_zeros_are_thinned_anew_in_each_epoch():
    samples, ids = half_empty(50), torch.arange(50)
    modality = many(zeros=0.5)
    first = modality.eligible(samples, Keys(0, 0, ids))
    assert torch.equal(first, modality.eligible(samples, Keys(0, 0, ids)))
    # By sample, whatever else is in the batch.
    part = modality.eligible(samples[10:13], Keys(0, 0, ids[10:13]))
    assert torch.equal(part, first[10:13])
    for keys in (Keys(0, 1, ids), Keys(1, 0, ids), Keys(0, 0, ids + 50)):
        other = modality.eligible(samples, keys)
        differ = other != first
        assert 0.3 < float(differ[samples == 0].float().mean()) < 0.7
        assert not differ[samples != 0].any()


@pytest.mark.parametrize("zeros", [0.0, 0.3, 1.0])
def test_only_training_thins_zeros(zeros):
    samples = half_empty(9)
    assert torch.equal(many(zeros=zeros).eligible(samples), ~samples.isnan())
    keys = Keys(0, 0, torch.arange(9))
    seen = many(zeros=zeros).eligible(samples, keys)
    assert not seen[samples.isnan()].any()
    assert seen[samples > 0].all()
    if zeros in (0.0, 1.0):
        assert (seen[samples == 0] == bool(zeros)).all()


@settings(max_examples=15)
@given(
    loss=st.sampled_from(["mse", "nb", "zinb"]),
    library=st.sampled_from(["visible", "all"]),
    zeros=st.floats(0, 1),
    target=st.floats(1, 1e6),
    counts=st.booleans(),
    batches=st.lists(st.sampled_from("xyz"), unique=True),
)
def test_what_is_saved_is_restored(loss, library, zeros, target, counts, batches):
    options = {"library": library, "zeros": zeros, "target_sum": target, "counts": counts}
    before = cells(loss, **options, batches=tuple(batches))
    after = Cells.load(None, json.loads(json.dumps(before.save(None))))
    for name in (*options, "genes", "loss", "profile", "batches"):
        assert getattr(after, name) == getattr(before, name)
        assert type(getattr(after, name)) is type(getattr(before, name))


def test_cells_that_make_no_sense():
    with pytest.raises(UserError, match="cells without genes"):
        Cells(())
    for profile in ((), (1.0,), (0.5, 0.3, 0.1, 0.1, 0.0)):
        with pytest.raises(UserError, match="loss nb needs the mean share of each of the 5 genes"):
            Cells(GENES, "nb", profile=profile)
