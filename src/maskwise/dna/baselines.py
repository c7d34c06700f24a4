"""Features of sequences without a model: what composition and position alone give away."""

from collections.abc import Sequence

import numpy as np

from maskwise.dna.bases import NUM_BASES, C, G

KMER = 4


def baseline_features(sequences: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Return the features of every baseline by name, each [N, D].

    One-hot bases need sequences of equal length, and are left out otherwise.
    """
    found = {
        "GC content": gc_content(sequences),
        f"{KMER}-mer frequencies": kmer_frequencies(sequences),
    }
    if len({len(codes) for codes in sequences}) == 1:
        found["one-hot bases"] = one_hot(np.stack(sequences))
    return found


def gc_content(sequences: Sequence[np.ndarray]) -> np.ndarray:
    """Return the share of C and G among the known bases of each sequence, float32 [N, 1].

    >>> from maskwise.dna.bases import encode
    >>> gc_content([encode("ACGTNN"), encode("ggA")]).round(2).tolist()
    [[0.5], [0.6700000166893005]]
    """
    shares = kmer_frequencies(sequences, 1)
    return shares[:, [C, G]].sum(axis=1, keepdims=True)


def kmer_frequencies(sequences: Sequence[np.ndarray], k: int = KMER) -> np.ndarray:
    """Return the share of each k-mer among the overlapping k-mers of a strand, float32 [N, 4^k].

    K-mers with an unknown base do not count; where none is left, all shares are 0.

    >>> from maskwise.dna.bases import encode
    >>> kmer_frequencies([encode("AACNA")], k=2)[0, :4].tolist()  # AA, AC, AG, AT
    [0.5, 0.5, 0.0, 0.0]
    """
    found = np.zeros((len(sequences), NUM_BASES**k), dtype=np.float32)
    places = NUM_BASES ** np.arange(k)[::-1]
    for counts, codes in zip(found, sequences, strict=True):
        if len(codes) < k:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(codes & 7, k)
        known = windows[(windows < NUM_BASES).all(axis=1)]
        counts[:] = np.bincount(known @ places, minlength=len(counts)) / max(len(known), 1)
    return found


def one_hot(codes: np.ndarray) -> np.ndarray:
    """Return which base stands at each position, float32 [N, 4 W]; unknown ones are none.

    >>> one_hot(np.array([[1, 4]], dtype=np.uint8)).tolist()
    [[0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    return (codes[..., None] & 7 == np.arange(NUM_BASES)).reshape(len(codes), -1).astype("f4")
