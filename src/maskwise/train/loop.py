"""The training loop."""

import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from maskwise import masks
from maskwise.errors import UserError
from maskwise.files import atomic
from maskwise.masks import Mask
from maskwise.modality import AnyModel, encoder_of
from maskwise.objectives.reconstruction import importance, sample_weights
from maskwise.objectives.regularise import penalty
from maskwise.rng import Keys
from maskwise.train import checkpoint
from maskwise.train.batches import Batch, Batches
from maskwise.train.config import Config, Efficiency
from maskwise.train.metrics import Metrics, Progress
from maskwise.train.monitor import Monitor
from maskwise.train.optim import learning_rate, make_optimizer
from maskwise.train.stop import StopRequest

if TYPE_CHECKING:  # it takes a second to import, and only those who train need it
    from lightning_fabric import Fabric


def connect(efficiency: Efficiency) -> "Fabric":
    """Return the devices that the configuration asks for, not yet launched."""
    from lightning_fabric import Fabric

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    return Fabric(
        accelerator=efficiency.accelerator,
        devices=efficiency.devices,
        num_nodes=efficiency.nodes,
        strategy=efficiency.strategy,
        precision="bf16-mixed" if efficiency.precision == "bf16" else "32-true",
    )


def setup(
    fabric: "Fabric", model: AnyModel, optimizer: torch.optim.Optimizer
) -> tuple[Any, torch.optim.Optimizer]:
    """Return model and optimizer as the devices run them."""
    wrapped, made = cast(tuple[Any, Any], fabric.setup(model, optimizer))
    wrapped.mark_forward_method("losses_and_features")
    return wrapped, made


def train(
    fabric: "Fabric",
    model: AnyModel,
    batches: Batches,
    config: Config,
    folder: Path,
    *,
    monitor: Monitor | None = None,
    resume: bool = False,
) -> tuple[AnyModel, dict[str, Any]]:
    """Train `model` and return the model to keep, with a summary for result.json.

    Args:
        fabric: launched.
        model: with its initial weights.
        batches: what each step sees.
        config: the resolved configuration.
        folder: the run folder, which exists.
        monitor: of `model`; None = nothing is measured on the way.
        resume: continue from the folder's checkpoint, if it has one.

    Raises:
        UserError: a damaged checkpoint, a loss that is not finite, or a disk that is full.
        KeyboardInterrupt: after a stop was asked for and the state was saved.
    """
    settings = config.train
    wrapped, optimizer = setup(fabric, model, make_optimizer(model, settings))
    average = None
    if settings.ema is not None:
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.ema))
    if not fabric.is_global_zero:
        monitor = None  # one device measures; the others wait for it at the next step
    probe = None
    if monitor is not None and monitor.probe is not None:
        probe = checkpoint.State(monitor.probe, monitor.probe.optimizer)
    state = checkpoint.State(model, optimizer, average, probe)
    start = 0
    if resume and (folder / checkpoint.NAME).exists():
        start = checkpoint.restore(folder, state)
    metrics = Metrics(folder, start, enabled=fabric.is_global_zero)

    wrapped.train()
    with (
        StopRequest() as stop,
        Progress(settings.steps, start, enabled=fabric.is_global_zero) as progress,
    ):
        clock = time.perf_counter()
        for batch in batches.read(start, settings.steps, config.efficiency.workers):
            lr = learning_rate(batch.step, settings)
            if monitor is not None:
                monitor.step(batch)
            part, loss, terms, norm = gradients(
                fabric, wrapped, optimizer, model, batch, config, lr
            )
            # A stop that one device is asked for stops all of them at the same step.
            asked = loss.new_tensor(float(stop.requested))
            value, share_asked = _mean(fabric, torch.stack([loss, asked])).tolist()
            grad_norm, stopping = float(norm), share_asked > 0
            if not math.isfinite(value + grad_norm):
                path = folder / "failure" / f"step-{batch.step + 1:06d}-rank-{fabric.global_rank}"
                _report_divergence(path, batch, part, value, grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            if average is not None:
                average.update_parameters(model)

            step, now = batch.step + 1, time.perf_counter()
            metrics.add(
                loss=value,
                ratio=float(part.mask.ratio.mean()),
                grad_norm=grad_norm,
                samples=settings.batch_size,
                tokens=model.num_encoded(part.mask) * fabric.world_size,
                predicted=int(part.predicted.num_hidden.sum()) * fabric.world_size,
                seconds=now - clock,
                **{name: float(value) for name, value in terms.items()},
            )
            clock = now
            last = step == settings.steps or stopping
            saving = last or step % settings.checkpoint_every == 0
            measured = {}
            if monitor is not None and (step == settings.steps or step % monitor.every == 0):
                measured = monitor.measure()
            if saving or measured or step % settings.log_every == 0:
                progress.update(metrics.write(step, batch.epoch, lr, measured))
            if saving and fabric.is_global_zero:
                checkpoint.save(folder, state, step)
            if stopping:
                raise KeyboardInterrupt
    kept = model if average is None else cast(AnyModel, average.module)
    return kept.eval(), metrics.summary(settings.steps, kept)


class Prepared(NamedTuple):
    """What a step learns from."""

    samples: Tensor
    """as the data give them, augmented"""
    mask: Mask
    predicted: Mask
    """the part of the mask that is predicted"""
    keys: Keys


def gradients(
    fabric: "Fabric",
    wrapped: Any,
    optimizer: torch.optim.Optimizer,
    model: AnyModel,
    batch: Batch,
    config: Config,
    lr: float,
) -> tuple[Prepared, Tensor, dict[str, Tensor], Tensor]:
    """Do all of a step but its update.

    Returns:
        What it learns from, what `backward` returns, and the norm of the gradient.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr
    part = prepare(batch, model, config, fabric.device)
    progress = batch.step / config.train.steps
    loss, terms = backward(fabric, wrapped, part, config, progress)
    most = config.train.clip or math.inf
    norm = fabric.clip_gradients(wrapped, optimizer, max_norm=most, error_if_nonfinite=False)
    return part, loss, terms, cast(Tensor, norm)


def prepare(batch: Batch, model: AnyModel, config: Config, device: torch.device) -> Prepared:
    """Augment a batch and draw its masks."""
    ids = batch.ids.to(device)
    keys = Keys(config.seed, batch.epoch, ids)
    samples = config.data.augment(batch.samples.to(device, non_blocking=True), keys)
    mask = masks.draw(
        config.law,
        model.modality.grid,
        sample_ids=ids,
        seed=config.seed,
        epoch=batch.epoch,
        step=batch.step,
        progress=batch.step / config.train.steps,
        pattern=config.pattern,
        scope=config.train.scope,
        sampling=config.train.sampling,
        peers=batch.peers,
        eligible=model.modality.eligible(samples, keys),
        units=None if batch.units is None else batch.units.to(device),
    )
    fraction = config.model.predict_fraction
    predicted = mask if fraction == 1 else masks.subset(mask, fraction, keys)
    return Prepared(samples, mask, predicted, keys)


def backward(
    fabric: "Fabric", model: Any, part: Prepared, config: Config, progress: float = 0.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """Accumulate the gradients of a step over its micro-batches.

    Terms against collapsed features compare the samples of a micro-batch on all devices.

    Returns:
        The reconstruction loss, and these terms for themselves, means over the micro-batches.
    """
    weights = sample_weights(part.mask, config.train.reduction)
    if (of_positions := model.modality.weights(part.samples)) is not None:
        weights = weights * importance(of_positions, part.predicted)
    # Devices average their gradients, so each divides by the mean of their total weights.
    total = _mean(fabric, weights.sum()).clamp(min=1e-6)
    size = len(part.mask) // config.train.accumulate
    loss = torch.zeros((), device=part.samples.device)
    terms: dict[str, Tensor] = {}
    settings, share_of_step = config.regularise, 1 / config.train.accumulate
    for first in range(0, len(part.mask), size):
        rows = slice(first, first + size)
        with fabric.no_backward_sync(model, enabled=first + size < len(part.mask)):
            with fabric.autocast():
                losses, features = model.losses_and_features(
                    *(each[rows] for each in part), settings.pool, settings.layers
                )
            share = (weights[rows] * losses).sum() / total
            loss += share.detach()
            if features:
                added, values = penalty(settings, features, encoder_of(model), progress)
                share = share + share_of_step * added
                for name, value in values.items():
                    terms[name] = terms.get(name, 0.0) + share_of_step * value
            fabric.backward(share)
    return loss, terms


def _mean(fabric: "Fabric", value: Tensor) -> Tensor:
    """Average numbers over devices."""
    return cast(Tensor, fabric.all_reduce(value, reduce_op="mean"))


def _report_divergence(
    path: Path, batch: Batch, part: Prepared, loss: float, grad_norm: float
) -> NoReturn:
    path = path.with_suffix(".safetensors")
    with atomic(path) as temporary:
        tensors = {"ids": batch.ids, "samples": part.samples, "hidden": part.mask.hidden}
        save_file({k: v.cpu().contiguous() for k, v in tensors.items()}, temporary)
    ids = ", ".join(map(str, batch.ids.tolist()[:8])) + (", ..." if len(batch.ids) > 8 else "")
    raise UserError(
        f"step {batch.step + 1}: loss {loss:g} and gradient norm {grad_norm:g} are not finite;"
        f" samples {ids}; the batch is in {path}; look at it, or lower --train.lr"
    )
