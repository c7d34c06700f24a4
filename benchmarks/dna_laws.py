"""Compare ratio laws of a masked model of DNA over seeds, at equal steps.

    python -m benchmarks.dna_data FOLDER --out DATA          # see there
    python -m benchmarks.dna_laws train DATA --out DIR       # resumable
    python -m benchmarks.dna_laws evaluate DATA --out DIR
    python -m benchmarks.dna_laws table DATA --out DIR
    python -m benchmarks.dna_laws finetune DATA --out DIR --laws fixed:0.3 --seeds 0

All laws share model, learning rate, batch and schedule of the learning rate. The best fixed ratio
is chosen by the very score that is compared, which favours it. Whole chromosomes are held out:
losses are measured on them, and CTCF against PU.1 is tested on them.
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

from benchmarks.dna_data import HELDOUT, WIDTH
from benchmarks.law_tables import differences_table, scores_table
from maskwise.dna import data as dna_data
from maskwise.dna.data import DNADataSettings, DNASplits, either_strand
from maskwise.dna.evaluation import DNAEvaluateSettings, evaluate_dna, sequence_samples
from maskwise.dna.model import DNAModelSettings
from maskwise.dna.record import DNARunSettings
from maskwise.dna.tasks import read_dna_task
from maskwise.files import write_json
from maskwise.measure.finetuning import FineTuneSettings, tuned_row
from maskwise.modalities import build
from maskwise.run import load_model, save_model
from maskwise.train.batches import Batches
from maskwise.train.config import EfficiencySettings, TrainSettings, connect
from maskwise.train.loop import train

LAWS = (
    "fixed:0.15",
    "fixed:0.3",
    "fixed:0.5",
    "scheduled:linear,0.5..0.05",
    "scheduled:linear,0.05..0.5",
    "uniform:0.05,0.5",
    "uniform:0.1,0.9",
)
RATIOS = (0.05, 0.15, 0.3, 0.5, 0.7, 0.9)
TASKS = (
    "ctcf_pu1={0}/ctcf_pu1_train.tsv:{0}/ctcf_pu1_test.tsv",
    "splice={0}/splice.csv",
    "coding={0}/coding.tsv",
)


def sequences(data: Path) -> DNADataSettings:
    """Return which windows there are."""
    return DNADataSettings(source=str(data / "genomes"), heldout=HELDOUT, window=WIDTH)


def configuration(arguments: argparse.Namespace, law: str, seed: int) -> DNARunSettings:
    """Return the configuration of one run."""
    return DNARunSettings(
        data=sequences(arguments.data),
        model=DNAModelSettings(width=arguments.width, depth=arguments.depth),
        law=law,
        train=TrainSettings(
            steps=arguments.steps,
            batch_size=128,
            lr=arguments.lr,
            betas=(0.9, 0.98),
            weight_decay=0.01,
            log_every=50,
        ),
        efficiency=EfficiencySettings(precision="bf16"),
        seed=seed,
    )


def folder_of(out: Path, law: str, seed: int) -> Path:
    """Return where a run is kept."""
    return out / f"{law.replace(':', '-').replace(',', '-').replace('..', '-')}-s{seed}"


def pretrain(config: DNARunSettings, splits: DNASplits, folder: Path) -> None:
    """Train one run, unless it is there already."""
    if (folder / "summary.json").exists():
        return
    model = build(dna_data.describe(splits, config.data), config.model, seed=config.seed)
    fabric = connect(config.efficiency)
    fabric.launch()
    batches = Batches(splits.train, batch_size=config.train.batch_size, seed=config.seed)
    began = time.perf_counter()
    augment = either_strand if config.data.both_strands else None
    kept, summary = train(
        fabric, model, batches, config, folder, augment=augment, resume=folder.exists()
    )
    save_model(folder / "model", kept)
    write_json(folder / "summary.json", summary | {"law": config.law, "seed": config.seed})
    print(f"{folder.name}: {time.perf_counter() - began:.0f} s", flush=True)


def train_all(arguments: argparse.Namespace) -> None:
    """Train every law, seed by seed."""
    splits = dna_data.load(sequences(arguments.data))
    for seed in arguments.seeds:
        for law in arguments.laws:
            pretrain(
                configuration(arguments, law, seed), splits, folder_of(arguments.out, law, seed)
            )


def evaluate_all(arguments: argparse.Namespace) -> None:
    """Measure every run that has been trained, and with the first one the baselines."""
    settings = DNAEvaluateSettings(
        ratios=RATIOS,
        num_windows=2048,
        probes=tuple(task.format(arguments.data) for task in TASKS),
        protocols=("logistic",),
        num_train=8000,
        num_test=5000,
        baselines=False,
    )
    splits = dna_data.load(sequences(arguments.data))
    for folder in sorted(path.parent for path in arguments.out.glob("*/summary.json")):
        if (folder / "evaluation.json").exists():
            continue
        summary = json.loads((folder / "summary.json").read_text())
        model = load_model(folder / "model")
        # Those of the untrained model depend on the seed.
        first = summary["law"] == LAWS[0]
        untrained = build(model.tokenizer, model.config, seed=summary["seed"]) if first else None
        config = replace(settings, baselines=first)
        found = evaluate_dna(model, splits, config, pattern="scattered", untrained=untrained)
        write_json(folder / "evaluation.json", found)
        print(f"{folder.name}: {scores(found)}", flush=True)


def scores(found: dict[str, Any], features: str = "encoder") -> dict[str, float]:
    """Return the figures that are compared; losses in nats per hidden base."""
    named = {}
    if features == "encoder":
        curve = {point["ratio"]: point["error"] for point in found["reconstruction"]["curve"]}
        named = {f"loss at {ratio}": curve[ratio] for ratio in RATIOS}
        named["loss, mean over ratios"] = found["reconstruction"]["mean"]["error"]
    for probe in found["probes"]:
        if probe["features"].startswith(features):
            named[f"{probe['task']}, MCC"] = probe["mcc"]["value"]
            named[f"{probe['task']}, AUROC"] = probe["auroc"]["value"]
    return named


def tables(arguments: argparse.Namespace) -> None:
    """Print the comparison, and the baselines."""
    values = {}
    for law in LAWS:
        folders = [folder_of(arguments.out, law, seed) for seed in arguments.seeds]
        found = [scores(json.loads((f / "evaluation.json").read_text())) for f in folders]
        values[law] = {key: np.array([row[key] for row in found]) for key in found[0]}
    print(scores_table(values))
    print("\nDifference from the best fixed ratio, paired by seed, 95 % t-intervals:\n")
    print(differences_table(values))
    paths = [folder_of(arguments.out, LAWS[0], seed) for seed in arguments.seeds]
    evaluations = [json.loads((path / "evaluation.json").read_text()) for path in paths]
    print("\nBaselines (of the untrained encoder the mean over seeds):\n")
    for point in evaluations[0]["reconstruction"]["baselines"]["base composition"]:
        print(f"- base composition, loss at {point['ratio']}: {point['error']:.4f}")
    for probes in zip(*(each["probes"] for each in evaluations), strict=True):
        if not probes[0]["features"].startswith("encoder"):
            mcc, auroc = (
                np.mean([probe[what]["value"] for probe in probes]) for what in ("mcc", "auroc")
            )
            told = f"MCC {mcc:.3f}, AUROC {auroc:.3f}"
            print(f"- {probes[0]['task']}, {probes[0]['features']}: {told}")


def finetune_all(arguments: argparse.Namespace) -> None:
    """Fine-tune runs on all tasks, and the same models untrained, and print what comes out."""
    print("| task | model | accuracy | MCC | AUROC |\n|---|---|---|---|---|")
    for seed in arguments.seeds:
        for law in arguments.laws:
            model = load_model(folder_of(arguments.out, law, seed) / "model")
            untrained = build(model.tokenizer, model.config, seed=seed)
            models = {f"`{law}`, seed {seed}": model, f"untrained, seed {seed}": untrained}
            for text in TASKS:
                task = read_dna_task(text.format(arguments.data), 8000, 5000, 0)
                for name, each in models.items():
                    samples = sequence_samples(each, task)
                    row = tuned_row(name, each, samples, FineTuneSettings())
                    cells = (
                        "{mean:.3f} [{low:.3f}, {high:.3f}]".format(**row[what])
                        for what in ("accuracy", "mcc", "auroc")
                    )
                    print(f"| {' | '.join((task.name, row['model'], *cells))} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["train", "evaluate", "table", "finetune"])
    parser.add_argument("data", type=Path, help="what benchmarks.dna_data made")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument(
        "--laws", nargs="+", choices=LAWS, default=LAWS, help="to train, or to fine-tune"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    verbs = {"train": train_all, "evaluate": evaluate_all}
    verbs |= {"table": tables, "finetune": finetune_all}
    verbs[arguments.what](arguments)


if __name__ == "__main__":
    main()
