"""How training went: the law of the ratio, curves by step of one run, the losses of several."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from markupsafe import Markup

from maskwise.laws import Law, effective
from maskwise.report.blocks import Figure, Section, say
from maskwise.report.figures import BLUE, ORANGE, WIDE, Axes, legend, plain, run_style, svg
from maskwise.report.folder import RunFolder

Seen = Callable[..., tuple[np.ndarray, np.ndarray]]
"""from progress to ratios and weights of the law that the loss sees"""
MAX_POINTS = 2000
PROGRESS = tuple(float(value) for value in np.linspace(0, 1, 41))
# Column of metrics.jsonl, what it is called, and whether it is smoothed.
CURVES = {
    "loss": ("Loss", True),
    "ratio": ("Drawn ratio", False),
    "lr": ("Learning rate", False),
    "grad_norm": ("Gradient norm", True),
}


def sections(runs: Sequence[RunFolder]) -> list[Section]:
    """Return what was logged of one run, or the losses of several over each other."""
    if len(runs) > 1:
        return [_losses(runs)]
    [run] = runs
    if not run.num_steps:
        return [Section("training", "Training", missing=say("training", "nothing"))]
    drawn = []
    for key, (name, smoothed) in CURVES.items():
        if key in run.metrics:
            support = supports(run.law) if key == "ratio" else None
            label = f"{name} by step of {run.name}"
            body = metric_curve(label, run.metrics, key, smoothed=smoothed, support=support)
            drawn.append(Figure(body, say("training", key), name))
    return [Section("training", "Training", say("training", "intro"), figures=drawn)]


def _losses(runs: Sequence[RunFolder]) -> Section:
    logged = [run for run in runs if run.num_steps]
    if not logged or any("loss" not in run.metrics for run in logged):
        return Section("loss", "Loss", missing=say("training", "nothing"))
    key, counted = "encoder_tokens", runs[0].words.counted
    if len(counted) < 2 or any(key not in run.metrics for run in logged):
        key, counted = "step", ("", "step")
    xlabel = counted[1]

    def plot(axes: Axes) -> None:
        from matplotlib.ticker import EngFormatter

        for index, run in enumerate(logged):
            x, loss = run.metrics[key], smooth(run.metrics["loss"])
            keep = thin(len(x))
            axes.plot(x[keep], loss[keep], label=plain(run.name), **run_style(index))
        axes.set(xlabel=plain(xlabel), ylabel="loss, running mean")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        legend(axes, len(logged))

    body = svg(f"Loss of {len(logged)} runs by {xlabel}", plot, size=WIDE)
    caption = say("training", "losses", xlabel=xlabel)
    return Section("loss", "Loss", figures=(Figure(body, caption),))


def thin(length: int, most: int = MAX_POINTS) -> np.ndarray:
    """Return at most `most` indices spread over ``range(length)``, first and last among them."""
    return np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(int))


def smooth(values: np.ndarray) -> np.ndarray:
    """Centred running mean over a twentieth of the points, one-sided near the ends; skips NaN."""
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    at, half = np.arange(len(values)), max(1, len(values) // 40)
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    count = counts[high] - counts[low]
    return np.where(count > 0, (sums[high] - sums[low]) / np.maximum(count, 1), np.nan)


def metric_curve(
    label: str,
    metrics: Mapping[str, np.ndarray],
    key: str,
    *,
    smoothed: bool = False,
    support: np.ndarray | None = None,
) -> Markup:
    """Draw one metric by step, with its running mean; or a ratio as dots, over its support."""
    steps, values = metrics["step"], metrics[key]
    keep = thin(len(steps))

    def plot(axes: Axes) -> None:
        axes.set(xlabel="step", ylabel=key.replace("_", " "))
        if support is not None:
            low, high = support
            at = np.linspace(steps[0], steps[-1], len(low))
            # A fixed ratio has no width: give it one that can be seen.
            low = np.minimum(low, high - 0.01)
            axes.fill_between(at, low, high, color=ORANGE, alpha=0.18, lw=0, label="support")
            axes.set(ylabel="hidden ratio", ylim=(0, 1))
        name = "each step" if support is None else "drawn"
        [line] = axes.plot(steps[keep], values[keep], color=BLUE, label=name)
        if support is not None:
            line.set(ls="none", marker="o", markersize=2.2, markeredgewidth=0, alpha=0.6)
        if smoothed:
            line.set(alpha=0.35, linewidth=0.9)
            axes.plot(steps[keep], smooth(values)[keep], color=BLUE, label="running mean")
        legend(axes, 1 + smoothed + (support is not None))
        known = values[np.isfinite(values)]
        # A learning rate that ends at zero spans any number of decades.
        if smoothed and len(known) and known.min() > 0 and known.max() > 30 * known.min():
            axes.set_yscale("log")

    return svg(label, plot)


def law(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the law of one run: its density, what the loss sees of it, how it moves."""
    if len(runs) > 1:
        return []
    law, train = runs[0].law, runs[0].config["train"]
    scope, reduction = train.get("scope", "step"), train.get("reduction", "sample_mean")
    moving, seen, made = moves(law), partial(effective, law, reduction, scope), []
    for progress in (0.0, 0.5, 1.0) if moving else (0.0,):
        when = f"at {progress:.0%} of training" if moving else ""
        body = _density(f"Law {law} {when}".strip(), law, seen, progress)
        low, high = law.support(progress)
        caption = f"From {low:g} to {high:g}, {law.mean(progress):.3g} on average."
        ratios, weights = seen(progress)
        if not np.isclose(mean := float(ratios @ weights), law.mean(progress), atol=1e-3):
            caption += f" The loss sees {mean:.3g} on average."
        caption = f"Always {low:g}." if low == high else caption
        made.append(Figure(body, caption, when.capitalize()))
    if moving:
        body = _movement(f"Mean and support of {law} by training progress", law)
        made.append(Figure(body, "Mean (line) and support (shaded).", "Through training"))
    how = "plain" if np.allclose(_tilt(law, seen, 0.0)[1], 1) else "tilted"
    text = say("law", how, law=law, scope=scope, reduction=reduction)
    return [Section("law", "The law", text, figures=made)]


def moves(law: Law) -> bool:
    """Say whether the law changes with training progress."""
    first = law.quadrature(16, 0.0)
    return not all(np.array_equal(first, law.quadrature(16, progress)) for progress in PROGRESS)


def supports(law: Law) -> np.ndarray:
    """Return the least and the largest ratio of a law at even progress, [2, 41]."""
    return np.array([law.support(progress) for progress in PROGRESS]).T


def reach(law: Law) -> tuple[float, float]:
    """Return the least and the largest ratio that a law draws throughout training."""
    low, high = supports(law)
    return float(low.min()), float(high.max())


def _tilt(law: Law, seen: Seen, progress: float) -> tuple[np.ndarray, np.ndarray]:
    """Return ratios, ascending, and how much the loss multiplies the law's density there."""
    ratios, weights = law.quadrature(64, progress)
    order = np.argsort(ratios, kind="stable")
    return ratios[order], (seen(progress)[1] / weights)[order]


def _density(label: str, law: Law, seen: Seen, progress: float) -> Markup:
    """Draw the law and, where it differs, the law that the loss sees."""
    at, factor = _tilt(law, seen, progress)
    low, high = law.support(progress)
    # A density may be infinite at its ends (cosine, some betas): stop just short of them.
    inside = np.linspace(max(low, 1e-3), min(high, 1 - 1e-3), 400)
    curve = law.density(inside, progress)
    atoms = np.array(law.atoms(progress)).reshape(-1, 2)
    continuous = bool(np.any(curve > 0))
    kinds = [("drawn", BLUE, "-", np.ones_like(factor))]
    if not np.allclose(factor, 1):
        kinds.append(("seen by the loss", ORANGE, "--", factor))

    def plot(axes: Axes) -> None:
        stems = axes.twinx() if continuous and len(atoms) else axes
        top = 0.0
        for index, (name, color, style, factors) in enumerate(kinds):
            if continuous:
                scaled = curve * np.interp(inside, at, factors)
                top = max(top, float(scaled.max()))
                x, y = np.concatenate([[low], inside, [high]]), np.pad(scaled, 1)
                axes.plot(x, y, color=color, linestyle=style, label=name)
                if index == 0:
                    axes.fill_between(x, y, color=color, alpha=0.15, linewidth=0)
            if len(atoms):
                mass = atoms[:, 1] * np.interp(atoms[:, 0], at, factors)
                x = atoms[:, 0] + 0.008 * index
                stems.vlines(x, 0, mass, color=color, linestyle=style, label=name)
                stems.plot(x, mass, "o", color=color, markersize=6)
        axes.set(xlabel="hidden ratio", xlim=(0, 1))
        if continuous:
            axes.set(ylabel="density", ylim=(0, 1.1 * min(top, 12.0)))
        if len(atoms):
            stems.set(ylabel="probability", ylim=(0, 1.1))
            stems.grid(not continuous)
        legend(axes, len(kinds))

    return svg(label, plot)


def _movement(label: str, law: Law) -> Markup:
    """Draw the law's mean and support by training progress."""
    low, high = supports(law)
    mean = [law.mean(progress) for progress in PROGRESS]

    def plot(axes: Axes) -> None:
        if np.any(high > low):
            axes.fill_between(PROGRESS, low, high, color=BLUE, alpha=0.15, lw=0, label="support")
        axes.plot(PROGRESS, mean, color=BLUE, label="mean")
        axes.set(xlabel="training progress", ylabel="hidden ratio", xlim=(0, 1), ylim=(0, 1))
        legend(axes, 2)

    return svg(label, plot)
