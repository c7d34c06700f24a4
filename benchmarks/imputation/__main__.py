"""Hide, fill, compare; see the package."""

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

import benchmarks.imputation as package
from benchmarks.imputation.masks import MECHANISMS, hide
from benchmarks.imputation.methods import METHODS, SLOW
from benchmarks.imputation.sets import FRESH, NAMES, SMALL, table

SHARES = (0.1, 0.3, 0.5, 0.7)
LONG = 600  # rows of tables for which three seeds have to do
FRESH_SETS, OTHERS = "sets that were never used for choices", "sets that choices were made on"


def standardised(frame: pd.DataFrame) -> np.ndarray:
    """Return a table as numbers, [N, D]: standardised ones, and codes of categories likewise."""
    codes = frame.apply(lambda c: c if c.dtype.kind in "fiu" else pd.factorize(c, sort=True)[0])
    return np.asarray((codes - codes.mean()) / codes.std(ddof=0), dtype=float)


class Result(NamedTuple):
    """What a method costs: means over seeds."""

    standard: float
    """root mean square error of hidden numbers, columns standardised by the whole table"""
    range: float
    """the same, columns scaled to run from 0 to 1"""
    wrong: float
    """share of hidden categories that are guessed wrongly; NaN if there are none"""
    seconds: float


def errors(
    frame: pd.DataFrame, filled: pd.DataFrame, hidden: np.ndarray
) -> tuple[float, float, float]:
    """Return the first three of a `Result`.

    >>> frame = pd.DataFrame({"a": [1.0, 5.0], "b": ["x", "y"]})
    >>> errors(frame, frame.assign(a=[1.0, 3.0]), np.array([[False, True], [True, True]]))
    (1.0, 0.5, 0.0)
    """
    numbers: tuple[list[np.ndarray], ...] = ([], [])
    wrong = []
    for place, name in enumerate(frame):
        rows, true, found = hidden[:, place], frame[name], filled[name]
        if true.dtype.kind in "fiu":
            for scale, off in zip((true.std(ddof=0), np.ptp(true)), numbers, strict=True):
                off.append(((found - true)[rows] / scale) ** 2)
        else:
            wrong.append((found != true)[rows])
    standard, span = (float(np.sqrt(np.mean(np.concatenate(off)))) for off in numbers)
    guessed = float(np.mean(np.concatenate(wrong))) if sum(map(len, wrong)) else np.nan
    return standard, span, guessed


def compare(
    frame: pd.DataFrame, mechanism: str, share: float, seeds: int, methods: Sequence[str]
) -> dict[str, Result]:
    """Return the mean results of each method."""
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
    return {name: Result(*np.mean(each, axis=0).tolist()) for name, each in found.items()}


def summary(cells: Sequence[dict[str, Result]], methods: Sequence[str]) -> str:
    """Return a table of methods, the first of which others are compared to.

    >>> one, two = Result(1.0, 0.5, np.nan, 2.0), Result(0.5, 0.6, np.nan, 1.0)
    >>> print(summary([{"a": one, "b": two}], ["a", "b"]))
    | method | rank | error | largest | above 1.02 | range: rank | error | largest | above | s |
    |---|---|---|---|---|---|---|---|---|---|
    | a | 2.00 | 1.000 | 1.000 | 0 of 1 | 1.00 | 1.000 | 1.000 | 0 of 1 | 2.00 |
    | b | 1.00 | 0.500 | 0.500 | 0 of 1 | 2.00 | 1.200 | 1.200 | 1 of 1 | 1.00 |
    """
    lines = [
        "| method | rank | error | largest | above 1.02 | range: rank | error | largest | above"
        " | s |",
        "|---" * 10 + "|",
    ]
    for name in methods:
        parts = [name]
        for measure in ("standard", "range"):
            off = np.array([[getattr(cell[each], measure) for each in methods] for cell in cells])
            own = off[:, [methods.index(name)]]
            ratios = own / off[:, :1]
            parts += [
                f"{1 + (off < own).sum(axis=1).mean():.2f}",
                f"{np.exp(np.log(ratios).mean()):.3f}",
                f"{ratios.max():.3f}",
                f"{(ratios > 1.02).sum()} of {len(cells)}",
            ]
        parts.append(f"{np.mean([cell[name].seconds for cell in cells]):.2f}")
        lines.append("| " + " | ".join(parts) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(package.__doc__ or "").splitlines()[0])
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--sets", nargs="+", choices=NAMES)
    parser.add_argument("--methods", nargs="+", choices=METHODS)
    parser.add_argument("--mechanisms", nargs="+", choices=MECHANISMS, default=MECHANISMS)
    parser.add_argument("--shares", nargs="+", type=float, default=SHARES)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--measure", choices=("standard", "range"), default="standard")
    given = parser.parse_args()
    torch.set_num_threads(1)
    slow = () if given.fast else SLOW
    methods = given.methods or [name for name in METHODS if name not in SLOW or name in slow]
    methods = list(dict.fromkeys(["IterativeImputer", *methods]))
    small = (*SMALL, "covertype", "etth1", "covertype+kinds")
    groups: dict[str, list[dict[str, Result]]] = defaultdict(list)
    for name in given.sets or (small if given.fast else NAMES):
        frame = table(name, given.data)
        if frame is None:
            print(f"{name}: it is not there, left out")
            continue
        seeds = given.seeds or (3 if given.fast or len(frame) >= LONG else 5)
        print(f"\n{name}, {len(frame)} x {frame.shape[1]}, {seeds} seeds", flush=True)
        for mechanism in given.mechanisms:
            cells = [compare(frame, mechanism, each, seeds, methods) for each in given.shares]
            groups[FRESH_SETS if name in FRESH else OTHERS] += cells
            for method in methods:
                line = f"{mechanism:5} {method:16}"
                for cell in cells:
                    error, first = (
                        getattr(cell[each], given.measure) for each in (method, methods[0])
                    )
                    line += f" | {error:.3f} {error / first:5.3f}x {cell[method].seconds:6.2f} s"
                    wrong = cell[method].wrong
                    line += "" if np.isnan(wrong) else f" wrong {wrong:.3f}"
                print(line, flush=True)
        for what, found in groups.items():
            print(f"\n{what} so far, {len(found)} sets x mechanisms x shares")
            print(summary(found, methods), flush=True)


if __name__ == "__main__":
    main()
