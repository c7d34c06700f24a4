"""The error, or the loss, by hidden ratio."""

from collections.abc import Sequence
from dataclasses import replace

from maskwise.report import figures
from maskwise.report.blocks import Cell, Fact, Figure, Section, Table, number, unmade
from maskwise.report.folder import Row, RunFolder
from maskwise.report.law import reach
from maskwise.words import LossWords


def target_of(run: RunFolder) -> str:
    """Return "normalised" or "raw", from the result or else from the configuration."""
    found = run.result.get("reconstruction") or run.config.get("data") or {}
    return str(found.get("target", "normalised"))


def at(curve: Sequence[Row], ratio: float) -> Row | None:
    """Return the point of a curve at a ratio, if it was measured."""
    return next((point for point in curve if point["ratio"] == ratio), None)


def top(run: RunFolder) -> tuple[str, list[Fact]]:
    """Return the loss at one ratio beside those of baselines, if the words of the run name one.

    Returns:
        A sentence, and a number for the top of the page.
    """
    words, found = run.words.loss, run.result.get("reconstruction")
    if words.headline is None or not found or not (loss := at(found["curve"], words.headline)):
        return "", []
    value, low, high = (f"{loss[key]:.{words.digits}f}" for key in ("error", "low", "high"))
    beside = ""
    for name, curve in found.get("baselines", {}).items():
        if point := at(curve, words.headline):
            beside += f"; {name}: {point['error']:.{words.digits}f}"
    note, where = f"{words.axis}, {low} to {high}{beside}", f"at ratio {words.headline}"
    fact = Fact(f"{words.name.lower()} {where}", f"{loss['error']:.3f}", note)
    return f" {words.name} {where}: {value} {words.axis}{beside}.", [fact]


def sections(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the curve of one run with all its numbers, or those of several side by side."""
    words, alone = runs[0].words.loss, len(runs) == 1
    empty = unmade(
        *(Section("errors", words.title), runs, "reconstruction errors in result.json"),
        lambda run: run.result.get("reconstruction"),
    )
    found = {
        run.name: run.result["reconstruction"] for run in runs if run.result.get("reconstruction")
    }
    if not found:
        return [empty]
    first = next(iter(found.values()))
    plot = figures.by_ratio(
        [("this model" if alone else name, values["curve"]) for name, values in found.items()],
        "error",
        words.axis.replace("{}", " and ".join(dict.fromkeys(map(target_of, runs)))),
        support=reach(runs[0].law) if alone else None,
        baselines=first.get("baselines") if alone or words.tabled else None,
    )
    of = runs[0].name if alone else f"{len(found)} runs"
    body = figures.svg(f"{words.name} by hidden ratio of {of}", plot, size=figures.WIDE)
    if alone:
        figure = Figure(body, _caption(words, first, target_of(runs[0])))
        table = _table(words, first)
        return [replace(empty, text=_mean_note(words, first), figures=(figure,), tables=(table,))]
    caption = (
        f"{words.what} of {words.samples}, at fixed masks; bands are 95 % "
        "intervals. Read where the curves cross."
    )
    tables = (_side_by_side(words, found),) if words.tabled else ()
    return [replace(empty, figures=(Figure(body, caption + warning(runs)),), tables=tables)]


def _caption(words: LossWords, found: Row, target: str) -> str:
    detail = words.detail.replace("{}", target)
    caption = (
        f"{words.what} of {number(found['num_samples'])} {words.samples} ({detail}"
        f"{found['pattern']} pattern, fixed masks); the band is the 95 % interval. Orange: the"
        " ratios met in training; outside it the model extrapolates."
    )
    known = [text for name, text in words.known.items() if name in found.get("baselines", {})]
    return f"{caption} Dashed: {'; '.join(known)}." if known else caption


def _mean_note(words: LossWords, found: Row) -> str:
    mean = found.get("mean")
    if not mean:
        return ""
    value = _cell(words, mean)
    return (
        f"The mean over ratios from {mean['from']:g} to {mean['to']:g} is {value.text}"
        f" {words.axis} (95 % interval: {value.small}). Over all ratios from 0 to 1 it would"
        " be the any-order bound on -log p, per token."
    )


def _table(words: LossWords, found: Row) -> Table:
    """Return the numbers behind the figure."""
    baselines = found.get("baselines", {}) if words.tabled else {}
    rows = tuple(
        (
            Cell(f"{point.get('realised', point['ratio']):.3f}"),
            _cell(words, point),
            *(_cell(words, curve[place]) for curve in baselines.values()),
        )
        for place, point in enumerate(found["curve"])
    )
    table = (words.table or words.axis.capitalize()).replace(
        "{}", found.get("target", "normalised")
    )
    head = ("hidden ratio", words.head or words.axis, *baselines)
    return Table(f"{table}, with 95 % interval", head, rows, folded=True)


def _side_by_side(words: LossWords, found: dict[str, Row]) -> Table:
    """One row for each run, one column for the mean and each ratio, the best of each in bold."""
    ratios = sorted({point["ratio"] for values in found.values() for point in values["curve"]})
    columns = {
        f"{ratio:g}": [at(values["curve"], ratio) for values in found.values()] for ratio in ratios
    }
    if any("mean" in values for values in found.values()):
        columns = {"mean": [values.get("mean") for values in found.values()], **columns}
    least = [min((p["error"] for p in each if p), default=None) for each in columns.values()]
    rows = tuple(
        (Cell(name), *map(lambda point, best: _cell(words, point, best), points, least))
        for name, points in zip(found, zip(*columns.values(), strict=True), strict=True)
    )
    caption = f"{words.axis.capitalize()} by ratio, with 95 % interval; least of each in bold"
    return Table(caption, ("run", *columns), rows)


def _cell(words: LossWords, point: Row | None, best: float | None = None) -> Cell:
    if point is None:
        return Cell("none")
    value, low, high = (f"{point[key]:{words.form}}" for key in ("error", "low", "high"))
    return Cell(value, f"{low} to {high}", point["error"] == best)


def warning(runs: Sequence[RunFolder]) -> str:
    """Return a sentence if the values of runs cannot be compared."""
    if len({_kind(run) for run in runs}) == 1:
        return ""
    differ = runs[0].words.loss.differ
    return f" The runs differ in {differ}: these values cannot be compared."


def _kind(run: RunFolder) -> tuple[str, ...]:
    """Return what must be equal for errors to be comparable."""
    words = run.words.loss
    values = [run.data_name, target_of(run)]
    values += [str(run.config["data"].get(key)) for key in words.between]
    if words.pattern:
        values.append(str(run.result.get("reconstruction", {}).get("pattern")))
    return tuple(values)
