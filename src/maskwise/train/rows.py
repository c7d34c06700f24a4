"""Weights of a run in a model of other data: what both know is copied, by row if need be."""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.files import Entries
from maskwise.modality import Init, MaskedModel
from maskwise.settings import from_dict
from maskwise.textio import few
from maskwise.train.config import RunSettings
from maskwise.train.start import Start, completed, run_at

FITTED = ("log_variance", "log_spread")
"""what is fitted when training has ended"""
Labels = Sequence[Hashable]
"""what each row stands for, or a column: a token, or the name of a feature and which part of it;
(None, ...): something else, which is not counted"""
Slots = Mapping[str, Mapping[int, Labels]]
"""a weight of a model -> along which of its axes rows stand for something, and for what"""
T = TypeVar("T")
P = TypeVar("P")


def from_runs(
    kind: str,
    *,
    restore: Callable[[Path, Entries], T],
    shape: Collection[str],
    settings: type[P],
    slots: Callable[[T, P], Slots],
    data: Callable[[Start], Entries] = lambda start: {},
    what: str,
) -> Init[Any, Any]:
    """Return how models of a kind start from runs on other data of that kind.

    Args:
        kind: its name.
        restore: see `Modality.restore`.
        shape: settings of a model that its weights decide.
        settings: the class of these.
        slots: (tokenizer, settings of a model) -> which weights belong to tokens or features.
        data: dotted settings of the data that a run decides where they are not given.
        what: these are called.
    """

    def start_at(place: Path) -> Start:
        start = run_at(place, kind)
        if start is None:
            raise UserError(
                f"{place} is no run: models of {kind} start from a run, or its model's folder"
            )
        return start

    def fit(config: RunSettings, place: Path, given: Collection[str]) -> RunSettings:
        start = start_at(place)
        known = start.values["model"]
        told = {f"model.{key}": known[key] for key in shape if key in known}
        told |= {key: each for key, each in data(start).items() if key not in given}
        return completed(config, told, given, place)

    def load(model: MaskedModel, place: Path) -> str:
        start = start_at(place)
        theirs = restore(start.folder, start.values[kind])
        there = slots(theirs, from_dict(settings, start.values["model"]))
        return copy_rows(model, start, slots(model.tokenizer, model.config), there, what)  # type: ignore[arg-type]

    return Init(fit, load, frozenset({"data.tokenizer", "data.tokens"}))


def copy_rows(model: MaskedModel, start: Start, mine: Slots, theirs: Slots, what: str) -> str:
    """Copy what fits of a run into a model; say what that is.

    Args:
        model: which has weights of the same names, and maybe others.
        start: the run.
        mine: which weights of the model belong to tokens or features.
        theirs: the same of the run.
        what: these are called.
    """
    state, weights = model.state_dict(), start.weights
    names = [name for name in weights.shapes if name not in FITTED and name in state]
    taken: list[str] = []
    left = [n for n in weights.shapes if n not in FITTED and n not in state]
    for name in names:
        value = weights.read([name])[name]
        if name in mine and name in theirs:
            copied = _copy_along(state[name], value, mine[name], theirs[name])
        else:
            copied = name not in mine and state[name].shape == value.shape
            if copied:
                state[name].copy_(value)
        (taken if copied else left).append(name)
    new = [name for name in state if name not in FITTED and name not in taken]
    lines = [
        f"starts from {start.place}, a run: {len(taken)} tensors",
        _shared(mine, theirs, what),
    ]
    if left:
        lines.append(f"  left: {few(left)} ({len(left)} tensors)")
    if new:
        lines.append(f"  new: {few(new)} ({len(new)} tensors)")
    return "\n".join(lines)


def _copy_along(
    mine: Tensor, theirs: Tensor, labels: Mapping[int, Labels], there: Mapping[int, Labels]
) -> bool:
    """Copy rows of the same labels, along each axis that has some; say whether there are any."""
    if labels == there and mine.shape == theirs.shape:
        mine.copy_(theirs)
        return True
    rows: dict[int, Tensor] = {}
    for axis, own in labels.items():
        places = {label: row for row, label in enumerate(there.get(axis, ()))}
        both = [(row, places[label]) for row, label in enumerate(own) if label in places]
        if not both:
            return False
        rows[axis], others = torch.tensor(both).T
        theirs = theirs.index_select(axis, others)
    wanted = [len(rows[axis]) if axis in rows else size for axis, size in enumerate(mine.shape)]
    if list(theirs.shape) != wanted:
        return False
    _put(mine, theirs.to(mine.dtype), list(rows.items()))
    return True


def _put(mine: Tensor, value: Tensor, rows: Sequence[tuple[int, Tensor]]) -> None:
    """Write values into rows of a tensor, which may be chosen along several axes."""
    (axis, chosen), *others = rows
    if others:
        part = mine.index_select(axis, chosen)
        _put(part, value, others)
        value = part
    mine.index_copy_(axis, chosen, value)


def _shared(mine: Slots, theirs: Slots, what: str) -> str:
    """Say how much both know."""
    own, there = (
        {label for axes in slots.values() for row in axes.values() for label in row}
        for slots in (mine, theirs)
    )
    names = [{_name(label) for label in labels} - {None} for labels in (own, there)]
    both, more = names[0] & names[1], sorted(map(str, names[0] - names[1]))
    gone = len(names[1] - names[0])
    told = f"  {what}: {len(both):,} of {len(names[0]):,} are those of the run"
    told += f", new ones are {few(more)}" if more else ""
    return told + (f"; {gone:,} of the run are not there" if gone else "")


def _name(label: Hashable) -> Hashable:
    """Return the token or feature that a label is of, which may say more: (name, part)."""
    return label[0] if isinstance(label, tuple) else label
