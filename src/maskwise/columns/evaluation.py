"""What runs on cells and tables find: loss by ratio, probes, imputation, clusters, samples."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskwise.columns.curve import partial_curve
from maskwise.columns.imputation import imputation
from maskwise.columns.losses import Marginal, column_likelihood, fit_feature_noise, losses_of_rows
from maskwise.columns.model import TabularModel
from maskwise.columns.next_asked import next_asked
from maskwise.columns.observed import observed
from maskwise.columns.tabular import (
    TabularEvaluateSettings,
    TabularRows,
    TabularRunSettings,
    TabularSplits,
    column_means,
    filled,
    numbers,
    one_hot,
)
from maskwise.files import write_json
from maskwise.masks import draw
from maskwise.measure.features import data_entry, frozen, in_batches, models_of, pca, random_subset
from maskwise.measure.losses import fixed_mask
from maskwise.measure.probes import few_labels, given_split, probe_row
from maskwise.measure.protocols import one_scale
from maskwise.measure.representation import clusters, mixing
from maskwise.modality import Entries, Modality, Pool, Scale
from maskwise.progress import track
from maskwise.ties import descending
from maskwise.words import LikelihoodWords, LossWords, ProbeWords, Words

NUM_COMPONENTS = 50
RAW = "raw values"
# What the report shows: points, rows, features of these, and how much of them is hidden.
NUM_POINTS, NUM_ROWS, NUM_FEATURES, RATIO = 1000, 8, 12, 0.5
MARGINAL = "each feature predicted by what it is in the training data, whatever is visible"

log = logging.getLogger("maskwise")


def evaluate_tabular(
    model: TabularModel,
    splits: TabularSplits,
    config: TabularEvaluateSettings,
    *,
    untrained: TabularModel | None = None,
) -> Entries:
    """Return the entries of result.json: data, losses, probes, parts, clusters, imputation.

    Nothing depends on the training seed or law, so results of different runs are comparable.
    Baselines are fitted on the training part, and all is measured on the test part.

    Raises:
        UserError: a layer that the model does not have.
    """
    seed, modality = config.seed, model.tokenizer
    train, test = splits.train, splits.test
    train_index = random_subset(len(train), config.num_train, seed)
    test_index = random_subset(len(test), config.num_test, seed)
    chosen = random_subset(len(test), config.num_impute, seed)
    values = numbers(modality, train, train_index)
    features = _features(model, splits, config, untrained, (train_index, test_index), values)
    marginal = Marginal(modality, train.get(train_index))
    train_y, test_y = _known(train.labels, train_index), _known(test.labels, test_index)
    batch = _known(test.batches, test_index)
    no_raw = {name: both[1] for name, both in features.items() if name != RAW}
    return {
        "data": data_entry(splits, [model.length], splits.classes),
        "reconstruction": losses_of_rows(model, test, test_index, config.ratios, seed, marginal),
        "probes": tabular_probes(features, train_y, test_y, splits.name, config),
        "partial": partial_curve(model, splits, config),
        "clusters": clusters(no_raw, test_y, seed=seed),
        "mixing": mixing(no_raw, batch, seed=seed),
        "imputation": imputation(model, test, chosen, values, config),
    }


def tabular_probes(
    features: Mapping[str, Sequence[np.ndarray]],
    train_y: np.ndarray,
    test_y: np.ndarray,
    name: str,
    config: TabularEvaluateSettings,
) -> list[Entries]:
    """Return the rows of the table of probes, with all labels and with few; none of one class.

    Features are of training [N, D] and test samples [M, D], by name, and a class of -1 is not
    known: such samples are left out.
    """
    labels, seed = given_split(train_y, test_y), config.seed
    [(train, test)] = labels.folds
    unlabelled = len(labels.y) - len(train) - len(test)
    if unlabelled and len(train):
        log.info("%d samples without a label take no part in probes", unlabelled)
    if len(np.unique(labels.y[train])) < 2 or not len(test):
        return []
    joint = {title: np.concatenate(parts) for title, parts in features.items()}
    few = [few_labels(labels, num, config.draws, seed) for num in config.few]
    rows = []
    for each in (labels, *few):
        task = f"{each.few} labels a class" if each.few else "all labels"
        for title, x in track(joint.items(), f"probes, {task}"):
            for protocol in config.protocols:
                row = probe_row(title, x, each, one_scale(each.few)[protocol], seed)
                note = "; ".join(sorted(row["note"].split("; ")))
                rows.append({"task": f"{name}, {task}"} | row | {"note": note})
    return rows


def _features(
    model: TabularModel,
    splits: TabularSplits,
    config: TabularEvaluateSettings,
    untrained: TabularModel | None,
    index: tuple[np.ndarray, np.ndarray],
    values: np.ndarray,
) -> dict[str, list[np.ndarray]]:
    """Return features of training and test samples by name; `values` are those of training."""
    if splits.train.labels is None and splits.test.batches is None:
        return {}
    seed, parts = config.seed, list(zip((splits.train, splits.test), index, strict=True))
    found = {
        name: [embed_rows(each, rows, which, config.layer) for rows, which in parts]
        for name, each in models_of(model, untrained, baselines=config.baselines).items()
    }
    expected = [expected_rows(model, *part, seed=seed) for part in parts]
    expected = pca(expected, seed, NUM_COMPONENTS)
    found[f"encoder, expected values, PCA ({expected[0].shape[1]})"] = expected
    if config.baselines:
        mean = column_means(values)
        raw = [filled(each, mean) for each in (values, numbers(model.tokenizer, *parts[1]))]
        components = pca(raw, seed, NUM_COMPONENTS)
        found |= {f"PCA ({components[0].shape[1]})": components, RAW: raw}
    return found


def _known(values: np.ndarray | None, index: np.ndarray) -> np.ndarray:
    """Return labels or batches of samples; -1 where there are none."""
    return np.full(len(index), -1) if values is None else values[index]


def embed_rows(
    model: TabularModel,
    rows: TabularRows,
    index: np.ndarray | None = None,
    layer: int = -1,
    pool: Pool = "mean",
) -> np.ndarray:
    """Return the model's features of samples, float32 [N, D]; only what is missing is hidden.

    The samples are those at `index`, [N], by default all; a layer of -1 is the last.
    """
    index = np.arange(len(rows)) if index is None else index
    with frozen(model) as device:
        parts = [
            model.encode(rows.get(part).to(device), pool, layer).float().cpu().numpy()
            for part in (in_batches(index) if len(index) else [index])
        ]
    return np.concatenate(parts)


def expected_rows(
    model: TabularModel, rows: TabularRows, index: np.ndarray, *, pairs: int = 4, seed: int = 0
) -> np.ndarray:
    """Return what the model expects of every feature from others, float32 [N, D].

    The features of a sample are split at random into halves, each is predicted from the other,
    and the predictions of `pairs` such splits averaged. No feature is predicted from itself:
    what remains of a sample is what its features agree on. Categories are one-hot, and counts
    in logarithms.
    """
    modality, found = model.tokenizer, []
    with frozen(model) as device:
        for part in in_batches(index):
            samples, ids = rows.get(part).to(device), torch.from_numpy(part)
            total = np.zeros((len(part), sum(size or 1 for size in modality.sizes)), np.float32)
            for pair in range(pairs):
                mask = draw("fixed:0.5", modality.grid, sample_ids=ids, seed=seed, epoch=pair)
                half = mask.hidden.to(device)
                first, second = model.predict(samples, half), model.predict(samples, ~half)
                said = torch.where(half, first, second).cpu().numpy()
                total += one_hot(said, modality.sizes)
            found.append(total / pairs)
    values = np.concatenate(found)
    return values if modality.loss == "mse" else np.log1p(values)


def samples(
    folder: Path, model: TabularModel, splits: TabularSplits, config: TabularRunSettings
) -> None:
    """Write what the report shows of held-out samples to samples.json, and asking.json.

    "points", the first two principal components of samples by kind of features, the shares of the
    variance that they have ("explained"), the samples' "labels" and "classes"; and "rows", a few
    samples with the values of some features (None = not measured), whether they are "hidden" and
    what is "predicted", in the space of the model, counts as their log1p.
    """
    source, seed = splits.test, config.evaluate.seed
    index = random_subset(len(source), NUM_POINTS, seed)
    raw = numbers(model.tokenizer, source, index)
    planes = {
        "encoder": plane(embed_rows(model, source, index)),
        "raw values": plane(filled(raw, column_means(raw))),
    }
    write_json(
        folder / "samples.json",
        {
            "points": {name: places.round(4).tolist() for name, (places, _) in planes.items()},
            "explained": {name: shares.tolist() for name, (_, shares) in planes.items()},
            "labels": None if source.labels is None else source.labels[index].tolist(),
            "classes": None if splits.classes is None else list(splits.classes),
            "rows": _rows(model, source, index, seed),
        },
    )
    asked = next_asked(model, splits, seed)
    if asked is not None:
        write_json(folder / "asking.json", asked)


def plane(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first two principal components of samples, and their shares of the variance.

    >>> places, shares = plane(np.array([[0.0, 0.0], [3.0, 4.0]]))
    >>> abs(places).round(6).tolist(), shares.round(6).tolist()
    ([[2.5, 0.0], [2.5, 0.0]], [1.0, 0.0])
    """
    centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    # Samples are fewer than genes: their products are a smaller matrix than a covariance.
    variances, vectors = np.linalg.eigh(centred @ centred.T)
    variances, vectors = variances[::-1].clip(min=0), vectors[:, ::-1]
    places = np.zeros((len(values), 2))
    num = min(2, len(values))
    places[:, :num] = vectors[:, :num] * np.sqrt(variances[:num])
    signs = np.where(places[-1] < 0, -1, 1)  # which way an axis points is arbitrary
    shares = np.zeros(2)
    shares[:num] = variances[:num] / max(variances.sum(), 1e-300)
    return places * signs, shares


def _rows(model: TabularModel, source: TabularRows, index: np.ndarray, seed: int) -> Entries:
    """Return a few samples, what of them is hidden, and what the model says of it."""
    modality = model.tokenizer
    chosen = index[random_subset(len(index), NUM_ROWS, seed)]
    if source.labels is not None:
        chosen = chosen[np.argsort(source.labels[chosen], kind="stable")]
    batch = source.get(chosen)
    values = batch[:, : model.length]
    shown = np.arange(min(NUM_FEATURES, model.length))
    if modality.sparse:  # of most features little is seen in a few samples
        spread = values.double().nan_to_num(0.0).log1p().var(dim=0, correction=0).numpy()
        shown = np.sort(descending(spread)[:NUM_FEATURES])
    what = "scattered", seed, torch.device("cpu"), modality.eligible(batch)
    hidden = fixed_mask(modality.grid, RATIO, chosen, *what).hidden
    with frozen(model) as device:
        predicted = model.predict(batch.to(device), hidden.to(device)).cpu()
    if modality.loss != "mse":
        values, predicted = values.log1p(), predicted.log1p()
    return {
        "ratio": RATIO,
        "num_features": model.length,
        "names": [modality.names[place] for place in shown],
        "true": [
            [None if v != v else round(v, 4) for v in row] for row in values[:, shown].tolist()
        ],
        "hidden": hidden[:, shown].tolist(),
        "predicted": predicted[:, shown].double().numpy().round(4).tolist(),
    }


def words(
    samples: str,
    feature: str,
    *,
    loss: str,
    compare: str,
    between: tuple[str, ...],
    differ: str,
    more: str = "",
    more_options: str = "",
) -> Words:
    """Return what reports say of samples and features of such names; see `maskwise.words`."""
    return Words(
        counted=(f"{samples} seen", "values read", "predicted values"),
        shown="rows",
        more=more,
        more_options=more_options,
        loss=LossWords(
            axis="nats per hidden value",
            what=f"Mean loss of hidden values ({loss})",
            samples=f"held-out {samples}",
            form=".4f",
            between=between,
            differ=differ,
            known={"marginal": MARGINAL},
        ),
        likelihood=LikelihoodWords(
            compare=compare,
            dashed=f"each {feature} as it is distributed in training {samples}, whatever is"
            " visible",
            tested=f"held-out {samples}",
        ),
        probes=ProbeWords(samples=samples, measures=("macro_f1",)),
    )


record: "Callable[..., Modality[Any, Any, Any, Any, Any]]" = partial(
    Modality,
    title="a model of features",
    build=TabularModel,
    parts=lambda model: {"own_encoder": True} if model.network.own else {},
    observed=observed,
    settle=lambda model, splits, config: fit_feature_noise(model, splits.train, seed=config.seed),
    evaluate=lambda model, splits, config, untrained: evaluate_tabular(
        model, splits, config.evaluate, untrained=untrained
    ),
    samples=samples,
    likelihood=column_likelihood,
    scale=Scale(epochs=1000),
)
"""a kind of samples by features, given what else it brings"""
