"""N-grams of words that masks hide as one: a user's own list, or those that PMI finds in a corpus.

The unit of a token is the number of words begun so far, `starts.cumsum(-1)`; an n-gram becomes one
unit by taking away the starts of its words after the first. A set of n-grams is a sorted array of
64-bit hashes of their tokens: two n-grams of a million share one with probability 3e-8.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskwise.errors import UserError
from maskwise.text.corpus import Corpus
from maskwise.text.text import Text
from maskwise.textio import read_lines, user_path
from maskwise.ties import descending

Tokens = tuple[Sequence[int] | np.ndarray, Sequence[bool] | np.ndarray]  # ids, starts
Hashes = NDArray[np.uint64]
Table = tuple[Hashes, NDArray[np.float64]]  # of n-grams, and their log-probabilities
_TOKEN = np.array([0x9FB21C651E98DF25], np.uint64)
_WORD = np.array([0xD6E8FEB86659FD93], np.uint64)
NUM_NGRAMS = 20_000
_COUNTED = 1 << 25  # tokens that PMI is computed from
_PART = 1 << 22  # tokens merged at once


@dataclass(frozen=True, eq=False)
class Ngrams:
    """A set of n-grams of two or more words, the longest with `longest`; `hashes` are sorted.

    Example:
        >>> ngrams = Ngrams.of([([7, 8, 9], [True, False, True])])  # of words [7, 8] and [9]
        >>> ids = np.array([5, 7, 8, 9, 9])
        >>> ngrams.merge(ids, np.array([True, True, False, True, True])).tolist()
        [True, True, False, False, True]
    """

    hashes: Hashes
    longest: int

    @classmethod
    def of(cls, ngrams: Sequence[Tokens]) -> Self:
        """Return a set of given n-grams, each the ids of its tokens and which begin a word."""
        if not len(ngrams):
            raise UserError("the list of n-grams is empty: give at least one")
        first = np.cumsum([0, *(len(ids) for ids, _ in ngrams)])
        breaks = np.isin(np.arange(first[-1]), first)
        ids, starts = (np.concatenate(part) for part in zip(*ngrams, strict=True))
        words = _words(ids, starts, breaks)
        begin = np.searchsorted(words.first, first)
        lengths = np.diff(begin)
        if lengths.min() < 2:
            place = int(lengths.argmin())
            raise UserError(f"n-gram {place} has {lengths[place]} words: give 2 or more")
        found = [_hashes(words, n, begin[:-1][lengths == n]) for n in np.unique(lengths).tolist()]
        return cls(np.unique(np.concatenate(found)), int(lengths.max()))

    def __len__(self) -> int:
        return len(self.hashes)

    def merge(
        self,
        ids: NDArray[np.integer],
        starts: NDArray[np.bool_],
        breaks: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.bool_]:
        """Return `starts` without those inside of n-grams: longest ones first, left to right.

        Args:
            ids: [..., L], token ids of a corpus or of rows.
            starts: bool [..., L], whether a token begins a word.
            breaks: bool [..., L], tokens into which no n-gram runs: the first ones of documents,
                special ones and those behind them. No n-gram runs into another row either.
        """
        words = _words(ids, starts, breaks)
        free = np.ones(len(words.hashes), dtype=bool)
        merged = np.array(starts, dtype=bool)
        for n in range(self.longest, 1, -1):
            places = _places(words, n)
            used = np.concatenate([[0], np.cumsum(~free)])
            places = places[used[places + n] == used[places]]
            hashes = _hashes(words, n, places)
            found = self.hashes.searchsorted(hashes).clip(max=len(self) - 1)
            places = places[self.hashes[found] == hashes]
            taken = _apart(places, n)[:, None] + np.arange(n)
            free[taken] = False
            merged.reshape(-1)[words.first[taken[:, 1:]]] = False
        return merged


def pmi(
    ids: NDArray[np.integer],
    starts: NDArray[np.bool_],
    num: int,
    *,
    breaks: NDArray[np.bool_] | None = None,
    longest: int = 5,
    min_count: int = 10,
) -> Ngrams:
    """Return the n-grams of a corpus whose words belong together (arXiv 2010.01825).

    The pointwise mutual information of an n-gram is its least over all ways to cut it into parts,

        PMI(w_1..w_n) = min_cuts log p(w_1..w_n) - sum_parts log p(part),

    with p the share of an n-gram among all of its length. Half of the set are the bigrams with the
    highest PMI, a quarter trigrams and so on; n-grams whose PMI is not positive never are.

    The tokens of a corpus [N] are as for `Ngrams.merge`; `num` n-grams at most are returned, each
    of `longest` words at most, which occurs `min_count` times.
    """
    words = _words(ids, starts, breaks)
    tables: list[Table] = []
    found, most = [np.empty(0, np.uint64)], 1
    for n in range(1, longest + 1):
        places = _places(words, n)
        hashes, first, counts = np.unique(
            _hashes(words, n, places), return_index=True, return_counts=True
        )
        often = counts >= min_count
        hashes, logs = hashes[often], np.log(counts[often] / max(len(places), 1))
        tables.append((hashes, logs))
        if n > 1:
            value = logs - _best_cut(words, places[first[often]], n, tables)
            # The longest share what is left with the second longest.
            chosen = descending(value)[: num >> (n - 1 if n < longest else n - 2)]
            chosen = chosen[value[chosen] > 1e-9]
            found.append(hashes[chosen])
            most = n if len(chosen) else most
    if most == 1:
        raise UserError(
            f"no n-gram occurs {min_count} times and more often than by chance: give more text"
        )
    return Ngrams(np.unique(np.concatenate(found)), most)


def ngram_starts(corpus: Corpus, path: str | None) -> np.ndarray:
    """Return where units begin, uint8 [n], with words of one n-gram in one unit.

    N-grams are the lines of the file at `path`, or the 20,000 of the corpus with the highest PMI.
    """
    breaks = np.zeros(len(corpus.ids), dtype=bool)
    breaks[corpus.documents[:, 0]] = True
    if path is not None:
        ngrams = _read_ngrams(user_path(path), corpus.text)
    else:
        counted = slice(0, _COUNTED)
        starts = corpus.starts[counted].astype(bool)
        ngrams = pmi(corpus.ids[counted], starts, NUM_NGRAMS, breaks=breaks[counted])
    merged = []
    for first in range(0, len(corpus.ids), _PART):
        # An n-gram that runs over the border of two parts is left as it is.
        part = slice(first, first + _PART)
        starts = corpus.starts[part].astype(bool)
        merged.append(ngrams.merge(corpus.ids[part], starts, breaks[part]))
    return np.concatenate(merged).astype(np.uint8)


def _read_ngrams(path: Path, text: Text) -> Ngrams:
    lines = [line.strip() for line in read_lines(path)]
    try:
        found = text.encode([line for line in lines if line])
        return Ngrams.of([(each.ids, each.starts) for each in found])
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _best_cut(
    words: "_Words", places: NDArray[np.int64], n: int, tables: list[Table]
) -> NDArray[np.float64]:
    """Return the largest sum of log-probabilities of the parts, over all cuts of n-grams."""
    best = [np.zeros(len(places))]
    for end in range(1, n + 1):
        # The last part has `size` words; the whole n-gram is no part of itself.
        options = []
        for size in range(1, min(end, n - 1) + 1):
            hashes, logs = tables[size - 1]
            part = np.searchsorted(hashes, _hashes(words, size, places + end - size))
            options.append(best[end - size] + logs[part])
        best.append(np.max(options, axis=0))
    return best[n]


class _Words(NamedTuple):
    first: NDArray[np.int64]  # where each word begins
    hashes: Hashes
    piece: NDArray[np.int64]  # the number of breaks so far: an n-gram lies in one piece


def _words(ids: ArrayLike, starts: ArrayLike, breaks: ArrayLike | None) -> _Words:
    ids = np.asarray(ids)
    ends = np.zeros(ids.shape, dtype=bool) if breaks is None else np.array(breaks, dtype=bool)
    ends[..., :1] = True
    ends = ends.reshape(-1)
    first = np.flatnonzero(np.asarray(starts, dtype=bool).reshape(-1) | ends)
    if not len(first):
        return _Words(first, np.empty(0, np.uint64), first)
    # A polynomial in the place within the word, modulo 2**64.
    sizes = np.diff(first, append=ids.size)
    place = np.arange(ids.size) - np.repeat(first, sizes)
    powers = np.cumprod(np.broadcast_to(_TOKEN, int(sizes.max())), dtype=np.uint64)
    terms = _mixed(ids.reshape(-1).astype(np.uint64) + np.uint64(1)) * powers[place]
    return _Words(first, _mixed(np.add.reduceat(terms, first)), np.cumsum(ends)[first])


def _places(words: _Words, n: int) -> NDArray[np.int64]:
    """Return the words at which an n-gram begins."""
    num = max(len(words.piece) - n + 1, 0)
    return np.flatnonzero(words.piece[:num] == words.piece[n - 1 :][:num])


def _hashes(words: _Words, n: int, places: NDArray[np.int64]) -> Hashes:
    total = np.full(len(places), n, np.uint64)
    for place in range(n):
        total = total * _WORD + words.hashes[places + place]
    return _mixed(total)


def _mixed(values: Hashes) -> Hashes:
    """Scramble 64-bit numbers, one to one (the finalizer of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _apart(places: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return places, in rising order, that lie at least n after the last one returned."""
    found, end = [], 0
    for place in places.tolist():
        if place >= end:
            found.append(place)
            end = place + n
    return np.array(found, dtype=np.int64)
