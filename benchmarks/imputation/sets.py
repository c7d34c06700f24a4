"""Whole tables: numbers, and some categories."""

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import datasets

ROWS = 2000  # at most
SMALL = ("iris", "wine", "diabetes", "breast-cancer", "friedman1", "friedman2", "iris+class")
FRESH = (  # on which no choice was made
    *("linnerud", "friedman3", "swiss-roll", "anes96", "fair", "macrodata", "modechoice"),
    *("randhie", "star98", "etth2", "mfeat-fou"),
)
FILES = {
    "covertype": "covertype15k/train.csv.xz",
    "covertype+kinds": "covertype15k/train.csv.xz",
    "etth1": "etth/ETTh1.csv.xz",
    "mfeat-kar": "mfeat/mfeat-kar.csv.xz",
    "etth2": "etth/ETTh2.csv.xz",
    "mfeat-fou": "mfeat/mfeat-fou.csv.xz",
}


def table(name: str, folder: Path | None = None, rows: int = ROWS) -> pd.DataFrame | None:
    """Return a table with numbers and categories (texts); None where it is not there.

    Columns that do not vary are left out; of more rows than `rows` some are taken at random.
    """
    if name in FILES:
        path = folder and folder / FILES[name]
        if path is None or not path.exists():
            return None
        frame = _read(name, path)
    else:
        try:
            frame = MADE[name]()
        except ImportError:
            return None
    if len(frame) > rows:
        frame = frame.sample(rows, random_state=0)
    frame.columns = [str(column) for column in frame.columns]
    return frame.loc[:, frame.nunique() > 1].reset_index(drop=True)


def _read(name: str, path: Path) -> pd.DataFrame:
    if name.startswith("etth"):
        return pd.read_csv(path).iloc[:, 1:].astype(float)
    if name.startswith("mfeat"):
        return pd.read_csv(path, header=None).iloc[:, :-1].astype(float)
    frame = pd.read_csv(path)
    numbers = frame.iloc[:, 1:11].astype(float)
    if name == "covertype":
        return numbers
    area, soil = (
        frame.filter(regex=start).to_numpy().argmax(axis=1) for start in ("^Wild", "^Soil")
    )
    return numbers.assign(area=[f"area{n}" for n in area], soil=[f"soil{n}" for n in soil])


def _shipped(load: Callable[..., Any], kind: bool = False) -> pd.DataFrame:
    found = load(as_frame=True)
    frame = found.data.astype(float)
    return frame.assign(kind=[f"kind{n}" for n in found.target]) if kind else frame


def _statsmodels(name: str) -> pd.DataFrame:
    found = importlib.import_module(f"statsmodels.datasets.{name}").load_pandas().data
    return found.dropna().astype(float)


def _linnerud() -> pd.DataFrame:
    found = datasets.load_linnerud(as_frame=True)
    return pd.concat([found.data, found.target], axis=1).astype(float)


def _made(make: Callable[..., tuple[np.ndarray, np.ndarray]], noise: float) -> pd.DataFrame:
    values, target = make(n_samples=ROWS, noise=noise, random_state=0)
    return pd.DataFrame(np.column_stack([values, target]))


MADE: dict[str, Callable[[], pd.DataFrame]] = {
    "iris": partial(_shipped, datasets.load_iris),
    "iris+class": partial(_shipped, datasets.load_iris, kind=True),
    "wine": partial(_shipped, datasets.load_wine),
    "diabetes": partial(_shipped, partial(datasets.load_diabetes, scaled=False)),
    "breast-cancer": partial(_shipped, datasets.load_breast_cancer),
    "digits": partial(_shipped, datasets.load_digits),
    "friedman1": partial(_made, datasets.make_friedman1, 0.5),
    "friedman2": partial(_made, datasets.make_friedman2, 20.0),
    "linnerud": _linnerud,
    "friedman3": partial(_made, datasets.make_friedman3, 0.1),
    "swiss-roll": partial(_made, datasets.make_swiss_roll, 0.1),
    **{
        name: partial(_statsmodels, name)
        for name in ("anes96", "fair", "macrodata", "modechoice", "randhie", "star98")
    },
}
NAMES = (*MADE, *FILES)
