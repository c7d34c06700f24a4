"""Hide, fill, compare; see the package."""

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import benchmarks.imputation as package
from benchmarks.imputation.masks import MECHANISMS, hide
from benchmarks.imputation.methods import METHODS, SLOW
from benchmarks.imputation.sets import NAMES, SMALL, table

SHARES = (0.1, 0.3, 0.5, 0.7)


def standardised(frame: pd.DataFrame) -> np.ndarray:
    """Return a table as numbers, [N, D]: standardised ones, and codes of categories likewise."""
    codes = frame.apply(lambda c: c if c.dtype.kind in "fiu" else pd.factorize(c, sort=True)[0])
    return np.asarray((codes - codes.mean()) / codes.std(ddof=0), dtype=float)


def errors(frame: pd.DataFrame, filled: pd.DataFrame, hidden: np.ndarray) -> tuple[float, float]:
    """Return the root mean square error of hidden numbers, standardised; of categories the wrong.

    >>> frame = pd.DataFrame({"a": [1.0, 3.0], "b": ["x", "y"]})
    >>> errors(frame, frame.assign(a=[1.0, 2.0]), np.array([[False, True], [True, True]]))
    (1.0, 0.0)
    """
    squares, wrong = [], []
    for place, name in enumerate(frame):
        rows, true, found = hidden[:, place], frame[name], filled[name]
        if true.dtype.kind in "fiu":
            squares.append(((found - true)[rows] / true.std(ddof=0)) ** 2)
        else:
            wrong.append((found != true)[rows])
    return (
        float(np.sqrt(np.mean(np.concatenate(squares)))),
        float(np.mean(np.concatenate(wrong))) if sum(map(len, wrong)) else np.nan,
    )


def compare(
    frame: pd.DataFrame, mechanism: str, share: float, seeds: int, methods: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return of each method the mean error of numbers, of categories, and seconds, [3]."""
    found: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    whole = standardised(frame)
    for seed in range(seeds):
        hidden = hide(whole, mechanism, share, seed)
        holes = frame.mask(hidden)
        for name in methods:
            start = time.process_time()
            filled = METHODS[name](holes, seed)
            seconds = time.process_time() - start
            found[name].append((*errors(frame, filled, hidden), seconds))
    return {name: np.mean(each, axis=0) for name, each in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(package.__doc__ or "").splitlines()[0])
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--sets", nargs="+", choices=NAMES)
    parser.add_argument("--methods", nargs="+", choices=METHODS)
    parser.add_argument("--mechanisms", nargs="+", choices=MECHANISMS, default=MECHANISMS)
    parser.add_argument("--shares", nargs="+", type=float, default=SHARES)
    parser.add_argument("--seeds", type=int)
    given = parser.parse_args()
    torch.set_num_threads(1)
    slow = () if given.fast else SLOW
    methods = given.methods or [name for name in METHODS if name not in SLOW or name in slow]
    methods = list(dict.fromkeys(["IterativeImputer", *methods]))
    seeds = given.seeds or (3 if given.fast else 5)
    small = (*SMALL, "covertype", "etth1", "covertype+kinds")
    ranks, ratios = defaultdict(list), defaultdict(list)
    for name in given.sets or (small if given.fast else NAMES):
        frame = table(name, given.data)
        if frame is None:
            print(f"{name}: its file is not there, left out")
            continue
        print(f"\n{name}, {len(frame)} x {frame.shape[1]}, {seeds} seeds", flush=True)
        for mechanism in given.mechanisms:
            cells = [compare(frame, mechanism, each, seeds, methods) for each in given.shares]
            for method in methods:
                line = f"{mechanism:5} {method:16}"
                for cell in cells:
                    error, wrong, seconds = cell[method]
                    ratio = error / cell[methods[0]][0]
                    line += f" | {error:.3f} {ratio:5.3f}x {seconds:6.2f} s"
                    line += "" if np.isnan(wrong) else f" wrong {wrong:.3f}"
                    ranks[method].append(1 + sum(cell[each][0] < error for each in methods))
                    ratios[method].append(ratio)
                print(line, flush=True)
    print(
        f"\n{'method':16} mean rank, mean and largest ratio to IterativeImputer, share above 1.02"
    )
    for method in methods:
        each = np.array(ratios[method])
        mean = np.exp(np.log(each).mean())
        print(
            f"{method:16} {np.mean(ranks[method]):.2f}  {mean:.3f}  {each.max():.3f}"
            f"  {np.mean(each > 1.02):.3f}"
        )


if __name__ == "__main__":
    main()
