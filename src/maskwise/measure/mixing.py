"""Whether samples of different batches lie among each other."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from maskwise.measure.bootstrap import interval

NUM_NEIGHBOURS = 30


def mixing(
    features: Mapping[str, np.ndarray], batch: np.ndarray, *, seed: int = 0
) -> list[dict[str, Any]]:
    """Return the rows of the table of mixing; none with fewer than two batches.

    "lisi" is how many batches the 30 nearest neighbours of a sample are from,

        1 / sum_b (share of b among the neighbours)²,

    averaged over samples, with a bootstrap interval of those: "worst" = 1 with batches apart,
    "best" with shares as in the data; perfect mixing stays a little below, since 30 neighbours are
    a sample. Not the LISI of Korsunsky et al., which weights neighbours by distance. "asw" is the
    mean silhouette by batch: 0 mixed, 1 apart. Where batches hold different kinds of samples,
    mixing is not the aim.

    Args:
        features: by name, [N, D] each.
        batch: the batch of each sample, -1 = not known: left out, [N].
        seed: of the bootstrap.

    Source: Korsunsky et al., Fast, sensitive and accurate integration of single-cell data with
    Harmony (Nature Methods 16, 2019).
    """
    from sklearn.metrics import silhouette_score
    from sklearn.neighbors import NearestNeighbors

    known = np.flatnonzero(batch >= 0)
    names, batch = np.unique(batch[known], return_inverse=True)
    if len(names) < 2 or len(batch) < 3:
        return []
    of_batch = np.eye(len(names))[batch]
    k = min(NUM_NEIGHBOURS, len(batch) - 1)
    rows = []
    for name, values in features.items():
        near = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(values[known])
        # Without samples to ask for, none is a neighbour of itself.
        shares = of_batch[near.kneighbors(return_distance=False)].mean(axis=1)
        value, low, high = interval(1 / np.square(shares).sum(axis=1), seed)
        rows.append(
            {
                "features": name,
                "lisi": {"value": value, "low": low, "high": high},
                "best": float(1 / np.square(of_batch.mean(axis=0)).sum()),
                "worst": 1.0,
                "asw": _silhouette(silhouette_score, values[known], batch),
            }
        )
    return rows


def _silhouette(score: Any, values: np.ndarray, batch: np.ndarray) -> float | None:
    """Return the mean silhouette; it has none if each sample is a batch."""
    return float(score(values, batch)) if len(np.unique(batch)) < len(batch) else None
