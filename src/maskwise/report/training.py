"""How training went: curves by step of one run, the losses of several."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from maskwise.report import law
from maskwise.report.blocks import Figure, Section
from maskwise.report.figures import BLUE, ORANGE, WIDE, legend, plain, run_style, svg
from maskwise.report.folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_POINTS = 2000
NO_STEP = "metrics.jsonl holds no step yet."
# Column of metrics.jsonl, what it is called, whether it is smoothed, and what it says.
CURVES = {
    "loss": ("Loss", True, "Step by step (pale) and its running mean."),
    "ratio": (
        *("Hidden ratio", False),
        "Realised ratio, averaged over the steps between two lines; shaded: the law's support.",
    ),
    "lr": ("Learning rate", False, "Warm-up, then decay."),
    "grad_norm": ("Gradient norm", True, "Before clipping. Spikes mark unstable steps."),
}


def sections(runs: Sequence[RunFolder]) -> list[Section]:
    """Return what was logged of one run, or the losses of several over each other."""
    return [_losses(runs) if len(runs) > 1 else _curves(runs[0])]


def _curves(run: RunFolder) -> Section:
    if not run.num_steps:
        return Section("training", "Training", missing=NO_STEP)
    drawn = []
    for key, (name, smoothed, caption) in CURVES.items():
        if key in run.metrics:
            label = f"{name} by step of {run.name}"
            if key == "ratio":
                bounds = [run.law.support(progress) for progress in law.PROGRESS]
                body = _ratio_curve(label, run.metrics, bounds)
            else:
                body = metric_curve(label, run.metrics, key, smoothed=smoothed)
            drawn.append(Figure(body, caption, "Drawn ratio" if key == "ratio" else name))
    text = (
        "A higher ratio is a harder task, so under a random law the loss moves with the ratio "
        "drawn: read the running mean."
    )
    return Section("training", "Training", text, figures=tuple(drawn))


def _losses(runs: Sequence[RunFolder]) -> Section:
    logged = [run for run in runs if run.num_steps]
    if not logged or any("loss" not in run.metrics for run in logged):
        return Section("loss", "Loss", missing=NO_STEP)
    key, counted = "encoder_tokens", runs[0].words.counted
    if len(counted) < 2 or any(key not in run.metrics for run in logged):
        key, counted = "step", ("", "step")
    xlabel = counted[1]

    def plot(axes: "Axes") -> None:
        from matplotlib.ticker import EngFormatter

        for index, run in enumerate(logged):
            x, loss = run.metrics[key], smooth(run.metrics["loss"])
            keep = thin(len(x))
            axes.plot(x[keep], loss[keep], label=plain(run.name), **run_style(index))
        axes.set(xlabel=plain(xlabel), ylabel="loss, running mean")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        legend(axes, len(logged))

    body = svg(f"Loss of {len(logged)} runs by {xlabel}", plot, size=WIDE)
    caption = (
        f"Running means by {xlabel}. Losses under different laws measure different tasks: a lower "
        "curve need not be a better model. Compare the values by ratio below, of equal masks."
    )
    return Section("loss", "Loss", figures=(Figure(body, caption),))


def thin(length: int, most: int = MAX_POINTS) -> np.ndarray:
    """Return at most `most` indices spread over ``range(length)``, first and last among them.

    >>> thin(5, 3).tolist(), thin(2, 3).tolist()
    ([0, 2, 4], [0, 1])
    """
    return np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(int))


def smooth(values: np.ndarray) -> np.ndarray:
    """Centred running mean over a twentieth of the points, one-sided near the ends; skips NaN.

    >>> smooth(np.array([1.0, 1.0, 1.0])).tolist()
    [1.0, 1.0, 1.0]
    """
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    at, half = np.arange(len(values)), max(1, len(values) // 40)
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    count = counts[high] - counts[low]
    return np.where(count > 0, (sums[high] - sums[low]) / np.maximum(count, 1), np.nan)


def metric_curve(
    label: str, metrics: Mapping[str, np.ndarray], key: str, *, smoothed: bool = False
) -> Markup:
    """Draw one metric by step; `smoothed` adds its running mean."""
    steps, values = metrics["step"], metrics[key]
    keep = thin(len(steps))

    def plot(axes: "Axes") -> None:
        alpha, linewidth = (0.35, 0.9) if smoothed else (None, None)
        axes.plot(
            steps[keep],
            values[keep],
            color=BLUE,
            label="each step",
            alpha=alpha,
            linewidth=linewidth,
        )
        if smoothed:
            axes.plot(steps[keep], smooth(values)[keep], color=BLUE, label="running mean")
            legend(axes, 2)
        axes.set(xlabel="step", ylabel=key.replace("_", " "))
        known = values[np.isfinite(values)]
        # A learning rate that ends at zero spans any number of decades.
        if smoothed and len(known) and known.min() > 0 and known.max() > 30 * known.min():
            axes.set_yscale("log")

    return svg(label, plot)


def _ratio_curve(
    label: str, metrics: Mapping[str, np.ndarray], bounds: Sequence[tuple[float, float]]
) -> Markup:
    """Draw the realised ratio of each step over the law's support at even progress."""
    steps, values = metrics["step"], metrics["ratio"]
    keep = thin(len(steps))
    low, high = np.array(bounds).T
    at = np.linspace(steps[0], steps[-1], len(bounds))

    def plot(axes: "Axes") -> None:
        # A fixed ratio has no width: give it one that can be seen.
        wide = np.minimum(low, high - 0.01)
        axes.fill_between(at, wide, high, color=ORANGE, alpha=0.18, linewidth=0, label="support")
        axes.plot(
            steps[keep],
            values[keep],
            linestyle="none",
            marker="o",
            markersize=2.2,
            markeredgewidth=0,
            alpha=0.6,
            color=BLUE,
            label="drawn",
        )
        axes.set(xlabel="step", ylabel="hidden ratio", ylim=(0, 1))
        legend(axes, 2)

    return svg(label, plot)
