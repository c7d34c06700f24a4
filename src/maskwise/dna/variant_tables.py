"""Files of variants: their scores, written as a table, and what these tell of measured effects."""

import gzip
import io
import itertools
import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from maskwise.dna.bases import NUM_BASES, REPEAT, C, G
from maskwise.dna.fasta import Genome
from maskwise.dna.places import Row, Variant, VariantFile, open_variants
from maskwise.dna.tokens import DNA
from maskwise.dna.variant_scores import HIDDEN, score_judged
from maskwise.dna.variant_status import DISAGREES, check_references, judge
from maskwise.errors import UserError
from maskwise.files import atomic
from maskwise.measure.features import ends
from maskwise.modality import Entries
from maskwise.tokens.model import LanguageModel

log = logging.getLogger("maskwise")
T = TypeVar("T")

_SCORES = ("score", "score_forward", "score_reverse")
COLUMNS = ("chrom", "pos", "id", "ref", "alt", *_SCORES, "status", "method")
SUFFIXES = (".tsv", ".tsv.gz")
MISSING = "NA"
_PART = 1 << 14  # variants held at once

MEAN = "mean of groups"
FEWEST = 10
LARGE = 0.75  # effects beyond this quantile of their sizes are large
_CELLS = 1 << 21  # resampled values held at once: 16 MiB of float64
_PURINES, _GC = frozenset("AG"), frozenset("GC")


def score_file(
    model: LanguageModel[DNA], genome: Genome, path: Path, out: Path
) -> tuple[dict[str, int], dict[str, np.ndarray]]:
    """Score the variants of a VCF or a table, and write them with their scores.

    The file is read twice: all of it is checked before anything is scored. `out` has `COLUMNS`
    and those that are carried along; NA where there is no score. Each row of the file is in it,
    in the same order, with a status.

    Returns:
        How many variants have each status, the most frequent first; and all scores, float64 [n],
        by how they were made.

    Raises:
        UserError: no row can be read, or as for `score_variants`.
    """
    if not out.name.endswith(SUFFIXES):
        raise UserError(f"{out}: scores are written as {' or '.join(SUFFIXES)}")
    file = open_variants(path)
    for name in set(COLUMNS) & set(file.carried):
        raise UserError(f"{path} has a column {name} already: rename it")
    dna = model.tokenizer
    check_references(genome, _readable(path, dna, genome, file))
    genome.tell_renamed(path)
    counts: Counter[str] = Counter()
    scores: dict[str, list[np.ndarray]] = {}
    with atomic(out) as temporary, temporary.open("wb") as raw:
        # Neither a time nor a name in the file: equal scores make equal files.
        packed = gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if out.suffix == ".gz" else raw
        with io.TextIOWrapper(packed, "utf-8", newline="\n") as table:
            table.write("\t".join((*COLUMNS, *file.carried)) + "\n")
            for rows in _parts(file.rows()):
                part = [row.variant for row in rows]
                found = score_judged(model, genome, part, _judged(dna, genome, rows))
                values = np.stack([found.score, found.forward, found.reverse], axis=1)
                table.writelines(map(_line, rows, values, found.status, found.method))
                for how in dict.fromkeys(filter(None, found.method)):
                    made = np.array([each == how for each in found.method])
                    scores.setdefault(how, []).append(found.score[made])
                counts.update(
                    "reference disagrees" if status.startswith(DISAGREES) else status
                    for status in found.status
                )
    by_method = {how: np.concatenate(parts) for how, parts in sorted(scores.items())}
    return dict(counts.most_common()), by_method


def _readable(
    path: Path, dna: DNA, genome: Genome, file: VariantFile
) -> Iterator[tuple[Variant, str]]:
    """Give all variants and their status; at the end refuse a file of which no row can be read."""
    some, first = False, ""
    for rows in _parts(file.rows()):
        yield from zip((row.variant for row in rows), _judged(dna, genome, rows), strict=True)
        some |= not all(row.problem for row in rows)
        first = first or rows[0].problem
    if not some:
        raise UserError(f"{path}: no row can be read: the first has {first}")


def _judged(dna: DNA, genome: Genome, rows: Sequence[Row]) -> list[str]:
    status = judge(dna, genome, [row.variant for row in rows])
    return [row.problem or each for row, each in zip(rows, status, strict=True)]


def _parts(items: Iterator[T]) -> Iterator[list[T]]:
    while part := list(itertools.islice(items, _PART)):
        yield part


def _line(row: Row, values: np.ndarray, status: str, method: str) -> str:
    chrom, number, ref, alt = row.variant
    pos = row.written or str(number)
    written = [MISSING if math.isnan(value) else f"{value:.6g}" for value in values]
    told = [chrom, pos, row.id, ref, alt, *written, status, method or MISSING, *row.carried]
    return "\t".join(told) + "\n"


def check_columns(path: Path, *names: str | None) -> VariantFile:
    """Return a file of variants that carries columns along; None asks for nothing."""
    file = open_variants(path)
    for name in names:
        if name is not None and name not in file.carried:
            known = ", ".join(file.carried) or "none"
            raise UserError(f"{path} has no column {name}; beside the variants it has {known}")
    return file


def effects_of_file(
    path: Path, genome: Genome, window: int, effect: str, group: str | None = None
) -> list[Entries]:
    """Compare the scores that `score_file` wrote with measured effects; see `variant_effects`.

    What is no number in the column of effects is left out, and counted. So are insertions and
    deletions beside substitutions, whose scores are made in another way.
    """
    file = check_columns(path, effect, group)
    columns = {name: place for place, name in enumerate(file.carried)}
    found: dict[str, list[np.ndarray]] = {}
    effects, places, groups, hidden, num_left_out = [], [], [], list[bool](), 0
    for rows in _parts(file.rows()):
        kept = [row for row in rows if row.carried[columns["score"]] != MISSING]
        measured = [_number(row.carried[columns[effect]]) for row in kept]
        num_left_out += sum(map(math.isnan, measured))
        variants = [row.variant for row in kept]
        scores = np.array([float(row.carried[columns["score"]]) for row in kept])
        for name, values in {"score": scores, **baselines(genome, variants, window)}.items():
            found.setdefault(name, []).append(values)
        effects += measured
        hidden += [row.carried[columns["method"]] == HIDDEN for row in kept]
        places += [genome.record(each.chrom) << 40 | each.pos for each in variants]
        groups += [row.carried[columns[group]] for row in kept] if group else []
    if num_left_out:
        log.warning("%s scored variants have no number as %s", f"{num_left_out:,}", effect)
    some = np.array(hidden, dtype=bool) == any(hidden)
    if not some.all():
        log.info("%s scored insertions and deletions are not compared", f"{(~some).sum():,}")
    predictors = {name: np.concatenate(values)[some] for name, values in found.items()}
    chosen = [each for each, it in zip(groups, some, strict=True) if it] if group else None
    return variant_effects(predictors, np.array(effects)[some], np.array(places)[some], chosen)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def baselines(genome: Genome, variants: Sequence[Variant], window: int) -> dict[str, np.ndarray]:
    """Return what predicts the effect of variants without a model, float64 [N] each.

    "transversions" are counted negative, and insertions and deletions have none; "GC content" is
    that of the window around the variant.
    """
    alleles = [(each.ref.upper(), each.alt.upper()) for each in variants]
    pairs = [zip(*pair, strict=True) if len({*map(len, pair)}) == 1 else () for pair in alleles]
    crossed = [-sum((a in _PURINES) != (b in _PURINES) for a, b in pair) for pair in pairs]
    change = [sum(b in _GC for b in alt) - sum(a in _GC for a in ref) for ref, alt in alleles]
    records = np.array([genome.record(each.chrom) for each in variants], dtype=np.int64)
    starts = np.array([each.pos - 1 - window // 2 for each in variants], dtype=np.int64)
    bases = genome.read(records, starts, window) & (REPEAT - 1)
    num = (bases < NUM_BASES).sum(1)
    return {
        "transversions": np.array(crossed, dtype=np.float64),
        "change of GC": np.array(change, dtype=np.float64),
        "GC content": ((bases == C) | (bases == G)).sum(1) / num.clip(min=1),
    }


def variant_effects(
    predictors: Mapping[str, np.ndarray],
    effects: np.ndarray,
    places: np.ndarray,
    groups: Sequence[str] | None = None,
    num: int = 1000,
    seed: int = 0,
) -> list[Entries]:
    """Compare predictors with measured effects, in each group and over groups.

    Spearman's correlation is of predictor and effect, both with their sign; 0 where either is
    constant. The AUROC is of the predictor's size for the quarter of the group's variants with
    the largest effects, whatever their sign; ties count one half. It asks for no significance,
    which depends on how deeply an effect was measured.

    Intervals are percentile bootstraps of the places of a group, because alternatives of one base
    share most of their effect; equal data and seeds resample the same places, whatever the
    predictor. The mean of groups, which comes first, has the mean of their resamples.

    Args:
        predictors: values by name, float [N] each, without NaN.
        effects: measured effects, float [N]; those that are NaN are left out.
        places: which place each variant changes, [N]; alternatives of one place are equal.
        groups: of the variants, such as elements; those of fewer than 10 are left out.
        num: resamples.
        seed: of the resampling.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    >>> x = np.arange(40.0)
    >>> [row] = variant_effects({"x": x}, x**3, places=x, num=10)
    >>> row["spearman"], row["auroc"]
    (1.0, 1.0)
    """
    labels = np.array(["all"] * len(effects) if groups is None else list(groups))
    measured = np.isfinite(effects)
    rows, parts, sizes = [], [], []
    for place, group in enumerate(np.unique(labels[measured])):
        [index] = np.nonzero(measured & (labels == group))
        if len(index) < FEWEST:
            continue
        values = np.stack([np.asarray(each, np.float64)[index] for each in predictors.values()])
        found = _resampled(values, effects[index], places[index], num, [seed, place])
        parts.append(found)
        sizes.append(len(index))
        rows += _rows(str(group), predictors, len(index), found)
    if not rows:
        raise UserError(f"fewer than {FEWEST} scored variants of a group have a measured effect")
    if groups is None:
        return rows
    return _rows(MEAN, predictors, sum(sizes), np.mean(parts, axis=0)) + rows


def _rows(group: str, predictors: Iterable[str], num: int, found: np.ndarray) -> list[Entries]:
    rows: list[Entries] = []
    for place, name in enumerate(predictors):
        rows.append({"group": group, "predictor": name, "num": num})
        for what, values in zip(("spearman", "auroc"), found[:, place], strict=True):
            low, high = ends(values[1:])
            rows[-1] |= {what: float(values[0]), f"{what}_low": low, f"{what}_high": high}
    return rows


def _resampled(
    values: np.ndarray, effects: np.ndarray, places: np.ndarray, num: int, seed: Sequence[int]
) -> np.ndarray:
    """Return both statistics of the sample and of resamples of it, float64 [2, P, 1 + num]."""
    rng = np.random.default_rng(seed)
    _, place = np.unique(places, return_inverse=True)
    num_places = int(place.max()) + 1
    share = np.full(num_places, 1 / num_places)
    sizes = np.abs(effects)
    # Where many effects are equal, all of those at the border, but never all there are.
    large = (sizes >= np.quantile(sizes, LARGE)) & (sizes > sizes.min())
    found = [_statistics(values, effects, large, np.ones((1, len(effects))))]
    rows = max(_CELLS // len(effects), 1)
    for start in range(0, num, rows):
        counts = rng.multinomial(num_places, share, size=min(rows, num - start))
        found.append(_statistics(values, effects, large, counts[:, place].astype(np.float64)))
    return np.concatenate(found, axis=2)


def _statistics(
    values: np.ndarray, effects: np.ndarray, large: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return both statistics of predictors [P, n] under weights [R, n], float64 [2, P, R]."""
    of_effects = _ranks(effects, weights)
    correlations = [_correlation(_ranks(each, weights), of_effects, weights) for each in values]
    areas = [_area(_ranks(np.abs(each), weights), large, weights) for each in values]
    return np.array([correlations, areas])


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the rank of each value where it is there `weights` times, ties halved, [R, n].

    >>> _ranks(np.array([5.0, 1.0, 5.0]), np.ones((1, 3))).tolist()
    [[2.0, 0.5, 2.0]]
    """
    _, which = np.unique(values, return_inverse=True)
    order = np.argsort(which, kind="stable")
    starts = np.searchsorted(which[order], np.arange(which.max() + 1))
    tied = np.add.reduceat(weights[:, order], starts, axis=1)
    return (tied.cumsum(1) - tied / 2)[:, which]


def _correlation(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(1, keepdims=True)
    x = x - (x * weights).sum(1, keepdims=True) / total
    y = y - (y * weights).sum(1, keepdims=True) / total
    spread = (weights * x**2).sum(1) * (weights * y**2).sum(1)
    # The mean of equal ranks may differ from them in rounding.
    flat = spread < 1e-9
    return np.where(flat, 0, (weights * x * y).sum(1) / np.sqrt(np.where(flat, 1, spread)))


def _area(ranks: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    of_positive = weights * positive
    num, num_others = of_positive.sum(1), (weights * ~positive).sum(1)
    above = (of_positive * ranks).sum(1) - num**2 / 2
    none = (num == 0) | (num_others == 0)
    return np.where(none, 0.5, above / np.where(none, 1, num * num_others))
