"""What a model of cells or tables is worth: loss by ratio, probes, imputation, clusters."""

from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveInt

from maskwise.columns.features import column_means, embed_rows, expected_rows, filled, numbers
from maskwise.columns.imputation import imputation
from maskwise.columns.losses import Marginal, losses_of_rows
from maskwise.columns.model import TabularModel
from maskwise.columns.probes import Labelled, TabularProtocol, tabular_probes
from maskwise.columns.tabular import TabularSplits
from maskwise.measure.clusters import clusters
from maskwise.measure.features import pca, subset
from maskwise.measure.mixing import mixing
from maskwise.settings import settings

Ratio = Annotated[float, Field(gt=0, lt=1)]
NUM_COMPONENTS = 50
RAW = "raw values"


@settings
class TabularEvaluate:
    """How a model of single cells or of a table is evaluated."""

    ratios: tuple[Ratio, ...] = tuple(n / 10 for n in range(1, 10))
    """Hidden fractions at which the loss is measured."""
    impute: tuple[Ratio, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    """Hidden fractions at which imputation is measured; none = it is not."""
    layer: int = -1
    """Layer that is probed; -1 is the last."""
    protocols: tuple[TabularProtocol, ...] = ("logistic", "knn")
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
    config: TabularEvaluate,
    *,
    untrained: TabularModel | None = None,
) -> dict[str, Any]:
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
    seed, modality = config.seed, model.modality
    train, test = splits.train, splits.test
    train_index = subset(len(train), config.num_train, seed)
    test_index = subset(len(test), config.num_test, seed)
    values = numbers(modality, train, train_index)
    features = _features(model, splits, config, untrained, (train_index, test_index), values)
    marginal = Marginal(modality, train.get(train_index))
    train_y, test_y = _known(train.labels, train_index), _known(test.labels, test_index)
    batch = _known(test.batches, test_index)
    no_raw = {name: both.test for name, both in features.items() if name != RAW}
    return {
        "data": {
            "name": splits.name,
            "num_train": len(train),
            "num_test": len(test),
            "shape": [model.length],
            "classes": None if splits.classes is None else list(splits.classes),
        },
        "reconstruction": losses_of_rows(model, test, test_index, config.ratios, seed, marginal),
        "probes": tabular_probes(
            features,
            train_y,
            test_y,
            name=splits.name,
            protocols=config.protocols,
            few=config.few,
            draws=config.draws,
            seed=seed,
        ),
        "clusters": clusters(no_raw, test_y, seed=seed),
        "mixing": mixing(no_raw, batch, seed=seed),
        "imputation": imputation(
            model,
            test,
            subset(len(test), config.num_impute, seed),
            values,
            config.impute,
            baselines=config.baselines,
            slow_baselines=config.slow_baselines,
            seed=seed,
        ),
    }


def _features(
    model: TabularModel,
    splits: TabularSplits,
    config: TabularEvaluate,
    untrained: TabularModel | None,
    index: tuple[np.ndarray, np.ndarray],
    values: np.ndarray,
) -> dict[str, Labelled]:
    """Return features of training and test samples by name; `values` are those of training."""
    if splits.train.labels is None and splits.test.batches is None:
        return {}
    models = {"encoder": model}
    if config.baselines and untrained is not None:
        models["untrained encoder"] = untrained
    parts = list(zip((splits.train, splits.test), index, strict=True))
    found = {
        name: Labelled(*(embed_rows(each, rows, which, config.layer) for rows, which in parts))
        for name, each in models.items()
    }
    expected = Labelled(*(expected_rows(model, *part, seed=config.seed) for part in parts))
    components = Labelled(*pca(*expected, config.seed, NUM_COMPONENTS))
    found[f"encoder, expected values, PCA ({components.train.shape[1]})"] = components
    if config.baselines:
        mean = column_means(values)
        test = filled(numbers(model.modality, *parts[1]), mean)
        raw = Labelled(filled(values, mean), test)
        components = Labelled(*pca(*raw, config.seed, NUM_COMPONENTS))
        found |= {f"PCA ({components.train.shape[1]})": components, RAW: raw}
    return found


def _known(values: np.ndarray | None, index: np.ndarray) -> np.ndarray:
    """Return labels or batches of samples; -1 where there are none."""
    return np.full(len(index), -1) if values is None else values[index]
