"""Whether features cluster by the classes of samples, and mix their lab batches."""

import warnings
from collections.abc import Mapping

import numpy as np

from maskwise.measure.bootstrap import interval, over_draws
from maskwise.modality import Entries

NUM_SEEDS = 5
NUM_NEIGHBOURS = 30


def clusters(
    features: Mapping[str, np.ndarray], y: np.ndarray, *, num_seeds: int = NUM_SEEDS, seed: int = 0
) -> list[Entries]:
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
        row: Entries = {"features": name, "k": k}
        for key, each in zip(("ari", "nmi"), np.array(found).T, strict=True):
            row[key] = dict(zip(("value", "low", "high"), over_draws(each), strict=True))
        rows.append(row)
    return rows


def mixing(
    features: Mapping[str, np.ndarray], batch: np.ndarray, *, seed: int = 0
) -> list[Entries]:
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
    of_batch, some_alike = np.eye(len(names))[batch], len(names) < len(batch)
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
                # There is none if each sample is a batch.
                "asw": float(silhouette_score(values[known], batch)) if some_alike else None,
            }
        )
    return rows
