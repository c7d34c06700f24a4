"""What fills in hidden values without a network: means, neighbours, components, regressions."""

import warnings
from collections.abc import Callable

import numpy as np

from maskwise.columns.features import filled
from maskwise.likelihood.ppca import PPCA
from maskwise.measure.features import random_subset
from maskwise.ties import nearest

# Values with NaN where nothing is visible, [B, D], to values without, [B, D].
Fill = Callable[[np.ndarray], np.ndarray]

K = 15
NUM_COMPONENTS = 50
MOST_COLUMNS = 150  # IterativeImputer regresses every column on all others
MOST_ROWS = 2000


def by_mean(mean: np.ndarray) -> Fill:
    """Fill in the mean of each column, [D]."""
    return lambda visible: filled(visible, mean)


def by_neighbours(train: np.ndarray, mean: np.ndarray, k: int = K) -> Fill:
    """Fill in the mean of the `k` nearest training samples.

    Distances are root mean squares over what both samples have, as in scikit-learn's
    `KNNImputer`, which this equals where training samples are complete, without a loop over
    columns. Of neighbours that lack a value the others count; the column's mean where none has it.
    Of equally near ones the first are taken.

    Args:
        train: training samples [N, D], NaN where nothing was measured.
        mean: of each column, [D].
        k: neighbours, at most N are used.
    """
    has = ~np.isnan(train)
    values = filled(train - mean, 0)  # centred: fewer digits are lost
    weights, squares = has.astype(np.float32), np.square(values)
    complete, k = bool(has.all()), min(k, len(train))

    def fill(visible: np.ndarray) -> np.ndarray:
        seen = (~np.isnan(visible)).astype(np.float32)
        x = filled(visible - mean, 0)
        # Where samples are complete, products with ones are sums.
        own = np.square(x).sum(axis=1, keepdims=True) if complete else np.square(x) @ weights.T
        both = seen.sum(axis=1, keepdims=True) if complete else seen @ weights.T
        square = own - 2 * x @ values.T + seen @ squares.T
        distance = np.where(both > 0, square / np.maximum(both, 1), np.inf)
        found = np.argpartition(distance, k - 1, axis=1)[:, :k]
        found = nearest(distance, found, own / np.maximum(both, 1))
        guess = [values[of].sum(axis=0) / np.maximum(weights[of].sum(axis=0), 1) for of in found]
        return np.where(np.isnan(visible), np.stack(guess) + mean, visible)

    return fill


def by_components(train: np.ndarray, mean: np.ndarray, seed: int) -> Fill:
    """Fill in what probabilistic PCA expects given what is visible.

    Args:
        train: training samples [N, D]; means are put where nothing was measured.
        mean: of each column, [D].
        seed: of the randomised solver, used on large matrices.
    """
    from sklearn.decomposition import PCA

    complete = filled(train, mean)
    num = min(NUM_COMPONENTS, (min(complete.shape) + 1) // 2)
    fitted = PCA(num, random_state=seed).fit(complete)
    # Where all columns follow from others nothing is left over but rounding.
    noise = max(float(fitted.noise_variance_), 1e-6 * float(fitted.explained_variance_[0]), 1e-9)
    scale = np.sqrt(np.maximum(fitted.explained_variance_ - noise, 0))
    model = PPCA(fitted.components_.T * scale, noise, fitted.mean_)

    def fill(visible: np.ndarray) -> np.ndarray:
        found = model.conditional_moments(filled(visible, mean), np.isnan(visible))[0]
        return found.numpy().astype(np.float32)

    return fill


def by_regression(train: np.ndarray, sizes: tuple[int, ...], seed: int) -> Fill:
    """Fill in by scikit-learn's IterativeImputer, fitted on training samples and on these.

    The last column of each category is left to follow from the others: with it in, each is known
    from the rest, which are hidden with it, and regressions say nothing. Values stay within the
    range of the training samples: without that, rounds of regressions diverge on some samples.

    Args:
        train: training samples [N, D], of which `MOST_ROWS` are taken.
        sizes: of each feature, how many columns its categories have, 0 = it is a number.
        seed: of the choice of samples.
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
