"""The error, or the loss, by hidden ratio: a section of one run's page and of a comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maskwise.report import figures, law_figures
from maskwise.report.blocks import Cell, Figure, Section, Table, number, unmade
from maskwise.report.folder import Run, not_evaluated


@dataclass(frozen=True)
class Words:
    """What things are called for one kind of data; {} stands for the target."""

    title: str
    name: str
    axis: str
    what: str
    samples: str
    detail: str
    number: str
    """how values are written"""
    between: tuple[str, ...]
    """settings of the data without which values cannot be compared"""
    differ: str
    """what runs whose values cannot be compared may differ in"""

    @property
    def in_nats(self) -> bool:
        """Whether values are losses in nats, as all are but those of images."""
        return self.axis.startswith("nats")


WORDS = {
    "images": Words(
        title="Reconstruction error by ratio",
        name="Reconstruction error",
        axis="error ({} target)",
        what="Mean squared error at hidden positions",
        samples="test images",
        detail="{} target, ",
        number="{:.4g}",
        between=(),
        differ="data or target",
    ),
    "text": Words(
        title="Loss by ratio",
        name="Loss",
        axis="nats per hidden token",
        what="Mean cross-entropy of hidden tokens",
        samples="held-out rows",
        detail="",
        number="{:.3f}",
        between=("tokenizer", "vocab_size", "lowercase", "length"),
        differ="data, tokens or pattern",
    ),
    "dna": Words(
        title="Loss by ratio",
        name="Loss",
        axis="nats per hidden token",
        what="Mean cross-entropy of hidden tokens",
        samples="held-out windows",
        detail="",
        number="{:.4f}",
        between=("tokens", "window", "stride", "regions"),
        differ="data, tokens or pattern",
    ),
    "cells": Words(
        title="Loss by ratio",
        name="Loss",
        axis="nats per hidden value",
        what="Mean loss of hidden values (half the squared error, or minus the log-probability"
        " of a count)",
        samples="held-out cells",
        detail="",
        number="{:.4f}",
        between=("layer", "values", "loss", "num_genes", "genes"),
        differ="data, genes, loss or pattern",
    ),
    "tables": Words(
        title="Loss by ratio",
        name="Loss",
        axis="nats per hidden value",
        what="Mean loss of hidden values (half the squared error of a number, the cross-entropy"
        " of a category)",
        samples="held-out rows",
        detail="",
        number="{:.4f}",
        between=("labels", "drop", "categorical", "scale", "lags"),
        differ="data, columns or pattern",
    ),
}
# What models are beside that know only how frequent something is.
KNOWN = {
    "unigram": "each token predicted by its share of the training data alone",
    "base composition": "each base predicted by its share of the training data alone, which costs"
    " the entropy of the composition: a model above it has learned nothing",
    "marginal": "each feature predicted by what it is in the training data, whatever is visible",
}


def target_of(run: Run) -> str:
    """Return "normalised" or "raw", from the result or else from the configuration."""
    found = run.result.get("reconstruction") or run.config.get("data") or {}
    return str(found.get("target", "normalised"))


def at(curve: Sequence[Mapping[str, Any]], ratio: float) -> Mapping[str, Any] | None:
    """Return the point of a curve at a ratio, if it was measured."""
    return next((point for point in curve if point["ratio"] == ratio), None)


def section(run: Run) -> Section:
    """Return the section of one run's page."""
    words = WORDS[run.modality]
    empty = Section("errors", words.title)
    found = run.result.get("reconstruction")
    if not found:
        return unmade(empty, "reconstruction errors in result.json", run.evaluate_command)
    target = target_of(run)
    plot = figures.by_ratio(
        [("this model", found["curve"])],
        "error",
        words.axis.format(target),
        support=law_figures.reach(run.law),
        baselines=found.get("baselines"),
    )
    body = figures.svg(f"{words.name} by hidden ratio of {run.name}", plot, size=figures.WIDE)
    caption = (
        f"{words.what} of {number(found['num_samples'])} {words.samples}"
        f" ({words.detail.format(target)}{found['pattern']} pattern, fixed masks); the band is "
        "the 95 % interval. Orange: the ratios met in training; outside it the model extrapolates."
    )
    known = [text for name, text in KNOWN.items() if name in found.get("baselines", {})]
    if known:
        caption += f" Dashed: {'; '.join(known)}."
    return Section(
        "errors",
        words.title,
        _mean_note(words, found),
        figures=(Figure(body, caption),),
        tables=(_table(words, found),),
    )


def _mean_note(words: Words, found: Mapping[str, Any]) -> str:
    mean = found.get("mean")
    if not mean:
        return ""
    value = _cell(words, mean)
    return (
        f"The mean over ratios from {mean['from']:g} to {mean['to']:g} is {value.text}"
        f" {words.axis} (95 % interval: {value.small}). Over all ratios from 0 to 1 it would"
        " be the any-order bound on -log p, per token."
    )


def _table(words: Words, found: Mapping[str, Any]) -> Table:
    """Return the numbers behind the figure."""
    baselines = found.get("baselines", {}) if words.in_nats else {}
    rows = tuple(
        (
            Cell(f"{point.get('realised', point['ratio']):.3f}"),
            _cell(words, point),
            *(_cell(words, curve[place]) for curve in baselines.values()),
        )
        for place, point in enumerate(found["curve"])
    )
    head, caption = "error", f"Error on the {found.get('target', 'normalised')} target"
    if words.in_nats:
        head, caption = words.axis, words.axis.capitalize()
    names = ("hidden ratio", head, *baselines)
    return Table(f"{caption}, with 95 % interval", names, rows, folded=True)


def comparison(labels: Sequence[str], runs: Sequence[Run]) -> Section:
    """Return the section of a comparison."""
    words = WORDS[runs[0].modality]
    found = [
        (label, run.result["reconstruction"])
        for label, run in zip(labels, runs, strict=True)
        if run.result.get("reconstruction")
    ]
    missing, commands = not_evaluated(runs, "reconstruction")
    if not found:
        return Section("errors", words.title, "", missing, commands)
    targets = " and ".join(dict.fromkeys(target_of(run) for run in runs))
    curves = [(label, values["curve"]) for label, values in found]
    tables: tuple[Table, ...] = ()
    baselines = None
    if words.in_nats:
        tables = (_losses_table(words, found),)
        baselines = found[0][1].get("baselines")
    body = figures.svg(
        f"{words.name} by hidden ratio of {len(found)} runs",
        figures.by_ratio(curves, "error", words.axis.format(targets), baselines=baselines),
        size=figures.WIDE,
    )
    caption = (
        f"{words.what} of {words.samples}, at fixed masks; bands are 95 % "
        "intervals. Read where the curves cross."
    )
    figure = Figure(body, caption + warning(runs))
    return Section("errors", words.title, "", missing, commands, figures=(figure,), tables=tables)


def warning(runs: Sequence[Run]) -> str:
    """Return a sentence if the values of runs cannot be compared."""
    if len({_kind(run) for run in runs}) == 1:
        return ""
    differ = WORDS[runs[0].modality].differ
    return f" The runs differ in {differ}: these values cannot be compared."


def _kind(run: Run) -> tuple[str, ...]:
    """Return what must be equal for errors to be comparable."""
    between = WORDS[run.modality].between
    values = [str(run.config["data"].get(key)) for key in between]
    if between:
        values.append(str(run.result.get("reconstruction", {}).get("pattern")))
    return (run.data_name, target_of(run), *values)


def _losses_table(words: Words, found: Sequence[tuple[str, Mapping[str, Any]]]) -> Table:
    """One row for each run, one column for the mean and each ratio, the best of each in bold."""
    ratios = sorted({point["ratio"] for _, values in found for point in values["curve"]})
    columns = {
        f"{ratio:g}": [at(values["curve"], ratio) for _, values in found] for ratio in ratios
    }
    if any("mean" in values for _, values in found):
        columns = {"mean": [values.get("mean") for _, values in found], **columns}
    least = {
        name: min((p["error"] for p in column if p), default=None)
        for name, column in columns.items()
    }
    rows = tuple(
        (
            Cell(label),
            *(_cell(words, column[place], least[name]) for name, column in columns.items()),
        )
        for place, (label, _) in enumerate(found)
    )
    caption = f"{words.axis.capitalize()} by ratio, with 95 % interval; least of each in bold"
    return Table(caption, ("run", *columns), rows)


def _cell(words: Words, point: Mapping[str, float] | None, best: float | None = None) -> Cell:
    if point is None:
        return Cell("none")
    value, low, high = (words.number.format(point[key]) for key in ("error", "low", "high"))
    return Cell(value, f"{low} to {high}", point["error"] == best)
