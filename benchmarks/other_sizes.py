"""Is a model worth as much at another size? Probes at half to twice the size it was trained at.

    python -m benchmarks.other_sizes CIFAR-FOLDER [--seeds N]

Trains on CIFAR-10 at 16 x 16, and asks the model for the same test pictures at 8, 16, 24 and 32
pixels a side, where it reads them in three ways:

- scaled: at their size, positions laid over the grid of the training (what the package does);
- further: at their size, positions that go on with the same step;
- resized: at 16 x 16.

Prints the accuracy of a nearest-neighbour and of a linear probe (ridge) that are fitted at that
size, of the linear probe of 16 x 16 asked there, and the reconstruction error; means over seeds
with the half of their 95 % interval. One thread; 3 seeds take four minutes of it. `--validate`
asks training images that neither model nor probe has seen.
"""

import argparse
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

import maskwise as mw
from benchmarks.compare_laws import interval
from maskwise.images.images import Images, array_source
from maskwise.measure.protocols import PROBES
from maskwise.patches.arrays import embed
from maskwise.patches.losses import reconstruction
from maskwise.patches.model import PatchModel
from maskwise.patches.sizes import on_grid
from maskwise.textio import OPENERS

TRAINED, SIZES = 16, (8, 16, 24, 32)
NUM_PRETRAIN, NUM_TRAIN, NUM_TEST = 8000, 2000, 2000
SETTINGS = {
    "data.patch": 4,
    "data.flip": True,
    "model.width": 64,
    "model.depth": 3,
    "model.heads": 4,
    "model.decoder_width": 48,
    "model.decoder_depth": 1,
    "train.steps": 400,
    "train.batch_size": 64,
    "train.lr": 1.5e-3,
    "evaluate.num_train": 2,
    "evaluate.num_test": 2,
    "evaluate.protocols": (),
    "evaluate.baselines": False,
    "evaluate.visible": (),
    "evaluate.ratios": (0.75,),
    "diagnose.num_samples": 40,
}
Way = Literal["scaled", "further", "resized"]


def at_size(images: np.ndarray, side: int) -> np.ndarray:
    """Return pictures [N, H, W, C] resized to a square, uint8."""
    if images.shape[1] == side:
        return images
    values = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    found = F.interpolate(values, size=(side, side), mode="bicubic", antialias=True)
    return found.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def read(path: Path) -> np.ndarray:
    """Return the array in a .npy or .npy.xz file."""
    with OPENERS.get(path.suffix, open)(path, "rb") as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def linear(x: np.ndarray, y: np.ndarray, test_x: np.ndarray) -> np.ndarray:
    """Return the classes that a ridge classifier of standardised features says."""
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    made = make_pipeline(StandardScaler(), RidgeClassifier(alpha=10.0)).fit(x, y)
    return np.asarray(made.predict(test_x))


def asked(model: PatchModel, side: int, way: Way) -> PatchModel:
    """Return a model that reads squares of a size."""
    if way == "resized" or side == TRAINED:
        return model
    assert isinstance(model.tokenizer, Images)
    return on_grid(model, replace(model.tokenizer, height=side, width=side), way)


def measure(
    model: PatchModel, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
) -> dict[tuple[int, str], list[float]]:
    """Return accuracies and the error by size and way."""
    found: dict[tuple[int, str], list[float]] = {}
    (_, train_y), (_, test_y) = train, test
    usual = embed(model, array_source(at_size(train[0], TRAINED)))
    ways: tuple[Way, ...] = ("scaled", "further", "resized")
    for side in SIZES:
        for way in ways:
            if way == "further" and model.config.positions == "learned":
                continue
            reader = asked(model, side, way)
            sources = [array_source(at_size(images, side)) for images, _ in (train, test)]
            if way == "resized":
                sources = [
                    array_source(at_size(at_size(x, side), TRAINED)) for x, _ in (train, test)
                ]
            x, test_x = (embed(reader, source) for source in sources)
            near = PROBES["knn"].predict(x, train_y, test_x, np.arange(len(x)), 0)[0]
            near = near if near.ndim == 1 else near.argmax(axis=1)
            own, other = (linear(known, train_y, test_x) for known in (x, usual))
            right = [100 * float((each == test_y).mean()) for each in (near, own, other)]
            index = np.arange(300)
            error = reconstruction(reader, sources[1], index, (0.75,), "scattered", 0)
            found[side, way] = [*right, error["curve"][0]["error"]]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("folder")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--validate", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(given.folder)
    x, y = read(folder / "x_train_0.npy.xz"), read(folder / "y_train_0.npy")
    few = at_size(x[:NUM_PRETRAIN], TRAINED)
    train = x[:NUM_TRAIN], y[:NUM_TRAIN]
    test = x[NUM_PRETRAIN:], y[NUM_PRETRAIN:]
    if not given.validate:
        parts = read(folder / "x_test.npy.xz"), read(folder / "y_test.npy")
        test = parts[0][:NUM_TEST], parts[1][:NUM_TEST]
    for positions in ("sincos", "learned"):
        every = defaultdict(list)
        for seed in range(given.seeds):
            with tempfile.TemporaryDirectory() as place:
                settings = SETTINGS | {"model.positions": positions}
                run = mw.pretrain(few, out=f"{place}/run", seed=seed, **settings)
                for key, values in measure(run.model(), train, test).items():
                    every[key].append(values)
        print(f"\n{positions} positions, trained at {TRAINED} x {TRAINED}\n")
        print("| size | read | kNN, % | linear, % | linear of 16 x 16, % | error at 0.75 |")
        print("|---|---|---|---|---|---|")
        for (side, way), rows in every.items():
            cells = [interval(column) for column in np.array(rows).T]
            told = " | ".join(f"{mean:.3g} ± {half:.2g}" for mean, half in cells)
            print(f"| {side} | {way} | {told} |", flush=True)


if __name__ == "__main__":
    main()
