"""Does a change inside cost time? Steps of every kind before and after it, taken in turns.

    python -m benchmarks.step_ratio [--base REV] [--only NAME ...] [--rounds N]

Trains with the sources of REV (default: the last commit) and with those of the working tree, each
in a process of its own on one thread, which take turns of a few steps, so that whatever else the
machine does meets both. Prints the processor time of a step after and before, and their ratio:
the median of that of neighbouring turns, with a bootstrap interval of 95 %.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from benchmarks import golden_data as data
from benchmarks.goldens import ROOT, extract

SKIPPED = 1  # turns, in which caches fill


@dataclass(frozen=True)
class Training:
    """What is trained, as a user would, and how many steps a turn has."""

    data: str | Callable[[], Any]
    turn: int
    settings: dict[str, Any]
    modality: str | None = None


TRAININGS = {
    "digits": Training("digits", 20, {}),
    "text": Training("pydoc", 2, {"train.batch_size": 16, "model.width": 128, "model.heads": 4}),
    "dna": Training(
        lambda: [20 * text for text in data.sequences()],
        10,
        {"data.window": 96, "train.batch_size": 32, "model.width": 64, "model.depth": 4},
        "dna",
    ),
    "cells": Training("pbmc68k", 20, {}),
    "table": Training("breast-cancer", 40, {}),
    "table-transformer": Training(
        "breast-cancer", 5, {"model.kind": "transformer", "model.width": 64, "model.heads": 4}
    ),
}


def worker(name: str, folder: str) -> None:
    """Train; at the end of each turn, write the seconds of a step and wait for the next."""
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    import maskwise as mw

    torch.set_num_threads(1)
    training, steps, clock = TRAININGS[name], 0, 0.0
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def stepped(*_: object) -> None:
        nonlocal steps, clock
        steps += 1
        if steps % training.turn == 0:
            seconds = (time.process_time() - clock) / training.turn
            print(seconds, file=answers, flush=True)
            if not sys.stdin.readline():
                os._exit(0)
            clock = time.process_time()

    register_optimizer_step_post_hook(stepped)
    print(Path(mw.__file__).parent, file=answers, flush=True)
    mw.pretrain(
        training.data if isinstance(training.data, str) else training.data(),
        out=Path(folder) / "run",
        modality=training.modality,
        **{
            **training.settings,
            "train.steps": 10**6,
            "train.checkpoint_every": 10**6,
            "efficiency.workers": 0,
            "efficiency.accelerator": "cpu",
        },
    )


def start(sources: Path, name: str, folder: Path) -> subprocess.Popen[str]:
    """Start a training with some sources; it waits at the end of its first turn."""
    folder.mkdir()
    one_thread = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.step_ratio", "--worker", name, str(folder)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{sources}{os.pathsep}{ROOT}", **one_thread},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    used = line(process)
    if not Path(used).is_relative_to(sources):
        raise SystemExit(f"{name} was trained with {used}, not with {sources}")
    line(process)
    return process


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    text = process.stdout.readline().strip()
    if not text:
        raise SystemExit("a training ended before it was measured")
    return text


def turn(process: subprocess.Popen[str]) -> float:
    """Let a training do its next steps; return the seconds of one."""
    waiting: IO[str] | None = process.stdin
    assert waiting is not None
    waiting.write("go\n")
    waiting.flush()
    return float(line(process))


def measure(name: str, base: Path, rounds: int, work: Path) -> np.ndarray:
    """Return the seconds of a step before and after, [rounds, 2]."""
    both = [start(base, name, work / "before"), start(ROOT / "src", name, work / "after")]
    try:
        # Who begins changes from round to round.
        found = [
            [turn(process) for process in both[:: 1 - 2 * (number % 2)]][:: 1 - 2 * (number % 2)]
            for number in range(SKIPPED + rounds)
        ]
    finally:
        for process in both:
            process.kill()
            process.wait()
    return np.array(found[SKIPPED:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="HEAD", metavar="REV", help="a commit (default: HEAD)")
    parser.add_argument("--only", nargs="+", choices=TRAININGS, default=list(TRAININGS))
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        worker(*given.worker)
        return
    with tempfile.TemporaryDirectory() as folder:
        base = extract(given.base, Path(folder) / "base")
        for name in given.only:
            work = Path(folder) / name
            work.mkdir()
            seconds = measure(name, base, given.rounds, work)
            ratios = seconds[:, 1] / seconds[:, 0]
            rng = np.random.default_rng(0)
            again = np.median(rng.choice(ratios, (2000, len(ratios))), axis=1)
            low, high = np.quantile(again, [0.025, 0.975])
            before, after = np.median(seconds, axis=0) * 1e3
            print(
                f"{name:<18} {after:8.2f} ms after, {before:8.2f} before: {np.median(ratios):.3f}"
                f" [{low:.3f}, {high:.3f}]",
                flush=True,
            )


if __name__ == "__main__":
    main()
