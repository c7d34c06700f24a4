"""Is another network worth as much? Our transformer, and networks of timm, at equal steps.

    python -m benchmarks.own_encoders CIFAR-FOLDER [--seeds N] [--steps N]

Pretrains on 8,000 training pictures of CIFAR-10, in patches of 4 x 4, under uniform:0.6,0.9:

- ours: our transformer, which sees visible patches only;
- timm vit: a vision transformer of timm of the same size, in the same way, with our decoder;
- timm convnext: convolutions of about as many weights, which see a picture whose hidden patches
  are filled with a learned one.

Prints, for each, the weights of the encoder, the processor time of a step, and the accuracy of a
linear probe (ridge) of the mean features, of 2,000 training and 2,000 test pictures, beside that
of the untrained network and of raw pixels; means over seeds with the half of their 95 % interval.
Then the time of a step of timm's vision transformer over ours: the median over turns of both.
One thread; two seeds take about two minutes of it.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.compare_laws import interval
from benchmarks.other_sizes import linear
from maskwise.images.data import ImageDataSettings, load
from maskwise.images.images import Images, ImageSource, ImageSplits, describe, first_shuffled
from maskwise.modalities import build, find
from maskwise.patches.arrays import embed
from maskwise.patches.model import PatchModel
from maskwise.settings import override
from maskwise.train.batches import Batches
from maskwise.train.config import connect
from maskwise.train.loop import train

NUM_PRETRAIN, NUM_TRAIN, NUM_TEST = 8000, 2000, 2000
WIDTH, DEPTH, HEADS = 96, 4, 4
NETWORKS: dict[str, str | None] = {
    "ours": None,
    "timm vit": f"timm:vit_tiny_patch16_224,embed_dim={WIDTH},depth={DEPTH},num_heads={HEADS}",
    "timm convnext": "timm:convnext_atto,depths=3+3+1+1,dims=64+128+8+8,out_indices=0+1",
}
SETTINGS = {
    "law": "uniform:0.6,0.9",
    "data.patch": (4, 4),
    "model.width": WIDTH,
    "model.depth": DEPTH,
    "model.heads": HEADS,
    "model.decoder_width": 64,
    "model.decoder_depth": 1,
    "train.batch_size": 64,
    "train.lr": 1.5e-3,
    "efficiency.accelerator": "cpu",
}


def model_of(encoder: str | None, images: Images, seed: int) -> PatchModel:
    """Return a model with its first weights."""
    config: Any = override(find("images").own("array"), SETTINGS | {"model.encoder": encoder})
    made: PatchModel = build(images, config.model, seed=seed)
    return made


def trained(
    encoder: str | None, images: Images, source: ImageSource, seed: int, steps: int
) -> tuple[PatchModel, float]:
    """Return a trained model, and the seconds of a step."""
    changes = {"model.encoder": encoder, "seed": seed, "train.steps": steps}
    config = override(find("images").own("array"), SETTINGS | changes)
    model, fabric = model_of(encoder, images, seed), connect(config.efficiency)
    fabric.launch()
    batches = Batches(source, batch_size=config.train.batch_size, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        train(fabric, model, batches, config, Path(folder))
        return model.eval(), (time.process_time() - began) / steps


def accuracy(splits: ImageSplits, model: PatchModel | None) -> float:
    """Return how many test pictures a linear probe of features gets right, in percent.

    None: of raw pixels.
    """
    parts = [
        first_shuffled(part, num)
        for part, num in zip((splits.train, splits.test), (NUM_TRAIN, NUM_TEST), strict=True)
    ]
    x = [
        part.get(np.arange(len(part))).flatten(1).numpy() if model is None else embed(model, part)
        for part in parts
    ]
    labels = [part.labels for part in parts]
    assert labels[0] is not None
    return 100 * float((linear(x[0], labels[0], x[1]) == labels[1]).mean())


def step_ratio(images: Images, source: ImageSource, turns: int = 6) -> float:
    """Return the time of a step of timm's vision transformer over ours."""
    ratios = []
    for turn in range(turns + 1):
        ours, theirs = (
            trained(NETWORKS[name], images, source, turn, 5)[1] for name in ("ours", "timm vit")
        )
        ratios.append(theirs / ours)
    return float(np.median(ratios[1:]))  # in the first, caches fill


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("folder")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=200)
    given = parser.parse_args()
    torch.set_num_threads(1)
    splits = load(ImageDataSettings(source=given.folder))
    few = first_shuffled(splits.train, NUM_PRETRAIN)
    images = describe(few, (4, 4), "normalised")
    print(f"raw pixels: {accuracy(splits, None):.1f} %\n")
    print("| encoder | weights | ms of a step | untrained, % | trained, % |")
    print("|---|---|---|---|---|")
    for name, encoder in NETWORKS.items():
        rows = []
        for seed in range(given.seeds):
            before = accuracy(splits, model_of(encoder, images, seed).eval())
            model, seconds = trained(encoder, images, few, seed, given.steps)
            rows.append([1000 * seconds, before, accuracy(splits, model)])
        parts = [model.encoder, getattr(model, "embed", torch.nn.Identity())]
        weights = sum(each.numel() for part in parts for each in part.parameters())
        cells = [interval(column) for column in np.array(rows).T]
        told = " | ".join(f"{mean:.3g} ± {half:.2g}" for mean, half in cells)
        print(f"| {name} | {weights:,} | {told} |", flush=True)
    ratio = step_ratio(images, few)
    print(f"\na step of timm's vision transformer takes {ratio:.2f} times as long as ours")


if __name__ == "__main__":
    main()
