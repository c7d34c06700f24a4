"""The imputers: from a table with holes, numbers and texts, to one without."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer

from maskwise.integrations.sklearn import MaskedAutoencoder, MaskedImputer

Method = Callable[[pd.DataFrame, int], pd.DataFrame]


def masked(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Fill by MaskedImputer, with its defaults but for whole numbers, which others do not keep."""
    return _filled(MaskedImputer(random_state=seed), frame)


def network(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Fill by a network alone: little more than the linear path of few rows, wider of many."""
    rows = len(frame)
    width, steps = min(max(rows // 40, 8), 200), min(max(rows // 20, 600), 5000)
    estimator = MaskedAutoencoder(
        "uniform:0.1,0.5", width=width, depth=1, code=width, linear=8, steps=steps, lr=5e-3
    )
    return _filled(MaskedImputer(estimator, random_state=seed), frame)


def by(make: Callable[[int], Any], one_hot: bool, frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Fill standardised numbers, and categories as codes or one-hot, by an imputer of numbers.

    Of one-hot columns the last is left to follow from the others: with it in, each is known from
    the rest, which are hidden with it, and regressions say nothing.
    """
    texts = [name for name in frame if frame[name].dtype.kind not in "fiu"]
    kinds = {name: sorted(frame[name].dropna().unique()) for name in texts}
    codes = {
        name: frame[name].map({kind: i for i, kind in enumerate(kinds[name])}) for name in texts
    }
    parts: list[np.ndarray] = []
    for name in frame:
        code = codes.get(name, frame[name]).to_numpy(dtype=float)[:, None]
        hot = np.where(np.isnan(code), np.nan, code == np.arange(len(kinds.get(name, [0])) - 1))
        parts.append(hot if name in kinds and one_hot else code)
    x = np.hstack(parts)
    mean, std = np.nanmean(x, axis=0), np.nanstd(x, axis=0)
    std = np.where(std > 0, std, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = make(seed).fit_transform((x - mean) / std) * std + mean
    filled, start = frame.copy(), 0
    for name, part in zip(frame, parts, strict=True):
        values = found[:, start : start + part.shape[1]]
        start += part.shape[1]
        if name in kinds:
            values = np.column_stack([values, 1 - values.sum(axis=1)]) if one_hot else values
            code = values.argmax(axis=1) if one_hot else np.rint(values[:, 0]).astype(int)
            known = np.array(kinds[name], dtype=object)
            filled[name] = frame[name].where(
                frame[name].notna(), known[code.clip(0, len(known) - 1)]
            )
        else:
            filled[name] = values[:, 0]
    return filled


def mean(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Fill in the mean of a column, or its most common category."""
    most = {name: frame[name].mode()[0] for name in frame if frame[name].dtype.kind not in "fiu"}
    return frame.fillna(frame.mean(numeric_only=True)).fillna(most)


def _filled(imputer: MaskedImputer, frame: pd.DataFrame) -> pd.DataFrame:
    """Fill a table, in an array where all are numbers: in a frame, two values are categories."""
    numbers = all(frame[name].dtype.kind in "fiu" for name in frame)
    found = imputer.set_params(round=False, clip=False).fit_transform(
        frame.to_numpy() if numbers else frame
    )
    return pd.DataFrame(found, columns=frame.columns)


def _neighbours(seed: int) -> KNNImputer:
    return KNNImputer(keep_empty_features=True)


def _regressions(seed: int) -> IterativeImputer:
    return IterativeImputer(random_state=seed, keep_empty_features=True)


def _forest(seed: int) -> IterativeImputer:
    trees = ExtraTreesRegressor(n_estimators=20, min_samples_leaf=2, random_state=seed)
    return IterativeImputer(trees, max_iter=4, random_state=seed, keep_empty_features=True)


METHODS: dict[str, Method] = {
    "IterativeImputer": partial(by, _regressions, True),  # the first: others are compared to it
    "MaskedImputer": masked,
    "mean": mean,
    "neighbours": partial(by, _neighbours, True),
    "ordinal": partial(by, _regressions, False),
    "forest": partial(by, _forest, True),
    "network": network,
}
SLOW = ("forest", "network")
