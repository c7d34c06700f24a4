"""Frozen features of sequences of DNA, of any lengths."""

from collections.abc import Sequence

import numpy as np
import torch

from maskwise.dna.bases import reverse_complement
from maskwise.errors import UserError
from maskwise.measure.features import frozen, same_length
from maskwise.tokens.model import LanguageModel


def embed_sequences(
    model: LanguageModel,
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
        batch_size: tiles of one strand encoded at once.

    Raises:
        UserError: no sequences, one without a known token, or a layer that the model lacks.
    """
    if not len(sequences):
        raise UserError("no sequences: give at least one")
    window = model.tokenizer.window
    owners: list[int] = []
    tiles: list[np.ndarray] = []
    for place, codes in enumerate(sequences):
        for strand in (codes, reverse_complement(codes)):
            found = np.array_split(strand, -(-len(strand) // window) or 1)
            tiles += found
            owners += [place] * len(found)
    owner = np.array(owners)
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
