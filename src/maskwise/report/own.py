"""Sections that a kind of data brings as plain values: the "sections" of result.json."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from maskwise.errors import UserError
from maskwise.report.blocks import Cell, Fact, Figure, Section, Table, cells, number, table
from maskwise.report.figures import curve, legend, plain, svg
from maskwise.report.folder import RunFolder
from maskwise.settings import from_dict, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Value = str | bool | int | float | None


@settings
class OwnTable:
    """A table whose first column names the rows."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


@settings
class OwnLine:
    """A line of a figure, with a band from low to high if they are given."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len({len(self.x), len(self.y), len(self.low or self.x), len(self.high or self.x)}) > 1:
            raise UserError(f"line {self.name!r}: x, y, low and high are not of one length")


@settings
class OwnCurve:
    """A figure of lines; runs that are compared share the figure of one title."""

    title: str
    caption: str
    xlabel: str
    ylabel: str
    lines: tuple[OwnLine, ...]


@settings
class OwnSection:
    """What a section says; runs that are compared share the section of one slug."""

    slug: str
    title: str
    text: str = ""
    facts: tuple[tuple[str, Value, str], ...] = ()
    """label, value, note"""
    tables: tuple[OwnTable, ...] = ()
    curves: tuple[OwnCurve, ...] = ()


Named = Sequence[tuple[str, OwnSection]]


def sections(runs: Sequence[RunFolder]) -> list[Section]:
    """Return each section that any run brings, of all runs that bring it.

    Raises:
        UserError: a section that cannot be read.
    """
    found: dict[str, list[tuple[str, OwnSection]]] = {}
    for run in runs:
        for values in run.result.get("sections") or ():
            try:
                own = from_dict(OwnSection, values)
            except UserError as error:
                where = f"{run.path / 'result.json'}: a section cannot be read"
                raise UserError(f"{where}: {error}; evaluate it anew") from None
            found.setdefault(own.slug, []).append((run.name if len(runs) > 1 else "", own))
    return [_section(named) for named in found.values()]


def _section(named: Named) -> Section:
    (name, first), *_ = named
    tables = [
        Table(each.caption, each.head, tuple(cells(*row) for row in each.rows), title=run)
        for run, own in named
        for each in own.tables
    ]
    facts = [Fact(label, number(value), note) for label, value, note in first.facts]
    if name:
        facts, tables = [], [*_facts(named), *tables]
    titles = dict.fromkeys(curve.title for _, own in named for curve in own.curves)
    figures = [_figure(title, named) for title in titles]
    return Section(
        first.slug, first.title, first.text, facts=facts, figures=figures, tables=tables
    )


def _facts(named: Named) -> list[Table]:
    """Return a row for each run, a column for each number, if there are any."""
    of_runs = [{label: (value, note) for label, value, note in own.facts} for _, own in named]
    columns = {
        label: [Cell(number(each[0]), each[1]) if each else None for each in found]
        for label in dict.fromkeys(label for facts in of_runs for label in facts)
        for found in [[facts.get(label) for facts in of_runs]]
    }
    return [table("Of each run", "run", [run for run, _ in named], columns)] if columns else []


def _figure(title: str, named: Named) -> Figure:
    curves = [(run, each) for run, own in named for each in own.curves if each.title == title]
    first = curves[0][1]

    def plot(axes: "Axes") -> None:
        lines = [(run, line) for run, each in curves for line in each.lines]
        for index, (run, line) in enumerate(lines):
            name = ": ".join(filter(None, (run, line.name)))
            curve(axes, index, name, line.x, line.y, line.low, line.high)
        axes.set(xlabel=plain(first.xlabel), ylabel=plain(first.ylabel))
        legend(axes, len(lines))

    return Figure(svg(title, plot), first.caption, title)
