"""One model, asked with much or little of the input there: a random ratio beside a fixed one.

python examples/demo.py [FOLDER] trains two models of handwritten digits for equally long, one
under a ratio drawn afresh at every step, one under the 75 % that a paper chose. Then both fill in
digits that they have not seen, of which 90, 50 and 10 % are there, beside the plainest answer to
the same question: the conditional mean of a Gaussian. A minute on two cores.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

import maskwise as mw
from maskwise import masks
from maskwise.files import write_png

LAWS = {"random ratio": "uniform:0.05,0.95", "fixed ratio": "fixed:0.75"}
THERE = (0.9, 0.5, 0.1)
QUICK = {
    "evaluate.protocols": ("logistic",),
    "evaluate.ratios": (0.1, 0.3, 0.5, 0.7, 0.9),
    "diagnose.num_samples": 256,
}


def main(folder: Path, steps: int = 600) -> None:
    """Train both, ask both, and say how well each answers."""
    runs = {
        name: mw.pretrain(
            "digits", law=law, out=folder / name.split()[0], **{"train.steps": steps, **QUICK}
        )
        for name, law in LAWS.items()
    }
    run = runs["random ratio"]
    splits = run.kind.load(None, run.config)
    train, test = (part.get(np.arange(len(part))).float() for part in (splits.train, splits.test))
    answers = {name: run.model().reconstruct for name, run in runs.items()}
    answers["Gaussian"] = gaussian(train)
    print(f"\nR² of the hidden pixels of {len(test)} digits that no model has seen:")
    rows = []
    for there in THERE:
        mask = masks.draw(1 - there, (4, 4), sample_ids=torch.arange(len(test)), seed=0)
        hidden = pixels(mask.hidden)
        with torch.no_grad():
            filled = {name: answer(test, mask.hidden) for name, answer in answers.items()}
        total = (test - train.mean(0))[hidden].square().sum()
        found = {name: 1 - (test - x)[hidden].square().sum() / total for name, x in filled.items()}
        print(f"  {there:4.0%} there:  ", "   ".join(f"{n} {r2:.2f}" for n, r2 in found.items()))
        rows.append([("seen", test.masked_fill(hidden, 90)), *filled.items()])
    draw(rows, folder / "demo.png")
    print(f"picture: {folder / 'demo.png'}")
    report = mw.report.write([run.path for run in runs.values()], folder / "report.html")
    print(f"report: {report}")


def pixels(hidden: Tensor) -> Tensor:
    """Return which pixels lie in hidden patches of 2 x 2, bool [N, 1, 8, 8]."""
    return hidden.view(-1, 1, 4, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)


def gaussian(train: Tensor, ridge: float = 1.0) -> Callable[[Tensor, Tensor], Tensor]:
    """Return what fills in E[x_M | x_R] = m_M + S_MR (S_RR + r I)^-1 (x_R - m_R)."""
    rows = train.flatten(1).double().numpy()
    mean, cov = rows.mean(0), np.cov(rows.T) + ridge * np.eye(rows.shape[1])

    def fill(batch: Tensor, hidden: Tensor) -> Tensor:
        filled = batch.flatten(1).double().numpy().copy()
        for row, gap in zip(filled, pixels(hidden).flatten(1).numpy(), strict=True):
            known = np.linalg.solve(cov[np.ix_(~gap, ~gap)], row[~gap] - mean[~gap])
            row[gap] = mean[gap] + cov[np.ix_(gap, ~gap)] @ known
        return torch.from_numpy(filled).view_as(batch).to(batch)

    return fill


def draw(rows: list[list[tuple[str, Tensor]]], path: Path, num: int = 8) -> None:
    """Draw some digits as they are seen and as each answer fills them in."""
    figure = Figure(figsize=(12, 2.8), layout="constrained")
    axes = figure.subplots(len(rows[0]), len(rows))
    for column, (there, row) in enumerate(zip(THERE, rows, strict=True)):
        for axis, (name, images) in zip(axes[:, column], row, strict=True):
            sheet = torch.nn.functional.pad(images[:num, 0], (0, 1), value=0.0)
            axis.imshow(sheet.permute(1, 0, 2).flatten(1).numpy(), cmap="gray_r", vmin=0, vmax=255)
            axis.set(xticks=[], yticks=[])
            if column == 0:
                axis.set_ylabel(name, rotation=0, ha="right", va="center")
        axes[0, column].set_title(f"{there:.0%} of each digit is there")
    write_png(path, figure)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo"))
