"""Inside the estimators that answer: tables as samples, models as plain values and arrays."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np

from maskwise.columns.answers import Answers
from maskwise.columns.class_normals import ClassNormals
from maskwise.columns.partial import ClassModel, Codes, NumberModel
from maskwise.integrations.sklearn_closed import closed_form
from maskwise.integrations.sklearn_closed import plain as plain_form
from maskwise.integrations.sklearn_network import (
    Given,
    State,
    in_parts,
    learned,
    model_of,
    samples_of,
    table_of,
)
from maskwise.predict.conformal import Calibration
from maskwise.predict.heads import Linear
from maskwise.predict.voices import Voices
from maskwise.tables.frames import columns_of

PARTS = {
    "alike": ClassNormals,
    "apart": ClassNormals,
    "linear": Linear,
    "network": Answers,
    "voices": Voices,
    "calibration": Calibration,
}


def joined(first: Given, second: Given) -> Given:
    """Return the rows of two tables as one."""
    if first.library == "numpy":
        data: Any = np.concatenate([first.data, second.data])
    else:
        both = [nw.from_native(each.data, eager_only=True) for each in (first, second)]
        data = nw.concat(both, how="vertical").to_native()
    return Given(data, columns_of(data))


def table(given: Given, names: Sequence[str]) -> State:
    """Return how the rows of a table become samples, as plain values."""
    return learned(given, names).save(Path())


def samples(table: State, given: Given) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return rows as samples, [N, F], and the categories of each feature, 0 = a number.

    Where no column varies there is one that is 0 throughout.
    """
    state = {"table": table}
    sizes = table_of(state).sizes
    if not sizes:
        return np.zeros((len(given), 1)), (0,)
    return samples_of(state, given).astype(np.float64), sizes


def codes(state: State) -> Codes | None:
    """Return what makes codes, of a fitted `MaskedAutoencoder`; None where no column varies."""
    if not state["weights"]:
        return None
    model = model_of(state)
    return lambda samples: in_parts(model.encode, samples)


def plain(model: ClassModel | NumberModel) -> State:
    """Return a model as plain values and arrays."""
    found: State = {}
    for field in fields(model):
        part = getattr(model, field.name)
        found[field.name] = vars(part) if is_dataclass(part) else {}
    return found | {"closed": plain_form(model.closed)}


def model(state: State) -> Any:
    """Return the `ClassModel` or `NumberModel` that plain values and arrays describe."""
    parts: dict[str, Any] = {
        name: form(**state[name]) if state[name] else None
        for name, form in PARTS.items()
        if name in state
    }
    made = ClassModel if "alike" in state else NumberModel
    return made(closed=closed_form(state["closed"]), **parts)
