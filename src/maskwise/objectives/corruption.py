"""What a model sees in place of hidden tokens."""

import math

import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.rng import Keys, Stream

Shares = tuple[float, float, float]


def check_shares(shares: Shares) -> None:
    """Refuse shares that are no probabilities.

    Raises:
        UserError: a share outside [0, 1], or shares whose sum is not 1.
    """
    if len(shares) != 3 or not all(0 <= share <= 1 for share in shares):
        raise UserError(f"shares {shares} are not three numbers in [0, 1]: give 0.8, 0.1, 0.1")
    if not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise UserError(f"shares {shares} sum to {sum(shares):g}: make the sum 1")


def corrupt(
    ids: Tensor,
    hidden: Tensor,
    keys: Keys,
    *,
    mask: int,
    alphabet: Tensor,
    shares: Shares = (1.0, 0.0, 0.0),
) -> Tensor:
    """Return tokens as the model sees them: hidden ones masked, replaced at random or as they are.

    What becomes of a position depends on its keys only, not on the batch or on the mask.

    Args:
        ids: int64 [B, L].
        hidden: bool [B, L], True = hidden; other positions stay as they are.
        keys: of the samples.
        mask: id of the mask token.
        alphabet: bool [V], the tokens from which random ones are drawn, each equally likely.
        shares: of hidden positions that become the mask token, become a random token and stay;
            BERT has (0.8, 0.1, 0.1) (arXiv 1810.04805).

    Raises:
        UserError: shares that are no probabilities.

    >>> ids, hidden = torch.tensor([[7, 8, 9]]), torch.tensor([[False, True, False]])
    >>> alphabet = torch.arange(10) > 4
    >>> keys = Keys(0, 0, torch.tensor([0]))
    >>> corrupt(ids, hidden, keys, mask=4, alphabet=alphabet).tolist()
    [[7, 4, 9]]
    """
    check_shares(shares)
    masked, replaced, _ = shares
    if masked == 1:
        return ids.masked_fill(hidden, mask)
    u = keys.uniform(Stream.CORRUPT, ids.shape[1])
    tokens = alphabet.to(ids.device).nonzero()[:, 0]
    # The product of two 32-bit numbers fits: its high word is uniform on 0..len - 1.
    drawn = tokens[(keys.bits(Stream.REPLACEMENT, ids.shape[1]) * len(tokens)) >> 32]
    seen = ids.masked_fill(hidden & (u < masked), mask)
    return torch.where(hidden & (u >= masked) & (u < masked + replaced), drawn, seen)
