"""Compare ratio laws of a masked language model over seeds, at equal steps and equal predictions.

    python -m benchmarks.text_laws train TEXT --heldout TEXT --out DIR     # resumable
    python -m benchmarks.text_laws evaluate --out DIR [--pairs FILE] [--probes NAME=TRAIN:TEST ...]
    python -m benchmarks.text_laws table --out DIR

At equal steps a law with a higher ratio predicts more tokens, so it is given fewer steps in the
second comparison: every run then predicts as many tokens as the linear schedule does in --steps.
All laws share model, learning rate, batch and schedule of the learning rate. The best fixed ratio
is chosen by the very score that is compared, which favours it.
"""

import argparse
import json
import logging
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.law_tables import differences_table, scores_table
from maskwise import laws
from maskwise.files import write_json
from maskwise.modalities import build
from maskwise.run import load_model, save_model
from maskwise.text import data as text_data
from maskwise.text.data import TextDataSettings, TextSplits
from maskwise.text.evaluation import TextEvaluateSettings, evaluate_text
from maskwise.text.model import TextModelSettings
from maskwise.text.record import TextRunSettings
from maskwise.train.batches import Batches
from maskwise.train.config import EfficiencySettings, TrainSettings, connect
from maskwise.train.loop import train

LAWS = (
    "fixed:0.15",
    "fixed:0.3",
    "fixed:0.4",
    "fixed:0.5",
    "scheduled:linear,0.3..0.15",
    "scheduled:linear,0.15..0.3",
    "uniform:0.1,0.5",
    "uniform:0.05,0.95",
)
BUDGETS = ("steps", "predictions")
RATIOS = (0.05, 0.15, 0.3, 0.5, 0.75, 0.95)
REFERENCE = 0.225  # the mean of the linear schedules


def mean_ratio(law: str) -> float:
    """Return the mean ratio over training."""
    return float(np.mean([laws.parse(law).mean(t) for t in np.linspace(0, 1, 1001)]))


def num_steps(law: str, budget: str, steps: int) -> int:
    """Return the steps of a law under a budget.

    >>> num_steps("fixed:0.15", "predictions", 1000), num_steps("fixed:0.15", "steps", 1000)
    (1500, 1000)
    """
    return steps if budget == "steps" else round(steps * REFERENCE / mean_ratio(law))


def configuration(
    arguments: argparse.Namespace, law: str, seed: int, steps: int
) -> TextRunSettings:
    """Return the configuration of one run."""
    return TextRunSettings(
        data=TextDataSettings(
            source=arguments.text,
            heldout=arguments.heldout,
            vocab_size=4096,
            lowercase=True,
            length=64,
        ),
        model=TextModelSettings(
            width=arguments.width, depth=arguments.depth, heads=arguments.width // 32
        ),
        law=law,
        train=TrainSettings(
            steps=steps,
            batch_size=32,
            lr=arguments.lr,
            betas=(0.9, 0.98),
            weight_decay=0.01,
            log_every=50,
        ),
        efficiency=EfficiencySettings(precision="bf16"),
        seed=seed,
    )


def folder_of(out: Path, law: str, steps: int, seed: int) -> Path:
    """Return where a run is kept; runs that both comparisons ask for are trained once."""
    name = law.replace(":", "-").replace(",", "-").replace("..", "-")
    return out / f"{name}-{steps}-s{seed}"


def pretrain(config: TextRunSettings, splits: TextSplits, folder: Path) -> None:
    """Train one run, unless it is there already."""
    if (folder / "summary.json").exists():
        return
    text = splits.train.corpus.text
    model = build(text, config.model, seed=config.seed)
    fabric = connect(config.efficiency)
    fabric.launch()
    batches = Batches(splits.train, batch_size=config.train.batch_size, seed=config.seed)
    began = time.perf_counter()
    kept, summary = train(fabric, model, batches, config, folder, resume=folder.exists())
    save_model(folder / "model", kept)
    summary |= {"law": config.law, "seed": config.seed}
    write_json(folder / "summary.json", summary)
    print(f"{folder.name}: {time.perf_counter() - began:.0f} s", flush=True)


def train_all(arguments: argparse.Namespace) -> None:
    """Train every law, seed by seed."""
    splits = None
    for seed in arguments.seeds:
        for budget in arguments.budgets:
            for law in LAWS:
                steps = num_steps(law, budget, arguments.steps)
                config = configuration(arguments, law, seed, steps)
                splits = splits or text_data.load(config.data)
                pretrain(config, splits, folder_of(arguments.out, law, steps, seed))
    values = {key: getattr(arguments, key) for key in ("text", "heldout", "steps", "seeds")}
    write_json(arguments.out / "study.json", values)


def evaluate_all(arguments: argparse.Namespace) -> None:
    """Measure every run that has been trained, and the untrained model."""
    study = json.loads((arguments.out / "study.json").read_text())
    settings = TextEvaluateSettings(
        ratios=RATIOS,
        num_rows=1024,
        pairs=tuple(arguments.pairs),
        num_pairs=arguments.num_pairs,
        probes=tuple(arguments.probes),
        token_probes=tuple(arguments.token_probes),
        layers=(-1,),
        protocols=("logistic",),
        num_train=5000,
        num_test=3000,
        baselines=False,
    )
    splits = None
    for folder in sorted(path.parent for path in arguments.out.glob("*/summary.json")):
        if (folder / "evaluation.json").exists():
            continue
        summary = json.loads((folder / "summary.json").read_text())
        model = load_model(folder / "model")
        if splits is None:
            data = TextDataSettings(
                source=study["text"],
                heldout=study["heldout"],
                vocab_size=4096,
                lowercase=True,
                length=64,
            )
            splits = text_data.load(data)
        # With the first run come the baselines, which do not depend on the run.
        first = summary["seed"] == 0 and summary["law"] == LAWS[0]
        untrained = build(model.tokenizer, model.config, seed=0) if first else None
        config = replace(settings, baselines=first)
        found = evaluate_text(model, splits, config, pattern="scattered", untrained=untrained)
        write_json(folder / "evaluation.json", found)
        print(f"{folder.name}: {scores(found)}", flush=True)


def scores(found: dict[str, Any]) -> dict[str, float]:
    """Return the figures that are compared; losses in nats per hidden token."""
    curve = {point["ratio"]: point["error"] for point in found["reconstruction"]["curve"]}
    named = {f"loss at {ratio}": curve[ratio] for ratio in RATIOS}
    named["loss, mean over ratios"] = found["reconstruction"]["mean"]["error"]
    for pairs in found["minimal_pairs"]:
        named[f"{pairs['name']}, %"] = 100 * pairs["accuracy"]
    for probe in found["probes"]:
        if probe["features"].startswith("encoder"):
            named[f"{probe['task']}, %"] = 100 * probe["accuracy"]
    return named


def table(out: Path, budget: str, seeds: list[int], steps: int) -> str:
    """Return a comparison as Markdown: scores by law, differences from the best fixed ratio."""
    values: dict[str, dict[str, np.ndarray]] = {}
    predicted: dict[str, float] = {}
    for law in LAWS:
        folders = [folder_of(out, law, num_steps(law, budget, steps), seed) for seed in seeds]
        found = [scores(json.loads((f / "evaluation.json").read_text())) for f in folders]
        values[law] = {key: np.array([row[key] for row in found]) for key in found[0]}
        summaries = [json.loads((folder / "summary.json").read_text()) for folder in folders]
        predicted[law] = float(np.mean([summary["predicted"] for summary in summaries]))
    more = {
        law: {
            "steps": str(num_steps(law, budget, steps)),
            "predicted": f"{predicted[law] / 1e6:.2f} M",
        }
        for law in LAWS
    }
    title = "\n\nDifference from the best fixed ratio, paired by seed, 95 % t-intervals:\n\n"
    return scores_table(values, more) + title + differences_table(values)


def tables(arguments: argparse.Namespace) -> None:
    """Print both comparisons, and the baselines."""
    study = json.loads((arguments.out / "study.json").read_text())
    for budget in BUDGETS:
        print(f"Equal {budget}:\n")
        print(table(arguments.out, budget, study["seeds"], study["steps"]), "\n")
    first = folder_of(arguments.out, LAWS[0], study["steps"], 0)
    found = json.loads((first / "evaluation.json").read_text())
    print("Baselines:\n")
    for point in found["reconstruction"]["baselines"]["unigram"]:
        print(f"- unigram, loss at {point['ratio']}: {point['error']:.3f}")
    for probe in found["probes"]:
        if not probe["features"].startswith("encoder"):
            print(f"- {probe['task']}, {probe['features']}: {100 * probe['accuracy']:.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["train", "evaluate", "table"])
    parser.add_argument("text", nargs="?", help="the texts to train on")
    parser.add_argument("--heldout", help="the texts to evaluate on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--budgets", nargs="+", choices=BUDGETS, default=list(BUDGETS))
    parser.add_argument("--pairs", nargs="*", default=[], help="files of minimal pairs")
    parser.add_argument("--num-pairs", type=int, default=100, help="of each paradigm")
    parser.add_argument("--probes", nargs="*", default=[], help="NAME=TRAIN:TEST")
    parser.add_argument("--token-probes", nargs="*", default=[], help="NAME=TRAIN:TEST")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    {"train": train_all, "evaluate": evaluate_all, "table": tables}[arguments.what](arguments)


if __name__ == "__main__":
    main()
