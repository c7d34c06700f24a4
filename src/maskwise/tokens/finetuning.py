"""Fine-tuning: a language model and a linear classifier, trained together on labelled samples."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from maskwise.measure.classification import Judge, Measures, over_seeds
from maskwise.rng import shuffled
from maskwise.settings import settings
from maskwise.text.features import cut_note, embed_texts
from maskwise.text.tasks import TextTask
from maskwise.tokens.model import LanguageModel

WARMUP, WEIGHT_DECAY, MAX_NORM = 0.06, 0.01, 1.0


@settings
class FineTune:
    """How language models are fine-tuned."""

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


@dataclass(frozen=True, eq=False)
class Samples:
    """Labelled samples in the form that one model takes.

    Args:
        name: of the task.
        y: classes to train on, int64 [N].
        test_y: classes to test on, int64 [M].
        num_classes: how many classes there are.
        lengths: of the samples to train on; those of a batch have similar ones, int64 [N].
        rows: from indices [b], the seed and the epoch to what the model encodes, [b, L].
        embed: from a model to mean features of the test samples, [M, D].
        note: what to know about them.
    """

    name: str
    y: np.ndarray
    test_y: np.ndarray
    num_classes: int
    lengths: Tensor
    rows: Callable[[Tensor, int, int], Tensor]
    embed: Callable[[LanguageModel], np.ndarray]
    note: str


def tune(model: LanguageModel, samples: Samples, config: FineTune, seed: int) -> np.ndarray:
    """Train a copy of a model and a linear classifier of its mean features; score test samples.

    All weights are trained: AdamW, a learning rate that rises for 6 % of the steps and then falls
    to 0 linearly, weight decay 0.01, gradients of norm 1 at most. The model stays in evaluation
    mode: no dropout, so that nothing but the order, the classifier's first weights and `rows` is
    random.

    Args:
        model: any language model; it is not changed.
        samples: what to train and to test on.
        config: how.
        seed: of the order, the classifier and `rows`.

    Returns:
        The probability of each class, float32 [M, C].
    """
    # The tokenizer is not trained, and need not be copied.
    tuned = copy.deepcopy(model, {id(model.modality): model.modality}).eval().requires_grad_()
    device = next(tuned.parameters()).device
    with torch.no_grad():
        width = tuned.encode(samples.rows(torch.zeros(1).long(), seed, 0).to(device)).shape[1]
    generator = torch.Generator().manual_seed(seed)
    weight = 0.02 * torch.randn(samples.num_classes, width, generator=generator)
    head = [each.to(device).requires_grad_() for each in (weight, torch.zeros(len(weight)))]
    parameters = [*tuned.parameters(), *head]
    optimizer = torch.optim.AdamW(parameters, lr=config.lr, weight_decay=WEIGHT_DECAY)
    y = torch.from_numpy(samples.y)
    steps = -(-len(y) // config.batch_size) * config.epochs
    step = 0
    for epoch in range(config.epochs):
        for index in _batches(samples.lengths, config.batch_size, seed, epoch):
            features = tuned.encode(samples.rows(index, seed, epoch).to(device), "mean")
            loss = F.cross_entropy(F.linear(features, *head), y[index].to(device))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, MAX_NORM)
            for group in optimizer.param_groups:
                group["lr"] = config.lr * _rise_and_fall((step + 0.5) / steps)
            optimizer.step()
            step += 1
    features = torch.from_numpy(samples.embed(tuned))
    weight, bias = (each.detach().cpu() for each in head)
    return F.linear(features, weight, bias).softmax(dim=1).numpy()


def _batches(lengths: Tensor, size: int, seed: int, epoch: int) -> list[Tensor]:
    """Return batches of samples of similar lengths, so that little is padded, in random order."""
    some = shuffled(len(lengths), seed=seed, epoch=epoch).split(8 * size)
    parts = torch.cat([part[lengths[part].argsort(stable=True)] for part in some]).split(size)
    return [parts[place] for place in shuffled(len(parts), seed=seed, epoch=epoch)]


def _rise_and_fall(progress: float) -> float:
    """Return the share of the highest learning rate.

    >>> _rise_and_fall(0.03), _rise_and_fall(0.06), _rise_and_fall(1.0)
    (0.5, 1.0, 0.0)
    """
    return min(progress / WARMUP, (1 - progress) / (1 - WARMUP))


def text_samples(model: LanguageModel, task: TextTask) -> Samples:
    """Return texts as a model takes them; those longer than a row of the model are cut.

    Raises:
        UserError: a text without a token.
    """
    text = model.modality
    note = cut_note(text, [*task.train, *task.test])
    ids = text.tokenize(task.train).ids
    lengths = (ids != text.pad).sum(dim=1)
    return Samples(
        task.name,
        task.train_y,
        task.test_y,
        len(task.classes),
        lengths,
        lambda index, seed, epoch: ids[index, : int(lengths[index].max())],
        lambda tuned: embed_texts(tuned, task.test),
        note,
    )


def finetune(model: LanguageModel, task: TextTask, config: FineTune, seed: int) -> np.ndarray:
    """Return the classes of test texts after `tune`, int64 [M]."""
    return tune(model, text_samples(model, task), config, seed).argmax(axis=1)


def finetune_table(
    models: Mapping[str, LanguageModel], task: TextTask, config: FineTune
) -> list[dict[str, Any]]:
    """Return accuracy and Matthews correlation of models fine-tuned on texts, see `tuned_row`.

    Args:
        models: what to fine-tune, by name.
        task: the texts.
        config: how.
    """
    return [
        tuned_row(name, model, text_samples(model, task), config, ("accuracy", "mcc"))
        for name, model in models.items()
    ]


def tuned_row(
    name: str,
    model: LanguageModel,
    samples: Samples,
    config: FineTune,
    measures: Sequence[str] = Measures._fields,
) -> dict[str, Any]:
    """Return the measures of a fine-tuned model, with every seed, see `over_seeds`.

    Args:
        name: of the model.
        model: what to fine-tune.
        samples: what to train and to test on.
        config: how.
        measures: which measures, see `Judge`.
    """
    found: list[dict[str, Any]] = []
    for seed in config.seeds:
        measured = Judge(tune(model, samples, config, seed), samples.test_y)()._asdict()
        found.append({"seed": seed} | {key: measured[key] for key in measures})
    return {
        "task": samples.name,
        "model": name,
        **over_seeds(found, samples.y, samples.test_y),
        "epochs": config.epochs,
        "batch_size": config.batch_size,
        "lr": config.lr,
        "note": samples.note,
    }
