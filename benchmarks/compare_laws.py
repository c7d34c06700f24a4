"""Compare ratio laws at an equal budget of encoder tokens, over seeds, and write a table.

    python benchmarks/compare_laws.py cifar10 cifar10.npz --out runs/compare-cifar10
    python benchmarks/compare_laws.py mnist MNIST-FOLDER --out runs/compare-mnist

Each (law, seed) is one `maskwise pretrain` in a process of its own with one thread; finished runs
are kept, so the comparison can be interrupted and continued. A law that hides less sees more
tokens a step, so it gets fewer steps: steps = budget / (batch x E[visible positions]). The decoder
is not counted; it costs a law with more steps more time. All laws share model, learning rate and
schedule shape; the best fixed ratio is chosen on the test score itself, which favours it.
"""

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from maskwise import laws

LAWS = ("fixed:0.5", "fixed:0.75", "fixed:0.9", "uniform:0.6,0.9", "uniform:0.2,0.9")
BATCH = 128

# Positions, and the settings of a model that two CPU cores can train thirty times.
SETUPS: dict[str, tuple[int, list[str]]] = {
    "cifar10": (64, ["--model.width=96", "--data.flip", "--data.crop_scale=0.2,1.0"]),
    "mnist": (49, ["--model.width=64"]),
}
COMMON = [
    "--data.patch=4",
    "--model.depth=4",
    "--model.heads=4",
    "--model.decoder_width=64",
    "--model.decoder_depth=1",
    f"--train.batch_size={BATCH}",
    "--train.lr=1e-3",
    "--train.log_every=50",
    "--efficiency.precision=bf16",
    "--evaluate.pools=mean",
    "--evaluate.protocols=logistic,knn",
]


def num_steps(law: str, tokens: int, positions: int) -> int:
    """Return how many steps spend `tokens` encoder tokens under a law."""
    u = (np.arange(10_000) + 0.5) / 10_000
    hidden = laws.num_hidden(laws.parse(law), u, positions).mean()
    return round(tokens / (BATCH * (positions - hidden)))


def pretrain(setup: str, source: str, law: str, seed: int, steps: int, out: Path) -> None:
    """Train and evaluate one run, unless it is there already."""
    folder = out / f"{law.replace(':', '-')}-s{seed}"
    if (folder / "result.json").exists():
        return
    command = [sys.executable, "-m", "maskwise.cli", "pretrain", source, f"--law={law}"]
    command += [f"--seed={seed}", f"--out={folder}", f"--train.steps={steps}"]
    command += [*COMMON, *SETUPS[setup][1]]
    # The baselines are the same for every run: measured once, with the first.
    command += [f"--evaluate.baselines={'true' if law == LAWS[0] and seed == 0 else 'false'}"]
    command += ["--resume"] if (folder / "config.json").exists() else []
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{folder}: {done.stderr.strip().splitlines()[-1]}")
    print(f"{folder} done", flush=True)


def scores(result: dict[str, Any]) -> dict[str, float]:
    """Return the figures that are compared, from a run's result.json."""
    probes = {
        probe["protocol"].split()[0]: 100 * probe["accuracy"]
        for probe in result["probes"]
        if probe["features"].startswith("encoder")
    }
    curve = {point["ratio"]: point["error"] for point in result["reconstruction"]["curve"]}
    return {
        "logistic probe, %": probes["logistic-lbfgs"],
        "kNN, %": probes["knn"],
        "error, mean over ratios": float(np.mean(list(curve.values()))),
        **{f"error at {ratio}": curve[ratio] for ratio in (0.1, 0.5, 0.9)},
    }


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the mean and the half-width of its 95 % t-interval over seeds."""
    spread = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(values.mean()), float(stats.t.ppf(0.975, max(len(values) - 1, 1)) * spread)


def table(out: Path, names: tuple[str, ...], seeds: int, against: str | None) -> str:
    """Return the comparison as Markdown: a row for each law, and each against one fixed ratio."""
    results = {
        law: [
            json.loads((out / f"{law.replace(':', '-')}-s{seed}" / "result.json").read_text())
            for seed in range(seeds)
        ]
        for law in names
    }
    measured = {law: [scores(result) for result in found] for law, found in results.items()}
    keys = list(measured[names[0]][0])
    values = {
        law: {key: np.array([row[key] for row in rows]) for key in keys}
        for law, rows in measured.items()
    }
    lines = ["| law | steps | " + " | ".join(keys) + " |", "|---" * (len(keys) + 2) + "|"]
    for law in names:
        cells = ["{:.3g} ± {:.2g}".format(*interval(values[law][key])) for key in keys]
        lines.append(f"| `{law}` | {results[law][0]['train']['steps']} | {' | '.join(cells)} |")
    fixed = [law for law in names if law.startswith("fixed")]
    for key, better in (("logistic probe, %", max), ("error, mean over ratios", min)):
        best = better(fixed, key=lambda law: values[law][key].mean())
        title = f"`{against}`" if against else f"the best fixed ratio (`{best}`)"
        best = against or best
        lines += ["", f"{key}: difference from {title}, paired:", ""]
        for law in names:
            if law != best:
                mean, half = interval(values[law][key] - values[best][key])
                lines.append(f"- `{law}`: {mean:+.3g} [{mean - half:+.3g}, {mean + half:+.3g}]")
    lines += ["", "Baselines under the same probes:", ""]
    for probe in results[names[0]][0]["probes"]:
        if not probe["features"].startswith("encoder"):
            lines.append(
                f"- {probe['features']}, {probe['protocol'].split()[0]}:"
                f" {100 * probe['accuracy']:.1f} %"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("setup", choices=list(SETUPS))
    parser.add_argument("source", help="the data, as for `maskwise pretrain`")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--laws", nargs="+", default=LAWS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tokens", type=float, default=3.0e6, help="encoder tokens of a run")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--against", help="compare with this law, not the best fixed ratio")
    arguments = parser.parse_args()
    positions = SETUPS[arguments.setup][0]
    jobs = list(itertools.product(range(arguments.seeds), arguments.laws))
    with ThreadPoolExecutor(arguments.jobs) as pool:
        tasks = [
            pool.submit(
                pretrain,
                arguments.setup,
                arguments.source,
                law,
                seed,
                num_steps(law, int(arguments.tokens), positions),
                arguments.out,
            )
            for seed, law in jobs
        ]
        for task in tasks:
            task.result()
    text = table(arguments.out, tuple(arguments.laws), arguments.seeds, arguments.against)
    (arguments.out / "table.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
