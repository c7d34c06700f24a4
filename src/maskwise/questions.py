"""What to measure next of samples of a run, and what answers to them are due to."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from maskwise.errors import UserError
from maskwise.modality import Incomplete
from maskwise.outputs import first_columns
from maskwise.predict.acquire import Acquisition, acquire
from maskwise.predict.asked import ModelAsked
from maskwise.predict.asking import ModelAsking
from maskwise.predict.attribute import Attribution, Of, attribute
from maskwise.predict.choosing import Costs
from maskwise.predictor import Predictor
from maskwise.rows import columns, rows_of, said_encoding
from maskwise.textio import few

log = logging.getLogger("maskwise")
_NAMES, _COSTS = ("name", "column", "gene", "position"), ("cost", "price")


def ask(
    predictor: Predictor | None,
    asked: ModelAsked,
    *,
    cost: Costs = None,
    batch: int | None = None,
    budget: float | None = None,
    draws: int = 32,
    seed: int = 0,
) -> Acquisition:
    """Return what to measure next of samples; see `Run.acquire`.

    Args:
        predictor: what says labels; None: all else that is not there is to be known.
        asked: the samples.
        cost: of positions.
        batch: how many are measured together.
        budget: what they may cost together.
        draws: of what is hidden.
        seed: of these.
    """
    _tell(asked.data)
    asking = ModelAsking(asked, own=() if predictor is None else predictor.own)
    if not asking.missing.any() and (asked.there.sum(axis=1) < asked.whole).any():
        raise UserError("which gaps of these samples are meant is not known: say it with hidden=")
    return acquire(
        asking,
        None if predictor is None else predictor.head,
        about="everything" if predictor is None else "label",
        cost=cost,
        batch=batch,
        budget=budget,
        draws=draws,
        seed=seed,
    )


def explain(
    predictor: Predictor,
    asked: ModelAsked,
    *,
    of: Of = "probability",
    se: float = 0.02,
    max_permutations: int = 2000,
    seed: int = 0,
) -> Attribution:
    """Return what answers to samples are due to; see `Run.attribute`."""
    _tell(asked.data)
    return attribute(
        asked,
        predictor.head,
        of=of,
        names=ModelAsking(asked, own=predictor.own).names,
        classes=predictor.classes or (predictor.label,),
        se=se,
        max_permutations=max_permutations,
        seed=seed,
    )


def asked_columns(found: Acquisition, data: Incomplete) -> dict[str, list[str] | np.ndarray]:
    """Return what to measure next as a table with a row for each sample of a source.

    `name`, `status`, `ask`, the names of what is chosen joined by |, what that tells (`nats`, with
    its error `stderr`) and costs (`cost`), and for each position what it tells, `nats NAME`.
    """
    names = ["|".join(found.names[each] for each in chosen) for chosen in found.chosen]
    cost = np.array([found.cost[chosen].sum() for chosen in found.chosen])
    numbers = {"nats": found.joint, "stderr": found.joint_stderr, "cost": cost}
    numbers |= {f"nats {name}": each for name, each in zip(found.names, found.gain.T, strict=True)}
    return _table(data, {"ask": names}, numbers)


def explained_columns(found: Attribution, data: Incomplete) -> dict[str, list[str] | np.ndarray]:
    """Return what answers are due to as a table with a row for each sample of a source.

    `name`, `status`, `answer`, the class that is answered, the `base` with nothing visible and the
    `value` with what is there, and for each position what it did to that, by its name.
    """
    best = found.answer.argmax(axis=1)
    rows = np.arange(len(best))
    numbers = {"base": found.base[rows, best], "value": found.answer[rows, best]}
    every = found.values[rows, :, best].T
    numbers |= {f"due to {name}": each for name, each in zip(found.names, every, strict=True)}
    return _table(data, {"answer": [found.classes[each] for each in best]}, numbers)


def read_costs(path: Path) -> dict[str, float]:
    """Return the costs that a table has, by name.

    Args:
        path: a file with a column `name` (`column`, `gene`, `position`) and one `cost` (`price`).

    Raises:
        UserError: it cannot be read, has other columns, a name twice, or a cost that is no number.
    """
    encoding = "auto" if path.suffix == ".parquet" else said_encoding(path)
    rows = [(where, row) for where, row in rows_of(path, encoding) if isinstance(row, dict)]
    name, cost = columns(path, list(rows[0][1]) if rows else [], _NAMES, _COSTS)
    found: dict[str, float] = {}
    for where, row in rows:
        called = str(row[name]).strip()
        if called in found:
            raise UserError(f"{path}: {called!r} has two costs: keep one")
        try:
            found[called] = float(row[cost])
        except (TypeError, ValueError):
            raise UserError(
                f"{path}, {where}: the cost of {called!r} is {row[cost]!r}: give a number"
            ) from None
    return found


def _table(
    data: Incomplete, texts: dict[str, list[str]], numbers: dict[str, np.ndarray]
) -> dict[str, list[str] | np.ndarray]:
    """Return columns with a row for each sample, also for those that could not be read."""
    num, kept = data.num, data.kept
    made: dict[str, list[str] | np.ndarray] = {**first_columns(num, data.names, data.broken)}
    for name, values in texts.items():
        every = dict(zip(kept.tolist(), values, strict=True))
        made[name] = [every.get(row, "") for row in range(num)]
    for name, column in numbers.items():
        spread = np.full(num, np.nan)
        spread[kept] = [float(f"{value:.6g}") for value in column]
        made[name] = spread
    return made


def _tell(data: Incomplete) -> None:
    """Say which samples could not be read."""
    if data.broken:
        names: Any = data.names or range(1, data.num + 1)
        told = few([f"{names[row]}: {why}" for row, why in data.broken.items()])
        log.warning("%d samples cannot be read and are left out: %s", len(data.broken), told)
