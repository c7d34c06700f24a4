"""Fine-tuning: a language model and a linear classifier, trained together on labelled texts."""

import copy
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, PositiveInt
from scipy.stats import t as student
from torch import Tensor
from torch.nn import functional as F

from maskwise.evaluation.tasks import TextTask
from maskwise.evaluation.text_features import cut_note, embed_texts
from maskwise.models.language import LanguageModel
from maskwise.rng import shuffled
from maskwise.settings import settings

WARMUP, WEIGHT_DECAY, MAX_NORM = 0.06, 0.01, 1.0


@settings
class FineTune:
    """How language models are fine-tuned."""

    tasks: tuple[str, ...] = ()
    """Labelled texts, as TRAIN:TEST or NAME=TRAIN:TEST (files)."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0, 1, 2)
    """Runs, which differ in the first weights of the classifier and the order of the texts."""
    epochs: PositiveInt = 3
    """Passes over the texts."""
    batch_size: PositiveInt = 32
    """Texts in a step."""
    lr: Annotated[float, Field(gt=0)] = 5e-4
    """Highest learning rate. Small models need a large one: ELECTRA takes 3e-4 at 14 M weights and
    1e-4 at 110 M, where BERT takes 3e-5."""


def finetune(model: LanguageModel, task: TextTask, config: FineTune, seed: int) -> np.ndarray:
    """Train a copy of a model and a linear classifier of its mean features; classify test texts.

    All weights are trained: AdamW, a learning rate that rises for 6 % of the steps and then falls
    to 0 linearly, weight decay 0.01, gradients of norm 1 at most. The model stays in evaluation
    mode: no dropout, so that nothing but the order and the classifier's first weights is random.

    Args:
        model: any language model; it is not changed.
        task: the texts; those longer than a row of the model are cut.
        config: how.
        seed: of the order and the classifier.

    Returns:
        Predicted classes of the test texts, int64 [M].

    Raises:
        UserError: a text without a token.
    """
    text = model.modality
    # The tokenizer is not trained, and need not be copied.
    tuned = copy.deepcopy(model, {id(text): text}).eval().requires_grad_()
    device = next(tuned.parameters()).device
    width = embed_texts(model, task.train[:1]).shape[1]
    generator = torch.Generator().manual_seed(seed)
    weight = 0.02 * torch.randn(len(task.classes), width, generator=generator)
    head = [each.to(device).requires_grad_() for each in (weight, torch.zeros(len(weight)))]
    parameters = [*tuned.parameters(), *head]
    optimizer = torch.optim.AdamW(parameters, lr=config.lr, weight_decay=WEIGHT_DECAY)
    ids, y = text.tokenize(task.train).ids, torch.from_numpy(task.train_y)
    lengths = (ids != text.pad).sum(dim=1)
    steps = -(-len(ids) // config.batch_size) * config.epochs
    step = 0
    for epoch in range(config.epochs):
        for index in _batches(lengths, config.batch_size, seed, epoch):
            rows = ids[index, : int(lengths[index].max())]
            features = tuned.encode(rows.to(device), "mean")
            loss = F.cross_entropy(F.linear(features, *head), y[index].to(device))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, MAX_NORM)
            for group in optimizer.param_groups:
                group["lr"] = config.lr * _rise_and_fall((step + 0.5) / steps)
            optimizer.step()
            step += 1
    features = torch.from_numpy(embed_texts(tuned, task.test))
    weight, bias = (each.detach().cpu() for each in head)
    return F.linear(features, weight, bias).argmax(dim=1).numpy()


def _batches(lengths: Tensor, size: int, seed: int, epoch: int) -> list[Tensor]:
    """Return batches of texts of similar lengths, so that little is padded, in random order."""
    some = shuffled(len(lengths), seed=seed, epoch=epoch).split(8 * size)
    parts = torch.cat([part[lengths[part].argsort(stable=True)] for part in some]).split(size)
    return [parts[place] for place in shuffled(len(parts), seed=seed, epoch=epoch)]


def _rise_and_fall(progress: float) -> float:
    """Return the share of the highest learning rate.

    >>> _rise_and_fall(0.03), _rise_and_fall(0.06), _rise_and_fall(1.0)
    (0.5, 1.0, 0.0)
    """
    return min(progress / WARMUP, (1 - progress) / (1 - WARMUP))


def finetune_table(
    models: Mapping[str, LanguageModel], task: TextTask, config: FineTune
) -> list[dict[str, Any]]:
    """Return accuracy and Matthews correlation of fine-tuned models, with every seed.

    Intervals are of the mean over seeds (Student's t, 95 %): they cover what fine-tuning draws,
    not the choice of test texts; None with a single seed. "majority" is the accuracy of always
    giving the most frequent class.

    Args:
        models: what to fine-tune, by name.
        task: the texts.
        config: how.
    """
    from sklearn.metrics import matthews_corrcoef

    usual = np.bincount(task.train_y).argmax()
    rows = []
    for name, model in models.items():
        found = []
        for seed in config.seeds:
            predicted = finetune(model, task, config, seed)
            accuracy = float((predicted == task.test_y).mean())
            mcc = float(matthews_corrcoef(task.test_y, predicted))
            found.append({"seed": seed, "accuracy": accuracy, "mcc": mcc})
        rows.append(
            {
                "task": task.name,
                "model": name,
                "accuracy": _over_seeds([each["accuracy"] for each in found]),
                "mcc": _over_seeds([each["mcc"] for each in found]),
                "seeds": found,
                "majority": float((task.test_y == usual).mean()),
                "num_train": len(task.train),
                "num_test": len(task.test),
                "epochs": config.epochs,
                "batch_size": config.batch_size,
                "lr": config.lr,
                "note": cut_note(model.modality, [*task.train, *task.test]),
            }
        )
    return rows


def _over_seeds(values: list[float]) -> dict[str, float | None]:
    """Return the mean and its interval.

    >>> _over_seeds([0.5])
    {'mean': 0.5, 'low': None, 'high': None}
    """
    mean, num = float(np.mean(values)), len(values)
    if num < 2:
        return {"mean": mean, "low": None, "high": None}
    half = float(student.ppf(0.975, num - 1) * np.std(values, ddof=1) / num**0.5)
    return {"mean": mean, "low": mean - half, "high": mean + half}
