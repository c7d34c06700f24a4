"""PatchTST of transformers on ETTh1: error of forecasts after fine-tuning by the law of its ratio.

Splits and scaling as usual: 12, 4 and 4 months, columns standardised by the first part, windows of
336 hours, 96 ahead.
"""

import argparse
import lzma
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from transformers import PatchTSTConfig, PatchTSTForPrediction, PatchTSTForPretraining

import maskwise as mw
from benchmarks.attach_pays import Scores, Study

MONTH = 30 * 24
BORDERS = {"train": (0, 12), "validation": (12, 16), "test": (16, 20)}  # months
CONTEXT, AHEAD, BATCH, FINETUNED, STRIDE, RATE = 336, 96, 16, 150, 8, 4e-3


def load(arguments: argparse.Namespace) -> dict[str, torch.Tensor]:
    """Return each part's windows, [N, context + ahead, columns]."""
    opened = lzma.open if arguments.data.suffix == ".xz" else open
    with opened(arguments.data, "rt") as stream:
        rows = [line.split(",")[1:] for line in stream.read().splitlines()[1:]]
    values = np.array(rows, dtype=np.float32)[: 20 * MONTH]
    known = values[: 12 * MONTH]
    series = torch.from_numpy((values - known.mean(axis=0)) / known.std(axis=0))
    parts = {}
    for name, (first, last) in BORDERS.items():
        # Windows of later parts look back into the one before.
        part = series[max(first * MONTH - CONTEXT, 0) : last * MONTH]
        parts[name] = part.unfold(0, CONTEXT + AHEAD, 1).transpose(1, 2)
    return parts


def configuration() -> PatchTSTConfig:
    """Return a small model's; patches do not overlap, as the authors pretrain.

    Forecasts are made of all patches, as theirs are: of their mean, as transformers has it unless
    told otherwise, they are much worse.
    """
    config = PatchTSTConfig(
        num_input_channels=7,
        context_length=CONTEXT,
        prediction_length=AHEAD,
        patch_length=12,
        patch_stride=12,
        d_model=32,
        ffn_dim=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        pooling_type=None,
    )
    config._attn_implementation = "eager"
    return config


def updates(model: Any, x: torch.Tensor, steps: int, seed: int, *, forecast: bool) -> None:
    """Train a model on windows in random order."""
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(steps):
        rows = x[torch.randint(len(x), (BATCH,), generator=order)]
        given = {"future_values": rows[:, CONTEXT:]} if forecast else {}
        model(past_values=rows[:, :CONTEXT], **given).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()


def train(data: dict[str, torch.Tensor], law: str, seed: int, steps: int) -> Scores:
    """Pretrain, unless the law is "none", and fine-tune all of it to forecast."""
    torch.manual_seed(seed)  # noqa: TID251 - transformers draws from this generator
    pretrained = PatchTSTForPretraining(configuration()).train()
    if law != "none":
        with mw.attach(pretrained, law, seed=seed, steps=steps):
            updates(pretrained, data["train"], steps, seed, forecast=False)
    torch.manual_seed(seed)  # noqa: TID251 - transformers draws from this generator
    model = PatchTSTForPrediction(configuration())
    model.model.load_state_dict(pretrained.model.state_dict())
    updates(model.train(), data["train"], FINETUNED, seed + 1, forecast=True)
    return errors(data, lambda past: model.eval()(past_values=past).prediction_outputs)


@torch.no_grad()
def errors(data: dict[str, torch.Tensor], forecast: Any) -> Scores:
    """Return the mean squared errors of forecasts of standardised values."""
    found = {}
    for part in ("validation", "test"):
        x = data[part][::STRIDE]
        squares = [
            (forecast(rows[:, :CONTEXT]) - rows[:, CONTEXT:]).square().mean(dim=(1, 2))
            for rows in x.split(100)
        ]
        found[part] = float(torch.cat(squares).mean())
    return found


def baselines(data: dict[str, torch.Tensor]) -> Mapping[str, Scores]:
    """Return errors of the last value, of the last day, and of ridge regression on the past."""
    x = data["train"].transpose(1, 2).reshape(-1, CONTEXT + AHEAD).double()
    last = x[:, CONTEXT - 1 : CONTEXT]
    past, future = x[:, :CONTEXT] - last, x[:, CONTEXT:] - last
    gram = past.T @ past + 0.01 * len(past) * torch.eye(CONTEXT, dtype=torch.float64)
    weights = torch.linalg.solve(gram, past.T @ future).float()

    def linear(past: torch.Tensor) -> torch.Tensor:
        last = past[:, -1:]
        return ((past - last).transpose(1, 2) @ weights).transpose(1, 2) + last

    return {
        "last value": errors(data, lambda past: past[:, -1:].expand(-1, AHEAD, -1)),
        "last day, repeated": errors(data, lambda past: past[:, -24:].repeat(1, AHEAD // 24, 1)),
        "ridge regression on the past": errors(data, linear),
    }


STUDY = Study(
    default="fixed:0.5",
    laws=(
        *("none", "fixed:0.3", "fixed:0.5", "fixed:0.7"),
        *("uniform:0.2,0.8", "scheduled:linear,0.3..0.7"),
    ),
    load=load,
    train=train,
    baselines=baselines,
    higher=False,
    steps=250,
)
