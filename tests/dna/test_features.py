from collections.abc import Callable

import numpy as np
import pytest
import torch

from maskwise.dna.bases import encode, reverse_complement
from maskwise.dna.evaluation import embed_sequences
from maskwise.errors import UserError
from maskwise.tokens.model import LanguageModel

Make = Callable[..., LanguageModel]
SEQUENCES = [encode(text) for text in ("ACGTTGCA", "ACg", "NGATTACA", "T", "AAAcNNNN", "CGA")]


def of_one(model: LanguageModel, codes: np.ndarray, layer: int = -1) -> np.ndarray:
    """Features [W, D] of one sequence by itself."""
    with torch.no_grad():
        return model.features(torch.from_numpy(codes.copy())[None], layer)[0].numpy()


@pytest.mark.parametrize("layer", [0, -1])
def test_is_the_mean_of_both_strands(
    make_dna_model: Make, layer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_dna_model()
    monkeypatch.setattr("maskwise.dna.evaluation.BATCH", 2)
    found = embed_sequences(model, SEQUENCES, layer)
    assert (found.shape, found.dtype) == ((6, 16), np.float32)
    for codes, values in zip(SEQUENCES, found, strict=True):
        strands = [
            of_one(model, strand, layer)[strand & 7 < 4].mean(axis=0)
            for strand in (codes, reverse_complement(codes))
        ]
        np.testing.assert_allclose(values, np.mean(strands, axis=0), rtol=1e-4, atol=1e-5)
    assert model.training


def test_long_sequences_are_read_in_tiles(make_dna_model: Make) -> None:
    model = make_dna_model(window=4)
    codes = encode("ACGTNNNNGANNC")  # 13 bases: tiles of 4, 3, 3 and 3
    sums, num = 0.0, 0
    for strand in (codes, reverse_complement(codes)):
        for first, last in ((0, 4), (4, 7), (7, 10), (10, 13)):
            tile = strand[first:last]
            known = tile & 7 < 4
            sums = sums + of_one(model, tile)[known].sum(axis=0)
            num += int(known.sum())
    [found] = embed_sequences(model, [codes])
    np.testing.assert_allclose(found, sums / num, rtol=1e-4, atol=1e-5)
    # One more base would have been seen by its neighbours in one piece.
    whole = embed_sequences(make_dna_model(window=13), [codes])
    assert not np.allclose(found, whole[0], atol=1e-3)


@pytest.mark.parametrize("tokens", ["bases", "kmers:3", "overlapping:3"])
def test_the_other_strand_has_the_same_features(make_dna_model: Make, tokens: str) -> None:
    model = make_dna_model(window=7, tokens=tokens)
    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, 4, num).astype(np.uint8) for num in (5, 7, 8, 20, 31)]
    found = embed_sequences(model, sequences)
    turned = embed_sequences(model, [reverse_complement(codes) for codes in sequences])
    np.testing.assert_allclose(found, turned, rtol=1e-4, atol=1e-5)


def test_refuses_what_has_no_features(make_dna_model: Make) -> None:
    model = make_dna_model()
    with pytest.raises(UserError, match="no sequences"):
        embed_sequences(model, [])
    with pytest.raises(UserError, match="sequence 2 has no token of known bases"):
        embed_sequences(model, [encode("A"), encode("NNN"), encode("C")])
    with pytest.raises(UserError, match="sequence 1 has no token"):
        embed_sequences(model, [encode("")])
    with pytest.raises(UserError, match="sequence 1 has no token"):
        embed_sequences(make_dna_model(tokens="kmers:3"), [encode("AC"), encode("ACG")])
    with pytest.raises(UserError, match="layer 2 is outside"):
        embed_sequences(model, SEQUENCES, layer=2)
