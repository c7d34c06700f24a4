"""Compare ratio laws on single cells and tables over seeds, at equal steps.

    python -m benchmarks.tabular_data FOLDER --out DATA         # see there
    python -m benchmarks.tabular_laws train DATA --out DIR      # resumable
    python -m benchmarks.tabular_laws evaluate DATA --out DIR   # resumable
    python -m benchmarks.tabular_laws table DATA --out DIR

All laws share model, learning rate, batch and split. The best fixed ratio is chosen by the very
score that is compared, which favours it. Probes read the code of the encoder, and the first 50
principal components of what the model expects of every feature from others; few labels are drawn
10 times, the same ones for all.
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
from maskwise.cells.data import CellsDataSettings
from maskwise.cells.record import CellsRunSettings
from maskwise.columns.evaluation import evaluate_tabular
from maskwise.columns.model import TabularModelSettings
from maskwise.columns.tabular import TabularEvaluateSettings
from maskwise.files import write_json
from maskwise.laws import Scope
from maskwise.modalities import build, find
from maskwise.run import load_model, save_model
from maskwise.tables.data import TableDataSettings
from maskwise.tables.record import TableRunSettings
from maskwise.train.batches import Batches
from maskwise.train.config import RunSettings, TrainSettings, connect
from maskwise.train.loop import train

# Name, law and scope of the ratio.
LAWS: dict[str, tuple[str, Scope]] = {
    "fixed:0.15": ("fixed:0.15", "step"),
    "fixed:0.3": ("fixed:0.3", "step"),
    "fixed:0.5": ("fixed:0.5", "step"),
    "fixed:0.75": ("fixed:0.75", "step"),
    "scheduled:linear,0.75..0.15": ("scheduled:linear,0.75..0.15", "step"),
    "scheduled:linear,0.15..0.75": ("scheduled:linear,0.15..0.75", "step"),
    "uniform:0.1,0.9": ("uniform:0.1,0.9", "step"),
    "uniform:0.1,0.9 by sample": ("uniform:0.1,0.9", "sample"),
    "uniform:0.5,0.95": ("uniform:0.5,0.95", "step"),
}
# Where they come from, and the column of classes.
CELLS = {"pbmc4k": "type", "bladder": "type", "pbmc68k": "bulk_labels"}
TABLES = {"covertype": "Cover_Type", "mfeat": "digit"}
SETS = (*CELLS, *TABLES)
NUM_GENES = 1000
RATIOS = (0.1, 0.3, 0.5, 0.7, 0.9)
FEW = (5, 20)
EXPECTED = "encoder, expected values"


def configuration(arguments: argparse.Namespace, name: str, law: str, seed: int) -> RunSettings:
    """Return the configuration of one run."""
    text, scope = LAWS[law]
    settings: dict[str, Any] = {"law": text, "seed": seed}
    options: dict[str, Any] = {"weight_decay": 0.01, "scope": scope, "log_every": 50}
    data: dict[str, Any] = {"holdout": 0.2}
    if name in CELLS:
        steps, source = arguments.steps, str(arguments.data / f"{name}.h5ad")
        data |= {"source": source, "labels": CELLS[name], "num_genes": NUM_GENES}
        if name == "pbmc68k":
            data |= {"source": name, "layer": "raw", "values": "normalised"}
        settings["data"] = CellsDataSettings(**data)
        settings["train"] = TrainSettings(steps=steps, batch_size=128, lr=3e-3, **options)
        return CellsRunSettings(**settings)
    source = str(arguments.data / f"{name}.csv")
    settings["data"] = TableDataSettings(**data, source=source, labels=TABLES[name])
    settings["train"] = TrainSettings(steps=arguments.steps, batch_size=256, lr=2e-3, **options)
    return TableRunSettings(**settings, model=TabularModelSettings())


def folder_of(out: Path, name: str, law: str, seed: int) -> Path:
    """Return where a run is kept."""
    law = law.replace(":", "-").replace(",", "-").replace("..", "-").replace(" ", "-")
    return out / name / f"{law}-s{seed}"


def train_all(arguments: argparse.Namespace) -> None:
    """Train every law on every set, seed by seed, unless the run is there already."""
    for name in arguments.sets:
        config = configuration(arguments, name, next(iter(LAWS)), 0)
        pipeline = find(config.modality)
        splits = pipeline.load(None, config)
        for seed in arguments.seeds:
            for law in LAWS:
                folder = folder_of(arguments.out, name, law, seed)
                if (folder / "summary.json").exists():
                    continue
                config = configuration(arguments, name, law, seed)
                modality, config = pipeline.describe(splits, config)
                model = build(modality, config.model, seed=seed)
                fabric = connect(config.efficiency)
                fabric.launch()
                size = config.train.batch_size
                batches = Batches(splits.train, batch_size=size, seed=seed)
                began = time.perf_counter()
                kept, summary = train(fabric, model, batches, config, folder)
                pipeline.settle(kept, splits, config)
                save_model(folder / "model", kept)
                write_json(folder / "summary.json", summary | {"law": law, "seed": seed})
                print(f"{folder}: {time.perf_counter() - began:.0f} s", flush=True)


def evaluate_all(arguments: argparse.Namespace) -> None:
    """Measure every run that has been trained, and with the first law the baselines."""
    settings = TabularEvaluateSettings(
        ratios=RATIOS, impute=RATIOS, protocols=("logistic",), few=FEW, draws=10, baselines=False
    )
    for name in arguments.sets:
        config = configuration(arguments, name, next(iter(LAWS)), 0)
        splits = find(config.modality).load(None, config)
        for seed in arguments.seeds:
            for law in LAWS:
                folder = folder_of(arguments.out, name, law, seed)
                if not (folder / "summary.json").exists() or (folder / "evaluation.json").exists():
                    continue
                model = load_model(folder / "model")
                # Those of the untrained model depend on the seed.
                first = law == next(iter(LAWS))
                untrained = build(model.tokenizer, model.config, seed=seed) if first else None
                slow = first and seed == arguments.seeds[0] and name == "covertype"
                changed = replace(settings, baselines=first, slow_baselines=slow)
                found = evaluate_tabular(model, splits, changed, untrained=untrained)
                write_json(folder / "evaluation.json", found)
                print(f"{folder}: {scores(found)}", flush=True)


def scores(found: dict[str, Any]) -> dict[str, float]:
    """Return the figures that are compared."""
    named = {}
    for row in found["imputation"]:
        if row["method"] == "model" and (row["entries"], row["mechanism"]) == ("all", "random"):
            named[f"R² at {row['ratio']}"] = row["r2"]
    named["R², mean"] = float(np.mean(list(named.values())))
    named["R², worst"] = min(named.values())
    for probe in found["probes"]:
        kind = "expected" if probe["features"].startswith(EXPECTED) else "code"
        if probe["features"].startswith("encoder"):
            task = probe["task"].split(", ", 1)[1]
            named[f"{kind}, {task}"] = probe["macro_f1"]["value"]
    for row in found["clusters"]:
        kind = "expected" if row["features"].startswith(EXPECTED) else "code"
        if row["features"].startswith("encoder"):
            named[f"{kind}, ARI"] = row["ari"]["value"]
    return named


def tables(arguments: argparse.Namespace) -> None:
    """Print the comparison, and the baselines."""
    for name in arguments.sets:
        values, evaluations = {}, {}
        for law in LAWS:
            folders = [folder_of(arguments.out, name, law, seed) for seed in arguments.seeds]
            evaluations[law] = [json.loads((f / "evaluation.json").read_text()) for f in folders]
            rows = [scores(each) for each in evaluations[law]]
            values[law] = {key: np.array([row[key] for row in rows]) for key in rows[0]}
        print(f"\n### {name}\n\n{scores_table(values)}")
        print("\nDifference from the best fixed ratio, paired by seed, 95 % t-intervals:\n")
        print(differences_table(values))
        print("\nBaselines (of the untrained model the mean over seeds):\n")
        print(baselines(evaluations[next(iter(LAWS))]))


def baselines(evaluations: list[dict[str, Any]]) -> str:
    """Return what is no model, or an untrained one."""
    lines = []
    for probes in zip(*(each["probes"] for each in evaluations), strict=True):
        if not probes[0]["features"].startswith("encoder"):
            value = np.mean([probe["macro_f1"]["value"] for probe in probes])
            lines.append(f"- {probes[0]['task']}, {probes[0]['features']}: macro-F1 {value:.3f}")
    lines += [
        f"- {row['features']}: ARI {row['ari']['value']:.3f}"
        for row in evaluations[0]["clusters"]
        if not row["features"].startswith("encoder")
    ]
    known: dict[str, list[str]] = {}
    for row in evaluations[0]["imputation"]:
        if row["method"] != "model" and (row["entries"], row["mechanism"]) == ("all", "random"):
            known.setdefault(row["method"], []).append(f"{row['r2']:.3f}")
    lines += [f"- R² at {RATIOS} of {method}: {', '.join(each)}" for method, each in known.items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["train", "evaluate", "table"])
    parser.add_argument("data", type=Path, help="what benchmarks.tabular_data made")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    {"train": train_all, "evaluate": evaluate_all, "table": tables}[arguments.what](arguments)


if __name__ == "__main__":
    main()
