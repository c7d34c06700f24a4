"""The training loop: a step, and all steps of a run."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from maskwise import laws, masks
from maskwise.errors import UserError
from maskwise.laws import Law
from maskwise.masks import Mask, Pattern
from maskwise.masks.mask import importance, sample_weights
from maskwise.modality import Augment, Entries, MaskedModel, Objective, Scorer, VisiblePool
from maskwise.objectives.regularise import RegulariseSettings, penalty
from maskwise.progress import StopRequest
from maskwise.rng import Keys
from maskwise.train import checkpoint
from maskwise.train.batches import Batch, Batches
from maskwise.train.config import RunSettings, TrainSettings, decays
from maskwise.train.metrics import Metrics, Watch, progress_bar
from maskwise.train.monitor import Monitor
from maskwise.train.stream import StreamBatches

if TYPE_CHECKING:  # it takes a second to import, and only those who train need it
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricModule as Wrapped


@dataclass(frozen=True)
class Plan:
    """What the steps of a run have in common, with nothing left to be parsed."""

    law: Law
    pattern: Pattern
    train: TrainSettings
    seed: int
    regularise: RegulariseSettings = field(default_factory=RegulariseSettings)
    augment: Augment | None = None
    """how samples are changed before they are masked; None = not at all"""
    scorer: Scorer | None = None
    """what scores positions, for a pattern that needs it"""
    observed: Tensor | None = None
    """bool [M, L], what rows of the data lack, for a pattern that needs it"""

    def __post_init__(self) -> None:
        if self.pattern.needs_scores and self.scorer is None:
            raise UserError(f"pattern {self.pattern} needs scores of the positions: give scorer=")


def plan_of(
    config: RunSettings,
    augment: Augment | None = None,
    scorer: Scorer | None = None,
    observed: Tensor | None = None,
) -> Plan:
    """Return the plan of a configuration."""
    law, pattern = laws.parse(config.law), masks.parse_pattern(config.pattern)
    given = augment, scorer, observed
    return Plan(law, pattern, config.train, config.seed, config.regularise, *given)


class Prepared:
    """What a step learns from: augmented samples, their masks, and the part that is predicted."""

    # Neither tuple nor dataclass: mixed precision converts the fields of those that enter a model.
    def __init__(self, samples: Tensor, mask: Mask, predicted: Mask, keys: Keys) -> None:
        self.samples, self.mask, self.predicted, self.keys = samples, mask, predicted, keys

    def __getitem__(self, rows: slice) -> "Prepared":
        return Prepared(self.samples[rows], self.mask[rows], self.predicted[rows], self.keys[rows])


class Learner(nn.Module):
    """A model and its objective, by default what it says: what devices run as one."""

    def __init__(self, model: MaskedModel, objective: Objective | None = None) -> None:
        super().__init__()
        self.model, self.objective = model, objective or model.objective()

    def losses(
        self, part: Prepared, pool: VisiblePool = "mean", layers: Sequence[int] = ()
    ) -> tuple[Tensor, list[Tensor]]:
        """Return each sample's loss, float32 [B], and features of some layers, [B, D] each."""
        answer = self.model.answer(
            part.samples, part.mask, part.predicted, part.keys, pool, layers
        )
        return self.objective(part.samples, answer, part.predicted), answer.features


def make_optimizer(model: nn.Module, config: TrainSettings) -> torch.optim.AdamW:
    """Return AdamW, fused; only weights decay (biases, norms, tokens and positions do not)."""
    weights = [p for name, p in model.named_parameters() if decays(name, p)]
    rest = [p for name, p in model.named_parameters() if not decays(name, p)]
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)


def learning_rate(step: int, config: TrainSettings) -> float:
    """Return the learning rate of a step: a linear rise, then half a cosine to zero.

    >>> config = TrainSettings(steps=100, warmup=0.1, lr=1.0)
    >>> learning_rate(0, config), learning_rate(9, config), round(learning_rate(55, config), 2)
    (0.1, 1.0, 0.5)
    """
    warmup = round(config.steps * config.warmup)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    share = (step - warmup) / max(config.steps - warmup, 1)
    return config.lr * (1 + math.cos(math.pi * share)) / 2


def setup(
    fabric: "Fabric", learner: Learner, settings: TrainSettings
) -> "tuple[Wrapped, torch.optim.Optimizer]":
    """Return what is trained, and its optimizer, as the devices run them."""
    made = fabric.setup(learner, make_optimizer(learner, settings))
    wrapped, optimizer = cast("tuple[Wrapped, torch.optim.Optimizer]", made)
    # Through the wrapper where several devices need it; a direct call where not.
    wrapped.mark_forward_method("losses")
    return wrapped, optimizer


def train(
    fabric: "Fabric",
    model: MaskedModel,
    batches: Batches | StreamBatches,
    config: RunSettings,
    folder: Path,
    *,
    augment: Augment | None = None,
    scorer: Scorer | None = None,
    observed: Tensor | None = None,
    objective: Objective | None = None,
    monitor: Monitor | None = None,
    watch: Watch | None = None,
    resume: bool = False,
) -> tuple[MaskedModel, Entries]:
    """Train `model` and return the model to keep, with a summary for result.json.

    Args:
        fabric: launched.
        model: with its initial weights.
        batches: what each step sees.
        config: the resolved configuration.
        folder: the run folder, which exists.
        augment: see `Plan`.
        scorer: see `Plan`.
        observed: see `Plan`.
        objective: what is minimised; default: what the model says.
        monitor: of `model`; None = nothing is measured on the way.
        watch: what is called on the way.
        resume: continue from the folder's checkpoint, if it has one.

    Raises:
        UserError: a damaged checkpoint, a loss that is not finite, or a disk that is full.
        KeyboardInterrupt: after a stop was asked for and the state was saved.
    """
    plan, settings = plan_of(config, augment, scorer, observed), config.train
    learner = Learner(model, objective)
    wrapped, optimizer = setup(fabric, learner, settings)
    average = _averaged(model, settings.ema)
    if not fabric.is_global_zero:
        monitor = None  # one device measures; the others wait for it at the next step
    probe = None if monitor is None else monitor.state
    state = checkpoint.State(model, optimizer, average, probe, learner.objective)
    begun, first = checkpoint.Restored(), fabric.is_global_zero
    if resume:
        begun = checkpoint.restore(folder, state, settings.steps, tidy=first)
    step = begun.step

    wrapped.train()
    with (
        StopRequest() as stop,
        Metrics(folder, *begun, enabled=first, config=config, watch=watch) as metrics,
        progress_bar(settings.steps, begun.step, enabled=first) as show,
    ):
        clock = time.perf_counter()
        for batch in batches.read(begun.step, settings.steps, config.efficiency.workers):
            lr = learning_rate(batch.step, settings)
            if monitor is not None:
                monitor.step(batch)
            part, loss, terms, norm = gradients(fabric, wrapped, optimizer, model, batch, plan, lr)
            # A stop that one device is asked for stops all of them at the same step.
            asked = loss.new_tensor([stop.requested, metrics.ended])
            value, *shares = _mean(fabric, torch.stack([loss, *asked])).tolist()
            grad_norm, (stopping, ended) = float(norm), [share > 0 for share in shares]
            if not math.isfinite(value + grad_norm):
                tensors = {"ids": batch.ids, "samples": part.samples, "hidden": part.mask.hidden}
                at = folder, batch.step, fabric.global_rank
                raise checkpoint.failed(*at, tensors, value, grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            learner.objective.follow(model)
            if average is not None:
                average.update_parameters(model)

            step, now = batch.step + 1, time.perf_counter()
            metrics.add(
                loss=value,
                ratio=float(part.mask.ratio.mean()),
                grad_norm=grad_norm,
                samples=settings.batch_size,
                encoder_tokens=model.num_encoded(part.mask) * fabric.world_size,
                predicted=int(part.predicted.num_hidden.sum()) * fabric.world_size,
                seconds=now - clock,
                **{name: float(value) for name, value in terms.items()},
            )
            clock = now
            last = step == settings.steps or ended
            saving = last or stopping or step % settings.checkpoint_every == 0
            measured = {}
            if monitor is not None and (last or step % monitor.every == 0):
                measured = monitor.measure()
            due = last or measured or step % settings.log_every == 0
            row = metrics.write(step, batch.epoch, lr, measured) if due else None
            show(step, row)
            if saving and fabric.is_global_zero:
                with stop.safely():
                    checkpoint.save(folder, state, step, settings.checkpoints, metrics.interval)
                metrics.saved(step)
            if stopping:
                raise KeyboardInterrupt
            if ended:
                break
    kept = model if average is None else cast(MaskedModel, average.module)
    return kept.eval(), metrics.summary(step, kept)


def _averaged(model: MaskedModel, decay: float | None) -> AveragedModel | None:
    if decay is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))


def gradients(
    fabric: "Fabric",
    wrapped: "Wrapped",
    optimizer: torch.optim.Optimizer,
    model: MaskedModel,
    batch: Batch,
    plan: Plan,
    lr: float,
) -> tuple[Prepared, Tensor, dict[str, Tensor], Tensor]:
    """Do all of a step but its update; also return the norm of the gradient."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    part = prepare(batch, model, plan, fabric.device)
    progress = batch.step / plan.train.steps
    loss, terms = backward(fabric, wrapped, model, part, plan, progress)
    most = plan.train.clip or math.inf
    norm = fabric.clip_gradients(wrapped, optimizer, max_norm=most, error_if_nonfinite=False)
    return part, loss, terms, cast(Tensor, norm)


def prepare(batch: Batch, model: MaskedModel, plan: Plan, device: torch.device) -> Prepared:
    """Augment a batch and draw its masks."""
    ids = batch.ids.to(device)
    keys = Keys(plan.seed, batch.epoch, ids)
    samples = batch.samples.to(device, non_blocking=True)
    if plan.augment is not None:
        samples = plan.augment(samples, keys)
    scores = None
    if plan.pattern.needs_scores and plan.scorer is not None:
        with torch.no_grad():
            scores = plan.scorer(model, samples)
    mask = masks.draw(
        plan.law,
        model.tokenizer.grid,
        sample_ids=ids,
        seed=plan.seed,
        epoch=batch.epoch,
        step=batch.step,
        progress=batch.step / plan.train.steps,
        pattern=plan.pattern,
        scope=plan.train.scope,
        sampling=plan.train.sampling,
        peers=batch.peers,
        eligible=model.tokenizer.eligible(samples, keys),
        units=None if batch.units is None else batch.units.to(device),
        scores=scores,
        observed=plan.observed,
    )
    fraction = model.config.predict_fraction
    predicted = mask if fraction == 1 else masks.subset(mask, fraction, keys)
    return Prepared(samples, mask, predicted, keys)


def backward(
    fabric: "Fabric",
    wrapped: "Wrapped",
    model: MaskedModel,
    part: Prepared,
    plan: Plan,
    progress: float = 0.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Accumulate the gradients of a step over its micro-batches; return their mean loss.

    Terms against collapsed features, which compare the samples of a micro-batch on all devices,
    are no part of this loss and returned too.
    """
    weights = sample_weights(part.mask, plan.train.reduction)
    if (of_positions := model.tokenizer.weights(part.samples)) is not None:
        weights = weights * importance(of_positions, part.predicted)
    # Devices average their gradients, so each divides by the mean of their total weights.
    total = _mean(fabric, weights.sum()).clamp(min=1e-6)
    size = len(part.mask) // plan.train.accumulate
    loss = torch.zeros((), device=part.samples.device)
    terms: dict[str, Tensor] = {}
    settings, share_of_step = plan.regularise, 1 / plan.train.accumulate
    for first in range(0, len(part.mask), size):
        rows = slice(first, first + size)
        with fabric.no_backward_sync(wrapped, enabled=first + size < len(part.mask)):
            with fabric.autocast():
                losses, features = wrapped.losses(part[rows], settings.pool, settings.layers)
            share = (weights[rows] * losses).sum() / total
            loss += share.detach()
            if features:
                added, values = penalty(settings, features, model.trunk, progress)
                share = share + share_of_step * added
                for name, value in values.items():
                    terms[name] = terms.get(name, 0.0) + share_of_step * value
            fabric.backward(share)
    return loss, terms


def _mean(fabric: "Fabric", value: Tensor) -> Tensor:
    return cast(Tensor, fabric.all_reduce(value, reduce_op="mean"))
