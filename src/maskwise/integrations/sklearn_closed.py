"""Inside the imputer: a table in closed form, refined where that helps, kept as plain values."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskwise.columns.closed_density import log_density
from maskwise.columns.closed_form import ClosedForm
from maskwise.columns.factors import Factors
from maskwise.columns.gaussian import Gaussian
from maskwise.columns.refinement import FORMS, Refinement, refine
from maskwise.integrations.sklearn_network import Given, State, learned, samples_of, table_of

ROWS = 20_000  # at once


def learn(given: Given, names: Sequence[str], dates: str, seed: int) -> State:
    """Return what describes the rows of a table; "closed" is empty if no column varies."""
    table = learned(given, names, dates=dates)
    state: State = {"table": table.save(Path()), "closed": {}, "refinement": {}}
    if not table.features:
        return state
    samples = samples_of(state, given)
    closed = ClosedForm.learn(samples, table.sizes, seed=seed)
    found = refine(closed, samples, seed=seed)
    state["closed"] = {
        "sizes": closed.sizes,
        "mean": closed.mean,
        "std": closed.std,
        "knots": {str(column): knots for column, knots in closed.knots.items()},
        "steps": {str(column): steps for column, steps in closed.steps.items()},
        "gaussian": vars(closed.gaussian),
    }
    if found is not None:
        state["refinement"] = {
            "parts": {name: vars(part) for name, part in found.parts.items()},
            "strength": found.strength,
            "spread": found.spread,
        }
    return state


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
    found = log_density(_closed(state), samples.astype(np.float64), whole)
    for place, column in numbers.items():
        if place not in whole:
            found -= np.where(np.isnan(samples[:, place]), 0, np.log(column.std))
    return found


def _filled(state: State, part: int, samples: np.ndarray, seed: int | None) -> np.ndarray:
    """Return some samples with their holes filled, drawn if there is a seed."""
    closed, more, spread = _closed(state), np.zeros(1), np.ones(1)
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


def _closed(state: State) -> ClosedForm:
    kept = dict(state["closed"])
    for name in ("knots", "steps"):
        kept[name] = {int(column): tuple(each) for column, each in kept[name].items()}
    form = Gaussian if "covariance" in kept["gaussian"] else Factors
    return ClosedForm(**kept | {"gaussian": form(**kept["gaussian"])})
