"""ModernBERT of transformers on letters: loss at five ratios by the law of its ratio.

Masks are made within the model, as transformers' collator for masked language models makes them:
each letter with the probability of the ratio, of which 80 % become [MASK] and 10 % another letter.
The loss is of hidden letters where each is [MASK], in bits.
"""

import argparse
import lzma
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import ModernBertConfig, ModernBertForMaskedLM

import maskwise as mw
from benchmarks.attach_pays import Scores, Study

LETTERS = "abcdefghijklmnopqrstuvwxyz '.,;\"-!?"
FIRST = 3  # after padding, the mask and another
MASK = 1
LENGTH, BATCH, ROWS = 64, 32, 512
RATIOS = (0.1, 0.15, 0.3, 0.5, 0.7)


def rows_of(path: Path, most: int) -> torch.Tensor:
    """Return the rows of a text, int64 [N, length]; what is no letter is a blank."""
    opened = lzma.open if path.suffix == ".xz" else open
    with opened(path, "rt", encoding="utf-8") as stream:
        text = stream.read(most).lower()
    text = re.sub(r"[^a-z'.,;\"\-!?]+", " ", text)
    place = {letter: FIRST + index for index, letter in enumerate(LETTERS)}
    ids = torch.tensor([place[letter] for letter in text])
    return ids[: len(ids) // LENGTH * LENGTH].view(-1, LENGTH)


def load(arguments: argparse.Namespace) -> dict[str, torch.Tensor]:
    """Return rows to train on, and of other books to validate and test on."""
    if arguments.heldout is None:
        raise SystemExit("give --heldout, text of other books")
    heldout = rows_of(arguments.heldout, 6_000_000)
    picked = torch.randperm(len(heldout), generator=torch.Generator().manual_seed(0))
    return {
        "train": rows_of(arguments.data, 8_000_000),
        "validation": heldout[picked[:ROWS]],
        "test": heldout[picked[ROWS : 2 * ROWS]],
    }


class Masked(nn.Module):
    """A language model with the collator's masks."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)  # noqa: TID251 - transformers draws from this generator
        self.mask_ratio = 0.15
        self.generator = torch.Generator().manual_seed(seed)
        self.model = ModernBertForMaskedLM(
            ModernBertConfig(
                vocab_size=FIRST + len(LETTERS),
                hidden_size=96,
                intermediate_size=192,
                num_hidden_layers=3,
                num_attention_heads=3,
                max_position_embeddings=LENGTH,
                pad_token_id=0,
                cls_token_id=2,
                sep_token_id=2,
                bos_token_id=2,
                eos_token_id=2,
            )
        )

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        chance, what = torch.rand(2, *ids.shape, generator=self.generator)
        hidden = chance < self.mask_ratio
        other = torch.randint(FIRST, FIRST + len(LETTERS), ids.shape, generator=self.generator)
        given = torch.where(hidden & (what < 0.8), MASK, ids)
        given = torch.where(hidden & (what > 0.9), other, given)
        return self.model(input_ids=given, labels=ids.masked_fill(~hidden, -100)).loss


def train(data: dict[str, torch.Tensor], law: str, seed: int, steps: int) -> Scores:
    """Train, and measure the loss at each ratio."""
    model = Masked(seed).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    order = torch.Generator().manual_seed(seed)
    x = data["train"]
    with mw.attach(model, law, seed=seed, steps=steps, set_ratio="mask_ratio"):
        for _ in range(steps):
            rows = torch.randint(len(x), (BATCH,), generator=order)
            model(x[rows]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    model.eval()
    return losses(data, lambda given: model.model(input_ids=given).logits)


@torch.no_grad()
def losses(data: dict[str, torch.Tensor], logits: Any) -> Scores:
    """Return the loss in bits, on validation data over all ratios, and on test data by ratio."""
    found: dict[str, dict[float, float]] = {"validation": {}, "test": {}}
    for part, by_ratio in found.items():
        for ratio in RATIOS:
            x = data[part]
            hidden = mw.masks.draw(
                ratio, (LENGTH,), sample_ids=torch.arange(len(x)), seed=9
            ).hidden
            predicted = logits(x.masked_fill(hidden, MASK))
            loss = nn.functional.cross_entropy(predicted[hidden], x[hidden])
            by_ratio[ratio] = float(loss) / math.log(2)
    means = {part: float(np.mean(list(by_ratio.values()))) for part, by_ratio in found.items()}
    return means | {f"test at {ratio:g}": loss for ratio, loss in found["test"].items()}


def baselines(data: dict[str, torch.Tensor]) -> Mapping[str, Scores]:
    """Return the loss of the letters' frequencies."""
    counts = Counter(data["train"].flatten().tolist())
    logits = torch.tensor([math.log(counts[each] + 1) for each in range(FIRST + len(LETTERS))])
    return {"frequencies of letters": losses(data, lambda x: logits.expand(*x.shape, -1))}


STUDY = Study(
    default="fixed:0.15",
    laws=(
        *("fixed:0.15", "fixed:0.3", "fixed:0.5"),
        *("uniform:0.1,0.7", "scheduled:linear,0.5..0.15"),
    ),
    load=load,
    train=train,
    baselines=baselines,
    higher=False,
    steps=200,
)
