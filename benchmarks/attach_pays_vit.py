"""ViTMAE of transformers on CIFAR-10: accuracy of a linear probe by the law of its ratio."""

import argparse
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler
from transformers import ViTMAEConfig, ViTMAEForPreTraining

import maskwise as mw
from benchmarks.attach_pays import Scores, Study

BATCH, PROBED, STRENGTH = 64, 3000, 100.0
MEAN, SPREAD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of the channels, in [0, 1]


def array(folder: Path, name: str) -> np.ndarray:
    """Read an array that may be compressed."""
    plain = folder / f"{name}.npy"
    if plain.exists():
        return np.load(plain, allow_pickle=False)
    with lzma.open(folder / f"{name}.npy.xz") as stream:
        return np.load(stream, allow_pickle=False)


def pictures(pixels: np.ndarray) -> torch.Tensor:
    """Return normalised pictures, float32 [N, 3, 32, 32]."""
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(SPREAD).view(3, 1, 1)


def load(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return pictures to train on, and three labelled parts: for probes, validation and test."""
    folder = arguments.data
    train = [(array(folder, f"x_train_{k}"), array(folder, f"y_train_{k}")) for k in range(3)]
    x, y = (np.concatenate(each) for each in zip(*train, strict=True))
    test_x, test_y = array(folder, "x_test")[:PROBED], array(folder, "y_test")[:PROBED]
    return {
        "train": pictures(x[:20000]),
        "probe": (pictures(x[:PROBED]), y[:PROBED]),
        "validation": (pictures(x[20000 : 20000 + PROBED]), y[20000 : 20000 + PROBED]),
        "test": (pictures(test_x), test_y),
    }


def build(seed: int) -> ViTMAEForPreTraining:
    """Return a small model with random weights."""
    torch.manual_seed(seed)  # noqa: TID251 - transformers draws from this generator
    return ViTMAEForPreTraining(
        ViTMAEConfig(
            hidden_size=96,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=384,
            image_size=32,
            patch_size=4,
            decoder_hidden_size=64,
            decoder_num_hidden_layers=1,
            decoder_num_attention_heads=4,
            decoder_intermediate_size=256,
            norm_pix_loss=True,
        )
    )


@torch.no_grad()
def features(model: ViTMAEForPreTraining, x: torch.Tensor) -> np.ndarray:
    """Return the mean of the patches' last states, nothing hidden."""
    model.eval()
    model.config.mask_ratio, own = 0.0, model.config.mask_ratio
    found = [model.vit(part).last_hidden_state[:, 1:].mean(dim=1) for part in x.split(500)]
    model.config.mask_ratio = own
    return torch.cat(found).numpy()


def probe(data: dict[str, Any], of: Any) -> Scores:
    """Return the accuracies of a ridge classifier on features that `of` makes, in percent."""
    scaler = StandardScaler().fit(train := of(data["probe"][0]))
    model = RidgeClassifier(STRENGTH).fit(scaler.transform(train), data["probe"][1])
    return {
        part: 100 * float(model.score(scaler.transform(of(data[part][0])), data[part][1]))
        for part in ("validation", "test")
    }


def train(data: dict[str, Any], law: str, seed: int, steps: int) -> Scores:
    """Pretrain and probe."""
    model = build(seed).train()
    x = data["train"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    order = torch.Generator().manual_seed(seed)
    with mw.attach(model, law, seed=seed, steps=steps, mend=True):
        for _ in range(steps):
            rows = torch.randint(len(x), (BATCH,), generator=order)
            model(x[rows]).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    return probe(data, lambda part: features(model, part))


def baselines(data: dict[str, Any]) -> Mapping[str, Scores]:
    """Return the probe on raw pixels, and on the model before training."""
    model = build(0)
    mw.attach(model, 0.75, mend=True).detach()
    return {
        "raw pixels": probe(data, lambda part: part.flatten(1).numpy()),
        "untrained, mended": probe(data, lambda part: features(model, part)),
    }


STUDY = Study(
    default="fixed:0.75",
    laws=(
        *("fixed:0.5", "fixed:0.75", "fixed:0.9"),
        *("uniform:0.5,0.9", "scheduled:linear,0.5..0.9"),
    ),
    load=load,
    train=train,
    baselines=baselines,
    higher=True,
    steps=150,
)
