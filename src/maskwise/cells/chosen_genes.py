"""Which genes of the cells are used."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from maskwise.cells.genes import Genes, Matching, match, union
from maskwise.cells.survey import Survey
from maskwise.cells.variable_genes import most_variable, normalised_dispersions
from maskwise.errors import UserError

log = logging.getLogger("maskwise")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Some genes, and where several data sets have them.

    Args:
        names: of the genes.
        matchings: of each data set.
    """

    names: tuple[str, ...]
    matchings: tuple[Matching, ...]

    def __getitem__(self, some: np.ndarray) -> "Vocabulary":
        matchings = (replace(each, columns=each.columns[some]) for each in self.matchings)
        return Vocabulary(tuple(self.names[gene] for gene in some), tuple(matchings))


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and unbiased variance of each gene over the training cells of the data sets with it."""

    mean: np.ndarray
    variance: np.ndarray
    num: np.ndarray


def all_genes(sets: Sequence[Genes]) -> Vocabulary:
    """Return the genes of several data sets."""
    names, matchings = union(sets)
    return Vocabulary(names, tuple(matchings))


def listed_genes(source: str, sets: Sequence[Genes]) -> Vocabulary:
    """Return the genes of a list that some data set has.

    Args:
        source: a file with a gene in each line.
        sets: of the data sets.

    Raises:
        UserError: the file cannot be read, or fewer than two of its genes are there.
    """
    path = Path(source).expanduser()
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from None
    names = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    found = Vocabulary(names, tuple(match(names, each) for each in sets))
    there = np.any([each.columns >= 0 for each in found.matchings], axis=0)
    if there.sum() < 2:
        raise UserError(
            f"{path}: {there.sum()} of {len(names):,} genes are in the data, whose names are like"
            f" {', '.join(sets[0].names[:3])}: give at least two that are"
        )
    if not there.all():
        missing = ", ".join(np.array(names)[~there][:5].tolist())
        log.warning("%s: %d genes are not in the data: %s", path, (~there).sum(), missing)
    return found[np.flatnonzero(there)]


def moments(
    genes: Vocabulary, surveys: Sequence[Survey], num_train: Sequence[int], scale: float
) -> Moments:
    """Put the surveys of data sets together.

    Args:
        genes: what they have.
        surveys: of the data sets.
        num_train: how many cells that are no empty ones each trains on.
        scale: of the values; a library size.

    Raises:
        UserError: no gene varies.
    """
    sums, squares, num = np.zeros((3, len(genes.names)))
    for each, matching, count in zip(surveys, genes.matchings, num_train, strict=True):
        has = matching.columns >= 0
        sums[has] += each.sums[matching.columns[has]]
        squares[has] += each.squares[matching.columns[has]]
        num[has] += count
    mean = sums / np.maximum(num, 1)
    variance = np.maximum(squares - num * mean**2, 0) / np.maximum(num - 1, 1)
    variance[variance <= 1e-12 * mean**2] = 0  # what rounding leaves of a constant
    if not variance.any():
        raise UserError("all genes are constant in the cells to train on: nothing can be learned")
    return Moments(mean * scale, variance * scale**2, num)


def variable_genes(genes: Vocabulary, found: Moments, num: int) -> np.ndarray:
    """Return the highly variable ones of the genes that all data sets have, int64 [n]."""
    shared = np.flatnonzero(np.all([each.columns >= 0 for each in genes.matchings], axis=0))
    scores = normalised_dispersions(found.mean[shared], found.variance[shared])
    return shared[most_variable(scores, num)]
