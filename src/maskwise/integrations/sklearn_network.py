"""Inside an estimator: a table as columns, and its model, trained in memory and kept as arrays."""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import narwhals as nw
import numpy as np
import torch
from narwhals.dependencies import is_pandas_dataframe, is_polars_dataframe
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data
from torch import Tensor

from maskwise import laws
from maskwise.columns.losses import fit_feature_noise
from maskwise.columns.model import TabularModel, TabularModelSettings
from maskwise.columns.observed import gaps_of
from maskwise.columns.tabular import rows_of
from maskwise.errors import UserError, as_argument, option, speaking
from maskwise.labels import is_nothing
from maskwise.likelihood import fill, log_likelihood
from maskwise.masks import parse_pattern, with_gaps
from maskwise.modalities import build
from maskwise.modality import Entries
from maskwise.settings import from_dict, to_dict
from maskwise.tables.data import tell_apart
from maskwise.tables.dates import written
from maskwise.tables.frames import Columns, columns_of, is_missing
from maskwise.tables.gaps import Filled, put
from maskwise.tables.table import Table
from maskwise.train.batches import Batches
from maskwise.train.config import EfficiencySettings, TrainSettings, connect
from maskwise.train.loop import Learner, Plan, gradients, learning_rate, setup

State = Entries
"""A fitted model as plain values and arrays, so that nothing of torch is ever pickled."""
Library = Literal["numpy", "pandas", "polars"]
"""Where a container comes from."""

FLOATS = [np.float64, np.float32]
ROWS = 4096  # in one call of the model


def as_parameter(key: str, value: str | None = None) -> str:
    """Say a setting as estimators have it.

    >>> as_parameter("data.scale", "quantile"), as_parameter("data.drop", "id")
    ('scale="quantile"', 'X.drop(columns=["id"])')
    """
    name = key.rpartition(".")[2]
    if name == "drop":
        return f"X.drop(columns={json.dumps([value], ensure_ascii=False)})"
    return as_argument(name, value)


@dataclass(frozen=True)
class Given:
    """A table that an estimator was given, a data frame or an array [N, F], and its columns."""

    data: Any
    columns: Columns

    def __len__(self) -> int:
        return len(self.data)

    @property
    def library(self) -> Library:
        """Where the container comes from."""
        if is_pandas_dataframe(self.data):
            return "pandas"
        return "polars" if is_polars_dataframe(self.data) else "numpy"

    def as_array(self) -> "Given":
        """Return a table of numbers only in an array; others as they are."""
        every = self.columns.values()
        if self.library == "numpy" or not all(each.dtype.kind in "fiu" for each in every):
            return self
        array = np.column_stack([each.astype(np.float64) for each in every])
        return Given(array, columns_of(array))

    @property
    def gaps(self) -> np.ndarray:
        """Which values are missing, bool [N, F]."""
        return np.stack([is_missing(column) for column in self.columns.values()], axis=1)

    def filled(self, values: Sequence[np.ndarray]) -> Any:
        """Return the table with gaps filled from `values`, in its own container and types.

        What is not missing stays bit for bit the same; columns of which nothing is known keep
        gaps.
        """
        gaps = {}
        for (name, column), new in zip(self.columns.items(), values, strict=True):
            rows = np.flatnonzero(is_missing(column))
            if len(rows) and not is_missing(new).any():
                gaps[name] = Filled(rows, written(new[rows], column))
        return put(self.data, gaps)


@speaking(as_parameter)
def read(
    estimator: BaseEstimator,
    X: "ArrayLike | Given",
    *,
    reset: bool,
    categorical: str | Collection[str | int] = "infer",
    missing: Any = np.nan,
) -> Given:
    """Return what a pandas or polars frame, or an array, holds, after scikit-learn's checks.

    The estimator remembers (`reset`) or checks the number and the names of columns. Where
    `categorical` names columns, arrays of objects are taken as they are, and so where a text is
    what is missing. Where a number is, the table becomes an array.
    """
    if isinstance(X, Given):  # as another estimator read it
        validate_data(estimator, X.data, reset=reset, skip_check_array=True)
        return X
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 2 and is_nothing(missing):
        X = np.array([[None if is_nothing(v) else v for v in row] for row in X], dtype=object)
    texts = {missing} if isinstance(missing, str) else None
    if not texts and not is_nothing(missing):
        array = validate_data(estimator, X, reset=reset, dtype=FLOATS)
        array = np.where(array == missing, np.nan, array)
        return Given(array, columns_of(array))
    if is_pandas_dataframe(X) or is_polars_dataframe(X):
        if is_pandas_dataframe(X) and not X.columns.is_unique:
            columns_of(X)  # refuses it in one line
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        if not min(X.shape):
            raise ValueError(
                f"Found array with {X.shape[0]} sample(s) and {X.shape[1]} feature(s) (shape="
                f"{X.shape}) while a minimum of 1 is required."
            )
        return Given(X, columns_of(X, texts))
    dtype = FLOATS if isinstance(categorical, str) and not texts else None
    array = validate_data(estimator, X, reset=reset, dtype=dtype, ensure_all_finite="allow-nan")
    return Given(array, columns_of(array, texts))


@speaking(as_parameter)
def begin(
    given: Given,
    names: Sequence[str],
    categorical: str | Collection[str | int],
    scale: str,
    max_categories: int,
    dates: str,
    shape: TabularModelSettings,
    seed: int,
) -> State:
    """Return a model of the rows of a table with random weights; with none, if no column varies.

    `categorical` and `scale` as in `learned`.
    """
    table = learned(given, names, categorical, scale, max_categories, dates)
    if table.features:
        return _state(build(table, shape, seed=seed))
    return {"table": table.save(Path()), "network": to_dict(shape), "weights": {}}


@speaking(as_parameter)
def with_observed(state: State, given: Given, law: str, pattern: str) -> State:
    """Return a model that remembers what rows lack, if the law or the pattern asks for it."""
    rows = rows_of(samples_of(state, given))
    asked = laws.parse(law), parse_pattern(pattern)
    num = len(table_of(state).names)
    _, observed = with_gaps(*asked, lambda: gaps_of(rows, num) if num else None, "X")
    return state if observed is None else state | {"observed": observed.numpy()}


@speaking(as_parameter)
def learned(
    given: Given,
    names: Sequence[str],
    categorical: str | Collection[str | int] = "infer",
    scale: str = "standard",
    max_categories: int = 100,
    dates: str = "keep",
) -> Table:
    """Return how the rows of a table become samples.

    `categorical` is "infer", or names or numbers of columns of numbers that are categories;
    `scale` is "standard" or "quantile"; more than `max_categories` texts are left apart, as dates
    are, unless `dates` are "number".
    """
    if scale not in ("standard", "quantile"):
        raise UserError(f"scale '{scale}' is neither 'standard' nor 'quantile'")
    if dates not in ("keep", "number"):
        raise UserError(f"dates '{dates}' is neither 'keep' nor 'number'")
    if type(max_categories) is not int or max_categories < 1:
        raise UserError(f"max_categories {max_categories!r} must be a whole number from 1")
    chosen = set() if isinstance(categorical, str) else set(categorical)
    if categorical != "infer" and isinstance(categorical, str):
        raise UserError(f"categorical '{categorical}' is neither 'infer' nor a list of columns")
    if unknown := chosen - set(names) - set(range(len(names))):
        raise UserError(f"categorical: there is no column {sorted(unknown, key=str)[0]!r}")
    columns = dict(zip(names, given.columns.values(), strict=True))
    named = {name for number, name in enumerate(names) if {name, number} & chosen}
    numbers = given.library == "numpy" and given.data.dtype.kind in "fiu"
    table = Table.learn(
        *(columns, slice(None)),
        categorical=named,
        scale=scale,
        pairs=not numbers,
        max_categories=max_categories,
        dates=dates == "number",
    )
    tell_apart(table, f" ({option('max_categories')})")
    return table


@speaking(as_parameter)
def learn(
    state: State,
    given: Given,
    law: str,
    pattern: str,
    train: TrainSettings,
    *,
    seed: int,
    accelerator: Literal["cpu", "gpu", "mps", "auto"],
    constant: bool,
) -> State:
    """Return the model after more training, with the noise of its conditionals.

    `seed` is of the order of the rows and the masks; the learning rate may be `constant`.
    """
    if not state["weights"]:
        return state
    model = model_of(state).float().train()
    kept = torch.from_numpy(state["observed"]) if "observed" in state else None
    asked = laws.parse(law), parse_pattern(pattern)
    of, observed = with_gaps(*asked, lambda: kept, "X")
    plan = Plan(of, asked[1], train, seed, observed=observed)
    fabric = connect(EfficiencySettings(accelerator=accelerator))
    wrapped, optimizer = setup(fabric, Learner(model), train)
    rows = rows_of(samples_of(state, given))
    for batch in Batches(rows, batch_size=train.batch_size, seed=seed).read(0, train.steps):
        lr = train.lr if constant else learning_rate(batch.step, train)
        _, loss, _, _ = gradients(fabric, wrapped, optimizer, model, batch, plan, lr)
        if not loss.isfinite():
            raise UserError(f"step {batch.step + 1}: the loss is {float(loss):g}; lower lr={lr:g}")
        optimizer.step()
        optimizer.zero_grad()
    model.cpu().eval()
    fit_feature_noise(model, rows, seed=seed)
    return state | _state(model)


@speaking(as_parameter)
def codes(state: State, given: Given) -> np.ndarray:
    """Return the codes of rows, float64 [N, D]; 0 where no column varies."""
    samples = samples_of(state, given)
    if not state["weights"]:
        return np.zeros((len(samples), width_of(state)))
    return in_parts(model_of(state).encode, samples)


@speaking(as_parameter)
def decoded(state: State, code: np.ndarray, library: Library) -> Any:
    """Return the rows that codes stand for, in a container of a library."""
    weights = state["weights"]
    samples = in_parts(model_of(state).decode, code) if weights else np.zeros((len(code), 0))
    columns = table_of(state).arrays(samples)
    if library == "numpy":
        times = [
            each.astype(object) if each.dtype.kind == "M" else each for each in columns.values()
        ]
        return np.column_stack(times)
    return nw.from_dict(columns, backend=library).to_native()


@speaking(as_parameter)
def complete(
    state: State,
    given: Given,
    seed: int | None = None,
    *,
    round: bool = True,
    clip: bool = True,
) -> list[np.ndarray]:
    """Return all columns of a table without gaps, in its units.

    With a `seed`, what is missing is drawn from what is likely given the others; else it is what
    is expected. Columns of whole numbers get such (`round`) within what they held (`clip`).
    """
    samples = samples_of(state, given)
    if state["weights"]:
        model = model_of(state)
        if seed is None:
            samples = in_parts(lambda x: model.reconstruct(x, torch.zeros_like(x) > 0), samples)
        else:
            x = torch.from_numpy(samples).double()
            samples = fill(model, x, x.isnan(), seed=seed, batch_size=ROWS).numpy()
    return list(table_of(state).arrays(samples, round=round, clip=clip).values())


@speaking(as_parameter)
def scores(state: State, given: Given, passes: int) -> np.ndarray:
    """Return bounds of the log-likelihoods of rows, nats [N]; 0 where nothing is known."""
    samples = samples_of(state, given)
    found = np.zeros(len(samples))
    known = ~np.isnan(samples).all(axis=1)
    if known.any():
        x = torch.from_numpy(samples[known]).double()
        ids = _ids(samples[known])
        bound = log_likelihood(model_of(state), x, passes=passes, sample_ids=ids, batch_size=ROWS)
        found[known] = bound.per_sample.numpy()
    return found


def width_of(state: State) -> int:
    """Return the width of codes."""
    shape = state["network"]
    return int(shape["code"] if shape["kind"] == "mlp" else shape["width"])


def table_of(state: State) -> Table:
    """Return how rows become samples."""
    return Table.load(Path(), state["table"])


def samples_of(state: State, given: Given) -> np.ndarray:
    """Return rows as samples, float32 [N, F]; columns are taken in order."""
    table = table_of(state)
    names = (column.name for column in table.columns)
    return table.encode(dict(zip(names, given.columns.values(), strict=True)))


def _state(model: TabularModel) -> State:
    weights = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
    table, network = model.tokenizer.save(Path()), to_dict(model.config)
    return {"table": table, "network": network, "weights": weights}


def model_of(state: State) -> TabularModel:
    """Return the model in double precision, so that no row depends on its batch by rounding."""
    model = build(table_of(state), from_dict(TabularModelSettings, state["network"]), seed=0)
    model.load_state_dict({key: torch.from_numpy(v) for key, v in state["weights"].items()})
    return model.double().eval()


@torch.no_grad()
def in_parts(compute: Callable[[Tensor], Tensor], rows: np.ndarray) -> np.ndarray:
    """Return what a function makes of rows, computed in double precision, some at a time."""
    parts = torch.from_numpy(np.asarray(rows, dtype=np.float64)).split(ROWS)
    return torch.cat([compute(part) for part in parts]).double().numpy()


def _ids(samples: np.ndarray) -> Tensor:
    """Return a number for each sample that depends on what it holds only, int64 [N].

    It decides the masks of a row, which so do not depend on where in a table the row stands.
    """
    factors = np.random.default_rng(0).integers(1, 2**62, samples.shape[1], dtype=np.uint64)
    words = np.nan_to_num(samples, nan=np.pi).view(np.uint32)
    return torch.from_numpy(((words * (2 * factors + 1)).sum(axis=1) >> 8).astype(np.int64))
