"""Pretrain on a data set of your own with transforms, and on a stream that nobody could hold.

python examples/own_dataset.py
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.utils.data import Dataset

import maskwise as mw


class Digits(Dataset[dict[str, Any]]):
    """Any map-style data set: a length, and an item for each number."""

    def __init__(self) -> None:
        self.digits = load_digits(n_class=3)
        self.targets = self.digits.target  # of all samples, where reading them takes long

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> dict[str, Any]:
        picture = torch.from_numpy(self.digits.images[index] * 15).byte()[None]
        brighter = torch.randint(0, 15, (1,)).byte()  # transforms draw as they like
        return {"picture": picture + brighter, "kind": int(self.targets[index])}


def simulated() -> Iterator[tuple[np.ndarray, int]]:
    """Make pairs of a picture and a label, as a simulator or a reader of shards does."""
    generator = np.random.default_rng(0)
    for number in range(3000):
        picture = generator.integers(0, 60, (8, 8), np.uint8)
        picture[:, number % 8] += 150
        yield picture, number % 8


def main() -> None:
    options: dict[str, Any] = {
        "model": {"width": 32, "depth": 2, "heads": 2, "decoder_width": 16, "decoder_heads": 2},
        "train": {"steps": 100, "batch_size": 32},
        "efficiency": {"workers": 0},  # processes that read; default: one a core
    }
    keys = {"x": "picture", "y": "kind"}
    run = mw.pretrain(Digits(), data=keys, out="runs/dataset", **options)
    print(f"data set: {run.result['probes'][0]['accuracy']:.1%} of the classes are found")
    # The function, not simulated(): training reads the stream again and again.
    how = {"stream_test": 400, "buffer": 1000}
    run = mw.pretrain(simulated, data=how, out="runs/stream", **options)
    print(f"stream: {run.result['probes'][0]['accuracy']:.1%} of the classes are found")


if __name__ == "__main__":
    main()
