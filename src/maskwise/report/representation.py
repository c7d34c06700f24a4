"""What features are like: how many directions they use, what masks do to them, their clusters."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from maskwise.report import blocks, figures
from maskwise.report.blocks import Cell, Figure, Section, compared, number, say, table, unmade
from maskwise.report.folder import Row, RunFolder
from maskwise.report.training import metric_curve, reach

ENCODERS = ("encoder", "untrained encoder")
COMPARED = ("effective_rank", "rankme", "lidar", "energy")
FIGURES = blocks.TEXTS["names"]
# Columns of metrics.jsonl that are measured now and then in training.
LOGGED = ("effective_rank", "energy", "probe_accuracy", "cosine2")
# What is drawn by ratio: its text, title, label and axis, its keys and their names.
DRIFT = (
    ("likeness", "Drift", "Likeness of features", "likeness", {"cosine": "cosine", "cka": "CKA"}),
    ("rank", *("Effective rank",) * 2, "effective rank", {"effective_rank": "masked"}),
)
TERMS = (
    *("uniformity", "coding_rate", "variance", "covariance", "koleo", "magma"),
    *("local_dimension", "orthogonality"),
)


def sections(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the figures of one run, or a row of a few for each of several."""
    what = "figures of features in result.json"
    lacking = unmade(runs, what, lambda run: run.result.get("features"))
    section = Section("features", "Encoder features", **lacking)
    return [_compared(section, runs) if len(runs) > 1 else _figures(section, runs[0])]


def _figures(section: Section, run: RunFolder) -> Section:
    trained, found = _training(run), run.result.get("features")
    if not found:
        return replace(section, figures=trained)
    section = replace(section, missing="; ".join(found["notes"]), figures=trained)
    models = {name: found[name] for name in ENCODERS if found.get(name)}
    if not models:
        return section
    num, dim = number(found["num_samples"]), found["dim"]
    pool = "The class token" if found["pool"] == "class" else "Means over positions"
    layer = "the last layer" if found["layer"] == -1 else f"layer {found['layer']}"
    text = say("features", "intro", num=num, pool=pool, layer=layer, dim=dim)
    keys = [key for key in FIGURES if any(key in model for model in models.values())]
    columns = {name: [model.get(key) for key in keys] for name, model in models.items()}
    columns["what it says"] = [say("figures", key, floor=1 / dim, **found) for key in keys]
    names = [FIGURES[key] for key in keys]
    made = table(say("features", "caption", num=num), "figure", names, columns)
    drawn = (*_spectra(run, models), *_by_ratio(run, found), *trained)
    return replace(section, text=text, figures=drawn, tables=(made,))


def _compared(section: Section, runs: Sequence[RunFolder]) -> Section:
    found = {run.name: each for run in runs if (each := run.result.get("features"))}
    if not found:
        return section
    names, columns = [], {}
    for name, each in found.items():
        size = f"{number(each['num_samples'])} samples, {each.get('dim', 'no')} features"
        names.append(Cell(name, f"{size}\n{each['law']}"))
    for key in COMPARED:
        both = [[each.get(model, {}).get(key) for model in ENCODERS] for each in found.values()]
        columns[FIGURES[key]] = [
            Cell(number(trained), "" if before is None else f"untrained: {number(before)}")
            for trained, before in both
        ]
    made = table(say("features", "caption of several"), "run", names, columns)
    return replace(section, text=say("features", "of several"), tables=(made,))


def _spectra(run: RunFolder, models: Mapping[str, Row]) -> list[Figure]:
    lines = {name: model["spectrum"] for name, model in models.items() if "spectrum" in model}
    if not lines:
        return []

    def plot(axes: figures.Axes) -> None:
        for index, (name, values) in enumerate(lines.items()):
            # Rounding leaves tails of almost nothing, which a log scale would stretch.
            share = [value for value in values if value > 1e-6]
            rank, style = range(1, len(share) + 1), figures.run_style(index)
            axes.plot(rank, share, label=figures.plain(name), **style)
        axes.set(xlabel="rank of the singular value", ylabel="share of the largest", yscale="log")
        figures.legend(axes, len(lines))

    body = figures.svg(f"Singular spectra of features of {run.name}", plot)
    return [Figure(body, say("features", "spectrum"), "Singular spectrum")]


def _by_ratio(run: RunFolder, found: Row) -> list[Figure]:
    """Draw what masks do to features, where it was measured."""
    drawn, support = [], reach(run.law)
    for text, title, label, ylabel, kinds in DRIFT:
        curves = {
            name: [
                {**point, "low": point[key], "high": point[key], "value": point[key]}
                for point in found["drift"]
                if key in point
            ]
            for key, name in kinds.items()
        }
        if not any(curves.values()):
            continue
        whole = found["encoder"].get(next(iter(kinds)))
        level = [{"ratio": at, "value": whole} for at in (0.0, 1.0)]
        dashed = {} if whole is None else {"nothing hidden": level}
        plot = figures.by_ratio(curves, "value", ylabel, support=support, baselines=dashed)
        body = figures.svg(f"{label} by hidden ratio of {run.name}", plot)
        drawn.append(Figure(body, say("features", text), f"{title} by ratio"))
    return drawn


def _training(run: RunFolder) -> tuple[Figure, ...]:
    """Draw what was measured of features in training."""
    drawn = []
    for key in (*LOGGED, *TERMS):
        values = run.metrics.get(key, np.zeros(0))
        known = np.isfinite(values)
        if known.any():
            metrics = {"step": run.metrics["step"][known], key: values[known]}
            name = key.replace("_", " ")
            body = metric_curve(f"Training: {name} by step of {run.name}", metrics, key)
            caption = say("logged", "term" if key in TERMS else key)
            drawn.append(Figure(body, caption, f"Training: {name}"))
    return tuple(drawn)


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
        columns: dict[str, list[Any]] = {"clusters": [row["k"] for row in rows]}
        for key, name in (("ari", "adjusted Rand index"), ("nmi", "mutual information")):
            columns[name] = compared([row[key] for row in rows])
        title, caption = "Clusters and classes", say("clusters", "classes")
        tables.append(table(caption, "features", agreement, columns, title=title))
    if rows := list(mixing.values()):
        columns = {"LISI": compared([row["lisi"] for row in rows])}
        for key, name in (("worst", "apart"), ("best", "mixed"), ("asw", "silhouette of batches")):
            columns[name] = compared(rows, key, best=None)
        caption = say("clusters", "mixing")
        tables.append(table(caption, "features", mixing, columns, title="Batches"))
    text = say("clusters", "intro") + (say("clusters", "batches") if mixing else ".")
    return [Section("clusters", "Clusters", text, tables=tables)] if tables else []
