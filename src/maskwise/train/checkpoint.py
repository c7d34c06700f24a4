"""Checkpoints: safetensors files with all that a run needs to continue, the newest of a run."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from maskwise.errors import UserError, option
from maskwise.files import atomic

log = logging.getLogger("maskwise")
NAME = "checkpoint/state.safetensors"
FORMATS = ("maskwise-checkpoint-1", "maskwise-checkpoint-2")
"""without and with a digest"""


class Damaged(Exception):
    """A file is no checkpoint, or not what was written."""


@dataclass(frozen=True)
class State:
    """What a checkpoint restores: live objects and the number of finished steps."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: nn.Module | None = None
    probe: "State | None" = None
    """of a probe that learns beside the model"""
    objective: nn.Module | None = None
    """what is minimised, which may learn too"""


Interval = Sequence[dict[str, float]]
"""what was counted in the steps since the last line of metrics.jsonl"""


class Restored(NamedTuple):
    """Where a run goes on."""

    step: int = 0
    interval: Interval = ()


def save(folder: Path, state: State, step: int, keep: int = 2, interval: Interval = ()) -> None:
    """Write the checkpoint of `folder` after `step` finished steps; earlier ones step back.

    Args:
        folder: the run folder.
        state: what is kept.
        step: how many steps are finished: the data position too, since batches are a pure
            function of it.
        keep: how many checkpoints there are then at most.
        interval: what was counted since the last line of metrics.jsonl.
    """
    tensors = {name: _plain(value) for name, value in _tensors(state).items()}
    metadata = {"format": FORMATS[-1], "step": str(step), "interval": json.dumps(interval)}
    metadata["digest"] = _digest(tensors, metadata)
    with atomic(folder / NAME, durable=True) as temporary:
        save_file(tensors, temporary, metadata)
        _step_back(folder)
    # Not before the new one has its name: until then they are all that a run has.
    for path in places(folder)[keep:]:
        path.unlink()


def _step_back(folder: Path) -> None:
    """Give checkpoints the next number, up to one that is free, so that none is written over."""
    free = next(number for number in count() if not _place(folder, number).exists())
    for number in range(free, 0, -1):
        _place(folder, number - 1).replace(_place(folder, number))


def places(folder: Path) -> list[Path]:
    """Return the checkpoints of a run folder, the newest first."""
    earlier = [path.stem.removeprefix("state-") for path in folder.glob(f"{_place(Path(), '*')}")]
    numbers = sorted(int(number) for number in earlier if number.isdecimal())
    found = [_place(folder, number) for number in (0, *numbers)]
    return [path for path in found if path.exists()]


def _place(folder: Path, number: int | str) -> Path:
    return folder / (f"checkpoint/state-{number}.safetensors" if number else NAME)


def write(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors atomically, wherever they are."""
    with atomic(path) as temporary:
        save_file({name: _plain(value) for name, value in tensors.items()}, temporary)


def _plain(value: Tensor) -> Tensor:
    return value.detach().cpu().contiguous()


def _digest(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """Return what tells these tensors of this step from all others."""
    said = {key: value for key, value in metadata.items() if key != "digest"}
    found = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name]
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def failed(
    folder: Path, step: int, rank: int, tensors: dict[str, Tensor], loss: float, grad_norm: float
) -> UserError:
    """Keep the batch of a step that has no finite loss or gradient; return what is to be said."""
    path = folder / "failure" / f"step-{step + 1:06d}-rank-{rank}.safetensors"
    write(path, tensors)
    ids = tensors["ids"].tolist()
    named = ", ".join(map(str, ids[:8])) + (", ..." if len(ids) > 8 else "")
    return UserError(
        f"step {step + 1}: loss {loss:g} and gradient norm {grad_norm:g} are not finite;"
        f" samples {named}; the batch is in {path}; look at it, or lower {option('train.lr')}"
    )


def _tensors(state: State) -> dict[str, Tensor]:
    tensors = {
        f"{name}.{key}": value
        for name, module in _modules(state)
        for key, value in module.state_dict().items()
    }
    names = _parameter_names(state)
    for parameter, values in state.optimizer.state.items():
        for key, value in values.items():
            tensors[f"optimizer.{key}.{names[parameter]}"] = value
    if state.probe is not None:
        tensors |= {f"probe.{k}": v for k, v in _tensors(state.probe).items()}
    return tensors


def restore(
    folder: Path, state: State, steps: int | None = None, *, tidy: bool = False
) -> Restored:
    """Load the newest checkpoint of `folder` that is whole; return where it goes on.

    Those that are damaged are named. Without any this is step 0.

    Args:
        folder: the run folder.
        state: what is filled.
        steps: how many there are in all.
        tidy: those that are damaged are set aside, where a whole one is found, so that later ones
            do not push it out.

    Raises:
        UserError: all are damaged, or are not checkpoints of this model.
    """
    complaints: dict[Path, str] = {}
    for path in places(folder):
        try:
            found, tensors = _read(path, steps)
            _require_finite(state, tensors)
            _fill(state, tensors)
        except Damaged as error:
            complaints[path] = f"checkpoint {path} is damaged ({error})"
        except (RuntimeError, KeyError) as error:
            complaints[path] = f"checkpoint {path} does not fit this model ({_first(error)})"
        else:
            said = f"going on from step {found.step} of {path.name}"
            for bad, complaint in complaints.items():
                log.warning("%s: %s", complaint, said)
                if tidy:
                    _set_aside(bad)
            return found
    if complaints:
        [complaint, *_] = complaints.values()
        raise UserError(
            f"{complaint}: restore it from a copy, or start again in a new folder,"
            f" by {option('out')}"
        )
    return Restored()


def _set_aside(path: Path) -> None:
    names = (path.with_name(f"damaged-{number}.safetensors") for number in count(1))
    path.replace(next(name for name in names if not name.exists()))


def read_weights(folder: Path) -> tuple[int, dict[str, Tensor]] | None:
    """Return the step and the weights to keep of the newest checkpoint that is whole.

    These are the averaged ones, where training averages; None: there is no such checkpoint.
    """
    for path in places(folder):
        try:
            found, tensors = _read(path, None)
        except Damaged as error:
            log.warning("checkpoint %s is damaged (%s)", path, error)
        else:
            averaged = _part(tensors, "average.module.")
            return found.step, averaged or _part(tensors, "model.")
    return None


def _read(path: Path, steps: int | None) -> tuple[Restored, dict[str, Tensor]]:
    """Return a checkpoint that is what was written."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise Damaged(_first(error)) from None
    step = metadata.get("step", "")
    if metadata.get("format") not in FORMATS:
        raise Damaged("no checkpoint")
    if not step.isdecimal() or (steps is not None and int(step) > steps):
        raise Damaged(f"step {step!r:.20}")
    if metadata["format"] != FORMATS[0] and metadata.get("digest") != _digest(tensors, metadata):
        raise Damaged("its tensors are not those that were written")
    return Restored(int(step), json.loads(metadata.get("interval", "[]"))), tensors


def _require_finite(state: State, tensors: dict[str, Tensor]) -> None:
    # Not of buffers: what is fitted when training has ended is NaN until then.
    learned = {f"model.{name}" for name, _ in state.model.named_parameters()}
    for name, value in tensors.items():
        if (name in learned or name.startswith("optimizer.")) and not value.isfinite().all():
            raise Damaged(f"{name} is not finite")


def _fill(state: State, tensors: dict[str, Tensor]) -> None:
    for name, module in _modules(state):
        module.load_state_dict(_part(tensors, f"{name}."))
    _restore_optimizer(state, _part(tensors, "optimizer."))
    if state.probe is not None:
        _fill(state.probe, _part(tensors, "probe."))


def _restore_optimizer(state: State, tensors: dict[str, Tensor]) -> None:
    """Fill the optimizer's state in place; keys are "exp_avg.PARAMETER" and the like."""
    for parameter, name in _parameter_names(state).items():
        values: dict[str, Tensor] = {}
        if f"step.{name}" not in tensors:  # never had a gradient
            continue
        for key in ("step", "exp_avg", "exp_avg_sq"):
            value = tensors[f"{key}.{name}"]
            if key != "step" and value.shape != parameter.shape:
                raise RuntimeError(f"optimizer state of {name} has shape {tuple(value.shape)}")
            # In memory of its own: what was read may lie anywhere in that of the file.
            values[key] = value.to(parameter.device, copy=True)
        state.optimizer.state[parameter] = values


def _modules(state: State) -> list[tuple[str, nn.Module]]:
    parts = {"model": state.model, "average": state.average, "objective": state.objective}
    return [(name, module) for name, module in parts.items() if module is not None]


def _parameter_names(state: State) -> dict[Tensor, str]:
    names: dict[Tensor, str] = {}
    names |= {parameter: name for name, parameter in state.model.named_parameters()}
    if state.objective is not None:
        learned = state.objective.named_parameters(prefix="objective")
        names |= {parameter: name for name, parameter in learned}
    return names


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
