"""Sequences of DNA as tokens."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwise.dna.bases import NOTHING, decode, encode, reverse_complement
from maskwise.dna.tokens import DNA, parse_tokens, train_pieces
from maskwise.errors import UserError

sequences = st.text("ACGTNacgt", min_size=12, max_size=12)
EACH = ("bases", "kmers:3", "overlapping:3", "overlapping:4")


def codes_of(*letters: str) -> torch.Tensor:
    return torch.from_numpy(np.stack([encode(each) for each in letters]))


@pytest.fixture(scope="module")
def pieces() -> DNA:
    generator = torch.Generator().manual_seed(0)
    windows = torch.randint(0, 4, (300, 60), generator=generator).to(torch.uint8)
    windows[:, 20:26] = torch.tensor([0, 1, 2, 3, 0, 1])  # what is frequent becomes a piece
    windows[0, 3] = 4
    return DNA(window=60, tokens="pieces:40", kind=train_pieces(windows, 40))


@given(sequences)
def test_bases_are_tokens_and_only_known_ones_eligible(letters):
    dna, codes = DNA(window=12), codes_of(letters)
    assert dna.ids(codes)[0].tolist() == ["ACGTN".index(base) for base in letters.upper()]
    assert dna.eligible(codes)[0].tolist() == [base in "ACGTacgt" for base in letters]
    assert dna.spell(dna.ids(codes)[0].tolist()) == list(letters.upper())


@given(sequences)
def test_kmers_side_by_side(letters):
    dna, codes = DNA(window=12, tokens="kmers:3"), codes_of(letters)
    parts = [letters.upper()[i : i + 3] for i in range(0, 12, 3)]
    known = ["N" not in part for part in parts]
    assert dna.eligible(codes)[0].tolist() == known
    told = dna.spell(dna.ids(codes)[0].tolist())
    assert told == [part if k else "NNN" for part, k in zip(parts, known, strict=True)]
    assert dna.grid == (4,)
    assert len(dna.alphabet) == dna.kind.num_inputs == 67


@pytest.mark.parametrize("tokens", EACH)
def test_ids_stay_ids(tokens):
    dna = DNA(window=12, tokens=tokens)
    ids = dna.ids(codes_of("ACGTACGTACGT"))
    assert dna.ids(ids) is ids


@pytest.mark.parametrize("tokens", EACH)
@given(sequences)
def test_the_other_strand_has_complementary_tokens(tokens, letters):
    dna, codes = DNA(window=12, tokens=tokens), codes_of(letters)
    other = dna.ids(reverse_complement(codes))
    assert torch.equal(other, dna.kind.complement[dna.ids(codes)].flip(1))
    if tokens != "overlapping:4":
        inputs = dna.kind.input_complement[dna.inputs(dna.ids(codes))].flip(1)
        assert torch.equal(dna.inputs(other), inputs)


def test_an_even_overlapping_kmer_has_no_complement():
    with pytest.raises(UserError, match="odd k"):
        _ = DNA(window=12, tokens="overlapping:4").kind.input_complement


@pytest.mark.parametrize("k", [2, 3, 6])
@settings(max_examples=30)
@given(st.data())
def test_no_visible_overlapping_kmer_tells_of_a_hidden_base(k, data):
    """The leak test: what stands at hidden bases changes no input."""
    dna = DNA(window=20, tokens=f"overlapping:{k}")
    ids = torch.tensor([data.draw(st.lists(st.integers(0, 3), min_size=20, max_size=20))])
    hidden = torch.tensor([data.draw(st.lists(st.booleans(), min_size=20, max_size=20))])
    other = torch.where(hidden, 3 - ids, ids)
    seen = dna.inputs(ids.masked_fill(hidden, dna.mask))
    assert torch.equal(seen, dna.inputs(other.masked_fill(hidden, dna.mask)))
    # Without hiding the neighbours it would: some k-mer around differs.
    if bool(hidden[:, k:-k].any()):
        assert not torch.equal(dna.inputs(ids), dna.inputs(other))
    touched = hidden[0].tolist()
    before = (k - 1) // 2
    for place, token in enumerate(seen[0].tolist()):
        around = touched[max(0, place - before) : max(0, place - before + k)]
        assert (token == 4**k + 2) == any(around)


def test_inputs_of_overlapping_kmers_by_hand():
    dna = DNA(window=4, tokens="overlapping:2")
    # AC CG GT and T with what is beyond the end, which is unknown.
    assert dna.inputs(dna.ids(codes_of("ACGT"))).tolist() == [[1, 6, 11, 16]]


@pytest.mark.parametrize("tokens", ["bases", "overlapping:3", "kmers:2"])
def test_padding_is_no_part_of_the_sequence(tokens):
    dna = DNA(window=12, tokens=tokens)
    short = codes_of("ACGTNACG")
    padded = torch.nn.functional.pad(short, (0, 4), value=NOTHING)
    num = dna.ids(short).shape[1]
    inputs = dna.inputs(dna.ids(padded))
    assert torch.equal(inputs[:, :num], dna.inputs(dna.ids(short)))
    assert dna.documents(dna.ids(padded)).tolist() == [[1] * num + [0] * (dna.grid[0] - num)]
    assert not dna.eligible(padded)[:, num:].any()


def test_repeats_weigh_less():
    codes = codes_of("ACgtNnAc")
    assert DNA(window=8).weights(codes) is None
    dna = DNA(window=8, repeat_weight=0.25)
    assert dna.weights(codes).tolist() == [[1, 1, 0.25, 0.25, 1, 0.25, 1, 0.25]]
    dna = DNA(window=8, repeat_weight=0.25, tokens="kmers:4")
    assert dna.weights(codes).tolist() == [[0.625, 0.625]]


def test_pieces_spell_the_sequence(pieces: DNA):
    letters = "ACGTACNNACGTACGGTTTACGTACacgtac"
    ids = pieces.ids(codes_of(letters))[0].tolist()
    length = (pieces.documents(torch.tensor([ids]))[0] == 1).sum()
    assert "".join(pieces.spell(ids[:length])) == letters.upper()
    assert any(len(piece) > 3 for piece in pieces.spell(ids[:length]))
    eligible = pieces.eligible(torch.tensor([ids]))[0, :length].tolist()
    assert eligible == [piece != "N" for piece in pieces.spell(ids[:length])]


def test_weights_of_pieces_are_means_of_their_bases(pieces: DNA):
    dna = DNA(window=60, tokens="pieces:40", repeat_weight=0.0, kind=pieces.kind)
    letters = "ACGTACGGTT" * 3 + "acgtacggtt" * 3
    ids, weights = dna.ids(codes_of(letters))[0], dna.weights(codes_of(letters))[0]
    place = 0
    for piece, weight in zip(dna.spell(ids.tolist()), weights.tolist(), strict=True):
        if place < 60:
            upper = [letter.isupper() for letter in letters[place : place + len(piece)]]
            assert weight == pytest.approx(np.mean(upper))
        place += len(piece)


def test_windows_of_pieces_have_one_length(pieces: DNA):
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(0, 4, (8, 60), generator=generator).to(torch.uint8)
    assert pieces.ids(codes).shape == (8, pieces.grid[0])
    assert pieces.grid[0] < 60
    with pytest.raises(UserError, match="no opposite strand"):
        _ = pieces.kind.complement


@pytest.mark.parametrize("tokens", EACH)
def test_save_and_load(tmp_path: Path, tokens):
    dna = DNA(window=12, tokens=tokens, repeat_weight=0.5)
    again = DNA.load(tmp_path, dna.save(tmp_path))
    assert (again.window, again.tokens, again.repeat_weight) == (12, tokens, 0.5)


def test_save_and_load_pieces(tmp_path: Path, pieces: DNA):
    again = DNA.load(tmp_path, pieces.save(tmp_path))
    codes = codes_of("ACGTAC" * 10)
    assert torch.equal(again.ids(codes), pieces.ids(codes))
    assert len(again.alphabet) == len(pieces.alphabet)


@pytest.mark.parametrize(
    "text", ["codons", "kmers", "kmers:x", "kmers:", "bases:3", "kmers:1", "kmers:9", "pieces"]
)
def test_tokens_that_cannot_be(text):
    with pytest.raises(UserError):
        parse_tokens(text)


def test_a_window_without_a_token():
    with pytest.raises(UserError, match="holds no token"):
        DNA(window=3, tokens="kmers:6")


def test_letters_decode():
    assert decode(encode("ACGTN")) == "ACGTN"
