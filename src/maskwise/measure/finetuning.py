"""Fine-tuning: a copy of a model and a classifier, trained together on labelled samples."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from maskwise.measure.features import over_draws, spread
from maskwise.measure.probes import Judge, Measures
from maskwise.modality import Entries, MaskedModel
from maskwise.progress import track
from maskwise.rng import shuffled
from maskwise.settings import settings

WARMUP, WEIGHT_DECAY, MAX_NORM = 0.06, 0.01, 1.0


@settings
class FineTuneSettings:
    """How a model is fine-tuned, all of its weights."""

    tasks: tuple[str, ...] = ()
    """Labelled samples, as TRAIN:TEST or NAME=TRAIN:TEST (files)."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0, 1, 2)
    """Runs, which differ in the first weights of the classifier and the order of the samples."""
    epochs: PositiveInt = 3
    """Passes over the samples."""
    batch_size: PositiveInt = 32
    """Samples in a step."""
    lr: Annotated[float, Field(gt=0)] = 5e-4
    """Highest learning rate. Small models need a large one: ELECTRA takes 3e-4 at 14 M weights and
    1e-4 at 110 M, where BERT takes 3e-5."""


M = TypeVar("M", bound=MaskedModel)


@dataclass(frozen=True, eq=False)
class Samples(Generic[M]):
    """Labelled samples in the form that one model takes."""

    name: str  # of the task
    y: np.ndarray  # classes to train on, int64 [N]
    test_y: np.ndarray  # classes to test on, int64 [M]
    num_classes: int
    lengths: Tensor  # of what is trained on, similar in a batch, int64 [N]
    rows: Callable[[Tensor, int, int], Tensor]
    """from indices [b], the seed and the epoch to what the model encodes, [b, L]"""
    embed: Callable[[M], np.ndarray]  # from a model to mean features of the test samples, [M, D]
    note: str  # what to know about them


def trainable(model: M) -> M:
    """Return a copy of a model to train all weights of, in evaluation mode: without dropout."""
    # The tokenizer is not trained, and need not be copied.
    return copy.deepcopy(model, {id(model.tokenizer): model.tokenizer}).eval().requires_grad_()


def fit(
    scores: Callable[[Tensor], Tensor],
    batches: Callable[[int], Iterable[tuple[Tensor, Tensor]]],
    optimizer: torch.optim.Optimizer,
    rate: Callable[[int], float],
    epochs: int,
    max_norm: float | None = None,
    loss_of: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> None:
    """Train by the cross-entropy, or another loss of scores and targets.

    Inputs become `scores` [B, C]; an epoch becomes `batches` of inputs and targets, classes [B] or
    a probability of each, [B, C]; the number of steps taken becomes the next `rate` of learning,
    which is multiplied by the "scale" of a group. The gradient has at most `max_norm`.
    """
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    step = 0
    for epoch in track(range(epochs), "epochs"):
        for inputs, targets in batches(epoch):
            loss = loss_of(scores(inputs).float(), targets)
            optimizer.zero_grad()
            loss.backward()
            if max_norm is not None:
                torch.nn.utils.clip_grad_norm_(parameters, max_norm)
            for group in optimizer.param_groups:
                group["lr"] = group["scale"] * rate(step)
            optimizer.step()
            step += 1


def tune(model: M, samples: Samples[M], config: FineTuneSettings, seed: int) -> np.ndarray:
    """Train a copy of a model and a linear classifier of its mean features; score test samples.

    All weights are trained: AdamW, a learning rate that rises for 6 % of the steps and then falls
    to 0 linearly, weight decay 0.01, gradients of norm 1 at most. Nothing but the order, the
    classifier's first weights and `rows` is random.

    Returns:
        The probability of each class, float32 [M, C]. The model is not changed.
    """
    tuned = trainable(model)
    device = next(tuned.parameters()).device
    with torch.no_grad():
        width = tuned.encode(samples.rows(torch.zeros(1).long(), seed, 0).to(device)).shape[1]
    generator = torch.Generator().manual_seed(seed)
    weight = 0.02 * torch.randn(samples.num_classes, width, generator=generator)
    head = [each.to(device).requires_grad_() for each in (weight, torch.zeros(len(weight)))]
    group = {"params": [*tuned.parameters(), *head], "scale": 1.0}
    optimizer = torch.optim.AdamW([group], lr=config.lr, weight_decay=WEIGHT_DECAY)
    y = torch.from_numpy(samples.y)
    num_steps = -(-len(y) // config.batch_size) * config.epochs

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for index in _similar_lengths(samples.lengths, config.batch_size, seed, epoch):
            yield samples.rows(index, seed, epoch).to(device), y[index].to(device)

    fit(
        lambda inputs: F.linear(tuned.encode(inputs), *head),
        batches,
        optimizer,
        lambda step: config.lr * rise_and_fall((step + 0.5) / num_steps),
        config.epochs,
        MAX_NORM,
    )
    features = torch.from_numpy(samples.embed(tuned))
    weight, bias = (each.detach().cpu() for each in head)
    return F.linear(features, weight, bias).softmax(dim=1).numpy()


def _similar_lengths(lengths: Tensor, size: int, seed: int, epoch: int) -> list[Tensor]:
    """Return batches of samples of similar lengths, so that little is padded, in random order."""
    some = shuffled(len(lengths), seed=seed, epoch=epoch).split(8 * size)
    parts = torch.cat([part[lengths[part].argsort(stable=True)] for part in some]).split(size)
    return [parts[place] for place in shuffled(len(parts), seed=seed, epoch=epoch)]


def rise_and_fall(progress: float) -> float:
    """Return the share of the highest learning rate, from 0 to 1 at 0.06 to 0 at 1."""
    return min(progress / WARMUP, (1 - progress) / (1 - WARMUP))


def tuned_row(
    name: str,
    model: M,
    samples: Samples[M],
    config: FineTuneSettings,
    measures: Sequence[str] = Measures._fields,
) -> Entries:
    """Return the `measures` (see `Judge`) of a model that is fine-tuned; see `over_seeds`."""

    def measure(seed: int) -> dict[str, float]:
        found = Judge(tune(model, samples, config, seed), samples.test_y)()._asdict()
        return {key: found[key] for key in measures}

    return {
        "task": samples.name,
        "model": name,
        **over_seeds(measure, config.seeds, samples.y, samples.test_y),
        "epochs": config.epochs,
        "batch_size": config.batch_size,
        "lr": config.lr,
        "note": samples.note,
    }


def over_seeds(
    measure: Callable[[int], Mapping[str, float]],
    seeds: Sequence[int],
    train_y: np.ndarray,
    test_y: np.ndarray,
) -> Entries:
    """Return the measures of a model that is trained once for each seed, and every one of them.

    `measure` trains and tests once, from a seed to measures by name, on classes `train_y` [N] and
    `test_y` [M]. Intervals are of the mean over seeds (Student's t, 95 %): they cover what
    training draws, not the choice of test samples; None with a single seed. "majority" is the
    accuracy of always giving the most frequent class.
    """
    found = [measure(seed) for seed in track(seeds, "fine-tuning")]
    return {
        **{key: spread(over_draws([each[key] for each in found]), "mean") for key in found[0]},
        "seeds": [{"seed": seed} | dict(each) for seed, each in zip(seeds, found, strict=True)],
        "majority": float((test_y == np.bincount(train_y).argmax()).mean()),
        "num_train": len(train_y),
        "num_test": len(test_y),
    }
