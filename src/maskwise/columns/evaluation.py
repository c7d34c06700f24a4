"""What a model of cells or tables is worth: loss by ratio, probes, imputation, clusters."""

import logging
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveInt

from maskwise.columns.features import column_means, embed_rows, expected_rows, filled, numbers
from maskwise.columns.imputation import imputation
from maskwise.columns.losses import Marginal, losses_of_rows
from maskwise.columns.model import TabularModel
from maskwise.columns.tabular import TabularSplits
from maskwise.measure.features import Ratio, data_entry, models_of, pca, random_subset
from maskwise.measure.probes import few_labels, given_split, probe_row
from maskwise.measure.protocols import ScoringName, one_scale
from maskwise.measure.representation import clusters, mixing
from maskwise.modality import Entries
from maskwise.progress import track
from maskwise.settings import settings

NUM_COMPONENTS = 50
RAW = "raw values"

log = logging.getLogger("maskwise")


@settings
class TabularEvaluateSettings:
    """How a model of single cells or of a table is evaluated."""

    ratios: tuple[Ratio, ...] = tuple(n / 10 for n in range(1, 10))
    """Hidden fractions at which the loss is measured."""
    impute: tuple[Ratio, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    """Hidden fractions at which imputation is measured; none = it is not."""
    layer: int = -1
    """Layer that is probed; -1 is the last."""
    protocols: tuple[ScoringName, ...] = ("logistic", "knn")
    """Probes of labelled samples."""
    few: tuple[PositiveInt, ...] = (5, 10, 20)
    """Labels a class of further probes."""
    draws: Annotated[int, Field(ge=2)] = 5
    """How often so few labelled samples are drawn; of one draw there is no interval."""
    num_train: Annotated[int, Field(ge=2)] = 10_000
    """Training samples that probes and baselines see at most, chosen at random."""
    num_test: Annotated[int, Field(ge=2)] = 2_000
    """Held-out samples at most, chosen at random, for all but imputation."""
    num_impute: Annotated[int, Field(ge=2)] = 256
    """Held-out samples that are imputed at most, chosen at random."""
    baselines: bool = True
    """Also probe the untrained model, raw values and principal components, and impute by
    neighbours and by components."""
    slow_baselines: bool = False
    """Also impute by scikit-learn's IterativeImputer, of up to 150 columns."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the choice of samples, the masks, the probes and the bootstrap."""


def evaluate_tabular(
    model: TabularModel,
    splits: TabularSplits,
    config: TabularEvaluateSettings,
    *,
    untrained: TabularModel | None = None,
) -> Entries:
    """Return the entries of result.json: data, losses, probes, clusters, mixing and imputation.

    Nothing depends on the training seed or law, so results of different runs are comparable.

    Args:
        model: a pretrained model.
        splits: baselines are fitted on the training part, and all is measured on the test part.
        config: what is measured.
        untrained: the same model before training, a baseline.

    Raises:
        UserError: a layer that the model does not have.
    """
    seed, modality = config.seed, model.tokenizer
    train, test = splits.train, splits.test
    train_index = random_subset(len(train), config.num_train, seed)
    test_index = random_subset(len(test), config.num_test, seed)
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
        "clusters": clusters(no_raw, test_y, seed=seed),
        "mixing": mixing(no_raw, batch, seed=seed),
        "imputation": imputation(
            model,
            test,
            random_subset(len(test), config.num_impute, seed),
            values,
            config.impute,
            baselines=config.baselines,
            slow_baselines=config.slow_baselines,
            seed=seed,
        ),
    }


def tabular_probes(
    features: Mapping[str, Sequence[np.ndarray]],
    train_y: np.ndarray,
    test_y: np.ndarray,
    name: str,
    config: TabularEvaluateSettings,
) -> list[Entries]:
    """Return the rows of the table of probes, with all labels and with few; none of one class.

    Args:
        features: of training [N, D] and test samples [M, D], by name.
        train_y: classes, -1 = not known: left out, [N].
        test_y: the same of test samples, [M].
        name: of the data.
        config: which probes, and how few labels.
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
