"""Names of genes: which gene of one data set is which gene of another, and which are used."""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from maskwise.errors import UserError

log = logging.getLogger("maskwise")

OTHER_NAMES = (
    *("gene_ids", "gene_id", "ensembl_id", "ensembl_ids", "ensembl", "feature_id"),
    *("gene_symbols", "gene_symbol", "symbol", "gene_names", "gene_name", "feature_name"),
)
"""Columns in which `var` names genes in another way."""

_VERSIONED = re.compile(r"(ENS[A-Z]*\d{6,})\.\d+", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Genes:
    """The genes of a data set.

    Args:
        names: one for each, no two the same.
        others: further names, a list for each column of `var` that has some.
        where: what messages call the data set.

    Raises:
        UserError: a name that occurs twice.
    """

    names: tuple[str, ...]
    others: tuple[tuple[str, ...], ...] = ()
    where: str = "array"

    def __post_init__(self) -> None:
        if len(set(self.names)) == len(self.names):
            return
        twice = [name for name, count in Counter(self.names).items() if count > 1]
        raise UserError(
            f"{self.where}: {len(twice):,} gene names occur more than once"
            f" ({', '.join(twice[:3])}{', ...' * (len(twice) > 3)}): run"
            " adata.var_names_make_unique(), or name genes by a column of var: --data.gene_ids"
        )


@dataclass(frozen=True, eq=False)
class Matching:
    """Which genes of a vocabulary a data set has.

    Args:
        columns: the gene of the data set that each of the vocabulary is, int64 [F], -1 = none.
        how: how many were found in which way.
        where: the data set.
    """

    columns: np.ndarray
    how: dict[str, int] = field(default_factory=dict)
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
    columns: np.ndarray,
    vocabulary: Sequence[str],
    names: Sequence[str],
    key: Callable[[str], str],
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
    known: dict[str, int] = {}
    several = set()
    for name, place in pairs:
        if name in known:
            several.add(name)
        known[name] = place
    return {name: place for name, place in known.items() if name not in several}


def _unversioned(name: str) -> str:
    versioned = _VERSIONED.fullmatch(name)
    return versioned[1] if versioned else name


def enough(matching: Matching, vocabulary: Sequence[str], genes: Genes) -> Matching:
    """Return a matching that holds for at least half of the vocabulary.

    Raises:
        UserError: it does not; which genes are missing, and what names the data set has.
    """
    if 2 * matching.num_matched >= len(vocabulary):
        return matching
    missing = [vocabulary[place] for place in np.flatnonzero(matching.columns < 0)[:3]]
    raise UserError(
        f"{matching.num_matched:,} of {len(vocabulary):,} genes of the model are in"
        f" {genes.where} (missing: {', '.join(missing)}, ...; the data have names like"
        f" {', '.join(genes.names[:3])}): name them alike by a column of var: --data.gene_ids"
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
                f" {', '.join(names[:3])}): name them alike by a column of var: --data.gene_ids"
            )
        has = set(matching.columns.tolist())
        known = set(names)
        names += [n for k, n in enumerate(genes.names) if k not in has and n not in known]
    return Vocabulary(tuple(names), tuple(match(names, genes) for genes in several))


def listed_genes(source: str, sets: Sequence[Genes]) -> Vocabulary:
    """Return the genes that some data set has of a list, a file with a gene in each line.

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
