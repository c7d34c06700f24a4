"""The model inside an estimator: trained in memory, kept as arrays."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from maskwise import laws
from maskwise.columns.losses import fit_feature_noise
from maskwise.columns.model import TabularModel, TabularModelSettings
from maskwise.columns.tabular import rows_of
from maskwise.errors import UserError
from maskwise.likelihood import fill, log_likelihood
from maskwise.masks.patterns import Scattered
from maskwise.modality import Entries
from maskwise.run import build
from maskwise.settings import from_dict, to_dict
from maskwise.tables.table import Table
from maskwise.train.config import EfficiencySettings, TrainSettings
from maskwise.train.loop import Batches, Learner, Plan, connect, gradients, learning_rate, setup

State = Entries
"""A fitted model as plain values and arrays, so that nothing of torch is ever pickled."""

ROWS = 4096  # in one call of the model


def begin(table: Table, shape: TabularModelSettings, seed: int) -> State:
    """Return a model with random weights; with none, if no column varies."""
    if table.features:
        return _state(build(table, shape, seed=seed))
    return {"table": table.save(Path()), "network": to_dict(shape), "weights": {}}


def learn(
    state: State,
    samples: np.ndarray,
    law: str,
    train: TrainSettings,
    *,
    seed: int,
    accelerator: Literal["cpu", "gpu", "mps", "auto"],
    constant: bool,
) -> State:
    """Return the model after more training, with the noise of its conditionals.

    Args:
        state: the model so far.
        samples: float32 [N, F].
        law: of the mask ratio.
        train: steps, batches, learning rate.
        seed: of the order of the rows and the masks.
        accelerator: where.
        constant: whether the learning rate stays the same.

    Raises:
        UserError: the loss is not finite.
    """
    if not state["weights"]:
        return state
    model = _model(state).float().train()
    plan = Plan(laws.parse(law), Scattered(), train, seed)
    fabric = connect(EfficiencySettings(accelerator=accelerator))
    wrapped, optimizer = setup(fabric, Learner(model), train)
    rows = rows_of(samples)
    for batch in Batches(rows, batch_size=train.batch_size, seed=seed).read(0, train.steps):
        lr = train.lr if constant else learning_rate(batch.step, train)
        _, loss, _, _ = gradients(fabric, wrapped, optimizer, model, batch, plan, lr)
        if not loss.isfinite():
            raise UserError(f"step {batch.step + 1}: the loss is {float(loss):g}; lower lr={lr:g}")
        optimizer.step()
        optimizer.zero_grad()
    model.cpu().eval()
    fit_feature_noise(model, rows, seed=seed)
    return _state(model)


def table_of(state: State) -> Table:
    """Return how rows become samples."""
    return Table.load(Path(), state["table"])


@torch.no_grad()
def codes(state: State, samples: np.ndarray) -> np.ndarray:
    """Return the codes of samples, float64 [N, D]; 0 where no column varies."""
    if not state["weights"]:
        return np.zeros((len(samples), width_of(state)))
    model = _model(state)
    return _in_parts(model.encode, samples)


@torch.no_grad()
def decoded(state: State, code: np.ndarray) -> np.ndarray:
    """Return the samples that codes stand for, [N, F]."""
    if not state["weights"]:
        return np.zeros((len(code), 0))
    return _in_parts(_model(state).decode, code)


@torch.no_grad()
def complete(state: State, samples: np.ndarray, seed: int | None = None) -> list[np.ndarray]:
    """Return all columns of the table that samples are of, without gaps, in its units.

    Args:
        state: the model.
        samples: float32 [N, F].
        seed: draw what is missing from what is likely given the others; None: what is expected.
    """
    table = table_of(state)
    if state["weights"]:
        model = _model(state)
        if seed is None:
            samples = _in_parts(lambda x: model.reconstruct(x, torch.zeros_like(x) > 0), samples)
        else:
            x = torch.from_numpy(samples).double()
            samples = fill(model, x, x.isnan(), seed=seed, batch_size=ROWS).numpy()
    return list(table.arrays(samples).values())


def scores(state: State, samples: np.ndarray, passes: int) -> np.ndarray:
    """Return bounds of the log-likelihoods of samples, nats [N]; 0 where nothing is known."""
    found = np.zeros(len(samples))
    known = ~np.isnan(samples).all(axis=1)
    if known.any():
        x = torch.from_numpy(samples[known]).double()
        ids = _ids(samples[known])
        bound = log_likelihood(_model(state), x, passes=passes, sample_ids=ids, batch_size=ROWS)
        found[known] = bound.per_sample.numpy()
    return found


def width_of(state: State) -> int:
    """Return the width of codes."""
    shape = state["network"]
    return int(shape["code"] if shape["kind"] == "mlp" else shape["width"])


def _state(model: TabularModel) -> State:
    weights = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
    return {
        "table": model.tokenizer.save(Path()),
        "network": to_dict(model.config),
        "weights": weights,
    }


def _model(state: State) -> TabularModel:
    """Return the model in double precision, so that no row depends on its batch by rounding."""
    model = build(table_of(state), from_dict(TabularModelSettings, state["network"]), seed=0)
    model.load_state_dict({key: torch.from_numpy(v) for key, v in state["weights"].items()})
    return model.double().eval()


def _in_parts(compute: Callable[[Tensor], Tensor], rows: np.ndarray) -> np.ndarray:
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
