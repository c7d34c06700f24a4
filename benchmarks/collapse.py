"""Terms against collapsed features, under a fixed and a random ratio: probes, ranks, errors.

    python -m benchmarks.collapse train cifar10 cifar10.npz --out runs/collapse
    python -m benchmarks.collapse evaluate cifar10 --out runs/collapse
    python -m benchmarks.collapse table cifar10 --out runs/collapse

also for cells (an .h5ad with a column "type") and text (with labelled texts as --probes). A method
is a term with its weight, as in uniformity=0.01, or none. Each run is one `maskwise pretrain` in a
process of its own with one thread; finished runs are kept, so all can be interrupted and resumed.
All runs of a set have the same steps, model and learning rate.
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
from maskwise.files import read_json_lines, write_json

METHODS = ("none", "uniformity=0.01", "coding_rate=0.01")
LAWS = {
    "cifar10": ("fixed:0.75", "uniform:0.6,0.9"),
    "cells": ("fixed:0.5", "uniform:0.1,0.9"),
    "text": ("fixed:0.4", "uniform:0.1,0.5"),
}
STEPS = {"cifar10": 800, "cells": 1000, "text": 1500}
COMMON = ["--train.log_every=50", "--efficiency.precision=bf16"]
SETTINGS = {
    "cifar10": [
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
        "--regularise.pool=class",
        "--diagnose.pool=class",
        "--diagnose.every=100",
        "--diagnose.num_samples=1024",
        "--diagnose.probe_every=10",
        # What training ends with is measured again, at length.
        "--evaluate.protocols=knn",
        "--evaluate.num_train=100",
        "--evaluate.num_test=100",
        "--evaluate.baselines=false",
    ],
    "cells": ["--data.labels=type", "--data.num_genes=1000", "--diagnose.every=250"],
    "text": [
        "--data.vocab_size=4096",
        "--data.lowercase=true",
        "--data.length=64",
        "--model.width=96",
        "--model.depth=3",
        "--model.heads=3",
        "--train.batch_size=32",
        "--train.lr=2e-3",
        "--train.betas=0.9,0.98",
        "--train.weight_decay=0.01",
        "--evaluate.layers=-1",
        "--evaluate.protocols=logistic",
        "--diagnose.num_samples=512",
        "--diagnose.every=500",
    ],
}
TRAINED = "encoder"
# What is evaluated after training, of images.
PROTOCOLS = ("logistic", "mae", "knn")
FULL = [f"--evaluate.protocols={','.join(PROTOCOLS)}", "--diagnose.num_samples=4096"]
FULL += ["--evaluate.ratios=0.1,0.3,0.5,0.7,0.9", "--diagnose.ratios=0.5"]
TUNED = ["--evaluate.finetune.epochs=10", "--evaluate.finetune.warmup=1"]
TUNED += ["--evaluate.finetune.flip=true", "--evaluate.finetune.seeds=0"]
TUNED += ["--evaluate.finetune.precision=bf16", "--evaluate.protocols=knn"]
TUNED += ["--evaluate.pools=mean", "--evaluate.ratios=0.5", "--diagnose.num_samples=200"]
RATIOS = (0.1, 0.3, 0.5, 0.7, 0.9)


def name_of(method: str) -> str:
    """Return what a method is called: by the published weights as the papers do."""
    names = {"none": "MAE", METHODS[1]: "U-MAE", METHODS[2]: "M-MAE"}
    return names.get(method, method)


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


def train(arguments: argparse.Namespace, method: str, law: str, seed: int) -> None:
    """Train a run, unless it is there already."""
    folder = folder_of(arguments.out, method, law, seed)
    if (folder / "result.json").exists():
        return
    words = ["pretrain", arguments.source, f"--law={law}", f"--seed={seed}", f"--out={folder}"]
    words += [f"--train.steps={arguments.steps or STEPS[arguments.set]}", *COMMON]
    words += SETTINGS[arguments.set]
    if arguments.probes:
        words += [f"--evaluate.probes={arguments.probes}"]
    words += [] if method == "none" else ["--regularise.{}={}".format(*method.split("="))]
    words += ["--resume"] if (folder / "config.json").exists() else []
    command(words, f"train {folder.name}")


def evaluate(arguments: argparse.Namespace, method: str, law: str, seed: int) -> None:
    """Evaluate a run on images at length and fine-tune it, unless that has been done."""
    folder = folder_of(arguments.out, method, law, seed)
    tuned, result = folder / "tuned.json", folder / "result.json"
    first = (seed, method) == (0, "none") and law == arguments.laws[0]
    words = ["evaluate", str(folder), f"--evaluate.baselines={str(first).lower()}"]
    words += ["--evaluate.num_test=10000"]
    if arguments.tuned and not tuned.exists():
        # Before the rest, which then stands in the run's result and report.
        command([*words, *TUNED, f"--evaluate.num_train={arguments.tuned}"], f"tune {folder.name}")
        write_json(tuned, json.loads(result.read_text())["finetuning"])
    done = {probe["protocol"] for probe in json.loads(result.read_text())["probes"]}
    if len(done) < len(PROTOCOLS):
        command([*words, *FULL, "--evaluate.num_train=10000"], f"evaluate {folder.name}")


def scores(folder: Path) -> dict[str, float]:
    """Return the figures of a run that are compared."""
    result = json.loads((folder / "result.json").read_text())
    found = {}
    for probe in result["probes"]:
        if not probe["features"].startswith(TRAINED):
            continue
        parts = [probe["protocol"].split()[0].split("-")[0]]
        parts += [probe["task"]] if "task" in probe else probe["features"].split(", ")[1:]
        measure = probe["macro_f1"]["value"] if "macro_f1" in probe else probe["accuracy"]
        found[", ".join(parts)] = 100 * measure
    if (folder / "tuned.json").exists():
        for row in json.loads((folder / "tuned.json").read_text()):
            if row["model"].startswith(TRAINED):
                found["fine-tuned"] = 100 * row["accuracy"]["mean"]
    for row in result.get("imputation", ()):
        if row["method"] == "model" and row["ratio"] == 0.5 and row["mechanism"] == "random":
            found[f"R² at .5, {row['entries']}"] = row["r2"]
    for key in ("effective_rank", "energy", "lidar"):  # of the features that terms are of
        found[key.replace("_", " ")] = result["features"]["encoder"][key]
    curve = result["reconstruction"]["curve"]
    errors = [point["error"] for point in curve if point["ratio"] in RATIOS]
    found["error, mean over ratios"] = float(np.mean(errors or [p["error"] for p in curve]))
    return found


def table(out: Path, methods: list[str], laws: list[str], seeds: list[int]) -> str:
    """Return the scores, their differences and the rank over training, as Markdown."""
    values, ranks = {}, {}
    for method, law in itertools.product(methods, laws):
        folders = [folder_of(out, method, law, seed) for seed in seeds]
        rows = [scores(each) for each in folders]
        title = name_of(method), f"`{law}`"
        values[title] = {key: np.array([row[key] for row in rows]) for key in rows[0]}
        lines = [read_json_lines(each / "metrics.jsonl") for each in folders]
        ranks[title] = {
            row["step"]: np.array([_at(each, row["step"]) for each in lines])
            for row in lines[0]
            if "effective_rank" in row
        }
    keys = list(next(iter(values.values())))
    text = _rows(
        keys, {title: [_mean(found[key]) for key in keys] for title, found in values.items()}
    )
    for what, base in (
        ("MAE under the same law", lambda method, law: ("MAE", law)),
        (f"`{laws[0]}` with the same term", lambda method, law: (method, f"`{laws[0]}`")),
    ):
        apart = {
            title: [_mean(found[key] - values[base(*title)][key], "+") for key in keys]
            for title, found in values.items()
            if base(*title) != title
        }
        text += ["", f"Differences from {what}, paired by seed:", "", *_rows(keys, apart)]
    steps = list(next(iter(ranks.values())))
    cells = {
        title: [f"{found[step].mean():.1f}" for step in steps] for title, found in ranks.items()
    }
    text += [
        "",
        "Effective rank over training, by step:",
        "",
        *_rows(list(map(str, steps)), cells),
    ]
    return "\n".join(text)


def figure(out: Path, methods: list[str], laws: list[str], seeds: list[int], path: Path) -> None:
    """Draw the effective rank over training, a panel for each law."""
    from matplotlib import pyplot as plt

    drawn, axes = plt.subplots(1, len(laws), figsize=(4.5 * len(laws), 3), sharey=True)
    for axis, law in zip(np.atleast_1d(axes), laws, strict=True):
        for method in methods:
            lines = [
                [
                    row
                    for row in read_json_lines(folder / "metrics.jsonl")
                    if "effective_rank" in row
                ]
                for folder in (folder_of(out, method, law, seed) for seed in seeds)
            ]
            steps = [row["step"] for row in lines[0]]
            ranks = np.array([[row["effective_rank"] for row in rows] for rows in lines])
            [line] = axis.plot(steps, ranks.mean(axis=0), label=name_of(method))
            for each in ranks:
                axis.plot(steps, each, color=line.get_color(), alpha=0.3, linewidth=0.7)
        axis.set(title=law, xlabel="step", ylim=(0, None))
    np.atleast_1d(axes)[0].set_ylabel("effective rank of class tokens")
    np.atleast_1d(axes)[0].legend(frameon=False)
    drawn.tight_layout()
    drawn.savefig(path, dpi=120)


def _rows(keys: list[str], cells: dict[tuple[str, str], list[str]]) -> list[str]:
    head = f"| run | {' | '.join(keys)} |", "|---" * (len(keys) + 1) + "|"
    return [*head, *(f"| {', '.join(key)} | {' | '.join(row)} |" for key, row in cells.items())]


def _mean(values: np.ndarray, sign: str = "") -> str:
    """Write the mean over seeds with the half-width of its 95 % t-interval."""
    mean, half = interval(values)
    return f"{mean:{sign}.4g}" + (f" ± {half:.2g}" if len(values) > 1 else "")


def _at(rows: list[dict[str, Any]], step: int) -> float:
    return next(row["effective_rank"] for row in rows if row["step"] == step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("train", "evaluate", "table"))
    parser.add_argument("set", choices=list(SETTINGS))
    parser.add_argument("source", nargs="?", help="the data, as for `maskwise pretrain`")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--laws", nargs="+")
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--probes", help="of texts: NAME=TRAIN:TEST")
    parser.add_argument("--tuned", type=int, default=5000, help="images to fine-tune on; 0: none")
    parser.add_argument("--figure", type=Path, help="also draw the rank over training")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    arguments = parser.parse_args()
    arguments.laws = arguments.laws or LAWS[arguments.set]
    if arguments.what == "table":
        asked = (arguments.out, arguments.methods, arguments.laws, arguments.seeds)
        print(table(*asked))
        if arguments.figure:
            figure(*asked, arguments.figure)
        return
    work = train if arguments.what == "train" else evaluate
    with ThreadPoolExecutor(arguments.jobs) as pool:
        jobs = itertools.product(arguments.seeds, arguments.methods, arguments.laws)
        tasks = [pool.submit(work, arguments, method, law, seed) for seed, method, law in jobs]
        for task in tasks:
            task.result()


if __name__ == "__main__":
    main()
