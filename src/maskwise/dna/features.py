"""Features of sequences: of frozen models, and what composition and position alone give away."""

from collections.abc import Sequence

import numpy as np
import torch

from maskwise.dna.bases import NUM_BASES, C, G, reverse_complement
from maskwise.dna.tokens import DNA
from maskwise.errors import UserError
from maskwise.measure.features import frozen, same_length
from maskwise.tokens.model import LanguageModel

KMER = 4


def embed_sequences(
    model: LanguageModel[DNA],
    sequences: Sequence[np.ndarray],
    layer: int = -1,
    batch_size: int = 128,
) -> np.ndarray:
    """Return features of sequences, float32 [N, D]; nothing is hidden, lengths are not normalised.

    The mean over the positions of both strands, so that a sequence and its reverse complement
    have the same. Each strand of a sequence longer than the model's window is cut into as few
    tiles of about equal lengths as fit, each read by itself. Batches hold equal lengths: nothing
    is padded.

    Args:
        model: its device is used, and its training mode is restored.
        sequences: uint8 codes of each, [N].
        layer: which layer, -1 = the last.
        batch_size: tiles encoded at once.

    Raises:
        UserError: no sequences, one without a known token, or a layer that the model lacks.
    """
    if not len(sequences):
        raise UserError("no sequences: give at least one")
    window = model.tokenizer.window
    pairs = [
        (place, tile)
        for place, codes in enumerate(sequences)
        for strand in (codes, reverse_complement(codes))
        for tile in np.array_split(strand, -(-len(strand) // window) or 1)
    ]
    owner, tiles = np.array([place for place, _ in pairs]), [tile for _, tile in pairs]
    sums, counts = None, np.zeros(len(sequences))
    with frozen(model) as device:
        for index in same_length([len(tile) for tile in tiles], batch_size):
            batch = torch.from_numpy(np.stack([tiles[place] for place in index])).to(device)
            num = model.eligible(batch).sum(dim=1).cpu().numpy()
            if not num.any():  # perhaps shorter than a token
                continue
            encoded = model.encode(batch, layer=layer).float().cpu().numpy()
            if sums is None:
                sums = np.zeros((len(sequences), encoded.shape[1]))
            np.add.at(sums, owner[index], encoded * num[:, None])
            np.add.at(counts, owner[index], num)
    if sums is None or not counts.all():
        place = int(counts.argmin())
        raise UserError(f"sequence {place} has no token of known bases: leave it out")
    return (sums / counts[:, None]).astype(np.float32)


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
