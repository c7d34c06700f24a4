"""Which gene of one data set is which of another, how much each varies, and which are used."""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from maskwise.cells.anndata_files import Genes
from maskwise.cells.survey import Survey
from maskwise.errors import UserError, option
from maskwise.textio import user_path
from maskwise.ties import descending

log = logging.getLogger("maskwise")

_VERSIONED = re.compile(r"(ENS[A-Z]*\d{6,})\.\d+", re.IGNORECASE)
_BINS = 20  # of expression
# Levels and dispersions are logarithms: those no further apart than this differ by rounding.
_ALIKE = 1e-9


@dataclass(frozen=True, eq=False)
class Matching:
    """Which gene of a data set each of a vocabulary is, int64 [F], -1 = none."""

    columns: np.ndarray
    how: dict[str, int] = field(default_factory=dict)
    """how many were found in which way"""
    where: str = "array"

    @property
    def num_matched(self) -> int:
        """How many genes of the vocabulary the data set has."""
        return int((self.columns >= 0).sum())

    def __str__(self) -> str:
        ways = ", ".join(f"{count:,} {how}" for how, count in self.how.items() if count)
        found = f"{self.num_matched:,} of {len(self.columns):,} genes"
        return f"{self.where}: {found}{f' ({ways})' if ways else ''}"


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Names of genes, and which of them each of several data sets has."""

    names: tuple[str, ...]
    matchings: tuple[Matching, ...]

    def __getitem__(self, some: np.ndarray) -> "Vocabulary":
        matchings = (replace(each, columns=each.columns[some]) for each in self.matchings)
        return Vocabulary(tuple(self.names[gene] for gene in some), tuple(matchings))


def match(vocabulary: Sequence[str], genes: Genes) -> Matching:
    """Find the genes of a vocabulary, no two the same, in a data set.

    In turn: the same name; without the version of an Ensembl id; by another column of `var`; and
    in any case of letters. A name that several genes share, or that several of the vocabulary
    would take, is not used.

    >>> genes = Genes(("ENSG00000000003.14", "Cd3e", "ACTB"))
    >>> found = match(("ACTB", "CD3E", "ENSG00000000003", "GAPDH"), genes)
    >>> found.columns.tolist(), str(found)
    ([2, 1, 0, -1], 'array: 3 of 4 genes (1 by name, 1 without a version, 1 in another case)')
    """
    columns = np.full(len(vocabulary), -1, dtype=np.int64)
    how = {}
    named = [genes.names]
    ways: list[tuple[str, list[tuple[str, ...]], Callable[[str], str]]] = [
        ("by name", named, str),
        ("without a version", named, _unversioned),
        ("by another column", list(genes.others), _unversioned),
        ("in another case", [*named, *genes.others], lambda name: _unversioned(name).lower()),
    ]
    for way, lists, key in ways:
        before = (columns >= 0).sum()
        for names in lists:
            _fill(columns, vocabulary, names, key)
        how[way] = int((columns >= 0).sum() - before)
    return Matching(columns, how, genes.where)


def _fill(
    columns: np.ndarray, vocabulary: Sequence[str], names: Sequence[str], key: Callable[[str], str]
) -> None:
    taken = set(columns.tolist())
    wanted = _unique(
        (key(vocabulary[place]), place) for place in np.flatnonzero(columns < 0).tolist()
    )
    # A name is ambiguous even where one of the genes that have it is taken.
    found = _unique((key(name), place) for place, name in enumerate(names) if name)
    for name, place in wanted.items():
        gene = found.get(name)
        if gene is not None and gene not in taken:
            columns[place] = gene


def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return the pairs whose name occurs once."""
    known = list(pairs)
    times = Counter(name for name, _ in known)
    return {name: place for name, place in known if times[name] == 1}


def _unversioned(name: str) -> str:
    versioned = _VERSIONED.fullmatch(name)
    return versioned[1] if versioned else name


def enough(vocabulary: Sequence[str], genes: Genes) -> Matching:
    """Find at least half of the genes of a vocabulary in a data set, or say what is missing."""
    matching = match(vocabulary, genes)
    if 2 * matching.num_matched >= len(vocabulary):
        return matching
    missing = [vocabulary[place] for place in np.flatnonzero(matching.columns < 0)[:3]]
    raise UserError(
        f"{matching.num_matched:,} of {len(vocabulary):,} genes of the model are in"
        f" {genes.where} (missing: {', '.join(missing)}, ...; the data have names like"
        f" {', '.join(genes.names[:3])}): name them alike by a column of var:"
        f" {option('data.gene_ids')}"
    )


def some(vocabulary: Sequence[str], genes: Genes) -> Matching:
    """Find genes of a vocabulary in a data set, which may be a panel of few of them.

    Raises:
        UserError: there is none.
    """
    matching = match(vocabulary, genes)
    if matching.num_matched:
        return matching
    raise UserError(
        f"none of {len(vocabulary):,} genes of the model, such as {', '.join(vocabulary[:3])}, is"
        f" in {genes.where}, which has names like {', '.join(genes.names[:3])}: name them alike"
        f" by a column of var: {option('data.gene_ids')}"
    )


def union(several: Sequence[Genes]) -> Vocabulary:
    """Return the genes of several data sets: those of the first, then what each other has besides.

    Raises:
        UserError: fewer than half of the genes of the smaller data set are in the others.
    """
    names = list(several[0].names)
    for genes in several[1:]:
        matching = match(names, genes)
        if 2 * matching.num_matched < min(len(genes.names), len(names)):
            raise UserError(
                f"{matching.num_matched:,} of {len(genes.names):,} genes of {genes.where} are in"
                f" {several[0].where} (names like {', '.join(genes.names[:3])} and"
                f" {', '.join(names[:3])}): name them alike by a column of var:"
                f" {option('data.gene_ids')}"
            )
        has = set(matching.columns.tolist())
        known = set(names)
        names += [n for k, n in enumerate(genes.names) if k not in has and n not in known]
    return Vocabulary(tuple(names), tuple(match(names, genes) for genes in several))


def listed_genes(source: str, sets: Sequence[Genes]) -> Vocabulary:
    """Return the genes that some data set has of a list, a file with a gene in each line."""
    path = user_path(source)
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
            f" {', '.join(sets[0].names[:3])}: give at least two that are",
            {"data.genes": "none"},
        )
    if not there.all():
        missing = ", ".join(np.array(names)[~there][:5].tolist())
        log.warning("%s: %d genes are not in the data: %s", path, (~there).sum(), missing)
    return found[np.flatnonzero(there)]


def choose(
    genes: Vocabulary,
    surveys: Sequence[Survey],
    parts: Sequence[np.ndarray],
    num: int | None,
    scale: float,
) -> tuple[Vocabulary, np.ndarray]:
    """Return the `num` most variable genes that all data sets have; None: all genes of any.

    Beside them, the mean share of each in the counts of a cell to train on, [n]. Which cells of a
    data set are trained on is in `parts`; `scale` is a library size.

    Raises:
        UserError: no gene varies, or there are fewer than two.
    """
    sums, squares, total = np.zeros((3, len(genes.names)))
    for each, matching, part in zip(surveys, genes.matchings, parts, strict=True):
        has = matching.columns >= 0
        sums[has] += each.sums[matching.columns[has]]
        squares[has] += each.squares[matching.columns[has]]
        total[has] += (part & (each.library > 0)).sum()
    mean = sums / np.maximum(total, 1)
    variance = np.maximum(squares - total * mean**2, 0) / np.maximum(total - 1, 1)
    variance[variance <= 1e-12 * mean**2] = 0  # what rounding leaves of a constant
    if not variance.any():
        raise UserError("all genes are constant in the cells to train on: nothing can be learned")
    mean, variance = mean * scale, variance * scale**2
    chosen = np.arange(len(genes.names))
    if num is not None:
        shared = np.flatnonzero(np.all([each.columns >= 0 for each in genes.matchings], axis=0))
        chosen = shared[most_variable(normalised_dispersions(mean[shared], variance[shared]), num)]
    if len(chosen) < 2:
        raise UserError(f"{len(chosen)} gene to use: a model learns one from others: give more")
    # Genes that no cell to train on has: as if one of them had one count.
    return genes[chosen], np.maximum(mean, 1 / np.maximum(total, 1))[chosen] / scale


def normalised_dispersions(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return how much each gene varies, in standard deviations of genes that are as expressed.

    d = log(variance / mean) of expression before the logarithm; genes are put in 20 bins of equal
    width by log(1 + mean), and d is standardised within its bin (by its own size, where a gene is
    alone): Satija et al., "Spatial reconstruction of single-cell gene expression data", Nature
    Biotechnology 2015, as scanpy's flavour "seurat" has it. NaN for genes that do not vary.

    >>> normalised_dispersions(np.array([1.0, 1.0, 9.0]), np.array([1.0, 4.0, 0.0])).round(2)
    array([-0.71,  0.71,   nan])
    """
    mean = np.where(mean == 0, 1e-12, mean)
    varies = variance > 0
    d = np.log(np.where(varies, variance / mean, 1.0))
    level = np.log1p(mean)
    low, high = level.min(), level.max()
    edges = np.linspace(low, high, _BINS + 1)[1:-1]
    bins = (edges + _ALIKE).searchsorted(level, "left")  # an edge belongs to the bin below
    num, total = (np.bincount(bins[varies], w, _BINS) for w in (None, d[varies]))
    centre = total / np.maximum(num, 1)
    away = np.bincount(bins[varies], (d - centre[bins])[varies] ** 2, _BINS)
    spread = np.sqrt(away / np.maximum(num - 1, 1))
    alone = num == 1
    spread[alone], centre[alone] = centre[alone], 0.0
    alike = np.abs(spread) < _ALIKE
    scores = np.where(alike[bins], 0.0, (d - centre[bins]) / np.where(alike, 1.0, spread)[bins])
    return np.where(varies, scores, np.nan)


def most_variable(dispersions: np.ndarray, num: int) -> np.ndarray:
    """Return the `num` genes of the largest dispersions, in the order of the genes, int64 [n].

    Genes that do not vary are left out; of equals, the first ones are taken.

    >>> most_variable(np.array([0.5, np.nan, 2.0, 0.5]), 2)
    array([0, 2])
    """
    order = descending(dispersions)  # NaN last
    return np.sort(order[: min(num, int((~np.isnan(dispersions)).sum()))])
