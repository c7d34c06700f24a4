from collections import Counter
from itertools import product

import pytest

from maskwise.dna.bases import encode
from maskwise.dna.evaluation import baseline_features, kmer_frequencies

TEXTS = ["ACGTACGTTTT", "acgtnACGTR", "NAN", "GGGGG"]


@pytest.mark.parametrize("k", [1, 2, 4])
def test_frequencies_equal_counting_words(k: int) -> None:
    found = kmer_frequencies([encode(text) for text in TEXTS], k)
    words = ["".join(letters) for letters in product("ACGT", repeat=k)]
    for row, text in zip(found, TEXTS, strict=True):
        whole = text.upper()
        counts = Counter(whole[i : i + k] for i in range(len(whole) - k + 1))
        total = sum(counts[word] for word in words)
        assert row.tolist() == pytest.approx([counts[word] / max(total, 1) for word in words])


def test_gc_content() -> None:
    found = baseline_features([encode(text) for text in TEXTS])["GC content"]
    assert found[:, 0].tolist() == pytest.approx([4 / 11, 0.5, 0.0, 1.0])


def test_one_hot_keeps_positions() -> None:
    found = baseline_features([encode("ACn"), encode("gTA")])["one-hot bases"].reshape(2, 3, 4)
    assert found.sum(axis=2).tolist() == [[1, 1, 0], [1, 1, 1]]
    assert found[0, :2].argmax(axis=1).tolist() == [0, 1]
    assert found[1].argmax(axis=1).tolist() == [2, 3, 0]


def test_positions_need_equal_lengths() -> None:
    names = ["GC content", "4-mer frequencies", "one-hot bases"]
    assert list(baseline_features([encode("ACGTT"), encode("GGGGG")])) == names
    assert list(baseline_features([encode("ACGTT"), encode("GGG")])) == names[:2]
