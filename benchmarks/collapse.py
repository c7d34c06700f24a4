"""MAE, U-MAE and M-MAE under a fixed and a random ratio: probes, fine-tuning, effective rank.

    python -m benchmarks.collapse train cifar10.npz --out runs/collapse
    python -m benchmarks.collapse evaluate cifar10.npz --out runs/collapse
    python -m benchmarks.collapse table --out runs/collapse

A method is a term against collapsed features with its weight, as in uniformity=0.01, or none. Each
run is one `maskwise pretrain` in a process of its own with one thread; finished runs are kept, so
all can be interrupted and continued. All runs have the same steps, model and learning rate.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compare_laws import interval
from maskwise.files import read_json_lines

LAWS = ("fixed:0.75", "uniform:0.6,0.9")
METHODS = ("none", "uniformity=0.01", "coding_rate=0.01")
NAMES = {"none": "MAE", "uniformity": "U-MAE", "coding_rate": "M-MAE"}

SETTINGS = [
    "--data.patch=4",
    "--data.flip",
    "--data.crop_scale=0.2,1.0",
    "--model.width=96",
    "--model.depth=4",
    "--model.heads=3",
    "--model.decoder_width=64",
    "--model.decoder_depth=1",
    "--train.batch_size=128",
    "--train.lr=1e-3",
    "--train.log_every=50",
    "--regularise.pool=class",
    "--diagnose.pool=class",
    "--diagnose.every=100",
    "--diagnose.num_samples=1024",
    "--diagnose.probe_every=10",
    "--efficiency.precision=bf16",
]
# What training ends with is measured again, at length.
BRIEF = [
    "--evaluate.protocols=knn",
    "--evaluate.num_train=100",
    "--evaluate.num_test=100",
    "--evaluate.baselines=false",
]
FULL = ["--evaluate.protocols=logistic,mae,knn", "--diagnose.num_samples=4096"]
TUNED = ["--evaluate.finetune.epochs=10", "--evaluate.finetune.warmup=1"]
TUNED += ["--evaluate.finetune.flip", "--evaluate.finetune.seeds=0"]


def folder_of(out: Path, method: str, law: str, seed: int) -> Path:
    return out / f"{method}-{law.replace(':', '-')}-s{seed}"


def command(words: list[str], title: str) -> None:
    """Run maskwise in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "maskwise.cli", *words]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{title}: {done.stderr.strip().splitlines()[-1]}")
    print(f"{title} done", flush=True)


def train(source: str, folder: Path, method: str, law: str, seed: int, steps: int) -> None:
    """Train a run, unless it is there already."""
    if (folder / "result.json").exists():
        return
    words = ["pretrain", source, f"--law={law}", f"--seed={seed}", f"--out={folder}"]
    words += [f"--train.steps={steps}", *SETTINGS, *BRIEF]
    words += [] if method == "none" else ["--regularise.{}={}".format(*method.split("="))]
    words += ["--resume"] if (folder / "config.json").exists() else []
    command(words, f"train {folder.name}")


def evaluate(folder: Path, baselines: bool, num_tuned: int) -> None:
    """Evaluate a run at length, unless that has been done."""
    marker = folder / "evaluated"
    if marker.exists():
        return
    words = ["evaluate", str(folder), *FULL, "--evaluate.num_train=10000"]
    words += ["--evaluate.num_test=10000", f"--evaluate.baselines={str(baselines).lower()}"]
    if num_tuned:
        words += [*TUNED, f"--data.limit={num_tuned}", f"--evaluate.num_train={num_tuned}"]
    command(words, f"evaluate {folder.name}")
    marker.touch()


def scores(result: dict[str, Any]) -> dict[str, float]:
    """Return the figures that are compared, from a run's result.json."""
    found = {}
    for probe in result["probes"]:
        if probe["features"].startswith("encoder"):
            name, pool = probe["protocol"].split()[0], probe["features"].split(", ")[1]
            found[f"{name.split('-')[0]}, {pool}, %"] = 100 * probe["accuracy"]
    for row in result.get("finetuning", ()):
        if row["model"].startswith("encoder"):
            found["fine-tuned, %"] = 100 * row["accuracy"]["mean"]
    features = result["features"]["encoder"]
    found["effective rank"] = features["effective_rank"]
    found["energy"] = features["energy"]
    found["LiDAR"] = features["lidar"]
    curve = result["reconstruction"]["curve"]
    found["error, mean over ratios"] = float(np.mean([point["error"] for point in curve]))
    return found


def table(out: Path, methods: list[str], laws: list[str], seeds: list[int]) -> str:
    """Return the scores, their differences and the rank over training, as Markdown."""
    values, ranks = {}, {}
    for method, law in itertools.product(methods, laws):
        folders = [folder_of(out, method, law, seed) for seed in seeds]
        rows = [scores(json.loads((each / "result.json").read_text())) for each in folders]
        title = f"{NAMES[method.split('=')[0]]}, `{law}`"
        values[title] = {key: np.array([row[key] for row in rows]) for key in rows[0]}
        lines = [read_json_lines(each / "metrics.jsonl") for each in folders]
        ranks[title] = {
            row["step"]: np.array([_at(each, row["step"]) for each in lines])
            for row in lines[0]
            if "effective_rank" in row
        }
    keys = list(next(iter(values.values())))
    text = [f"| run | {' | '.join(keys)} |", "|---" * (len(keys) + 1) + "|"]
    for title, found in values.items():
        cells = ["{:.4g} ± {:.2g}".format(*interval(found[key])) for key in keys]
        text.append(f"| {title} | {' | '.join(cells)} |")
    text += ["", "Differences from MAE under the same law, paired by seed:", ""]
    text += [f"| run | {' | '.join(keys)} |", "|---" * (len(keys) + 1) + "|"]
    for title, found in values.items():
        base = values[f"MAE, {title.split(', ', 1)[1]}"]
        if found is not base:
            text.append(f"| {title} | {' | '.join(_apart(found, base, key) for key in keys)} |")
    text += ["", "Differences from the first law with the same term:", ""]
    text += [f"| run | {' | '.join(keys)} |", "|---" * (len(keys) + 1) + "|"]
    for title, found in values.items():
        base = values[f"{title.split(', ', 1)[0]}, `{laws[0]}`"]
        if found is not base:
            text.append(f"| {title} | {' | '.join(_apart(found, base, key) for key in keys)} |")
    steps = list(next(iter(ranks.values())))
    text += ["", "Effective rank over training:", ""]
    text += [f"| run | {' | '.join(map(str, steps))} |", "|---" * (len(steps) + 1) + "|"]
    for title, found in ranks.items():
        cells = [f"{found[step].mean():.1f}" for step in steps]
        text.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(text)


def _at(rows: list[dict[str, Any]], step: int) -> float:
    return next(row["effective_rank"] for row in rows if row["step"] == step)


def _apart(found: dict[str, np.ndarray], base: dict[str, np.ndarray], key: str) -> str:
    mean, half = interval(found[key] - base[key])
    return f"{mean:+.3g} [{mean - half:+.2g}, {mean + half:+.2g}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("train", "evaluate", "table"))
    parser.add_argument("source", nargs="?", help="the data, as for `maskwise pretrain`")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--laws", nargs="+", default=LAWS)
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--tuned", type=int, default=5000, help="images to fine-tune on; 0: not")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    arguments = parser.parse_args()
    if arguments.what == "table":
        print(table(arguments.out, arguments.methods, arguments.laws, arguments.seeds))
        return
    with ThreadPoolExecutor(arguments.jobs) as pool:
        tasks = []
        jobs = itertools.product(arguments.seeds, arguments.methods, arguments.laws)
        for seed, method, law in jobs:
            folder = folder_of(arguments.out, method, law, seed)
            if arguments.what == "train":
                steps, source = arguments.steps, arguments.source
                tasks.append(pool.submit(train, source, folder, method, law, seed, steps))
            else:
                first = (seed, method, law) == (0, "none", arguments.laws[0])
                tasks.append(pool.submit(evaluate, folder, first, arguments.tuned))
        for task in tasks:
            task.result()


if __name__ == "__main__":
    main()
