"""Time training steps of language models: maskwise's against transformers' BertForMaskedLM.

    python -m benchmarks.text_step [--rounds 7] [--threads 1]

Equal sizes: 4 layers, width 256, 4 heads, vocabulary 30,522, 32 rows of 128 tokens. Every
candidate does one step in turn, for many rounds, so that a machine whose speed drifts slows all
of them alike; a ratio is the median over rounds of the paired ratio of times. A step is what a
training loop does: its masks (transformers: its own collator), forward, backward, clipping, AdamW.
"""

import argparse
import contextlib
import math
import time
from collections.abc import Callable
from typing import Any, Literal, cast

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor

from benchmarks.step import measure
from maskwise.laws import Scope
from maskwise.modalities import build
from maskwise.settings import override
from maskwise.text.data import TextDataSettings, load
from maskwise.text.model import HFNetwork, TextModelSettings
from maskwise.text.record import TextRunSettings
from maskwise.text.text import Text
from maskwise.train.batches import Batch, Batches
from maskwise.train.config import EfficiencySettings, TrainSettings, connect
from maskwise.train.loop import Learner, Prepared, backward, plan_of, prepare, setup

BATCH, LENGTH, VOCABULARY = 32, 128, 30_522
RATIOS = (0.15, 0.30, 0.50)
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
}
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
DIFFERENCES = """\
what differs: ours has rotary positions, pre-norm, gated MLPs with as many weights as plain ones,
no biases and no dropout, and hides an exact number of tokens of each row, all of which become
the mask token; BERT has learned positions, post-norm, biases and dropout .1, and its collator
hides each token by chance, 80/10/10. Both: fused AdamW, gradients clipped at 1, attention written
out."""


def tokenizer() -> Tokenizer:
    words = [f"w{number}" for number in range(VOCABULARY - len(SPECIAL))]
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *words])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(list(SPECIAL))
    return made


def batch_of(number: int, packed: int = 1) -> Tensor:
    """Return rows of `packed` documents, each between [CLS] and [SEP], int64 [B, L]."""
    generator = torch.Generator().manual_seed(number)
    ids = torch.randint(len(SPECIAL), VOCABULARY, (BATCH, LENGTH), generator=generator)
    size = LENGTH // packed
    ids[:, ::size] = 2
    ids[:, size - 1 :: size] = 3
    return ids


class Ours:
    """A step of maskwise's training loop on texts."""

    def __init__(
        self,
        law: str,
        precision: Literal["fp32", "bf16"] = "fp32",
        network: Any = None,
        packed: int = 1,
        scope: Scope = "step",
    ) -> None:
        self.config = TextRunSettings(
            data=TextDataSettings(length=LENGTH),
            model=TextModelSettings(width=256, depth=4, heads=4, mlp_ratio=4),
            law=law,
            train=TrainSettings(steps=1000, batch_size=BATCH, scope=scope),
            efficiency=EfficiencySettings(precision=precision, accelerator="cpu"),
        )
        self.packed, self.fabric = packed, connect(self.config.efficiency)
        text = Text(tokenizer(), LENGTH, 4, 0, (2,), (3,), (0, 2, 3, 4))
        self.raw = build(text, self.config.model, seed=0, encoder=network and (lambda: network))
        learner = Learner(self.raw.train())
        self.model, self.optimizer = setup(self.fabric, learner, self.config.train)
        self.plan = plan_of(self.config)
        self.ratios: list[float] = []

    def prepare(self, number: int) -> Prepared:
        rows = torch.arange(BATCH) + BATCH * number
        batch = Batch(number, 0, rows, rows, batch_of(number, self.packed), None)
        return prepare(batch, self.raw, self.plan, self.fabric.device)

    def __call__(self, number: int) -> None:
        part = self.prepare(number)
        loss, _ = backward(self.fabric, self.model, self.raw, part, self.plan)
        self.fabric.clip_gradients(
            self.model, self.optimizer, max_norm=1.0, error_if_nonfinite=False
        )
        assert math.isfinite(float(loss))
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ratios.append(float(part.mask.ratio.mean()))


class Theirs:
    """A step of transformers' BertForMaskedLM, as in its Trainer."""

    def __init__(self, ratio: float, precision: str = "fp32", dropout: float = 0.1) -> None:
        self.model = bert(dropout).train()
        fast = transformers.PreTrainedTokenizerFast(
            tokenizer_object=tokenizer(),
            **{f"{name.lower()[1:-1]}_token": name for name in SPECIAL},
        )
        self.collate = transformers.DataCollatorForLanguageModeling(fast, mlm_probability=ratio)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)
        self.precision = precision

    def __call__(self, number: int) -> None:
        special = [1, *[0] * (LENGTH - 2), 1]
        rows = [
            {"input_ids": row, "special_tokens_mask": special} for row in batch_of(number).tolist()
        ]
        batch = self.collate(rows)
        cast = torch.autocast("cpu", torch.bfloat16) if self.precision == "bf16" else None
        with cast or contextlib.nullcontext():
            loss = self.model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        float(loss.detach())
        self.optimizer.step()
        self.optimizer.zero_grad()


def bert(dropout: float) -> Any:
    config = transformers.BertConfig(
        **SIZES, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout
    )
    return transformers.AutoModelForMaskedLM.from_config(config, attn_implementation="eager")


def masked_only(ratio: float, precision: Literal["fp32", "bf16"] = "fp32") -> Ours:
    """Return the same BERT, without dropout, its head at hidden positions only."""
    return Ours(f"fixed:{ratio}", precision, HFNetwork(bert(0.0)))


def timed(steps: dict[str, Callable[[int], None]], rounds: int) -> dict[str, np.ndarray]:
    """Return seconds; of the processor on one thread, which other programs cannot take away."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    return measure(cast(Any, steps), rounds, warmup=1, clock=clock)


def compare(steps: dict[str, Callable[[int], None]], rounds: int) -> None:
    """Print the tokens/s of each candidate, and how much faster the first one is."""
    times = timed(steps, rounds)
    first = next(iter(steps))
    for name, seconds in times.items():
        rate, gain = BATCH * LENGTH / float(np.median(seconds)), seconds / times[first]
        low, high = np.percentile(gain, [25, 75])
        print(
            f"{name:<44} {rate:9,.0f} tokens/s   ours is {np.median(gain):5.2f}x as fast"
            f" ({low:.2f} .. {high:.2f})",
            flush=True,
        )


def random_law(rounds: int) -> None:
    """Print the cost of random ratios over that of fixed ones with as many predicted tokens."""
    grid = (0.05, 0.2, 0.35, 0.5)
    steps = {f"fixed {ratio}": Ours(f"fixed:{ratio}") for ratio in grid}
    random = {
        scope: Ours("uniform:0.05,0.5", scope=cast(Any, scope)) for scope in ("step", "sample")
    }
    times = timed({**steps, **random}, rounds)
    counts = np.array([steps[f"fixed {ratio}"].ratios[-1] for ratio in grid])
    fixed = np.array([times[f"fixed {ratio}"] for ratio in grid])
    for scope, one in random.items():
        explained = [
            np.interp(ratio, counts, fixed[:, place])
            for place, ratio in enumerate(one.ratios[-rounds:])
        ]
        cost = times[scope] / np.array(explained)
        low, high = np.percentile(cost, [25, 75])
        print(
            f"uniform:0.05,0.5, one ratio per {scope:<6} costs {np.median(cost):.3f} x"
            f" ({low:.3f} .. {high:.3f}) what its predicted tokens explain"
        )


def pipeline(rounds: int) -> None:
    """Print how fast batches are read and masked, beside a step of the model."""
    generator = np.random.default_rng(0)
    words = ["".join(generator.choice(list("aeiouklmnprst"), size=6)) for _ in range(5000)]
    texts = [" ".join(generator.choice(words, size=300)) for _ in range(1000)]
    splits = load(TextDataSettings(length=LENGTH, vocab_size=4000), texts, units="words")
    batches = Batches(splits.train, batch_size=BATCH, seed=0)
    ours = Ours("fixed:0.15")

    def read(number: int) -> None:
        batch = batches[number]
        assert isinstance(batch, Batch)
        prepare(batch, ours.raw, words_hidden, ours.fabric.device)

    words_hidden = plan_of(override(ours.config, {"pattern": "words"}))
    times = timed({"read": read, "step": ours}, rounds)
    read_rate = BATCH * LENGTH / np.median(times["read"])
    gain = np.median(times["step"] / times["read"])
    print(f"reading, and masks of whole words: {read_rate:,.0f} tokens/s, {gain:.0f}x the step's")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rounds = arguments.rounds
    print(
        f"torch {torch.__version__}, transformers {transformers.__version__},"
        f" {arguments.threads} threads, {rounds} rounds; median, and quartiles of rounds"
    )
    sides = {"ours": Ours("fixed:0.15").raw, "BERT": bert(0.0)}
    for name, model in sides.items():
        print(f"{name}: {sum(p.numel() for p in model.parameters()):,} parameters")
    print(DIFFERENCES)
    for ratio in RATIOS:
        steps: dict[str, Any] = {
            f"ours, {ratio}": Ours(f"fixed:{ratio}"),
            f"ours, {ratio}, four documents in a row": Ours(f"fixed:{ratio}", packed=4),
            f"BERT, {ratio}": Theirs(ratio),
            f"BERT, {ratio}, no dropout": Theirs(ratio, dropout=0.0),
            f"BERT, {ratio}, no dropout, masked-only head": masked_only(ratio),
        }
        compare(steps, rounds)
    steps = {
        "ours, 0.15, bf16": Ours("fixed:0.15", "bf16"),
        "BERT, 0.15, fp32": Theirs(0.15),
        "BERT, 0.15, bf16": Theirs(0.15, "bf16"),
        "BERT, 0.15, bf16, no dropout, masked-only head": masked_only(0.15, "bf16"),
    }
    compare(steps, rounds)
    random_law(4 * rounds)
    pipeline(4 * rounds)


if __name__ == "__main__":
    main()
