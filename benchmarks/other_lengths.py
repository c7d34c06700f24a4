"""How well is text of another length read when learned positions are interpolated, or repeated?

    python -m benchmarks.other_lengths [--seeds N]

Trains a small BERT on rows of 32 tokens of a Markov chain, whose next token is the same in four
of five cases, and extends its table of positions to 64: by `extend_positions`, which interpolates,
and by repeating the table. Prints the cross-entropy of 15 % hidden tokens in new rows of 16, 32
and 64 tokens, in nats; the mean over seeds. One thread; a seed takes 40 seconds of it.
"""

import argparse
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from maskwise.text import lengths
from maskwise.text.model import HFNetwork

TOKENS, FIRST, MASK, LENGTH, STEPS = 32, 6, 4, 32, 1800
CONFIG = {
    "model_type": "bert",
    "vocab_size": 40,
    "pad_token_id": 3,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "max_position_embeddings": LENGTH,
}


def repeated(positions: Tensor, old: tuple[int, ...], new: tuple[int, ...]) -> Tensor:
    """Return a table [1, L, D] again and again, as long as wanted."""
    return positions.repeat(1, -(-new[0] // old[0]), 1)[:, : new[0]]


def chain(generator: torch.Generator) -> Callable[[int, int], Tensor]:
    """Return what draws rows of a Markov chain, int64 [B, N]."""
    odds = torch.full((TOKENS, TOKENS), 0.2 / TOKENS)
    odds[torch.arange(TOKENS), torch.randperm(TOKENS, generator=generator)] += 0.8

    def draw(num: int, length: int) -> Tensor:
        rows = torch.zeros(num, length, dtype=torch.int64)
        rows[:, 0] = torch.randint(TOKENS, (num,), generator=generator)
        for place in range(1, length):
            each = odds[rows[:, place - 1]]
            rows[:, place] = torch.multinomial(each, 1, generator=generator)[:, 0]
        return rows + FIRST

    return draw


def loss_of(network: HFNetwork, ids: Tensor, generator: torch.Generator) -> Tensor:
    """Return the cross-entropy of 15 % of the tokens, hidden."""
    hidden = torch.rand(ids.shape, generator=generator) < 0.15
    inputs = ids.masked_fill(hidden, MASK)
    logits = network.model(input_ids=inputs, attention_mask=torch.ones_like(ids)).logits
    return F.cross_entropy(logits[hidden], ids[hidden])


def trained(
    seed: int, draw: Callable[[int, int], Tensor], generator: torch.Generator
) -> HFNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = HFNetwork.from_config(CONFIG)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, step / 150) * (1 - step / STEPS)
        optimizer.zero_grad()
        loss_of(network, draw(64, LENGTH), generator).backward()
        optimizer.step()
    return network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    found: dict[tuple[str, int], list[float]] = {}
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        draw = chain(generator)
        network = trained(seed, draw, generator)
        made = {"as trained": network}
        made["interpolated"] = lengths.extend_positions(network, 2 * LENGTH)
        with patch.object(lengths, "resize_positions", repeated):
            made["repeated"] = lengths.extend_positions(network, 2 * LENGTH)
        for length in (LENGTH // 2, LENGTH, 2 * LENGTH):
            rows = draw(512, length)
            for name, each in made.items():
                if each.longest is not None and length <= each.longest:
                    with torch.no_grad():
                        loss = float(loss_of(each, rows, torch.Generator().manual_seed(0)))
                    found.setdefault((name, length), []).append(loss)
    print("| positions | tokens in a row | nats per hidden token |\n|---|---|---|")
    for (name, length), values in found.items():
        print(f"| {name} | {length} | {np.mean(values):.2f} |")


if __name__ == "__main__":
    main()
