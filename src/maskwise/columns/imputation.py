"""How well hidden values of held-out samples are filled in, beside what needs no network."""

import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from maskwise.columns.model import TabularModel
from maskwise.columns.tabular import (
    ColumnTokenizer,
    TabularEvaluateSettings,
    TabularRows,
    column_means,
    comparable,
    filled,
    from_one_hot,
    one_hot,
)
from maskwise.masks.mask import hide_lowest
from maskwise.measure.features import ends, frozen, in_batches, random_subset
from maskwise.measure.losses import fixed_mask
from maskwise.predict.baselines import Fill, by_components, nearest_rows
from maskwise.progress import track
from maskwise.rng import Keys, Stream

K = 15
MOST_COLUMNS = 150  # IterativeImputer regresses every column on all others
MOST_ROWS = 2000
Which = Literal["all", "nonzero"]
Mechanism = Literal["random", "intensity"]
# Samples and what of them is hidden, [B, F], to a guess at all values that compare, [B, F].
Method = Callable[[Tensor, Tensor], np.ndarray]
IN_LOGS = "compared as log(1 + counts scaled to one library size)"


def imputation(
    model: TabularModel,
    rows: TabularRows,
    index: np.ndarray,
    train: np.ndarray,
    config: TabularEvaluateSettings,
) -> list[dict[str, object]]:
    """Return the rows of the table of imputation, of held-out samples at `index`, [N].

    All measured values are hidden at random, and so that large numbers are likelier to be hidden;
    where most numbers are zero, the latter is done with the others, which are hidden at random
    too. Masks depend only on the seed and on a sample's index: they are the same for all methods
    and models. Baselines are fitted on training samples as `numbers` returns them, [M, D].
    """
    modality = model.tokenizer
    mean, seed = column_means(train), config.seed
    methods, note = _methods(model, train, mean, config)
    table = []
    samples = rows.get(index)
    truth = comparable(modality, samples).numpy()
    mean_of_each = from_one_hot(mean[None], modality.sizes)[0]
    is_number = np.array(modality.sizes) == 0
    for entries, mechanism in track(kinds(modality), "imputation"):
        for ratio in track(config.impute, "ratios"):
            hidden = hide(modality, samples, index, entries, mechanism, ratio, seed)
            if not hidden.any():
                continue
            asked = truth, hidden.numpy(), mean_of_each, is_number
            for name, method in track(methods.items(), "methods"):
                start = time.perf_counter()
                guess = method(samples, hidden)
                seconds = time.perf_counter() - start
                table.append(
                    {"method": name, "entries": entries, "mechanism": mechanism, "ratio": ratio}
                    | scored(guess, *asked, seed)
                    | {"seconds": seconds, "note": note if name == "model" else ""}
                )
    return table


def kinds(modality: ColumnTokenizer) -> list[tuple[Which, Mechanism]]:
    """Return which entries are hidden, and how."""
    if modality.sparse:
        return [("all", "random"), ("nonzero", "random"), ("nonzero", "intensity")]
    return [("all", "random"), ("all", "intensity")]


def hide(
    modality: ColumnTokenizer,
    samples: Tensor,
    index: np.ndarray,
    entries: Which,
    mechanism: Mechanism,
    ratio: float,
    seed: int,
) -> Tensor:
    """Return which values are hidden, bool [B, F], as many of each sample under any mechanism.

    Samples are [B, F] or [B, F + 1], and their numbers [B]. A fraction of the entries is hidden:
    of "all" that were measured, or of those that are not zero. "intensity" draws without
    replacement with the weights that are the modality's `intensities`.

    Source: Efraimidis and Spirakis, Weighted random sampling with a reservoir (Information
    Processing Letters 97, 2006).
    """
    eligible = modality.eligible(samples)
    values = comparable(modality, samples).nan_to_num(0.0)
    if entries == "nonzero":
        eligible = eligible & (values != 0)
    mask = fixed_mask(modality.grid, ratio, index, "scattered", seed, samples.device, eligible)
    if mechanism == "random":
        return mask.hidden
    keys = Keys(seed, 0, torch.from_numpy(index))
    waits = -keys.open_uniform(Stream.SCORE, values.shape[1]).log() / modality.intensities(values)
    return hide_lowest(waits, mask.num_hidden, eligible)


def scored(
    guess: np.ndarray,
    truth: np.ndarray,
    hidden: np.ndarray,
    mean: np.ndarray,
    is_number: np.ndarray,
    seed: int,
) -> dict[str, float | None]:
    """Return how good guesses [N, F] are at the hidden ones of the true values, [N, F].

    - r2: 1 - sum (x - guess)² / sum (x - mean)² over all hidden numbers, with a 95 % percentile
      bootstrap of samples;
    - mae: the mean absolute error of hidden numbers;
    - pearson_features: the correlation over samples, the mean over features that vary; 0 where
      the guess does not. pearson_samples: the other way round;
    - accuracy: the share of hidden categories guessed right.

    None where there is nothing to measure. The mean of each feature, [F], is that of training
    samples; features that are no numbers are categories.
    """
    right = (guess == truth)[hidden & ~is_number]
    hidden = hidden & is_number
    error = np.where(hidden, truth - guess, 0).astype(np.float64)
    spread = np.where(hidden, truth - mean, 0).astype(np.float64)
    r2, low, high = _r2(np.square(error).sum(axis=1), np.square(spread).sum(axis=1), seed)
    return {
        "r2": r2,
        "r2_low": low,
        "r2_high": high,
        "mae": float(np.abs(error).sum() / hidden.sum()) if hidden.any() else None,
        "pearson_features": correlation(truth.T, guess.T, hidden.T),
        "pearson_samples": correlation(truth, guess, hidden),
        "accuracy": float(right.mean()) if len(right) else None,
    }


def correlation(x: np.ndarray, y: np.ndarray, where: np.ndarray) -> float | None:
    """Return the mean over rows of the correlation of x and y [N, M] where `where` is true.

    Rows with fewer than 3 values, or in which x does not vary, are left out.

    >>> x = np.array([[1.0, 2.0, 3.0, 0.0]])
    >>> round(correlation(x, 7 - 2 * x, x > 0), 6)
    -1.0
    """
    num = where.sum(axis=1, keepdims=True)
    parts = []
    for values in (x, y):
        held = np.where(where, values, 0).astype(np.float64)
        mean = held.sum(axis=1, keepdims=True) / np.maximum(num, 1)
        parts.append(np.where(where, held - mean, 0))
    a, b = (np.square(part).sum(axis=1) for part in parts)
    # A guess that is the same everywhere but for rounding says nothing.
    varies = b > 1e-10 * np.where(where, np.square(y), 0).sum(axis=1)
    found = np.where(varies, (parts[0] * parts[1]).sum(axis=1), 0)
    found = found / np.sqrt(np.where(varies & (a > 0), a * b, 1))
    kept = (num[:, 0] >= 3) & (a > 1e-10)
    return float(found[kept].mean()) if kept.any() else None


def _r2(error: np.ndarray, spread: np.ndarray, seed: int) -> tuple[float | None, ...]:
    """Return 1 - sum error / sum spread and its interval, from sums of each sample, [N]."""
    if not spread.sum():
        return None, None, None
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(error), np.full(len(error), 1 / len(error)), size=1000)
    sums = times @ spread
    found = 1 - (times @ error)[sums > 0] / sums[sums > 0]
    return float(1 - error.sum() / spread.sum()), *ends(found)


def _methods(
    model: TabularModel, train: np.ndarray, mean: np.ndarray, config: TabularEvaluateSettings
) -> tuple[dict[str, Method], str]:
    """Return the methods by name, and a note on those that are not among them."""
    sizes, notes = model.tokenizer.sizes, [IN_LOGS] if model.tokenizer.loss != "mse" else []
    fills: dict[str, Fill] = {"feature mean": lambda visible: filled(visible, mean)}
    if config.baselines:
        fills["kNN"] = by_neighbours(train, mean)
        fills["PCA"] = by_components(train, mean, config.seed)
    if config.slow_baselines and train.shape[1] <= MOST_COLUMNS:
        fills["IterativeImputer"] = by_regression(train, sizes, config.seed)
    elif config.slow_baselines:
        notes.append(f"no IterativeImputer: {train.shape[1]} columns, above {MOST_COLUMNS}")
    else:
        notes.append("no IterativeImputer: slow_baselines is off")

    def of(fill: Fill) -> Method:
        def method(samples: Tensor, hidden: Tensor) -> np.ndarray:
            visible = comparable(model.tokenizer, samples, hidden).numpy()
            return from_one_hot(fill(one_hot(visible, sizes)), sizes)

        return method

    methods: dict[str, Method] = {"model": partial(_predicted, model)}
    return methods | {name: of(fill) for name, fill in fills.items()}, "; ".join(notes)


def _predicted(model: TabularModel, samples: Tensor, hidden: Tensor) -> np.ndarray:
    """Return what the model expects, in values that compare: counts are scaled as true ones."""
    found = []
    with frozen(model) as device:
        for part in in_batches(np.arange(len(samples))):
            x, blank = samples[part].to(device), hidden[part].to(device)
            found.append(model.tokenizer.as_inputs(model.predict(x, blank), x).cpu().numpy())
    return np.concatenate(found)


def by_neighbours(train: np.ndarray, mean: np.ndarray, k: int = K) -> Fill:
    """Fill in the mean of the `k` nearest training samples [N, D], or that of the column, [D].

    Distances are root mean squares over what both samples have, as in scikit-learn's
    `KNNImputer`, which this equals where training samples are complete, without a loop over
    columns. Of neighbours that lack a value the others count; the column's mean where none has it.
    """
    find, weights = nearest_rows(train, mean, k), (~np.isnan(train)).astype(np.float32)
    values = filled(train - mean, 0)

    def fill(visible: np.ndarray) -> np.ndarray:
        found = find(visible)
        guess = [values[of].sum(axis=0) / np.maximum(weights[of].sum(axis=0), 1) for of in found]
        return np.where(np.isnan(visible), np.stack(guess) + mean, visible)

    return fill


def by_regression(train: np.ndarray, sizes: tuple[int, ...], seed: int) -> Fill:
    """Fill in by scikit-learn's IterativeImputer, fitted on training samples [N, D] and on these.

    The last column of each category is left to follow from the others: with it in, each is known
    from the rest, which are hidden with it, and regressions say nothing. Values stay within the
    range of the training samples: without that, rounds of regressions diverge on some samples.
    """
    chosen = train[random_subset(len(train), MOST_ROWS, seed)]
    ends = np.cumsum([size or 1 for size in sizes])
    last = [(end - size, end - 1) for end, size in zip(ends, sizes, strict=True) if size]
    free = np.setdiff1d(np.arange(train.shape[1]), [end for _, end in last])
    known = np.nan_to_num(chosen[:, free], nan=0.0).astype(np.float64)  # 0 is a usual value
    low, high = known.min(axis=0), known.max(axis=0)

    def fill(visible: np.ndarray) -> np.ndarray:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.experimental import enable_iterative_imputer  # noqa: F401
        from sklearn.impute import IterativeImputer

        model = IterativeImputer(
            min_value=low,
            max_value=np.maximum(high, low + 1e-6),
            random_state=seed,
            keep_empty_features=True,
        )
        with warnings.catch_warnings():
            # Ten rounds, as users get; that they were too few is part of the method.
            warnings.simplefilter("ignore", ConvergenceWarning)
            both = model.fit_transform(np.concatenate([chosen, visible])[:, free])
        found = np.empty(visible.shape)
        found[:, free] = both[len(chosen) :]
        for first, end in last:
            found[:, end] = 1 - found[:, first:end].sum(axis=1)
        return found

    return fill
