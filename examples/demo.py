"""One model, asked with much or little of a row there: a random ratio beside a fixed one.

python examples/demo.py [FOLDER] trains two models of 30 measurements of tumours for equally long,
one under a ratio drawn afresh at every step, one under the 15 % that most people copy. Then both
say of tumours that they have not seen whether they are malignant, from a part of the measurements,
beside what needs no network: the conditional mean of a Gaussian or plain means in the gaps under
the same logistic regression, and boosted trees that take gaps as they are. A minute on two slow
cores.
"""

import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import maskwise as mw
from maskwise.files import write_png

LAWS = {"random ratio": "uniform:0.05,0.95", "fixed ratio": "fixed:0.15"}
OURS = "encoder"
BESIDE = {"Gaussian": "Gaussian + logistic", "boosted trees": "boosted trees"}
BESIDE |= {"mean fill": "mean fill + logistic"}
SHARES = (0.03, 0.1, 0.25, 0.5, 1.0)
PRINTED = (0.1, 0.5, 1.0)
QUICK = {"evaluate.protocols": "knn", "diagnose.num_samples": 256, "evaluate.impute": (0.5,)}
ASKED = {"data.holdout": 0.4, "evaluate.visible": SHARES, "evaluate.visible_patterns": ("random",)}
Row = dict[str, Any]


def main(folder: Path, steps: int = 2000) -> None:
    """Train both, ask both, and say how right each is."""
    runs = {
        name: mw.pretrain(
            "breast-cancer",
            law=law,
            out=folder / name.split()[0],
            **{"train.steps": steps, **QUICK, **ASKED},
        )
        for name, law in LAWS.items()
    }
    curves = {name: line(run, OURS) for name, run in runs.items()}
    curves |= {title: line(runs["random ratio"], name) for name, title in BESIDE.items()}
    print(f"\nR² of the hidden half of the measurements: {hidden_half(runs)}")
    num = curves["random ratio"][0]["num_test"]
    print(f"Diagnoses of {num} tumours that no model has seen, % right, by what of them is there:")
    print(" " * 24 + "".join(f"{share:>8.0%}" for share in PRINTED))
    for name, rows in curves.items():
        right = {row["share"]: row["accuracy"] for row in rows}
        print(f"  {name:<22}" + "".join(f"{100 * right[s]['value']:8.1f}" for s in PRINTED))
    first = curves["random ratio"][SHARES.index(PRINTED[0])]["accuracy"]
    ends = " to ".join(f"{100 * first[end]:.1f}" for end in ("low", "high"))
    print(f"  (95 % interval of the first: {ends})")
    draw(curves, folder / "demo.png")
    print(f"picture: {folder / 'demo.png'}")
    report = mw.report.write([run.path for run in runs.values()], folder / "report.html")
    print(f"report: {report}")


def line(run: mw.Run, method: str) -> list[Row]:
    """Return how right a method is at each share, from little to much."""
    return [row for row in run.result["partial"] if row["method"] == method]


def hidden_half(runs: dict[str, mw.Run]) -> str:
    """Return how much of the variance of hidden values each predicts, and principal components."""
    found: dict[str, float] = {}
    for name, run in runs.items():
        rows = [row for row in run.result["imputation"] if row["mechanism"] == "random"]
        found |= {name if row["method"] == "model" else row["method"]: row["r2"] for row in rows}
    return ", ".join(f"{name} {found[name]:.2f}" for name in (*runs, "PCA"))


def draw(curves: dict[str, list[Row]], path: Path) -> None:
    """Draw how right each is by how much is there."""
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for name, rows in curves.items():
        right = [100 * row["accuracy"]["value"] for row in rows]
        style = "o-" if name in LAWS else "s--"
        axes.plot([100 * row["visible"] for row in rows], right, style, ms=4, label=name)
    axes.set_xscale("log")
    ticks = [100 * share for share in SHARES]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="% of the measurements that are there", ylabel="% of diagnoses that are right")
    axes.legend(title="one model at every share")
    write_png(path, figure)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo"))
