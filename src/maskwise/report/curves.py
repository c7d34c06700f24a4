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
    between: tuple[str, ...]
    """settings of the data without which values cannot be compared"""


WORDS = {
    "images": Words(
        title="Reconstruction error by ratio",
        name="Reconstruction error",
        axis="error ({} target)",
        what="Mean squared error at hidden positions",
        samples="test images",
        detail="{} target, ",
        between=(),
    ),
    "text": Words(
        title="Loss by ratio",
        name="Loss",
        axis="nats per hidden token",
        what="Mean cross-entropy of hidden tokens",
        samples="held-out rows",
        detail="",
        between=("tokenizer", "vocab_size", "lowercase", "length"),
    ),
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
    if "unigram" in found.get("baselines", {}):
        caption += " Dashed: each token predicted by its share of the training texts alone."
    return Section(
        "errors",
        words.title,
        _mean_note(found),
        figures=(Figure(body, caption),),
        tables=(_table(words, found, target),),
    )


def _mean_note(found: Mapping[str, Any]) -> str:
    mean = found.get("mean")
    if not mean:
        return ""
    return (
        f"The mean over ratios from {mean['from']:g} to {mean['to']:g} is {_value(mean)} nats per"
        f" hidden token (95 % interval: {_interval(mean)}). Over all ratios from 0 to 1 it would"
        " be the any-order bound on -log p(text), per token."
    )


def _table(words: Words, found: Mapping[str, Any], target: str) -> Table:
    """Return the numbers behind the figure."""
    baselines = {} if target != "tokens" else found.get("baselines", {})
    rows = tuple(
        (
            Cell(f"{point.get('realised', point['ratio']):.3f}"),
            Cell(_value(point), _interval(point)),
            *(Cell(_value(curve[place]), _interval(curve[place])) for curve in baselines.values()),
        )
        for place, point in enumerate(found["curve"])
    )
    if target == "tokens":
        head, caption = words.axis, "Nats per hidden token"
    else:
        head, caption = "error", f"Error on the {target} target"
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
    if targets == "tokens":
        tables = (_losses_table(found),)
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
    if len({_kind(run) for run in runs}) > 1:
        differ = "data or target" if not words.between else "texts, tokens or pattern"
        caption += f" The runs differ in {differ}: these values cannot be compared."
    figure = Figure(body, caption)
    return Section("errors", words.title, "", missing, commands, figures=(figure,), tables=tables)


def _kind(run: Run) -> tuple[str, ...]:
    """Return what must be equal for errors to be comparable."""
    between = WORDS[run.modality].between
    values = [str(run.config["data"].get(key)) for key in between]
    if between:
        values.append(str(run.result.get("reconstruction", {}).get("pattern")))
    return (run.data_name, target_of(run), *values)


def _losses_table(found: Sequence[tuple[str, Mapping[str, Any]]]) -> Table:
    """One row for each run, one column for each ratio and the mean, the best of each in bold."""
    ratios = sorted({point["ratio"] for _, values in found for point in values["curve"]})
    columns = [[at(values["curve"], ratio) for _, values in found] for ratio in ratios]
    columns.append([values.get("mean") for _, values in found])
    least = [min((p["error"] for p in column if p), default=None) for column in columns]
    rows = tuple(
        (
            Cell(label),
            *(
                Cell(_value(point), _interval(point), point["error"] == best)
                if (point := column[place])
                else Cell("none")
                for column, best in zip(columns, least, strict=True)
            ),
        )
        for place, (label, _) in enumerate(found)
    )
    caption = "Nats per hidden token, with 95 % interval; least of each ratio in bold"
    return Table(caption, ("run", *(f"{ratio:g}" for ratio in ratios), "mean"), rows)


def _value(point: Mapping[str, float]) -> str:
    return f"{point['error']:.4g}"


def _interval(point: Mapping[str, float]) -> str:
    return f"{point['low']:.4g} to {point['high']:.4g}"
