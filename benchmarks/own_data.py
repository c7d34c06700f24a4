"""Time reading data of one's own: maskwise, and torch's DataLoader or plain iteration over them.

    python -m benchmarks.own_data [--rounds 7]

A map-style data set of 4,000 JPEG pictures of 96 x 96, decoded and mirrored at random in its
`__getitem__`, is read in shuffled batches of 64, in this process and by two workers; and a stream
of such pictures is read in batches of 64. Both sides read the same items in turn, so that a
machine whose speed drifts slows both alike: a ratio is the median over rounds of the paired ratio
of times. maskwise keys the transform, checks shapes and shuffles. A stream of rows of 30 columns,
which plain iteration stacks and maskwise standardises, shows what that costs where items cost
nothing.
"""

import argparse
import io
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.step import measure
from maskwise.modalities import config_of, find
from maskwise.preparing import loaded
from maskwise.train.batches import Batches
from maskwise.train.stream import StreamBatches

BATCH, BATCHES, NUM, SIDE = 64, 8, 4000, 96


def jpegs(num: int) -> list[bytes]:
    """Return so many encoded pictures of smooth noise."""
    rng, found = np.random.default_rng(0), []
    for _ in range(num):
        small = rng.integers(0, 256, (8, 8, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(small).resize((SIDE, SIDE)).save(file, "JPEG", quality=90)
        found.append(file.getvalue())
    return found


class Pictures(Dataset[Tensor]):
    """Pictures that are decoded, mirrored at random and become tensors."""

    def __init__(self, files: list[bytes]) -> None:
        self.files = files

    def __len__(self) -> int:
        return NUM

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(io.BytesIO(self.files[index % len(self.files)])) as picture:
            values = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
        return values.flip(2) if torch.rand(1) < 0.5 else values


def rows() -> Iterator[np.ndarray]:
    """Give rows of numbers for ever."""
    rng = np.random.default_rng(0)
    block = rng.normal(size=(1000, 30))
    while True:
        yield from block


def endless(loader: DataLoader[Tensor]) -> Iterator[Any]:
    """Give batches, begun anew whenever all were read."""
    while True:
        yield from loader


def stacked(items: Iterator[Any]) -> Iterator[Tensor]:
    """Give batches of items as they come."""
    while True:
        yield torch.stack([torch.as_tensor(next(items)) for _ in range(BATCH)])


def taking(batches: Iterator[Any]) -> Callable[[int], None]:
    """Return what takes a round of batches."""

    def step(number: int) -> None:
        for _ in range(BATCHES):
            next(batches)

    return step


def compare(what: str, theirs: Iterator[Any], ours: Iterator[Any], rounds: int) -> None:
    """Print samples/s of both sides, and their ratio."""
    steps = {"theirs": taking(theirs), "maskwise": taking(ours)}
    for step in steps.values():
        step(0)  # workers start
    times = measure(cast(Any, steps), rounds)
    ratio = times["theirs"] / times["maskwise"]
    rates = [BATCHES * BATCH / np.median(seconds) for seconds in times.values()]
    print(
        f"{what}: {rates[0]:,.0f} samples/s, maskwise {rates[1]:,.0f}:"
        f" {np.median(ratio):.2f}x as fast ({ratio.min():.2f} .. {ratio.max():.2f})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    files = jpegs(200)
    data = Pictures(files)
    config = config_of(data, {})
    source = loaded(find("images"), data, config).train
    for workers in (0, 2):
        loader = DataLoader(
            data, BATCH, shuffle=True, num_workers=workers, generator=torch.Generator()
        )
        ours = Batches(source, batch_size=BATCH, seed=0).read(0, 10**9, workers)
        what = f"data set of JPEGs, {workers} workers: DataLoader"
        compare(what, endless(loader), ours, rounds)

    def pictures() -> Iterator[Tensor]:
        return (data[number] for number in range(10**9))

    for what, kind, stream in (
        ("stream of JPEGs: plain iteration", "images", pictures),
        ("stream of rows: plain iteration", "tables", rows),
    ):
        config = config_of(stream, {"data.stream_test": 100, "data.buffer": 1000}, kind)
        splits = loaded(find(kind), stream, config)
        ours = StreamBatches(splits.stream, batch_size=BATCH, seed=0).read(0, 10**9)
        compare(what, stacked(stream()), ours, rounds)


if __name__ == "__main__":
    main()
