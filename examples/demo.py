"""One model, asked with much or little of a row there: a random ratio beside a fixed one.

python examples/demo.py [FOLDER] trains two models of 30 measurements of tumours for equally long,
one under a ratio drawn afresh at every step, one under the 15 % that most people copy. Then both
fill in rows that they have not seen, of which 90, 50 and 10 % are there, beside the plainest
answer to the same question: the conditional mean of a Gaussian. A minute on two slow cores.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer

import maskwise as mw
from maskwise.files import write_png

LAWS = {"random ratio": "uniform:0.05,0.95", "fixed ratio": "fixed:0.15"}
THERE = (0.9, 0.7, 0.5, 0.3, 0.1)
PRINTED = {0.9, 0.5, 0.1}
Array = np.ndarray
QUICK = {"train.batch_size": 128, "evaluate.protocols": "knn", "diagnose.num_samples": 256}


def main(folder: Path, steps: int = 2000) -> None:
    """Train both, ask both, and say how well each answers."""
    rng = np.random.default_rng(0)
    rows = rng.permutation(load_breast_cancer().data)
    train, test = rows[:450], rows[450:]
    runs = {
        name: mw.pretrain(
            train, law=law, out=folder / name.split()[0], **{"train.steps": steps, **QUICK}
        )
        for name, law in LAWS.items()
    }
    answers: dict[str, Callable[[Array], Array]] = {
        **{name: run.impute for name, run in runs.items()},
        "Gaussian": gaussian(train),
    }
    print(f"\nR² of what is hidden of {len(test)} rows that no model has seen:")
    curves: dict[str, list[float]] = {name: [] for name in answers}
    for there in THERE:
        hidden = rng.random(test.shape).argsort(axis=1) >= round(there * test.shape[1])
        for name, answer in answers.items():
            curves[name].append(r2(answer(np.where(hidden, np.nan, test)), test, hidden, train))
        if there in PRINTED:
            found = "   ".join(f"{name} {values[-1]:5.2f}" for name, values in curves.items())
            print(f"  {there:4.0%} there:  {found}")
    draw(curves, folder / "demo.png")
    print(f"picture: {folder / 'demo.png'}")
    report = mw.report.write([run.path for run in runs.values()], folder / "report.html")
    print(f"report: {report}")


def r2(filled: Array, true: Array, hidden: Array, train: Array) -> float:
    """Return the share of the variance at hidden places that is predicted; each column counts."""
    error = ((true - filled) / train.std(0))[hidden]
    total = ((true - train.mean(0)) / train.std(0))[hidden]
    return float(1 - np.square(error).sum() / np.square(total).sum())


def gaussian(train: Array, ridge: float = 0.1) -> Callable[[Array], Array]:
    """Return what fills in E[x_M | x_R] = S_MR (S_RR + r I)^-1 x_R, of standardised columns."""
    mean, scale = train.mean(0), train.std(0)
    cov = np.corrcoef(train.T) + ridge * np.eye(train.shape[1])

    def fill(rows: Array) -> Array:
        values = (rows - mean) / scale
        for row in values:
            gap = np.isnan(row)
            row[gap] = cov[np.ix_(gap, ~gap)] @ np.linalg.solve(cov[np.ix_(~gap, ~gap)], row[~gap])
        return values * scale + mean

    return fill


def draw(curves: dict[str, list[float]], path: Path) -> None:
    """Draw how well each answers by how much is there."""
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for name, values in curves.items():
        axes.plot([100 * there for there in THERE], values, "o-", label=name)
    axes.axhline(0, color="grey", lw=0.8)
    axes.set(xlabel="% of a row that is there", ylabel="R² of the rest")
    axes.legend(title="one model at every ratio")
    write_png(path, figure)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo"))
