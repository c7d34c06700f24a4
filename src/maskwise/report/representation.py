"""Figures of features: how many directions they use, and what masks do to them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from maskwise.report import figures
from maskwise.report.blocks import Cell, Figure, Section, Table, number, unmade
from maskwise.report.folder import Row, RunFolder
from maskwise.report.law import reach
from maskwise.report.training import metric_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENCODERS = ("encoder", "untrained encoder")
COMPARED = ("effective_rank", "rankme", "lidar", "energy")
# Key, name, and what it says; {} are filled in from the entry.
FIGURES = (
    (
        "effective_rank",
        "effective rank",
        "exp of the entropy of the normalised singular values of centred features: about how many"
        " of {dim} directions they use",
    ),
    (
        "rankme",
        "RankMe",
        "the same without centring, so that a common mean counts as a direction; it ranks runs of"
        " one kind only",
    ),
    (
        "participation_ratio",
        "participation ratio",
        "(Σλ)² / Σλ² of the variances λ along principal axes: directions that hold much of the"
        " variance",
    ),
    (
        "stable_rank",
        "stable rank",
        "Σλ / λ₁, centred: 1 if a single direction holds all of the variance",
    ),
    (
        "alpha_req",
        "α-ReQ",
        "λ of rank i falls as i^-α: the larger α, the fewer directions hold the variance",
    ),
    (
        "lidar",
        "LiDAR",
        "effective rank of what tells samples apart, measured against what masks change:"
        " {num_views} views of each sample, masked by {law}",
    ),
    (
        "alignment",
        "alignment",
        "mean squared distance between two of these views, scaled to length 1: 0 if masks change"
        " nothing, and also if all samples are alike",
    ),
    (
        "uniformity",
        "uniformity",
        "log of the mean of exp(-2 d²) over pairs of samples at distance d, scaled to length 1,"
        " not centred: 0 if all are alike, the lower the more spread",
    ),
    (
        "energy",
        "energy",
        "mean squared cosine of two samples, not centred (U-MAE): 1 if all lie on a line, about"
        " {floor:.2g} if they spread over all directions",
    ),
    (
        "mean_cosine",
        "mean cosine",
        "of two samples, not centred: near 1 if all share one large component",
    ),
)
# Columns of metrics.jsonl that are measured now and then in training, and what they say.
LOGGED = {
    "effective_rank": "Of centred features of held-out samples, nothing hidden.",
    "energy": "Mean squared cosine of two held-out samples, not centred, nothing hidden.",
    "probe_accuracy": "Of a linear probe that learns beside the model, on held-out samples.",
    "cosine2": "Mean squared cosine of two masked samples of a training batch, not centred.",
}
TERMS = (
    *("uniformity", "coding_rate", "variance", "covariance", "koleo", "magma"),
    *("local_dimension", "orthogonality"),
)


def sections(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the figures of one run, or a row of a few for each of several."""
    empty = unmade(
        *(Section("features", "Encoder features"), runs, "figures of features in result.json"),
        lambda run: run.result.get("features"),
    )
    return [_compared(empty, runs) if len(runs) > 1 else _figures(empty, runs[0])]


def _figures(empty: Section, run: RunFolder) -> Section:
    trained = tuple(_training(run))
    found = run.result.get("features")
    if not found:
        return replace(empty, figures=trained)
    empty = replace(empty, missing="; ".join(found["notes"]), figures=trained)
    models = {name: found[name] for name in ENCODERS if found.get(name)}
    if not models:
        return empty
    text = (
        f"How many directions the features of {number(found['num_samples'])} held-out samples use,"
        f" and how far masks move them. {_source(found)} Ranks grow with the number of samples:"
        " compare them at equal numbers."
    )
    drawn = (*_spectra(run, models), *_by_ratio(run, found), *trained)
    return replace(empty, text=text, figures=drawn, tables=(_table(found, models),))


def _compared(empty: Section, runs: Sequence[RunFolder]) -> Section:
    rows = []
    for run in runs:
        if not (found := run.result.get("features")):
            continue
        trained, before = (found.get(name, {}) for name in ENCODERS)
        size = f"{number(found['num_samples'])} samples, {found.get('dim', 'no')} features"
        cells = [
            Cell(
                number(trained.get(key)),
                f"untrained: {number(before[key])}" if key in before else "",
            )
            for key in COMPARED
        ]
        rows.append((Cell(run.name, f"{size}\n{found['law']}"), *cells))
    if not rows:
        return empty
    text = (
        "Compare at equal numbers of samples and features only. LiDAR's views are masked by the"
        " law of each run: across laws it compares encoders under different masks."
    )
    caption = "Effective rank is of centred features; RankMe and energy are not centred"
    names = {key: name for key, name, _ in FIGURES}
    table = Table(caption, ("run", *(names[key] for key in COMPARED)), tuple(rows))
    return replace(empty, text=text, tables=(table,))


def _source(found: Row) -> str:
    pool = "The class token" if found["pool"] == "class" else "Means over positions"
    layer = "the last layer" if found["layer"] == -1 else f"layer {found['layer']}"
    return f"{pool} of {layer}, {found['dim']} numbers a sample."


def _table(found: Row, models: Mapping[str, Row]) -> Table:
    words = {key: found[key] for key in ("dim", "num_views", "law")} | {"floor": 1 / found["dim"]}
    rows = tuple(
        (
            Cell(name),
            *(Cell(number(model.get(key))) for model in models.values()),
            Cell(what.format(**words)),
        )
        for key, name, what in FIGURES
        if any(key in model for model in models.values())
    )
    caption = f"Of {number(found['num_samples'])} held-out samples; nothing hidden but for views"
    return Table(caption, ("figure", *models, "what it says"), rows)


def _spectra(run: RunFolder, models: Mapping[str, Row]) -> list[Figure]:
    lines = {name: model["spectrum"] for name, model in models.items() if "spectrum" in model}
    if not lines:
        return []

    def plot(axes: "Axes") -> None:
        for index, (name, values) in enumerate(lines.items()):
            # Rounding leaves tails of almost nothing, which a log scale would stretch.
            share = [value for value in values if value > 1e-6]
            rank, style = range(1, len(share) + 1), figures.run_style(index)
            axes.plot(rank, share, label=figures.plain(name), **style)
        axes.set(xlabel="rank of the singular value", ylabel="share of the largest", yscale="log")
        figures.legend(axes, len(lines))

    body = figures.svg(f"Singular spectra of features of {run.name}", plot)
    caption = (
        "Singular values of centred features, as shares of the largest. A curve that falls at"
        " once is a collapse: few directions hold what the features say."
    )
    return [Figure(body, caption, "Singular spectrum")]


def _by_ratio(run: RunFolder, found: Row) -> list[Figure]:
    support = reach(run.law)

    def draw(label: str, kinds: Mapping[str, str], whole: float | None, ylabel: str) -> Markup:
        curves = [(name, _points(found["drift"], key)) for key, name in kinds.items()]
        level = [{"ratio": at, "value": whole} for at in (0.0, 1.0) if whole is not None]
        baselines = {"nothing hidden": level} if level else None
        plot = figures.by_ratio(curves, "value", ylabel, support=support, baselines=baselines)
        return figures.svg(f"{label} by hidden ratio of {run.name}", plot)

    drawn = []
    if any("cosine" in point for point in found["drift"]):
        kinds = {"cosine": "cosine", "cka": "CKA"}
        caption = (
            "Features of masked samples beside those with nothing hidden: mean cosine, not centred"
            " and so near 1 where samples share a large component, and linear CKA, centred, of"
            " the products between samples. Shaded: ratios met in training."
        )
        body = draw("Likeness of features", kinds, None, "likeness")
        drawn.append(Figure(body, caption, "Drift by ratio"))
    if any("effective_rank" in point for point in found["drift"]):
        whole = found["encoder"].get("effective_rank")
        body = draw("Effective rank", {"effective_rank": "masked"}, whole, "effective rank")
        caption = "Effective rank of centred features of masked samples."
        drawn.append(Figure(body, caption, "Effective rank by ratio"))
    return drawn


def _points(drift: Sequence[Row], key: str) -> list[dict[str, float]]:
    return [
        {name: point[name] for name in ("ratio", "realised")}
        | dict.fromkeys(("value", "low", "high"), point[key])
        for point in drift
        if key in point
    ]


def _training(run: RunFolder) -> list[Figure]:
    """Draw what was measured of features in training."""
    columns = LOGGED | dict.fromkeys(TERMS, "Value of this term of the loss, before its weight.")
    drawn = []
    for key, caption in columns.items():
        values = run.metrics.get(key, np.zeros(0))
        known = np.isfinite(values)
        if known.any():
            metrics = {"step": run.metrics["step"][known], key: values[known]}
            name = key.replace("_", " ")
            body = metric_curve(f"Training: {name} by step of {run.name}", metrics, key)
            drawn.append(Figure(body, caption, f"Training: {name}"))
    return drawn
