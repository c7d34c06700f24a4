"""Whether clusters of features are the classes that samples are labelled with."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from maskwise.measure.bootstrap import over_draws

NUM_SEEDS = 5


def clusters(
    features: Mapping[str, np.ndarray], y: np.ndarray, *, num_seeds: int = NUM_SEEDS, seed: int = 0
) -> list[dict[str, Any]]:
    """Return the rows of the table of clusters: k-means with as many clusters as classes.

    "ari", the adjusted Rand index, and "nmi", normalised mutual information (arithmetic mean), are
    1 for equal partitions; unrelated ones have an ARI of 0. Each is the mean over seeds, with the
    interval of Student's t. Leiden, usual for cells, would need a further dependency, and has a
    resolution to choose where k-means is told the number of classes.

    Args:
        features: by name, [N, D] each.
        y: classes, -1 = not known: left out, [N].
        num_seeds: how often k-means starts anew.
        seed: of the first.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    known = np.flatnonzero(y >= 0)
    y = y[known]
    k = len(np.unique(y))
    if k < 2:
        return []
    rows = []
    for name, values in features.items():
        found = []
        for start in range(seed, seed + num_seeds):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different samples
                made = KMeans(k, n_init=3, random_state=start).fit_predict(values[known])
            found.append((adjusted_rand_score(y, made), normalized_mutual_info_score(y, made)))
        row: dict[str, Any] = {"features": name, "k": k}
        for key, each in zip(("ari", "nmi"), np.array(found).T, strict=True):
            row[key] = dict(zip(("value", "low", "high"), over_draws(each), strict=True))
        rows.append(row)
    return rows
