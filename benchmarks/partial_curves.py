"""Compare laws by answers from part of the input, beside what needs no network.

    python -m benchmarks.tabular_data FOLDER --out DATA      # see there
    python -m benchmarks.partial_curves DATA --out DIR       # resumable; --sets, --seeds, --steps

Digits are their 64 pixels, columns like those of mfeat and covertype. A model is trained without
labels; a linear head reads its code, or the values that it expects, of copies of 20 samples of
each class under `uniform:0,1`, and answers for held-out samples of which 2 to 100 % are visible.
The score is macro-F1, the mean over those shares. The best fixed ratio is chosen on training
samples whose labels no head has seen. The Gaussian is that of all training samples.
"""

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maskwise.columns.curve import EXPECTED, both, reader
from maskwise.columns.model import TabularModel, TabularModelSettings
from maskwise.columns.tabular import TabularEvaluateSettings, TabularRows, TabularSplits
from maskwise.files import write_json
from maskwise.measure.features import over_draws
from maskwise.modalities import build, find
from maskwise.predict.baselines import Learn, by_gaussian, by_mean
from maskwise.predict.curve import ENCODER, Labelled, curve
from maskwise.predict.parts import Positions, parts_of
from maskwise.tables.data import TableDataSettings
from maskwise.tables.record import TableRunSettings
from maskwise.train.batches import Batches
from maskwise.train.config import TrainSettings, connect
from maskwise.train.loop import train

SETS = {"digits": None, "mfeat": "digit", "covertype": "Cover_Type"}
FIXED = ("fixed:0.3", "fixed:0.5", "fixed:0.75", "fixed:0.95")
LAWS = ("uniform:0.1,0.9", "uniform:0,1", *FIXED)
FEW, MOST = 20, 1000  # labels a class, and samples to answer for
VISIBLE = TabularEvaluateSettings(visible_patterns=("random",))
Row = dict[str, Any]


def configuration(
    arguments: argparse.Namespace, name: str, law: str, seed: int
) -> TableRunSettings:
    """Return the configuration of one run."""
    source = "array" if name == "digits" else str(arguments.data / f"{name}.csv")
    options: dict[str, Any] = {"weight_decay": 0.01, "scope": "sample", "log_every": 100}
    return TableRunSettings(
        data=TableDataSettings(source=source, labels=SETS[name], holdout=0.25),
        model=TabularModelSettings(),
        train=TrainSettings(steps=arguments.steps, batch_size=128, lr=2e-3, **options),
        law=law,
        seed=seed,
    )


def load(config: TableRunSettings) -> TabularSplits:
    """Return a set, split."""
    from sklearn.datasets import load_digits

    given = load_digits(return_X_y=True) if config.data.source == "array" else None
    return find("tables").load(given, config)


def trained(config: TableRunSettings, splits: TabularSplits, folder: Path) -> TabularModel:
    """Return a model trained on a set."""
    tokens, config = find("tables").describe(splits, config)
    model = build(tokens, config.model, seed=config.seed)
    fabric = connect(config.efficiency)
    fabric.launch()
    batches = Batches(splits.train, batch_size=config.train.batch_size, seed=config.seed)
    kept, _ = train(fabric, model, batches, config, folder)
    assert isinstance(kept, TabularModel)
    return kept.eval()


def chosen(y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return training samples with a label, so many of each class, and others to choose by."""
    order = np.random.default_rng(seed).permutation(np.flatnonzero(y >= 0))
    labelled = np.concatenate([order[y[order] == each][:FEW] for each in np.unique(y[order])])
    return labelled, order[~np.isin(order, labelled)][:MOST]


def answers(
    model: TabularModel, splits: TabularSplits, seed: int, *, baselines: bool
) -> dict[str, list[Row]]:
    """Return the rows of the curve of held-out samples, and of those that decide."""
    train, test = splits.train, splits.test
    assert train.labels is not None
    assert test.labels is not None
    labelled, others = chosen(train.labels, seed)
    asked = np.random.default_rng(seed).permutation(np.flatnonzero(test.labels >= 0))[:MOST]
    read, linear = reader(model.tokenizer, train, VISIBLE)
    linear = {"Gaussian": every_row(train, linear["Gaussian"]), "mean fill": by_mean}
    known, found = train.some(labelled), {}
    for name, rows in (("test", test.some(asked)), ("choice", train.some(others))):
        said = both(model, known, rows)
        one, other = (
            Labelled(each, own.labels, partial(read, own) if baselines else None)  # type: ignore[arg-type]
            for each, own in zip(said, (known, rows), strict=True)
        )
        at = Positions(other.first.there, rows.index, model.tokenizer.grid)
        found[name] = curve(one, other, parts_of(at, VISIBLE, seed), linear=linear, seed=seed)
    return found


def every_row(rows: TabularRows, learn: Learn) -> Learn:
    """Return a Gaussian of all rows, as the closed form of tables is: of wide ones dense, too."""
    values = rows.get(np.arange(len(rows))).numpy()
    if values.shape[1] <= 128:
        return learn
    fill = by_gaussian(values, dense=1000)
    return lambda _: fill


def run(arguments: argparse.Namespace, name: str, law: str, seed: int) -> dict[str, list[Row]]:
    """Return the rows of one run, that are kept."""
    text = law.replace(":", "-").replace(",", "-")
    path = arguments.out / name / f"{text}-s{seed}" / "partial.json"
    if not path.exists():
        config = configuration(arguments, name, law, seed)
        splits = load(config)
        model = trained(config, splits, path.parent)
        write_json(path, answers(model, splits, seed, baselines=law == LAWS[0]))
        print(path, flush=True)
    return json.loads(path.read_text("utf-8"))


def scores(rows: list[Row], method: str) -> np.ndarray:
    """Return macro-F1 of a method at each share."""
    return np.array([row["macro_f1"]["value"] for row in rows if row["method"] == method])


def lines(found: dict[str, list[dict[str, list[Row]]]]) -> dict[str, np.ndarray]:
    """Return macro-F1 [seeds, shares] of laws and baselines by name, from the runs of each law."""
    made: dict[str, np.ndarray] = {}
    for kind in (ENCODER, EXPECTED):
        for law in (each for each in found if each not in FIXED):
            made[f"{kind}, {law}"] = np.stack([scores(each["test"], kind) for each in found[law]])
        fixed = [law for law in found if law in FIXED]
        means = [np.mean([scores(run["choice"], kind) for run in found[law]]) for law in fixed]
        best = fixed[int(np.argmax(means))]
        made[f"{kind}, {best} (chosen)"] = np.stack([scores(r["test"], kind) for r in found[best]])
    first = found[LAWS[0]]
    names = dict.fromkeys(row["method"] for row in first[0]["test"])
    for name in names:
        if not name.startswith(ENCODER):
            made[name] = np.stack([scores(each["test"], name) for each in first])
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="what benchmarks.tabular_data made")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=800)
    arguments = parser.parse_args()
    for name in arguments.sets:
        found = {law: [run(arguments, name, law, s) for s in arguments.seeds] for law in LAWS}
        shares = dict.fromkeys(row["share"] for row in found[LAWS[0]][0]["test"])
        print(f"\n### {name}\n\n| | mean | {' | '.join(f'{100 * s:g} %' for s in shares)} |")
        print("|---" * (2 + len(shares)) + "|")
        for title, values in lines(found).items():
            mean, low, _ = over_draws(values.mean(axis=1).tolist())
            half = f" ± {mean - low:.3f}" if low is not None else ""
            each = " | ".join(f"{value:.3f}" for value in values.mean(axis=0))
            print(f"| {title} | {mean:.3f}{half} | {each} |")


if __name__ == "__main__":
    main()
