"""Highly variable genes, beside scanpy's."""

import warnings

import numpy as np
import pytest

from maskwise.cells.genes import most_variable, normalised_dispersions


def expression(seed, num_genes=300):
    generator = np.random.default_rng(seed)
    rate = generator.lognormal(-1, 1.5, num_genes)
    counts = generator.poisson(generator.gamma(1 / 0.5, 0.5, (120, num_genes)) * rate)
    counts[:, :3] = 0
    return counts.astype(np.float64)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scores_and_choice_are_those_of_scanpy(seed):
    anndata = pytest.importorskip("anndata")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it imports
        scanpy = pytest.importorskip("scanpy")
    values = expression(seed)
    adata = anndata.AnnData(np.log1p(values))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scanpy.pp.highly_variable_genes(adata, flavor="seurat", n_top_genes=50)
    scores = normalised_dispersions(values.mean(axis=0), values.var(axis=0, ddof=1))
    np.testing.assert_allclose(scores, adata.var["dispersions_norm"], rtol=1e-5, atol=1e-6)
    theirs = np.flatnonzero(adata.var["highly_variable"])
    ours = most_variable(scores, 50)
    assert len(ours) == 50
    # Of several at the border that are equal but for rounding, theirs has all, or others.
    np.testing.assert_allclose(scores[np.setxor1d(theirs, ours)], scores[ours].min(), rtol=1e-9)


def test_genes_that_do_not_vary_are_left_out():
    values = expression(0)
    values[:, 3] = 4
    scores = normalised_dispersions(values.mean(axis=0), values.var(axis=0, ddof=1))
    varies = np.flatnonzero(values.std(axis=0))
    assert set(varies.tolist()).isdisjoint(range(4))
    assert most_variable(scores, 1000).tolist() == varies.tolist()


def test_equals_keep_their_order():
    assert most_variable(np.array([1.0, 2.0, 1.0, 1.0]), 2).tolist() == [0, 1]
    assert most_variable(np.array([0.3, 1.0, 0.1 + 0.2]), 2).tolist() == [0, 1]


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_cells_chooses_no_gene(seed):
    """Genes come in threes with the same counts in other cells: their sums round otherwise."""
    generator = np.random.default_rng(seed)
    first = expression(seed, 40) / 3
    values = np.concatenate([generator.permuted(first, axis=0) for _ in range(3)], axis=1)
    chosen = most_variable(
        normalised_dispersions(values.mean(axis=0), values.var(axis=0, ddof=1)), 16
    )
    of_each = np.bincount(chosen % 40)
    assert sorted(of_each[of_each > 0].tolist()) == [1, 3, 3, 3, 3, 3]
    assert of_each[chosen[chosen < 40]].tolist() == of_each[of_each > 0].tolist()


def test_genes_that_are_all_alike_count_the_same():
    for mean, variance in ((1.0, 1.0), (0.7, 0.3)):
        apart = 1 + 1e-14 * np.arange(7)
        scores = normalised_dispersions(mean * apart, variance * apart[::-1])
        assert scores.tolist() == [0.0] * 7
