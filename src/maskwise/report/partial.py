"""Answers from part of the input: how right they are, by how much of a sample is visible."""

from collections.abc import Mapping, Sequence

from maskwise.report import blocks, figures
from maskwise.report.blocks import Cell, Fact, Figure, Section, Table, compared, number, say, table
from maskwise.report.folder import Row, RunFolder

TEXTS = blocks.TEXTS["partial"]
HEADLINE = 0.1  # the visible share of the number at the top, or the nearest that was measured
OURS, NOTHING = "encoder", "class frequencies"
PERCENT = {"accuracy"}
ENDS = ("value", "low", "high")
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 25, 50, 100)  # %


def partial_fact(run: RunFolder) -> tuple[str, list[Fact]]:
    """Return how right answers are that see a tenth, beside the best baseline's."""
    for rows in _pictures([run]).values():
        measured = _measure(run, rows)
        share = min((row["share"] for row in rows), key=lambda each: abs(each - HEADLINE))
        there = {row["method"]: row for row in rows if row["share"] == share}
        others = [name for name in there if name not in (OURS, NOTHING)]
        best = max(others, key=lambda name: there[name][measured]["value"], default=NOTHING)
        form = "%" if measured in PERCENT else ".3f"
        names = [name for name in (OURS, best) if name in there]
        ours, *other = (
            cell.text for cell in compared([there[n][measured] for n in names], form=form)
        )
        name, task = TEXTS["measures"][measured], rows[0].get("task")
        visible = f"{100 * there[OURS]['visible']:.0f} % visible"
        on = f" on {task}" if task else ""
        said = f" With {visible}{on}: {name} {ours}"
        said += f"; best baseline, {best}: {other[0]}" if other else ""
        beside = f"; {best}: {other[0]}" if other else ""
        between = blocks.between(there[OURS][measured], form)
        return f"{said}.", [Fact(f"{name} with {visible}{on}", ours, between + beside)]
    return "", []


def sections(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the section, if there are labels: a line for each method, or for each run."""
    asked = [run for run in runs if run.result.get("probes") or run.result.get("partial")]
    lacking = blocks.unmade(
        asked, "answers from part of the input", lambda run: "partial" in run.result
    )
    pictures = _pictures(runs)
    if not pictures and not lacking:
        return []
    drawn, tables = [], []
    for title, rows in pictures.items():
        measured = _measure(runs[0], rows)
        named = _lines(runs, rows, measured)
        drawn.append(_drawn(title, runs, named, measured))
        tables.append(_numbers(title, len(runs) == 1, named, measured))
    text = say("partial", "of one" if len(runs) == 1 else "of several") if pictures else ""
    return [
        Section("partial", "From part of the input", text, figures=drawn, tables=tables, **lacking)
    ]


def _pictures(runs: Sequence[RunFolder]) -> dict[str, list[Row]]:
    """Return the rows of each picture by its title: of a task, and of what is visible."""
    every = [row for run in runs for row in run.rows("partial")]
    return blocks.grouped(every, _title)


def _title(row: Row) -> str:
    pattern, _, told = str(row["pattern"]).partition(":")
    name = TEXTS["patterns"].get(pattern, f"{pattern} of masks") + (f" ({told})" if told else "")
    return ": ".join(filter(None, (str(row.get("task", "")), name)))


def _measure(run: RunFolder, rows: Sequence[Row]) -> str:
    """Return what answers are judged by: as probes are, or R² of numbers."""
    if "r2" in rows[0]:
        return "r2"
    return "macro_f1" if "macro_f1" in run.words.probes.measures else "accuracy"


def _lines(runs: Sequence[RunFolder], rows: Sequence[Row], measured: str) -> dict[str, list[Row]]:
    """Return the lines of a picture: the methods of one run, or runs and the best baseline.

    That is the one of the best mean, of the first run that has any: of the same data all runs have
    the same ones.
    """
    if len(runs) == 1:
        return blocks.grouped(rows, lambda row: str(row["method"]))
    of_runs = blocks.grouped(rows, lambda row: str(row["run"]))
    named = {
        name: [row for row in mine if row["method"] == OURS] for name, mine in of_runs.items()
    }
    for mine in of_runs.values():
        others = [row for row in mine if row["method"] not in (OURS, NOTHING)]
        if others:
            methods = blocks.grouped(others, lambda row: str(row["method"]))
            means = {
                name: sum(row[measured]["value"] for row in each) / len(each)
                for name, each in methods.items()
            }
            best = max(means, key=lambda name: means[name])
            return named | {f"best baseline, {best}": methods[best]}
    return named


def _drawn(
    title: str, runs: Sequence[RunFolder], named: Mapping[str, Sequence[Row]], measured: str
) -> Figure:
    name = TEXTS["measures"][measured]
    times = 100 if measured in PERCENT else 1

    def plot(axes: figures.Axes) -> None:
        for index, (line, rows) in enumerate(named.items()):
            x = [100 * row["visible"] for row in rows]
            columns = ([times * row[measured][key] for row in rows] for key in ENDS)
            if line == NOTHING:
                axes.plot(x, next(columns), color=figures.INK, linestyle="--", label=line)
            else:
                figures.curve(axes, index, line, x, *columns)
        least = min(100 * row["visible"] for rows in named.values() for row in rows)
        ticks = [tick for tick in TICKS if tick >= 0.9 * least]
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        unit = ", %" if measured in PERCENT else ""
        axes.set(xlabel="visible, %", ylabel=figures.plain(name + unit))
        figures.legend(axes, len(named))

    of = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    body = figures.svg(f"{title}: {name} by visible share of {of}", plot, size=(5.0, 3.6))
    return Figure(body, say("partial", "caption"), title)


def _numbers(title: str, alone: bool, named: Mapping[str, Sequence[Row]], measured: str) -> Table:
    """Return a row for each line, a column for each visible share, the best of each in bold."""
    form = "%" if measured in PERCENT else ".3f"
    shares = sorted({row["share"] for rows in named.values() for row in rows})
    columns = {}
    for share in shares:
        there = [
            next((row for row in rows if row["share"] == share), None) for rows in named.values()
        ]
        visible = next(row["visible"] for row in there if row)
        columns[f"{100 * visible:.3g} %"] = compared(
            [row and row[measured] for row in there], form=form
        )
    first = next(iter(named.values()))[0]
    note = "; ".join(
        dict.fromkeys(row["note"] for rows in named.values() for row in rows if row["note"])
    )
    caption = say(
        *("partial", "table"),
        name=TEXTS["measures"][measured],
        train=number(first["num_train"]),
        test=number(first["num_test"]),
    )
    names = [Cell(name, "" if not alone or name == OURS else "baseline") for name in named]
    caption += f"; {note}" if note else ""
    return table(caption, "method" if alone else "run", names, columns, title=title)
