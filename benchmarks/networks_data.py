"""Small images and windows of text for `benchmarks.networks`."""

import lzma
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SYMBOLS = " abcdefghijklmnopqrstuvwxyz"
WINDOW = 32
NUM_TEST = 2000


@dataclass(frozen=True)
class Data:
    """Training pool [N, L] and test samples [M, L]: float numbers, or int64 symbols."""

    grid: tuple[int, ...]
    channels: int
    pool: Tensor
    test: Tensor

    def subset(self, num: int, generator: torch.Generator) -> Tensor:
        """Return `num` samples of the pool."""
        return self.pool[torch.randperm(len(self.pool), generator=generator)[:num]]

    def encode(self, targets: Tensor) -> Tensor:
        """Return the network's input, [B, L, channels]: the number, or the symbol one-hot."""
        if targets.dtype == torch.int64:
            return functional.one_hot(targets, self.channels).float()
        return targets[:, :, None]


def images(path: Path) -> Data:
    """Return grey images, averaged over 4 x 4 pixels, standardised at each position."""
    with np.load(path, allow_pickle=False) as stored:
        train, test = (
            stored[name].mean(axis=3, dtype=np.float32).reshape(-1, 8, 4, 8, 4).mean((2, 4))
            for name in ("x", "x_test")
        )
    mean, std = train.mean(axis=0), train.std(axis=0)
    pool, held_out = (
        torch.from_numpy((part - mean) / std).flatten(1) for part in (train, test[:NUM_TEST])
    )
    return Data((8, 8), 1, pool, held_out)


def text(path: Path, window: int = WINDOW) -> Data:
    """Return windows of letters and spaces; those of the test are from the last tenth."""
    raw = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
    letters = re.sub(r"[^a-z]+", " ", raw.decode("utf-8").lower())
    codes = np.frombuffer(letters.encode("ascii"), dtype=np.uint8).astype(np.int64)
    codes = np.where(codes == ord(" "), 0, codes - ord("a") + 1)
    windows = torch.from_numpy(codes[: len(codes) // window * window]).view(-1, window)
    cut = len(windows) * 9 // 10
    chosen = np.linspace(cut, len(windows) - 1, NUM_TEST).astype(np.int64)
    return Data((window,), len(SYMBOLS), windows[:cut], windows[chosen])


def load(images_path: Path, text_path: Path) -> dict[str, Data]:
    """Return both data sets by name."""
    return {"images": images(images_path), "text": text(text_path)}
