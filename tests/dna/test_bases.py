"""Codes of bases, and the other strand."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise.dna.bases import INVALID, NOTHING, decode, encode, reverse_complement

OPPOSITE = str.maketrans("ACGTNacgtn", "TGCANtgcan")


@given(st.text("ACGTNacgtn"))
def test_round_trip_and_other_strand(letters):
    codes = encode(letters)
    assert decode(codes) == letters
    assert decode(reverse_complement(codes)) == letters.translate(OPPOSITE)[::-1]
    twice = reverse_complement(reverse_complement(torch.from_numpy(codes.copy())))
    assert twice.dtype == torch.uint8
    assert twice.tolist() == codes.tolist()


def test_ambiguous_letters_are_unknown_and_others_invalid():
    assert set(encode("RYSWKMBDHVN") & 7) == {4}
    assert set(encode("EFILPQZX*->")) == {INVALID}
    assert encode("é").tolist() == [INVALID]


def test_rna_is_read_as_dna():
    assert encode("ACGUacgu").tolist() == encode("ACGTacgt").tolist()
    assert decode(encode("Uu")) == "Tt"


def test_padding_has_no_letter_and_stays_padding():
    codes = np.array([[0, 3, NOTHING]], dtype=np.uint8)
    assert decode(codes[0]) == "AT"
    assert reverse_complement(codes).tolist() == [[NOTHING, 0, 3]]
