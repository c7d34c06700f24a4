"""Inside the imputer: a table in closed form, refined where that helps, kept as plain values."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskwise.columns.closed_density import log_density
from maskwise.columns.closed_form import MOST_ROWS, ClosedForm
from maskwise.columns.factors import Factors
from maskwise.columns.gaussian import Gaussian
from maskwise.columns.refinement import FORMS, Refinement, refine
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
            "parts": {name: vars(part) for name, part in found.parts.items()},
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


def scores(state: State, given: Given) -> np.ndarray:
    """Return the log-likelihoods of rows in closed form, nats [N]; 0 where nothing is known.

    Densities are in the units of the table.
    """
    samples = samples_of(state, given)
    if not state["closed"]:
        return np.zeros(len(samples))
    numbers = {
        place: each for place, each in enumerate(table_of(state).features) if each.kind == "number"
    }
    whole = {
        place: (1 / each.std, *((np.array(each.limits) - each.mean) / each.std).tolist())
        for place, each in numbers.items()
        if each.limits
    }
    found = log_density(closed_form(state["closed"]), samples.astype(np.float64), whole)
    for place, column in numbers.items():
        if place not in whole:
            found -= np.where(np.isnan(samples[:, place]), 0, np.log(column.std))
    return found


def _filled(state: State, part: int, samples: np.ndarray, seed: int | None) -> np.ndarray:
    """Return some samples with their holes filled, drawn if there is a seed."""
    closed, more, spread = closed_form(state["closed"]), np.zeros(1), np.ones(1)
    columns = closed.columns(samples)
    filled = closed.fill(columns)
    if state["refinement"]:
        refinement = _refinement(state)
        more, spread = refinement.correct(filled, np.isnan(columns)), refinement.spread
    if seed is None:
        return closed.features(samples, filled + more)
    return closed.draw(samples, (seed, part), more, spread)


def _refinement(state: State) -> Refinement:
    kept = dict(state["refinement"])
    parts = {name: FORMS[name](**values) for name, values in kept.pop("parts").items()}
    return Refinement(parts, **kept)


def plain(closed: ClosedForm) -> State:
    """Return a closed form as plain values and arrays."""
    return {
        "sizes": closed.sizes,
        "mean": closed.mean,
        "std": closed.std,
        "knots": {str(column): knots for column, knots in closed.knots.items()},
        "steps": {str(column): steps for column, steps in closed.steps.items()},
        "gaussian": vars(closed.gaussian),
        "setting": closed.setting,
    }


def closed_form(state: State) -> ClosedForm:
    """Return the closed form that plain values and arrays describe: the inverse of `plain`."""
    kept = dict(state)
    for name in ("knots", "steps"):
        kept[name] = {int(column): tuple(each) for column, each in kept[name].items()}
    form = Gaussian if "covariance" in kept["gaussian"] else Factors
    return ClosedForm(**kept | {"gaussian": form(**kept["gaussian"])})
