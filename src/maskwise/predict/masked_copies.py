"""What will be visible: masks of further copies of samples, which heads are trained on."""

import numpy as np
import torch

from maskwise import laws
from maskwise.errors import UserError
from maskwise.masks import draw

ANY = "uniform:0,1"
"""the law of what is hidden where nothing is missing that could say it"""
OBSERVED = "observed"
"""instead of a law: what is missing of other samples"""


def hide(
    there: np.ndarray,
    law: str | None = None,
    *,
    pattern: str = "scattered",
    grid: tuple[int, ...] | None = None,
    copies: int = 8,
    seed: int = 0,
) -> np.ndarray:
    """Return what is hidden of copies of samples, beside what is missing, bool [copies, N, L].

    The first copy is the samples as they are. Under a law each further copy of each sample has a
    ratio of its own; "observed" hides what is missing of another sample, drawn at random.

    Args:
        there: what of samples is there, bool [N, L].
        law: of the share of what is there that is hidden, or "observed"; default: "observed" where
            something is missing, else "uniform:0,1".
        pattern: see `maskwise.masks.draw`; of "observed" it has no meaning.
        grid: positions along each axis; default: one axis.
        copies: of each sample.
        seed: of the masks.

    Raises:
        UserError: "observed", and nothing is missing.

    >>> hide(np.ones((2, 4), bool), "fixed:0.5", copies=3).sum(axis=2).tolist()
    [[0, 0], [2, 2], [2, 2]]
    """
    whole = bool(there.all())
    if law == OBSERVED and whole:
        raise UserError(f"law '{OBSERVED}': nothing is missing, so nothing can be copied")
    found = np.zeros((copies, *there.shape), dtype=bool)
    if law is None:
        law = ANY if whole else OBSERVED
    if law == OBSERVED:
        donors = np.random.default_rng([seed, 3]).integers(
            len(there), size=(copies - 1, len(there))
        )
        found[1:] = ~there[donors] & there
        return found
    parsed, ids = laws.parse(law), torch.arange(len(there))
    for copy in range(1, copies):
        mask = draw(
            parsed,
            grid or there.shape[1:],
            sample_ids=ids,
            seed=seed,
            epoch=copy,
            progress=1.0,
            pattern=pattern,
            scope="sample",
            eligible=torch.from_numpy(there),
        )
        found[copy] = mask.hidden.numpy()
    return found
