"""Pretrain on a folder of pictures, then use the features.

python examples/own_images.py
"""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import maskwise as mw


def write_pictures(folder: Path) -> None:
    """Write a small folder of PNGs, one sub-folder for each class: a stand-in for your own."""
    digits = load_digits(n_class=3)
    for index, (picture, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        place = folder / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((picture * 15).astype(np.uint8)).save(place / f"{index:04d}.png")


def main() -> None:
    folder = Path("pictures")
    write_pictures(folder)
    run = mw.pretrain(
        folder,
        law="uniform:0.4,0.9",
        out="runs/pictures",
        model={"width": 64, "depth": 2, "heads": 4, "decoder_width": 32, "decoder_depth": 1},
        train={"steps": 300},
    )
    for probe in run.result["probes"]:
        print(f"{probe['accuracy']:6.1%}  {probe['features']:<24} {probe['protocol']}")
    new = np.zeros((2, 8, 8), np.uint8)  # images [N, H, W] or [N, H, W, C], in the same units
    print("features:", run.embed(new).shape)
    print("report:", run.report)


if __name__ == "__main__":
    main()
