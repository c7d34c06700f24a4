"""Where a training starts from: a run of ours with its weights, and settings that fit these."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from maskwise.errors import UserError, as_text, option
from maskwise.files import Entries, read_json
from maskwise.layers.weights import Weights, open_weights
from maskwise.settings import flatten, override, to_dict
from maskwise.train.checkpoint import places

C = TypeVar("C")


@dataclass(frozen=True)
class Start:
    """A model of ours.

    Args:
        place: where it is, as it was named.
        folder: which describes it.
        values: what config.json there says.
        weights: under our names.
    """

    place: Path
    folder: Path
    values: Entries
    weights: Weights


def run_at(place: Path, modality: str) -> Start | None:
    """Return the model of a run or of a model's folder; of a run that was stopped, the newest.

    None: there is no such thing at this place.

    Raises:
        UserError: it is of another kind of data, or damaged.
    """
    folder = next(
        (each for each in (place / "model", place) if (each / "weights.safetensors").is_file()),
        place / "checkpoint",
    )
    newest = places(place)[:1]
    path = newest[0] if folder.name == "checkpoint" and newest else folder / "weights.safetensors"
    if not (path.is_file() and (folder / "config.json").is_file()):
        return None
    values = read_json(folder / "config.json")
    if not isinstance(values, dict) or not isinstance(values.get("model"), dict):
        raise UserError(f"{folder / 'config.json'} is no model description")
    if values.get("modality") != modality:
        raise UserError(f"{place} is a model of {values.get('modality')}, not of {modality}")
    if values.get("own_encoder") or "network" in values:
        raise UserError(
            f"{place} was trained with a network that is not ours, which no other starts from"
        )
    weights = open_weights(path)
    if newest and path == newest[0]:
        average = any(name.startswith("average.module.") for name in weights.shapes)
        weights = weights.below("average.module." if average else "model.")
    return Start(place, folder, values, weights)


def completed(
    config: C, told: Mapping[str, Any], given: Collection[str], place: Path, what: str = "has"
) -> C:
    """Return settings with those that weights decide, where they are not given.

    Args:
        config: settings.
        told: dotted settings that weights decide.
        given: dotted settings that are given.
        place: where the weights are.
        what: they do with a value.

    Raises:
        UserError: one that is given is another.
    """
    values = flatten(to_dict(config))
    for key, value in told.items():
        if key in given and not _same(values[key], value):
            raise UserError(
                f"{option(key, as_text(values[key]))}: {place} {what} {as_text(value)}: leave it"
                " out"
            )
    return override(config, {key: value for key, value in told.items() if key not in given})


def _same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=1e-6)
    return one == other
