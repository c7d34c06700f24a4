"""Train PPCA by masked prediction under several laws: does it reach the maximum likelihood?

    python -m benchmarks.likelihood_paper training --out runs/likelihood

Full batches, Adam on the loadings alone; noise and mean are those of the truth, and initial values
are the same for every objective of a seed. The best attainable log-likelihood has a closed form.
Laws but `likelihood` are rounded to sizes below D: `uniform:0,1`, the ratio of masked diffusion,
never hides everything.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.likelihood_ppca import NOISE, closed_form, panels, problem, shown
from maskwise import laws, masks
from maskwise.laws import Reduction, Scope
from maskwise.likelihood import PPCA, loss, score_at_size
from maskwise.masks import Mask, Sampling
from maskwise.report.figures import run_style

EVERY = 10
# Objective values vary from step to step: the last ones are averaged.
LAST = 100


class Objective(NamedTuple):
    """What is minimised: a law and how it is drawn, or one of two controls without a law."""

    name: str
    law: str
    scope: Scope = "sample"
    sampling: Sampling = "independent"
    reduction: Reduction = "sample_mean"


CONTROLS = ("exact", "everything hidden")
OBJECTIVES = (
    Objective("exact log-likelihood", "exact"),
    Objective("`likelihood`, sizes stratified", "likelihood", sampling="stratified"),
    Objective("`likelihood`, one size per step", "likelihood", "step"),
    Objective("`uniform:0,1`, inverse_ratio", "uniform:0,1", reduction="inverse_ratio"),
    Objective("`uniform:0.1,0.8`", "uniform:0.1,0.8"),
    Objective("`fixed:0.2`", "fixed:0.2"),
    Objective("`fixed:0.8`", "fixed:0.8"),
    Objective("everything hidden", "everything hidden"),
)


class Truth(NamedTuple):
    """Components of the model that the data come from, and of the one that is trained."""

    name: str
    components: int
    fitted: int


TRUTHS = (Truth("K = 2, as the truth", 2, 2), Truth("K = 1, truth 4", 4, 1))


class Run(NamedTuple):
    """Nats per sample."""

    gaps: NDArray[np.float64]
    """exact log-likelihood below the best attainable, before every EVERY-th step and at the end"""
    read: float
    """the objective's own last values, taken as an estimate of the log-likelihood"""
    truth: float
    """the exact log-likelihood at the end"""


class Found(NamedTuple):
    """An objective's runs, and how far below the best its own maximum lies: both by seed."""

    runs: list[Run]
    maximum: list[float]


def objective(kind: Objective, model: PPCA, x: Tensor, seed: int, step: int) -> Tensor:
    """Return what is minimised in a step, nats per position."""
    if kind.law == "exact":
        return -model.log_prob(x).mean() / x.shape[1]
    if kind.law == "everything hidden":
        mask = Mask(torch.ones(x.shape, dtype=torch.bool))
    else:
        mask = masks.draw(
            kind.law,
            (x.shape[1],),
            sample_ids=torch.arange(len(x)),
            seed=seed,
            epoch=step,
            step=step,
            scope=kind.scope,
            sampling=kind.sampling,
        )
    return loss(model, x, mask, kind.reduction)


def train(kind: Objective, x: Tensor, components: int, steps: int, seed: int) -> Run:
    """Train the loadings from random ones; the exact log-likelihood is only looked at."""
    dim = x.shape[1]
    # The truth's loadings came from the seed itself.
    generator = torch.Generator().manual_seed(1000 + seed)
    loadings = torch.randn(dim, components, generator=generator, dtype=torch.float64)
    model = PPCA(loadings.requires_grad_(), NOISE)
    optimizer = torch.optim.Adam([loadings], lr=1e-2)
    exact, read = [], []
    for step in range(steps):
        if step % EVERY == 0:
            exact.append(average(model, x))
        optimizer.zero_grad()
        value = objective(kind, model, x, seed, step)
        value.backward()
        optimizer.step()
        read.append(-dim * float(value.detach()))
    exact.append(average(model, x))
    best = average(closed_form(x, components), x)
    return Run(best - np.array(exact), float(np.mean(read[-LAST:])), exact[-1])


def average(model: PPCA, x: Tensor) -> float:
    """Return the exact log-likelihood, nats per sample."""
    return float(model.log_prob(x).mean().detach())


def maximum_gap(law: str, x: Tensor, components: int) -> float:
    """Return how far below the best the log-likelihood is where an objective is greatest.

    The objective is what a law's loss is on average over all masks, and is climbed from the
    closed form by L-BFGS until it is flat. Scores are quadratic in a sample, so that D samples
    with the second moment of the data do for all data.
    """
    dim = x.shape[1]
    # A multiple of D, so that law "likelihood" weighs all sizes the same.
    u = (np.arange(1000 * dim) + 0.5) / (1000 * dim)
    shares = np.bincount(laws.num_hidden(laws.parse(law), u, dim)) / len(u)
    values, vectors = torch.linalg.eigh(x.T @ x / len(x))
    few = (dim * values.clamp(min=0)).sqrt()[:, None] * vectors.T
    best = closed_form(x, components)
    loadings = best.loadings.contiguous().clone().requires_grad_()
    model = PPCA(loadings, NOISE)
    optimizer = torch.optim.LBFGS(
        [loadings],
        max_iter=500,
        tolerance_grad=1e-9,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        optimizer.zero_grad()
        value = -sum(
            share * score_at_size(model, few, int(size), exhaustive=True).mean()
            for size, share in enumerate(shares)
            if share
        )
        value.backward()
        return float(value.detach())

    optimizer.step(closure)
    return average(best, x) - average(model, x)


def compare(
    truth: Truth,
    objectives: Sequence[Objective] = OBJECTIVES,
    *,
    num: int = 2000,
    dim: int = 10,
    steps: int = 1000,
    seeds: int = 5,
) -> dict[str, Found]:
    """Train with each objective from each seed."""
    found = {kind.name: Found([], []) for kind in objectives}
    for seed in range(seeds):
        _, x = problem(num, dim, truth.components, seed)
        for kind in objectives:
            runs, maximum = found[kind.name]
            runs.append(train(kind, x, truth.fitted, steps, seed))
            if kind.law not in CONTROLS:
                maximum.append(maximum_gap(kind.law, x, truth.fitted))
    return found


def table(found: dict[str, dict[str, Found]]) -> str:
    """Return final gaps, those of the objectives' own maxima, and what objectives read."""
    lines = [
        "| fitted | objective | trained: below the best, nats per sample | worst seed"
        " | the objective's maximum: below the best | objective reads too high by |",
        "|---" * 6 + "|",
    ]
    for truth, objectives in found.items():
        for name, (runs, maximum) in objectives.items():
            gaps = np.array([run.gaps[-1] for run in runs])
            off = np.array([run.read - run.truth for run in runs])
            own = shown(np.array(maximum), 4) if maximum else "-"
            cells = [shown(gaps, 4), f"{gaps.max():.4f}", own, shown(off, 2)]
            lines.append(f"| {truth} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(found: dict[str, dict[str, Found]], path: Path) -> None:
    """Write the gaps against steps, medians over seeds."""

    def plot(axes: Any, truth: str) -> None:
        for place, (name, (runs, _)) in enumerate(found[truth].items()):
            gaps = np.array([run.gaps for run in runs])
            steps = EVERY * np.arange(gaps.shape[1])
            label = name.replace("`", "")
            axes.plot(steps, np.median(gaps, axis=0), label=label, **run_style(place))
        axes.set(xlabel="step", yscale="log", title=truth)
        axes.set_ylabel("nats per sample below the best")

    panels(path, list(found), plot, share=True, size=(5.0, 4.8))


def training(out: Path, seeds: int = 5, **options: Any) -> str:
    found = {truth.name: compare(truth, seeds=seeds, **options) for truth in TRUTHS}
    draw(found, out / "training.png")
    return table(found)
