"""What features are like: their rank, what masks change in them, their clusters and batches."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, TypeVar

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from maskwise import diagnostics
from maskwise.errors import UserError
from maskwise.masks import Mask, draw
from maskwise.measure.features import (
    Ratio,
    frozen,
    in_batches,
    interval,
    over_draws,
    random_subset,
    spread,
)
from maskwise.modality import Entries, MaskedModel, Source, VisiblePool
from maskwise.progress import track
from maskwise.settings import settings

T = TypeVar("T")
NUM_NEIGHBOURS = 30


@settings
class DiagnoseSettings:
    """How the features of held-out samples are diagnosed."""

    pool: VisiblePool = "mean"
    """features of a sample: the mean of its positions, or its class token"""
    layer: int = -1
    """layer whose features they are; -1 is the last"""
    num_samples: PositiveInt = 2048
    """held-out samples at most, chosen at random"""
    num_views: Annotated[int, Field(ge=2)] = 4
    """masked views of each sample, drawn from the law of the run"""
    ratios: tuple[Ratio, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    """hidden fractions at which the drift of features is measured"""
    seed: Annotated[int, Field(ge=0)] = 0
    """of the choice of samples and the masks"""
    every: PositiveInt | None = None
    """steps of training between measurements on the way; none: only at the end"""
    probe_every: PositiveInt = 4
    """with `every`, steps between those of a probe that learns beside the model, where there are
    labels"""


def diagnose(
    model: MaskedModel,
    source: Source,
    config: DiagnoseSettings,
    *,
    law: str,
    pattern: str,
    observed: Tensor | None = None,
    untrained: MaskedModel | None = None,
) -> Entries:
    """Return the "features" entry of result.json.

    What cannot be said of so few samples, or of features that are all alike, is left out, and
    "notes" say why. Samples with fewer than two positions to hide have no masked view: they are
    left out too. Every view has a ratio of its own, drawn from the law as it is at the end of
    training.

    LiDAR and alignment compare views of the `law` of the run. Some patterns copy what rows of the
    training part lack, `observed`, bool [M, L]. The untrained model is measured beside the
    trained one.

    Raises:
        UserError: a layer or a pool that the model does not have.
    """
    index = _maskable(model, source, random_subset(len(source), config.num_samples, config.seed))
    entry: Entries = {
        "pool": config.pool,
        "layer": config.layer,
        "num_samples": len(index),
        "law": law,
        "pattern": pattern,
        "num_views": config.num_views,
    }
    if not len(index):
        return entry | {"notes": ["no held-out sample has two positions that may be hidden"]}
    notes: dict[str, str] = {}
    masked_as = partial(draw, pattern=pattern, observed=observed)
    run = source, index, config, law, masked_as
    whole, (views, masked), (at, realised) = _features(model, *run, config.ratios)
    entry["dim"] = whole.shape[1]
    entry["encoder"] = _figures(whole, views, at, notes)
    entry["drift"] = _drift(whole, masked, realised, config.ratios, notes)
    if untrained is not None:
        whole, (views, _), (at, _) = _features(untrained, *run, ratios=())
        name = "untrained encoder"
        entry[name] = _figures(whole, views, at, notes, f"{name}: ")
    return entry | {"notes": list(notes.values())}


def _maskable(model: MaskedModel, source: Source, index: np.ndarray) -> np.ndarray:
    """Return those of the samples that have two positions that may be hidden."""
    parts = []
    for part in in_batches(index):
        eligible = model.tokenizer.eligible(source.get(part))
        if eligible is None:  # every position of every sample
            return index
        parts.append(part[(eligible.sum(dim=1) > 1).numpy()])
    return np.concatenate(parts)


def _features(
    model: MaskedModel,
    source: Source,
    index: np.ndarray,
    config: DiagnoseSettings,
    law: str,
    masked_as: Callable[..., Mask],
    ratios: Sequence[float],
) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Return features with nothing hidden [N, D], and masked ones [M, N, D] with their ratios.

    The latter twice: under the masks of the views, and under one mask for each of `ratios`.
    """
    pool, layer = config.pool, config.layer
    features, realised = [], []
    with frozen(model) as device:
        for part in track(in_batches(index), "features"):
            samples, units = source.get(part).to(device), source.units(part)
            eligible = model.tokenizer.eligible(samples)
            masked = partial(
                masked_as,
                grid=model.tokenizer.grid,
                sample_ids=torch.from_numpy(part),
                seed=config.seed,
                eligible=eligible,
                units=units,
                device=device,
            )
            masks = [
                masked(law, epoch=view, step=view, progress=1.0, scope="sample")
                for view in range(config.num_views)
            ]
            masks += [masked(f"fixed:{ratio}") for ratio in ratios]
            found = [model.encode(samples, pool, layer)]
            found += [model.visible_features(samples, mask, pool, layer) for mask in masks]
            features.append(torch.stack(found).float().cpu())
            realised.append(torch.stack([mask.ratio for mask in masks]).cpu())
    whole, *others = torch.cat(features, dim=1).numpy()
    parts, at = np.stack(others), torch.cat(realised, dim=1).numpy()
    return whole, np.split(parts, [config.num_views]), np.split(at, [config.num_views])


def _figures(
    whole: np.ndarray, views: np.ndarray, realised: np.ndarray, notes: dict[str, str], of: str = ""
) -> Entries:
    """Return the figures of one model; the views are [Q, N, D] and their ratios [Q, N]."""
    # Some laws and patterns hide all of a sample now and then, which has no features then.
    views = views[:, (realised < 1).all(axis=0)].swapaxes(0, 1)
    found = _measured(notes, of, diagnostics.describe, whole) or {"notes": []}
    notes.update({note: notes.get(note, note) for note in found.pop("notes")})
    for measure in (diagnostics.lidar, diagnostics.alignment):
        found[measure.__name__] = _measured(notes, of, measure, views)
    return {name: value for name, value in found.items() if value is not None}


def _drift(
    whole: np.ndarray,
    masked: np.ndarray,
    realised: np.ndarray,
    ratios: Sequence[float],
    notes: dict[str, str],
) -> list[dict[str, float]]:
    """Return what masks of each ratio do to features; `masked` is [R, N, D], `realised` [R, N]."""
    points = []
    for ratio, features, each in zip(ratios, masked, realised, strict=True):
        seen, at = each < 1, f"at ratio {ratio:g}: "
        pair = features[seen], whole[seen]
        point = {
            "ratio": ratio,
            "realised": float(each.mean()),
            "cosine": _measured(notes, at, diagnostics.drift, *pair),
            "cka": _measured(notes, at, diagnostics.cka, *pair),
            "effective_rank": _measured(notes, at, diagnostics.effective_rank, pair[0]),
        }
        points.append({name: value for name, value in point.items() if value is not None})
    return points


def _measured(
    notes: dict[str, str], of: str, measure: Callable[..., T], *features: np.ndarray
) -> T | None:
    """Return what is measured, or None; note why it cannot be, or what to beware of, once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            return measure(*features)
        except UserError as error:
            notes.setdefault(str(error), f"{of}{error}")
            return None
        finally:
            for each in caught:
                notes.setdefault(str(each.message), str(each.message))


def clusters(
    features: Mapping[str, np.ndarray], y: np.ndarray, *, num_seeds: int = 5, seed: int = 0
) -> list[Entries]:
    """Return the rows of the table of clusters: k-means with as many clusters as classes.

    "ari", the adjusted Rand index, and "nmi", normalised mutual information (arithmetic mean), are
    1 for equal partitions; unrelated ones have an ARI of 0. Each is the mean over seeds, with the
    interval of Student's t. Leiden, usual for cells, would need a further dependency, and has a
    resolution to choose where k-means is told the number of classes.

    Features are [N, D] each, by name; samples of class -1 in `y` [N] are left out. k-means starts
    anew `num_seeds` times.
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
        ari, nmi = (spread(over_draws(each)) for each in np.array(found).T)
        rows.append({"features": name, "k": k, "ari": ari, "nmi": nmi})
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

    Features are [N, D] each, by name; samples of batch -1 [N] are left out. `seed` is of the
    bootstrap.

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
        rows.append(
            {
                "features": name,
                "lisi": spread(interval(1 / np.square(shares).sum(axis=1), seed)),
                "best": float(1 / np.square(of_batch.mean(axis=0)).sum()),
                "worst": 1.0,
                # There is none if each sample is a batch.
                "asw": float(silhouette_score(values[known], batch)) if some_alike else None,
            }
        )
    return rows
