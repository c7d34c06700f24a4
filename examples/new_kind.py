"""A kind of data of your own in one file: short sounds, as frames of a log-mel spectrogram.

python examples/new_kind.py [FOLDER] pretrains on sounds that it makes itself. Nothing of the
package is edited: a kind of data is a record, and one line that says where it is.
"""

import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

import maskwise as mw
from maskwise import modalities
from maskwise.measure.features import data_entry, models_of
from maskwise.measure.probes import given_split, probe_row
from maskwise.measure.protocols import PROBES
from maskwise.modality import Modality, Samples
from maskwise.patches.arrays import (
    ArraySource,
    ArraySplits,
    ArrayTokenizer,
    embed,
    standardised,
    unlabelled,
)
from maskwise.patches.losses import fit_noise, patch_likelihood, reconstruction
from maskwise.patches.model import PatchModel, PatchModelSettings
from maskwise.settings import settings
from maskwise.train.config import RunSettings, TrainSettings
from maskwise.words import ProbeWords, Words

RATE, WINDOW, BANDS, FRAMES = 8000, 256, 16, 24  # a clip is 24 windows of 32 ms
CLASSES = ("rising", "falling", "steady")


@settings
class SoundDataSettings:
    source: str = "array"
    """`tones`, which are made here; or waves given from Python."""
    holdout: float = 0.25
    """Share of the clips held out."""


@settings
class SoundEvaluateSettings:
    ratios: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    """Hidden fractions at which the error is measured."""
    protocols: tuple[Literal["logistic", "knn"], ...] = ("logistic", "knn")
    """Probes of the features."""


@settings
class SoundRunSettings(RunSettings):
    modality: Literal["sounds"] = "sounds"
    """kind of data"""
    data: SoundDataSettings = Field(default_factory=SoundDataSettings)
    model: PatchModelSettings = PatchModelSettings(width=48, depth=2, decoder_width=32)
    evaluate: SoundEvaluateSettings = Field(default_factory=SoundEvaluateSettings)


def tones(source: str = "tones") -> SoundRunSettings:
    train = TrainSettings(steps=300, batch_size=64)
    return SoundRunSettings(data=SoundDataSettings(source=source), train=train)


def make_waves(num: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Return tones in noise, [num, FRAMES * WINDOW], and whether they rise, fall or stay."""
    rng, time = np.random.default_rng(0), np.arange(FRAMES * WINDOW) / RATE
    labels = rng.integers(0, 3, num)
    slope = np.array([800, -800, 0])[labels][:, None] * rng.uniform(0.5, 1, (num, 1))
    cycles = rng.uniform(700, 1500, (num, 1)) * time + slope * time**2 / 2
    return np.sin(2 * np.pi * cycles) + 0.3 * rng.normal(size=cycles.shape), labels


def log_mel(waves: np.ndarray) -> torch.Tensor:
    """Return log(1 + energy) in bands that are equally wide in mel, float32 [N, FRAMES, BANDS]."""
    windows = waves.reshape(len(waves), FRAMES, WINDOW) * np.hanning(WINDOW)
    power, mel = np.abs(np.fft.rfft(windows)) ** 2, np.fft.rfftfreq(WINDOW, 1 / RATE)
    mel = np.log1p(mel / 700)
    band = np.minimum((mel / mel[-1] * BANDS).astype(int), BANDS - 1)
    energy = np.stack([power[..., band == each].sum(-1) for each in range(BANDS)], axis=-1)
    return torch.from_numpy(np.log1p(energy)).float()


def load(data: Any, config: SoundRunSettings) -> ArraySplits:
    if data is None and config.data.source != "tones":
        raise mw.UserError(f"'{config.data.source}' is no source of sounds: give waves, or tones")
    waves, labels = make_waves() if data is None else data
    frames, held = log_mel(waves), round(len(waves) * config.data.holdout)
    train = ArraySource(frames[held:], labels[held:])
    return ArraySplits(train, ArraySource(frames[:held], labels[:held]), config.data.source)


def evaluate(
    model: PatchModel, splits: ArraySplits, config: SoundRunSettings, untrained: PatchModel | None
) -> dict[str, Any]:
    both, test, asked = (splits.train, splits.test), splits.test, config.evaluate
    labels = given_split(splits.train.labels, test.labels)
    x = {
        name: np.concatenate([embed(each, part) for part in both])
        for name, each in models_of(model, untrained, baselines=True).items()
    }
    x["log-mel frames"] = torch.cat([part.samples for part in both]).flatten(1).numpy()
    index = np.arange(len(test))
    loud = {n: test.samples[test.labels == k].mean((0, 2)) for k, n in enumerate(CLASSES)}
    lines = [{"name": n, "x": list(range(FRAMES)), "y": y.tolist()} for n, y in loud.items()]
    axes = {"xlabel": "frame", "ylabel": "log energy", "caption": "Means of held-out clips."}
    section = {"slug": "loudness", "title": "Loudness", "text": "A section of this kind's own."}
    return {
        "data": data_entry(splits, (FRAMES, BANDS), CLASSES),
        "probes": [
            probe_row(name, each, labels, PROBES[probe], seed=0, accuracy_only=True)
            for name, each in x.items()
            for probe in asked.protocols
        ],
        "reconstruction": reconstruction(model, test, index, asked.ratios, config.pattern, 0),
        "sections": [{**section, "curves": [{"title": "By time", "lines": lines, **axes}]}],
    }


SOUNDS = Modality(
    name="sounds",
    title="a model of sounds",
    settings=SoundRunSettings,
    recipes={"tones": tones},
    own=tones,
    sources="waves as an array [N, samples], with labels [N]; or tones",
    words=Words(probes=ProbeWords(samples="clips", labelled=True)),
    load=load,
    describe=lambda splits, config: (standardised("sounds", splits.train.samples), config),
    build=PatchModel,
    settle=lambda model, splits, config: fit_noise(model, splits.train, seed=config.seed),
    evaluate=evaluate,
    restore=ArrayTokenizer.restore,
    embed=lambda model, waves, config, pool, layer: embed(
        model, unlabelled(log_mel(waves)), pool, layer
    ),
    read=lambda config: Samples(make_waves()[0]),
    likelihood=patch_likelihood,
)
modalities.KINDS["sounds"] = SOUNDS

if __name__ == "__main__":
    run = mw.pretrain("tones", out=Path(sys.argv[1] if len(sys.argv) > 1 else "runs/sounds"))
    print(f"features: {run.embed(make_waves(5)[0]).shape}, report: {run.report}")
