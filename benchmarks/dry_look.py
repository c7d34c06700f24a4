"""Time the dry look at a folder of pictures, beside a first epoch of training on them.

    python -m benchmarks.dry_look [--num 20000] [--side 64] [--steps 8]

A folder of small JPEGs in ten classes is written. `maskwise.inspect` looks at it twice: first as
at any new folder, then with the headers remembered. A first epoch of the default model of images
is extrapolated from a few measured steps, each of which decodes its pictures; the smaller the
pictures, the shorter it is. What is wanted is that a first look takes less than 5 % of it.
"""

import argparse
import math
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import maskwise as mw
from maskwise.images.data import ImageDataSettings, looked_at
from maskwise.images.folders import list_folder
from maskwise.images.images import describe
from maskwise.images.recipes import any_images
from maskwise.modalities import build
from maskwise.train.batches import Batch
from maskwise.train.config import connect
from maskwise.train.loop import Learner, backward, plan_of, prepare, setup

CLASSES = 10


def write(folder: Path, num: int, side: int) -> None:
    """Write pictures, of which each hundred are the same."""
    from PIL import Image

    rng = np.random.default_rng(0)
    images = [
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(100)
    ]
    for name in range(CLASSES):
        (folder / str(name)).mkdir()
    for number in range(num):
        images[number % 100].save(folder / str(number % CLASSES) / f"{number}.jpg", quality=80)


def look(folder: Path) -> float:
    """Return the seconds that a look takes."""
    began = time.perf_counter()
    found = mw.inspect(str(folder))
    assert not found.problems
    return time.perf_counter() - began


def epoch(folder: Path, steps: int) -> float:
    """Return the seconds of an epoch, from the median of a few steps."""
    config = any_images(str(folder))
    listed = list_folder(folder)
    train, _ = looked_at(listed, ImageDataSettings(source=str(folder))).splits(0.2)
    few = train.take(np.arange(min(len(train), 500)))
    tokens = describe(few, None, "normalised")
    fabric = connect(config.efficiency)
    raw = build(tokens, config.model, seed=0)
    model, optimizer = setup(fabric, Learner(raw), config.train)
    plan, size, times = plan_of(config), config.train.batch_size, []
    for step in range(steps + 2):
        began = time.perf_counter()
        ids = torch.arange(step * size, (step + 1) * size) % len(train)
        part = prepare(Batch(step, 0, ids, ids, train.get(ids), None), raw, plan, fabric.device)
        loss, _ = backward(fabric, model, raw, part, plan)
        optimizer.step()
        optimizer.zero_grad()
        assert math.isfinite(float(loss))
        times.append(time.perf_counter() - began)
    return float(np.median(times[2:])) * (len(train) // size)


def main() -> None:
    """Print the times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--num", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--steps", type=int, default=8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["MASKWISE_CACHE"] = f"{place}/cache"
        folder = Path(place) / "pictures"
        folder.mkdir()
        write(folder, args.num, args.side)
        mw.inspect("digits")  # imports
        first, again = look(folder), look(folder)
        whole = epoch(folder, args.steps)
    print(f"{args.num:,} pictures of {args.side} x {args.side}, {os.cpu_count()} cores")
    print(f"first epoch      {whole:8.1f} s")
    for name, seconds in (("first look", first), ("remembered look", again)):
        print(f"{name:16} {seconds:8.2f} s, {seconds / whole:.2%} of it")


if __name__ == "__main__":
    main()
