"""Inside the imputer: a table in closed form, refined by a network, kept as plain arrays."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskwise.columns.closed_form import MOST_ROWS, ClosedForm
from maskwise.columns.factors import Factors
from maskwise.columns.gaussian import Gaussian
from maskwise.columns.refinement import Refinement, refine
from maskwise.integrations.sklearn_network import Given, State, learned, samples_of, table_of
from maskwise.measure.features import random_subset

ROWS = 20_000  # at once
MOST_VALUES = 2**23  # of the rows that are kept


def learn(given: Given, names: Sequence[str], dates: str, seed: int) -> State:
    """Return what describes the rows of a table; "closed" is empty if no column varies."""
    table = learned(given, names, dates=dates)
    state: State = {"table": table.save(Path()), "closed": {}, "refinement": {}}
    if not table.features:
        return state
    samples = samples_of(state, given)
    closed = ClosedForm.learn(samples, table.sizes, seed=seed)
    found = refine(closed, samples, seed=seed)
    state["closed"] = plain(closed)
    state["rows"] = some_rows(samples, seed)
    if found is not None:
        state["refinement"] = {
            "weights": found.weights,
            "strength": found.strength,
            "spread": found.spread,
        }
    return state


def some_rows(samples: np.ndarray, seed: int) -> np.ndarray:
    """Return the rows [n, F] that `resampled` draws from: all, or as many as are fitted to."""
    width = samples.shape[1]
    most = min(max(MOST_ROWS, 40 * width), max(MOST_VALUES // width, 1))
    known = samples[~np.isnan(samples).all(axis=1)]
    return known[random_subset(len(known), most, seed)]


def resampled(state: State, rng: np.random.Generator) -> State:
    """Return what describes rows that are drawn, with replacement, from those of `fit`."""
    if not state["closed"]:
        return state
    rows = state["rows"]
    again = closed_form(state["closed"]).again(rows[rng.integers(len(rows), size=len(rows))])
    return state | {"closed": plain(again)}


def complete(
    state: State, given: Given, seed: int | None = None, *, round: bool = True, clip: bool = True
) -> list[np.ndarray]:
    """Return all columns of a table without gaps, as `sklearn_network.complete` does."""
    samples = samples_of(state, given)
    if state["closed"]:
        parts = np.split(samples, range(ROWS, len(samples), ROWS))
        samples = np.concatenate([_filled(state, *each, seed) for each in enumerate(parts)])
    return list(table_of(state).arrays(samples, round=round, clip=clip).values())


def _filled(state: State, part: int, samples: np.ndarray, seed: int | None) -> np.ndarray:
    """Return some samples with their holes filled, drawn if there is a seed."""
    closed, more, spread = closed_form(state["closed"]), np.zeros(1), np.ones(1)
    columns = closed.columns(samples)
    filled = closed.fill(columns)
    if state["refinement"]:
        network = Refinement(**state["refinement"])
        more, spread = network.correct(filled, np.isnan(columns)), network.spread
    if seed is None:
        return closed.features(samples, filled + more)
    return closed.draw(samples, (seed, part), more, spread)


def plain(closed: ClosedForm) -> State:
    """Return a closed form as plain values and arrays."""
    return {
        "sizes": closed.sizes,
        "mean": closed.mean,
        "std": closed.std,
        "knots": {str(column): knots for column, knots in closed.knots.items()},
        "gaussian": vars(closed.gaussian),
        "setting": closed.setting,
    }


def closed_form(state: State) -> ClosedForm:
    """Return the closed form that plain values and arrays describe: the inverse of `plain`."""
    kept = dict(state)
    knots = {int(column): tuple(each) for column, each in kept.pop("knots").items()}
    form = Gaussian if "covariance" in kept["gaussian"] else Factors
    return ClosedForm(**kept | {"gaussian": form(**kept["gaussian"]), "knots": knots})
