"""What features are like: how many directions they use, what masks do to them, their clusters."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from maskwise.report import figures
from maskwise.report.blocks import Cell, Figure, Section, Table, compared, number, table, unmade
from maskwise.report.folder import Row, RunFolder
from maskwise.report.training import metric_curve, reach

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENCODERS = ("encoder", "untrained encoder")
COMPARED = ("effective_rank", "rankme", "lidar", "energy")
# Key, name, and what it says; {} are filled in from the entry.
FIGURES = {
    "effective_rank": (
        "effective rank",
        "exp of the entropy of the normalised singular values of centred features: about how many"
        " of {dim} directions they use",
    ),
    "rankme": (
        "RankMe",
        "the same without centring, so that a common mean counts as a direction; it ranks runs of"
        " one kind only",
    ),
    "participation_ratio": (
        "participation ratio",
        "(Σλ)² / Σλ² of the variances λ along principal axes: directions that hold much of the"
        " variance",
    ),
    "stable_rank": (
        "stable rank",
        "Σλ / λ₁, centred: 1 if a single direction holds all of the variance",
    ),
    "alpha_req": (
        "α-ReQ",
        "λ of rank i falls as i^-α: the larger α, the fewer directions hold the variance",
    ),
    "lidar": (
        "LiDAR",
        "effective rank of what tells samples apart, measured against what masks change:"
        " {num_views} views of each sample, masked by {law}",
    ),
    "alignment": (
        "alignment",
        "mean squared distance between two of these views, scaled to length 1: 0 if masks change"
        " nothing, and also if all samples are alike",
    ),
    "uniformity": (
        "uniformity",
        "log of the mean of exp(-2 d²) over pairs of samples at distance d, scaled to length 1,"
        " not centred: 0 if all are alike, the lower the more spread",
    ),
    "energy": (
        "energy",
        "mean squared cosine of two samples, not centred (U-MAE): 1 if all lie on a line, about"
        " {floor:.2g} if they spread over all directions",
    ),
    "mean_cosine": (
        "mean cosine",
        "of two samples, not centred: near 1 if all share one large component",
    ),
}
# Columns of metrics.jsonl that are measured now and then in training, and what they say.
LOGGED = {
    "effective_rank": "Of centred features of held-out samples, nothing hidden.",
    "energy": "Mean squared cosine of two held-out samples, not centred, nothing hidden.",
    "probe_accuracy": "Of a linear probe that learns beside the model, on held-out samples.",
    "cosine2": "Mean squared cosine of two masked samples of a training batch, not centred.",
}
# Title, what is drawn, its keys and their names, the axis, and what it says.
DRIFT = (
    (
        *("Drift by ratio", "Likeness of features", {"cosine": "cosine", "cka": "CKA"}),
        "likeness",
        "Features of masked samples beside those with nothing hidden: mean cosine, not centred"
        " and so near 1 where samples share a large component, and linear CKA, centred, of"
        " the products between samples. Shaded: ratios met in training.",
    ),
    (
        *("Effective rank by ratio", "Effective rank", {"effective_rank": "masked"}),
        "effective rank",
        "Effective rank of centred features of masked samples.",
    ),
)
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
    found = {run.name: each for run in runs if (each := run.result.get("features"))}
    if not found:
        return empty
    text = (
        "Compare at equal numbers of samples and features only. LiDAR's views are masked by the"
        " law of each run: across laws it compares encoders under different masks."
    )
    names, columns = [], {}
    for name, each in found.items():
        size = f"{number(each['num_samples'])} samples, {each.get('dim', 'no')} features"
        names.append(Cell(name, f"{size}\n{each['law']}"))
    for key in COMPARED:
        both = [[each.get(model, {}).get(key) for model in ENCODERS] for each in found.values()]
        columns[FIGURES[key][0]] = [
            Cell(number(trained), "" if before is None else f"untrained: {number(before)}")
            for trained, before in both
        ]
    caption = "Effective rank is of centred features; RankMe and energy are not centred"
    return replace(empty, text=text, tables=(table(caption, "run", names, columns),))


def _source(found: Row) -> str:
    pool = "The class token" if found["pool"] == "class" else "Means over positions"
    layer = "the last layer" if found["layer"] == -1 else f"layer {found['layer']}"
    return f"{pool} of {layer}, {found['dim']} numbers a sample."


def _table(found: Row, models: Mapping[str, Row]) -> Table:
    words = {key: found[key] for key in ("dim", "num_views", "law")} | {"floor": 1 / found["dim"]}
    keys = [key for key in FIGURES if any(key in model for model in models.values())]
    columns = {name: [model.get(key) for key in keys] for name, model in models.items()}
    columns["what it says"] = [FIGURES[key][1].format(**words) for key in keys]
    caption = f"Of {number(found['num_samples'])} held-out samples; nothing hidden but for views"
    return table(caption, "figure", [FIGURES[key][0] for key in keys], columns)


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
    """Draw what masks do to features, where it was measured."""
    drawn = []
    for title, label, kinds, ylabel, caption in DRIFT:
        curves = {name: _points(found["drift"], key) for key, name in kinds.items()}
        if not any(curves.values()):
            continue
        whole = found["encoder"].get(next(iter(kinds)))
        level = {} if whole is None else {"nothing hidden": _level(whole)}
        support = reach(run.law)
        plot = figures.by_ratio(curves, "value", ylabel, support=support, baselines=level)
        body = figures.svg(f"{label} by hidden ratio of {run.name}", plot)
        drawn.append(Figure(body, caption, title))
    return drawn


def _level(value: float) -> list[dict[str, float]]:
    return [{"ratio": at, "value": value} for at in (0.0, 1.0)]


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


def clusters(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the section, if clusters or batches were measured: a row for each features."""
    agreement, mixing = (
        {
            f"{row['run']}: {row['features']}" if len(runs) > 1 else row["features"]: row
            for run in runs
            for row in run.rows(key)
        }
        for key in ("clusters", "mixing")
    )
    tables = []
    if rows := list(agreement.values()):
        caption = (
            "k-means with as many clusters as classes, beside the classes: 1 is equal, 0 is"
            " chance; mean and range over seeds; best of each in bold"
        )
        columns: dict[str, list[object]] = {"clusters": [row["k"] for row in rows]}
        for key, name in (("ari", "adjusted Rand index"), ("nmi", "mutual information")):
            columns[name] = [*compared([row[key] for row in rows])]
        tables.append(table(caption, "features", agreement, columns, title="Clusters and classes"))
    if rows := list(mixing.values()):
        caption = (
            "LISI: how many batches a neighbourhood effectively holds, between batches kept apart"
            " and as mixed as their sizes allow. A silhouette of 0 or less is mixed, 1 is apart."
        )
        columns = {"LISI": [*compared([row["lisi"] for row in rows])]}
        for key, name in (("worst", "apart"), ("best", "mixed"), ("asw", "silhouette of batches")):
            columns[name] = [*compared(rows, key, best=None)]
        tables.append(table(caption, "features", mixing, columns, title="Batches"))
    text = "What features say without a label: clusters of them beside the classes of the data"
    text += ", and whether they keep batches apart." if mixing else "."
    return [Section("clusters", "Clusters", text, tables=tables)] if tables else []
