"""N-grams: hashes against tuples, PMI against a loop over all cuts."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise import UserError
from maskwise.text.ngrams import Ngrams, _hashes, _words, pmi

Word = tuple[int, ...]
# Few words, of one to three tokens, some beginning alike.
WORDS: list[Word] = [(1,), (2,), (3,), (1, 2), (1, 1), (3, 1, 2)]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=14), min_size=1, max_size=4)


def arrays(documents: list[list[Word]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Token ids, starts and breaks of documents, one after the other."""
    ids, starts, breaks = [], [], []
    for document in documents:
        for place, word in enumerate(document):
            ids += word
            starts += [True] + [False] * (len(word) - 1)
            breaks += [place == 0] + [False] * (len(word) - 1)
    return np.array(ids, dtype=np.int64), np.array(starts, bool), np.array(breaks, bool)


def as_ngram(words: tuple[Word, ...]) -> tuple[np.ndarray, np.ndarray]:
    return arrays([list(words)])[:2]


def merged_by_hand(documents: list[list[Word]], ngrams: set[tuple[Word, ...]]) -> list[bool]:
    """Starts after each n-gram became one unit: longest first, left to right."""
    starts = []
    for document in documents:
        unit = list(range(len(document)))
        free = [True] * len(document)
        for n in range(max(map(len, ngrams)), 1, -1):
            for at in range(len(document) - n + 1):
                if tuple(document[at : at + n]) in ngrams and all(free[at : at + n]):
                    free[at : at + n] = [False] * n
                    unit[at : at + n] = [at] * n
        for place, word in enumerate(document):
            starts += [unit[place] == place] + [False] * (len(word) - 1)
    return starts


NGRAMS = st.sets(
    st.lists(st.sampled_from(WORDS), min_size=2, max_size=4).map(tuple), min_size=1, max_size=12
)


@given(TEXTS, NGRAMS)
def test_merging_as_a_loop(documents: list[list[Word]], ngrams: set[tuple[Word, ...]]) -> None:
    ids, starts, breaks = arrays(documents)
    found = Ngrams.of([as_ngram(ngram) for ngram in ngrams])
    assert len(found) == len(ngrams)
    assert found.longest == max(map(len, ngrams))
    merged = found.merge(ids, starts, breaks)
    assert merged.tolist() == merged_by_hand(documents, ngrams)


@given(TEXTS, NGRAMS)
def test_rows_and_a_corpus_agree(
    documents: list[list[Word]], ngrams: set[tuple[Word, ...]]
) -> None:
    """Documents as rows between special tokens: every row alone, all at once, or in one line."""
    width = 2 + max(sum(map(len, document)) for document in documents)
    ids = np.full((len(documents), width), -1)
    starts, special = np.ones(ids.shape, bool), np.ones(ids.shape, bool)
    for row, document in enumerate(documents):
        token_ids, begins, _ = arrays([document])
        ids[row, 1 : 1 + len(token_ids)] = token_ids
        starts[row, 1 : 1 + len(token_ids)] = begins
        special[row, 1 : 1 + len(token_ids)] = False
    breaks = special | np.roll(special, 1, axis=1)
    found = Ngrams.of([as_ngram(ngram) for ngram in ngrams])
    merged = found.merge(ids, starts, breaks)
    assert merged[special].all()
    assert merged[~special].tolist() == merged_by_hand(documents, ngrams)
    line = found.merge(ids.reshape(-1), starts.reshape(-1), breaks.reshape(-1))
    assert np.array_equal(line, merged.reshape(-1))
    for row in range(len(ids)):
        alone = found.merge(ids[row : row + 1], starts[row : row + 1], breaks[row : row + 1])
        assert np.array_equal(alone[0], merged[row])


def pmi_by_hand(
    documents: list[list[Word]], longest: int, min_count: int
) -> dict[tuple[Word, ...], float]:
    counts = {n: Counter[tuple[Word, ...]]() for n in range(1, longest + 1)}
    for document in documents:
        for n in counts:
            for at in range(len(document) - n + 1):
                counts[n][tuple(document[at : at + n])] += 1

    def log_p(ngram: tuple[Word, ...]) -> float:
        of_length = counts[len(ngram)]
        return math.log(of_length[ngram] / of_length.total())

    found = {}
    for n in range(2, longest + 1):
        for ngram, count in counts[n].items():
            if count < min_count:
                continue
            values = []
            for num_cuts in range(1, n):
                for cuts in itertools.combinations(range(1, n), num_cuts):
                    ends = [0, *cuts, n]
                    parts = [ngram[a:b] for a, b in itertools.pairwise(ends)]
                    values.append(log_p(ngram) - sum(map(log_p, parts)))
            found[ngram] = min(values)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_pmi_as_a_loop_over_all_cuts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(len(WORDS)))
    documents = [
        [WORDS[i] for i in rng.choice(len(WORDS), rng.integers(0, 60), p=weights)]
        for _ in range(12)
    ]
    ids, starts, breaks = arrays(documents)
    longest, min_count = 4, 4
    expected = pmi_by_hand(documents, longest, min_count)
    good = {ngram: value for ngram, value in expected.items() if value > 1e-9}
    everything = pmi(ids, starts, 10**6, breaks=breaks, longest=longest, min_count=min_count)
    assert len(expected) > 20
    assert set(everything.hashes.tolist()) == hashes_of(list(good))
    # A small set: half bigrams, a quarter trigrams, a quarter of the longest.
    some = pmi(ids, starts, 8, breaks=breaks, longest=longest, min_count=min_count)
    chosen = {ngram for ngram in good if hashes_of([ngram]) <= set(some.hashes.tolist())}
    assert len(chosen) == len(some)
    for n, share in ((2, 4), (3, 2), (4, 2)):
        ranked = sorted((value for ngram, value in good.items() if len(ngram) == n), reverse=True)
        found = sorted((good[ngram] for ngram in chosen if len(ngram) == n), reverse=True)
        assert found == pytest.approx(ranked[:share])


def hashes_of(ngrams: list[tuple[Word, ...]]) -> set[int]:
    return set(Ngrams.of([as_ngram(ngram) for ngram in ngrams]).hashes.tolist())


def test_a_known_answer() -> None:
    """new york 10 times among 40 words: log (10/30 / (1/4 * 1/4)) > log p of any other pair."""
    new, york, a, b = (1,), (2, 3), (4,), (5,)
    documents = [[new, york, a, b], [new, york, b, a]] * 5
    ids, starts, breaks = arrays(documents)
    found = pmi(ids, starts, 2, breaks=breaks, longest=3, min_count=6)
    assert set(found.hashes.tolist()) == hashes_of([(new, york)])
    assert len(found) == 1
    units = found.merge(ids, starts, breaks).cumsum()
    assert units[:5].tolist() == [1, 1, 1, 2, 3]
    # Without breaks the last word of one document goes with the first of the next.
    more = pmi(ids, starts, 2, longest=2, min_count=4)
    assert len(more) == 2


def test_words_are_not_their_tokens() -> None:
    """The same tokens, but other words."""
    ngrams = Ngrams.of([([1, 2, 3], [1, 0, 1])])
    ids = np.array([1, 2, 3])
    for starts, merged in (([1, 0, 1], [1, 0, 0]), ([1, 1, 0], [1, 1, 0]), ([1, 1, 1], [1, 1, 1])):
        assert ngrams.merge(ids, np.array(starts, bool)).tolist() == [bool(x) for x in merged]


def test_a_million_ngrams_have_hashes_of_their_own() -> None:
    ids = np.stack(np.meshgrid(np.arange(1000), np.arange(1000)), axis=-1).reshape(-1)
    words = _words(ids, np.ones(len(ids), bool), None)
    assert len(np.unique(_hashes(words, 2, np.arange(0, len(ids), 2)))) == 1_000_000


@pytest.mark.parametrize(
    ("says", "ngrams"),
    [
        ("the list of n-grams is empty", []),
        ("n-gram 1 has 1 words: give 2 or more", [([1, 2], [1, 1]), ([3, 4], [1, 0])]),
        ("n-gram 0 has 0 words", [([], [])]),
    ],
)
def test_bad_lists(says: str, ngrams: list) -> None:
    with pytest.raises(UserError, match=says):
        Ngrams.of(ngrams)


def test_a_corpus_without_ngrams() -> None:
    for num in (0, 1, 3, 50):
        with pytest.raises(UserError, match="no n-gram occurs 10 times"):
            pmi(np.arange(num), np.ones(num, bool), 100)
