"""What needs no network: answers from the values of samples that are visible, or stand in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from maskwise.likelihood import PPCA
from maskwise.predict.asked import Asked
from maskwise.ties import nearest

NUM_COMPONENTS = 50
DENSE = 128  # columns whose covariance is inverted for each sample, at most
RIDGE = 0.1  # of the covariance of standardised columns
NEIGHBOURS = 15
TREES = 100  # for each class
AT_ONCE = 2**22  # numbers in the matrices that are solved at once

Fill = Callable[[np.ndarray], np.ndarray]
"""values with NaN where nothing is visible, [n, D], to values without, or to components of them"""
Learn = Callable[[np.ndarray], Fill]
"""values to learn from, [N, D] with NaN where nothing is known, to what fills in others"""


class Read(Protocol):
    """Samples as plain numbers."""

    def __call__(self, rows: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Return values, float [n, D]: NaN where nothing is visible, nothing of what is hidden.

        Args:
            rows: which samples, int64 [n].
            hidden: what of their positions is hidden, bool [n, L].
        """


@dataclass(frozen=True)
class Filled:
    """Samples whose features are plain values, with others where nothing is visible.

    Args:
        asked: the same samples, of which it says what is there.
        read: their values.
        fill: what stands where nothing is visible.
    """

    asked: Asked
    read: Read
    fill: Fill

    @property
    def there(self) -> np.ndarray:
        """See `Asked`."""
        return self.asked.there

    @property
    def whole(self) -> np.ndarray:
        """See `Asked`."""
        return self.asked.whole

    def features(self, rows: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Return features of samples, float32 [n, D]; see `Asked`."""
        found = self.fill(self.read(rows, hidden)).astype(np.float32)
        found[~(self.there[rows] & ~hidden).any(axis=1)] = np.nan
        return found


class Scale(NamedTuple):
    """What standardises columns: of what is known of them, 0 and 1 where that is nothing."""

    mean: np.ndarray
    std: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.std


def scale_of(values: np.ndarray) -> Scale:
    """Return the scale of columns, [N, D] with NaN where nothing is known.

    >>> scale_of(np.array([[1.0, np.nan], [3.0, np.nan]]))
    Scale(mean=array([2., 0.]), std=array([1., 1.]))
    """
    num = (~np.isnan(values)).sum(axis=0).clip(1)
    mean = np.nansum(values, axis=0, dtype=np.float64) / num
    std = np.sqrt(np.nansum(np.square(values - mean), axis=0) / num)
    return Scale(mean, np.where(std > 1e-9, std, 1.0))


def by_mean(train: np.ndarray) -> Fill:
    """Fill in the mean of each column."""
    mean = scale_of(train).mean
    return lambda visible: np.where(np.isnan(visible), mean, visible)


def by_gaussian(train: np.ndarray, dense: int = DENSE) -> Fill:
    """Fill in what a normal distribution of training values expects given what is visible.

    That is E[x_M | x_R] = S_MR S_RR^-1 x_R, with S the covariance of standardised columns, means
    in their holes, and .1 more on its diagonal; of more columns than `dense`, as they are, with
    that of probabilistic principal components.
    """
    if train.shape[1] > dense:
        return _by_latents(train)
    scale, num = scale_of(train), train.shape[1]
    values = np.nan_to_num(scale(train))
    covariance = values.T @ values / max(len(values), 1) + RIDGE * np.eye(num)

    def expected(visible: np.ndarray) -> np.ndarray:
        seen = ~np.isnan(visible)
        # Hidden columns are made independent ones of variance 1: nothing flows from them.
        block = np.where(seen[:, :, None] & seen[:, None, :], covariance, np.eye(num))
        told = np.linalg.solve(block, np.where(seen, visible, 0)[..., None])[..., 0]
        return np.where(seen, visible, told @ covariance)

    return lambda visible: _in_parts(expected, scale(visible), num**2) * scale.std + scale.mean


def _in_parts(
    function: Callable[[np.ndarray], np.ndarray], values: np.ndarray, size: int
) -> np.ndarray:
    """Return what a function of rows gives, a few at a time: each takes `size` numbers."""
    parts = np.array_split(values, len(values) * size // AT_ONCE + 1)
    return np.concatenate([function(part) for part in parts])


def _by_latents(train: np.ndarray) -> Fill:
    """Fill in W z with z = (I + W_R'W_R)^-1 W_R' x_R, in units of the noise.

    As `by_components`, without variances, and in single precision but for the inverse: columns are
    many.
    """
    mean, loadings, noise = probabilistic(train, scale_of(train).mean, seed=0)
    scaled = (loadings / np.sqrt(noise)).astype(np.float32)
    width = scaled.shape[1]
    row, column = np.tril_indices(width)
    pairs = scaled[:, row] * scaled[:, column]
    entry = np.empty((width, width), dtype=np.int64)
    entry[row, column] = entry[column, row] = np.arange(len(row))

    def expected(visible: np.ndarray) -> np.ndarray:
        seen = ~np.isnan(visible)
        shown = np.where(seen, (visible - mean) / np.sqrt(noise), 0).astype(np.float32)
        precision = (seen.astype(np.float32) @ pairs).astype(np.float64)[:, entry]
        told = (shown @ scaled).astype(np.float64)
        latent = np.linalg.solve(precision + np.eye(width), told[..., None])[..., 0]
        return np.where(seen, visible, mean + latent @ loadings.T)

    return lambda visible: _in_parts(expected, visible, width**2 + 4 * len(mean))


def narrowed(train: np.ndarray, fill: Fill) -> Fill:
    """Return what gives 50 principal components of filled values, those of training values."""
    from sklearn.decomposition import PCA

    fitted = PCA(min(NUM_COMPONENTS, *train.shape), random_state=0).fit(fill(train))
    return lambda visible: np.asarray(fitted.transform(fill(visible)))


def probabilistic(
    train: np.ndarray, mean: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return mean [D], loadings [D, K] and noise of probabilistic PCA; see `by_components`."""
    from sklearn.decomposition import PCA

    complete = np.where(np.isnan(train), mean, train)
    num = min(NUM_COMPONENTS, (min(complete.shape) + 1) // 2)
    fitted = PCA(num, random_state=seed).fit(complete)
    # Where all columns follow from others nothing is left over but rounding.
    noise = max(float(fitted.noise_variance_), 1e-6 * float(fitted.explained_variance_[0]), 1e-9)
    scale = np.sqrt(np.maximum(fitted.explained_variance_ - noise, 0))
    return fitted.mean_, fitted.components_.T * scale, noise


def by_components(train: np.ndarray, mean: np.ndarray, seed: int) -> Fill:
    """Fill in what probabilistic PCA of training samples [N, D] expects given what is visible.

    Means of columns, [D], are put where nothing was measured; the seed is of a randomised solver.
    """
    centre, loadings, noise = probabilistic(train, mean, seed)
    model = PPCA(loadings, noise, centre)

    def fill(visible: np.ndarray) -> np.ndarray:
        complete = np.where(np.isnan(visible), mean, visible)
        found = model.conditional_moments(complete, np.isnan(visible))[0]
        return found.numpy().astype(np.float32)

    return fill


def nearest_rows(
    train: np.ndarray, mean: np.ndarray, k: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Return what finds the `k` nearest of training samples [N, D], int64 [n, k].

    Distances are root mean squares over what both samples have, centred by the mean of columns,
    [D], so that fewer digits are lost. Of equally near ones the first are taken.
    """
    has = ~np.isnan(train)
    values = np.where(has, train - mean, 0)
    weights, squares = has.astype(np.float32), np.square(values)
    complete, k = bool(has.all()), min(k, len(train))

    def find(visible: np.ndarray) -> np.ndarray:
        seen = (~np.isnan(visible)).astype(np.float32)
        x = np.where(np.isnan(visible), 0, visible - mean)
        # Where samples are complete, products with ones are sums.
        own = np.square(x).sum(axis=1, keepdims=True) if complete else np.square(x) @ weights.T
        both = seen.sum(axis=1, keepdims=True) if complete else seen @ weights.T
        square = own - 2 * x @ values.T + seen @ squares.T
        distance = np.where(both > 0, square / np.maximum(both, 1), np.inf)
        found = np.argpartition(distance, k - 1, axis=1)[:, :k]
        return nearest(distance, found, own / np.maximum(both, 1))

    return find


Answer = Callable[[np.ndarray], np.ndarray]
"""values of samples with NaN where nothing is visible, [n, D], to a class or a number of each"""


def by_neighbours(train: np.ndarray, y: np.ndarray, classes: bool) -> Answer:
    """Answer as the 15 nearest training samples do on what is visible: the most, or the mean."""
    scale = scale_of(train)
    found = nearest_rows(scale(train).astype(np.float32), np.zeros(1, np.float32), NEIGHBOURS)

    def answer(visible: np.ndarray) -> np.ndarray:
        parts = np.array_split(scale(visible).astype(np.float32), len(visible) // 1024 + 1)
        said = y[np.concatenate([found(part) for part in parts])]
        if not classes:
            return np.asarray(said.mean(axis=1))
        return (said[..., None] == np.arange(y.max() + 1)).sum(axis=1).argmax(axis=1)

    return answer


def by_trees(train: np.ndarray, y: np.ndarray, classes: bool, seed: int) -> Answer:
    """Answer by gradient-boosted trees of masked copies, in which NaN is a value like others."""
    from sklearn.ensemble import HistGradientBoostingClassifier as Classes
    from sklearn.ensemble import HistGradientBoostingRegressor as Numbers

    make = Classes if classes else Numbers
    model = make(max_iter=TREES, early_stopping=False, random_state=seed).fit(train, y)
    return lambda visible: np.asarray(model.predict(visible))
