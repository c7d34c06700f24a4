"""Answers from part of the input: how right they are, by how much of a sample is visible."""

from collections.abc import Mapping, Sequence

from maskwise.report import blocks, figures
from maskwise.report.blocks import Cell, Fact, Figure, Section, Table, compared, number, say, table
from maskwise.report.folder import Row, RunFolder

TEXTS = blocks.TEXTS["partial"]
HEADLINE = 0.1  # the visible share of the number at the top, or the nearest that was measured
OURS, NOTHING = "encoder", "class frequencies"
ENDS = ("value", "low", "high")
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 25, 50, 100)  # %


def partial_fact(run: RunFolder) -> tuple[str, list[Fact]]:
    """Return how right answers are that see a tenth, beside the best baseline's."""
    for rows in _pictures([run]).values():
        key = _measure(run, rows)
        form, name = _form(key), TEXTS["measures"][key]
        share = min((row["share"] for row in rows), key=lambda each: abs(each - HEADLINE))
        ours, *others = (
            row for own in (True, False) for row in _best(rows, key, own) if row["share"] == share
        )
        where = f"{100 * ours['visible']:.0f} % visible"
        where += f" on {ours['task']}" if "task" in ours else ""
        value, beside = blocks.written(ours[key]["value"], form), ""
        for other in others:
            beside = f"; {other['method']}: {blocks.written(other[key]['value'], form)}"
        said = f" With {where}: {name} {value}{beside.replace('; ', '; best baseline, ')}."
        between = blocks.between(ours[key], form)
        return said, [Fact(f"{name}, {where}", value, between + beside)]
    return "", []


def sections(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the section, if it was measured: a line for each method, or for each run."""
    drawn, tables = [], []
    for title, rows in _pictures(runs).items():
        key = _measure(runs[0], rows)
        named = _lines(runs, rows, key)
        drawn.append(_drawn(title, runs, named, key))
        tables.append(_numbers(title, len(runs) == 1, named, key))
    if not drawn:
        return []
    text = say("partial", "of one" if len(runs) == 1 else "of several")
    return [Section("partial", "From part of the input", text, figures=drawn, tables=tables)]


def _pictures(runs: Sequence[RunFolder]) -> dict[str, list[Row]]:
    """Return the rows of each picture by its title: of a task, and of what is visible."""
    every = [row for run in runs for row in run.rows("partial")]
    return blocks.grouped(every, _title)


def _title(row: Row) -> str:
    pattern, _, told = str(row["pattern"]).partition(":")
    name = TEXTS["patterns"].get(pattern, f"{pattern} of masks") + (f" ({told})" if told else "")
    return ": ".join(filter(None, (str(row.get("task", "")), name)))


def _best(rows: Sequence[Row], key: str, own: bool) -> list[Row]:
    """Return the line of the best mean over shares: of the model, or of its baselines."""
    some = [row for row in rows if _of_model(row) is own and row["method"] != NOTHING]
    lines = blocks.grouped(some, lambda row: str(row["method"])).values()
    return max(lines, key=lambda line: sum(r[key]["value"] for r in line) / len(line), default=[])


def _of_model(row: Row) -> bool:
    return str(row["method"]).startswith(OURS)


def _measure(run: RunFolder, rows: Sequence[Row]) -> str:
    """Return what answers are judged by: as probes are, or R² of numbers."""
    if "r2" in rows[0]:
        return "r2"
    return "macro_f1" if "macro_f1" in run.words.probes.measures else "accuracy"


def _form(key: str) -> str:
    return "%" if key == "accuracy" else ".3f"


def _lines(runs: Sequence[RunFolder], rows: Sequence[Row], key: str) -> dict[str, list[Row]]:
    """Return the lines of a picture: the methods of one run, or runs and the best baseline.

    That is of the first run that has any: of the same data all have the same ones.
    """
    if len(runs) == 1:
        return blocks.grouped(rows, lambda row: str(row["method"]))
    of_runs = blocks.grouped(rows, lambda row: str(row["run"]))
    named = {name: _best(mine, key, True) for name, mine in of_runs.items()}
    others = (_best(mine, key, False) for mine in of_runs.values())
    if best := next(filter(None, others), None):
        named[f"best baseline, {best[0]['method']}"] = best
    return named


def _drawn(
    title: str, runs: Sequence[RunFolder], named: Mapping[str, Sequence[Row]], key: str
) -> Figure:
    name, percent = TEXTS["measures"][key], _form(key) == "%"

    def plot(axes: figures.Axes) -> None:
        for index, (line, rows) in enumerate(named.items()):
            x = [100 * row["visible"] for row in rows]
            times = 100 if percent else 1
            columns = ([times * row[key][end] for row in rows] for end in ENDS)
            if line == NOTHING:
                axes.plot(x, next(columns), color=figures.INK, linestyle="--", label=line)
            else:
                figures.curve(axes, index, line, x, *columns)
        least = min(100 * row["visible"] for rows in named.values() for row in rows)
        ticks = [tick for tick in TICKS if tick >= 0.9 * least]
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set(xlabel="visible, %", ylabel=figures.plain(name + ", %" * percent))
        figures.legend(axes, len(named))

    of = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    body = figures.svg(f"{title}: {name} by visible share of {of}", plot, size=(5.0, 3.6))
    dashed = any(line == NOTHING for line in named)
    return Figure(body, say("partial", "caption") + say("partial", "dashed") * dashed, title)


def _numbers(title: str, alone: bool, named: Mapping[str, Sequence[Row]], key: str) -> Table:
    """Return a row for each line, a column for each visible share, the best of each in bold."""
    columns = {}
    for share in sorted({row["share"] for rows in named.values() for row in rows}):
        found = [
            next((row for row in rows if row["share"] == share), None) for rows in named.values()
        ]
        visible = next(row["visible"] for row in found if row)
        cells = compared([row and row[key] for row in found], form=_form(key))
        columns[f"{100 * visible:.3g} %"] = cells
    every = [row for rows in named.values() for row in rows]
    notes = dict.fromkeys(row["note"] for row in every if row.get("note"))
    told = {"train": number(every[0]["num_train"]), "test": number(every[0]["num_test"])}
    caption = say("partial", "table", name=TEXTS["measures"][key], **told)
    names = [
        Cell(name, "" if _of_model(rows[0]) or not alone else "baseline")
        for name, rows in named.items()
    ]
    caption = "; ".join((caption, *notes))
    return table(caption, "method" if alone else "run", names, columns, title=title)
