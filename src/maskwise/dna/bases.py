"""Bases as small numbers: what a sequence of DNA is inside."""

from typing import TypeVar

import numpy as np
from torch import Tensor

Codes = TypeVar("Codes", np.ndarray, Tensor)

A, C, G, T, UNKNOWN, NOTHING = range(6)
REPEAT = 8  # added to lower-case letters: soft-masked repeats
NUM_BASES = 4
AMBIGUOUS = "RYSWKMBDHVN"  # IUPAC codes for several bases
INVALID = 255

CODES = np.full(256, INVALID, dtype=np.uint8)
"""the code of each letter, [256]; INVALID for what is no DNA"""
for _code, _letter in enumerate("ACGT" + AMBIGUOUS):
    CODES[ord(_letter)] = min(_code, UNKNOWN)
    CODES[ord(_letter.lower())] = min(_code, UNKNOWN) + REPEAT
CODES[ord("U")], CODES[ord("u")] = T, T + REPEAT  # RNA is read as DNA
_LETTERS = np.frombuffer(b"ACGTN.??acgtn.??", dtype=np.uint8)


def encode(letters: str | bytes) -> np.ndarray:
    """Return the codes of a sequence, uint8 [W].

    A, C, G, T are 0..3, U is T, other IUPAC codes 4; lower case adds 8. What is no DNA is
    `INVALID`.

    >>> encode("ACGTNr").tolist(), encode("ac").tolist()
    ([0, 1, 2, 3, 4, 12], [8, 9])
    """
    data = letters.encode("ascii", "replace") if isinstance(letters, str) else letters
    return CODES[np.frombuffer(data, dtype=np.uint8)]


def decode(codes: np.ndarray | Tensor) -> str:
    """Return the letters of codes [W]: N where unknown, nothing beyond a sequence's end.

    >>> decode(encode("ACrt"))
    'ACnt'
    """
    values = np.asarray(codes, dtype=np.uint8)
    return _LETTERS[values[values & 7 != NOTHING]].tobytes().decode()


def reverse_complement(codes: Codes) -> Codes:
    """Return the other strand of sequences [..., W], read in its own direction.

    >>> decode(reverse_complement(encode("AACgN")))
    'NcGTT'
    """
    # Of the four bases alone the opposite one is the code with both low bits turned.
    if isinstance(codes, Tensor):
        return (codes ^ (codes & 4 == 0).to(codes.dtype) * 3).flip(-1)
    return np.flip(codes ^ (codes & 4 == 0).astype(codes.dtype) * 3, -1)
