"""Does a law pay in somebody else's model? Its own figure under fixed ratios and under laws.

    python -m benchmarks.attach_pays vit --data CIFAR10-FOLDER --out DIR
    python -m benchmarks.attach_pays patchtst --data ETTh1.csv --out DIR
    python -m benchmarks.attach_pays mlm --data TEXT --heldout TEXT --out DIR

Models of transformers, made from a configuration, get a law by `maskwise.attach`; every run has as
many steps, and the same samples in the same order. The model's own default ratio, a grid of fixed
ones, of which the best is chosen on validation data, a random law and a schedule are compared on
test data over seeds, with 95 % t-intervals. Each run is kept, and is not done again. Files may be
compressed by xz.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.compare_laws import interval

Scores = dict[str, float]


@dataclass(frozen=True)
class Study:
    """A model, what is measured of it, and the laws that it is given."""

    default: str
    """the ratio that the model has if nothing is said"""
    laws: tuple[str, ...]
    """"none" is a model that is not pretrained"""
    load: Callable[[argparse.Namespace], Any]
    train: Callable[[Any, str, int, int], Scores]
    """(data, law, seed, steps) -> scores, of which "validation" is the first"""
    baselines: Callable[[Any], Mapping[str, Scores]]
    higher: bool
    """whether more is better"""
    steps: int


def table(study: Study, values: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """Return the scores by law, and the differences from the default and the best fixed ratio."""
    keys = list(next(iter(values.values())))
    fixed = [law for law in values if law.startswith("fixed")]
    choose = max if study.higher else min
    best = choose(fixed, key=lambda law: float(values[law]["validation"].mean()))
    lines = [f"| law | {' | '.join(keys)} |", "|---" * (len(keys) + 1) + "|"]
    for law, found in values.items():
        mark = " (default)" * (law == study.default) + " (best on validation)" * (law == best)
        cells = ["{:.4g} ± {:.2g}".format(*interval(found[key])) for key in keys]
        lines.append(f"| `{law}`{mark} | {' | '.join(cells)} |")
    for against in dict.fromkeys((study.default, best)):
        lines += ["", f"Difference from `{against}` on test data, paired by seed:", ""]
        for law, found in values.items():
            if law == against:
                continue
            mean, half = interval(found["test"] - values[against]["test"])
            lines.append(f"- `{law}`: {mean:+.3g} [{mean - half:+.3g}, {mean + half:+.3g}]")
    return "\n".join(lines)


def study_of(name: str) -> Study:
    """Return a study by its name."""
    if name == "vit":
        from benchmarks.attach_pays_vit import STUDY
    elif name == "patchtst":
        from benchmarks.attach_pays_patchtst import STUDY
    else:
        from benchmarks.attach_pays_mlm import STUDY
    return STUDY


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=("vit", "patchtst", "mlm"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--heldout", type=Path, help="of mlm: text to validate and test on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="of each run")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    study = study_of(arguments.study)
    steps = arguments.steps or study.steps
    data = study.load(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[Scores]] = {law: [] for law in study.laws}
    for seed in arguments.seeds:
        for law in study.laws:
            name = law.replace(":", "-").replace(",", "-")
            path = arguments.out / f"{arguments.study}-{name}-{steps}-s{seed}.json"
            if not path.exists():
                began = time.process_time()
                scores = study.train(data, law, seed, steps)
                path.write_text(json.dumps(scores))
                print(f"{path.stem}: {time.process_time() - began:.0f} s", flush=True)
            found[law].append(json.loads(path.read_text()))
    values = {
        law: {key: np.array([each[key] for each in rows]) for key in rows[0]}
        for law, rows in found.items()
    }
    print(
        f"\n{steps} steps, {len(arguments.seeds)} seeds\n\n{table(study, values)}\n\nBaselines:\n"
    )
    for name, scores in study.baselines(data).items():
        print(f"- {name}: " + ", ".join(f"{key} {value:.4g}" for key, value in scores.items()))


if __name__ == "__main__":
    main()
