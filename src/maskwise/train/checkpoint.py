"""Checkpoints: one safetensors file with all that a run needs to continue, written atomically."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.files import atomic

NAME = "checkpoint/state.safetensors"


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


def save(folder: Path, state: State, step: int) -> None:
    """Write the checkpoint of `folder` after `step` finished steps, replacing the last one."""
    # The data position is the step: batches are a pure function of it.
    metadata = {"format": "maskwise-checkpoint-1", "step": json.dumps(step)}
    write(folder / NAME, _tensors(state), metadata)


def write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors atomically, wherever they are."""
    with atomic(path) as temporary:
        contents = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        save_file(contents, temporary, metadata)


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
        f" samples {named}; the batch is in {path}; look at it, or lower --train.lr"
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


def restore(folder: Path, state: State) -> int:
    """Load the checkpoint of `folder` into `state`; return the number of finished steps.

    Raises:
        UserError: the file is damaged or is not a checkpoint of this model.
    """
    path = folder / NAME
    way_out = "restore it from a copy, or start again in a new --out folder"
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        step = int(json.loads(metadata["step"]))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(f"checkpoint {path} is damaged ({_first(error)}): {way_out}") from None
    try:
        _fill(state, tensors)
    except (RuntimeError, KeyError) as error:
        raise UserError(
            f"checkpoint {path} does not fit this model ({_first(error)}): {way_out}"
        ) from None
    return step


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
