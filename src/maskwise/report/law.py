"""The law of the ratio: its density, what the loss sees of it, how it moves in training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from maskwise.laws import Law, Reduction, Scope, effective
from maskwise.report.blocks import Figure, Section
from maskwise.report.figures import BLUE, ORANGE, legend, svg
from maskwise.report.folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PROGRESS = tuple(float(value) for value in np.linspace(0, 1, 41))


def sections(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the section of one run's page; a comparison has none."""
    if len(runs) > 1:
        return []
    law, train = runs[0].law, runs[0].config["train"]
    scope, reduction = train.get("scope", "step"), train.get("reduction", "sample_mean")
    moving = moves(law)
    made = []
    for progress in (0.0, 0.5, 1.0) if moving else (0.0,):
        when = f"at {progress:.0%} of training" if moving else ""
        body = _density(f"Law {law} {when}".strip(), law, reduction, scope, progress)
        low, high = law.support(progress)
        caption = f"From {low:g} to {high:g}, {law.mean(progress):.3g} on average."
        ratios, weights = effective(law, reduction, scope, progress)
        if not np.isclose(seen := float(ratios @ weights), law.mean(progress), atol=1e-3):
            caption += f" The loss sees {seen:.3g} on average."
        caption = f"Always {low:g}." if low == high else caption
        made.append(Figure(body, caption, when.capitalize()))
    if moving:
        body = _movement(f"Mean and support of {law} by training progress", law)
        made.append(Figure(body, "Mean (line) and support (shaded).", "Through training"))
    text = f"{law}: one ratio per {scope}, loss reduced by {reduction}. "
    _, factor = _tilt(law, reduction, scope, 0.0)
    if np.allclose(factor, 1):
        text += "The loss sees the law as it is drawn."
    else:
        text += "A sample's weight grows with its ratio: the loss sees another law (dashed)."
    return [Section("law", "The law", text, figures=tuple(made))]


def moves(law: Law) -> bool:
    """Say whether the law changes with training progress."""
    ratios, weights = law.quadrature(16, 0.0)
    later = (law.quadrature(16, progress) for progress in PROGRESS)
    return any(
        not (np.array_equal(ratios, new) and np.array_equal(weights, mass)) for new, mass in later
    )


def reach(law: Law) -> tuple[float, float]:
    """Return the least and the largest ratio that a law draws throughout training."""
    low, high = np.array([law.support(progress) for progress in PROGRESS]).T
    return float(low.min()), float(high.max())


def _tilt(
    law: Law, reduction: Reduction, scope: Scope, progress: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return ratios, ascending, and how much the loss multiplies the law's density there."""
    ratios, weights = law.quadrature(64, progress)
    _, seen = effective(law, reduction, scope, progress, k=64)
    order = np.argsort(ratios, kind="stable")
    return ratios[order], (seen / weights)[order]


def _density(
    label: str, law: Law, reduction: Reduction, scope: Scope, progress: float = 0.0
) -> Markup:
    """Draw the law and, where it differs, the law that the loss sees."""
    at, factor = _tilt(law, reduction, scope, progress)
    low, high = law.support(progress)
    # A density may be infinite at its ends (cosine, some betas): stop just short of them.
    inside = np.linspace(max(low, 1e-3), min(high, 1 - 1e-3), 400)
    curve = law.density(inside, progress)
    atoms = np.array(law.atoms(progress)).reshape(-1, 2)
    continuous = bool(np.any(curve > 0))
    kinds = [("drawn", BLUE, "-", np.ones_like(factor))]
    if not np.allclose(factor, 1):
        kinds.append(("seen by the loss", ORANGE, "--", factor))

    def plot(axes: "Axes") -> None:
        stems = axes.twinx() if continuous and len(atoms) else axes
        for index, (name, color, style, factors) in enumerate(kinds):
            if continuous:
                scaled = curve * np.interp(inside, at, factors)
                x = np.concatenate([[low], inside, [high]])
                y = np.concatenate([[0.0], scaled, [0.0]])
                axes.plot(x, y, color=color, linestyle=style, label=name)
                if index == 0:
                    axes.fill_between(x, y, color=color, alpha=0.15, linewidth=0)
            if len(atoms):
                mass = atoms[:, 1] * np.interp(atoms[:, 0], at, factors)
                stems.vlines(
                    atoms[:, 0] + 0.008 * index, 0, mass, color=color, linestyle=style, label=name
                )
                stems.plot(atoms[:, 0] + 0.008 * index, mass, "o", color=color, markersize=6)
        axes.set(xlabel="hidden ratio", xlim=(0, 1))
        if continuous:
            axes.set_ylabel("density")
            top = max(float(np.max(curve * np.interp(inside, at, f))) for *_, f in kinds)
            axes.set_ylim(0, 1.1 * min(top, 12.0))
        if len(atoms):
            stems.set_ylabel("probability")
            stems.set_ylim(0, 1.1)
            stems.grid(not continuous)
        legend(axes, len(kinds))

    return svg(label, plot)


def _movement(label: str, law: Law) -> Markup:
    """Draw the law's mean and support by training progress."""
    low, high = np.array([law.support(progress) for progress in PROGRESS]).T
    mean = [law.mean(progress) for progress in PROGRESS]

    def plot(axes: "Axes") -> None:
        if np.any(high > low):
            axes.fill_between(
                PROGRESS, low, high, color=BLUE, alpha=0.15, linewidth=0, label="support"
            )
        axes.plot(PROGRESS, mean, color=BLUE, label="mean")
        axes.set(xlabel="training progress", ylabel="hidden ratio", xlim=(0, 1), ylim=(0, 1))
        legend(axes, 2)

    return svg(label, plot)
