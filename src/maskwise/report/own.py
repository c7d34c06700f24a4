"""Sections that a kind of data brings as plain values: the "sections" of result.json."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from maskwise.errors import UserError
from maskwise.report.blocks import Cell, Fact, Figure, Section, Table, number
from maskwise.report.figures import legend, plain, run_style, svg
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
            own = _read(run, values)
            found.setdefault(own.slug, []).append((run.name if len(runs) > 1 else "", own))
    return [_section(named) for named in found.values()]


def _read(run: RunFolder, values: object) -> OwnSection:
    try:
        return from_dict(OwnSection, values)  # type: ignore[arg-type]
    except UserError as error:
        path = run.path / "result.json"
        raise UserError(f"{path}: a section cannot be read: {error}; evaluate it anew") from None


def _section(named: Named) -> Section:
    first = named[0][1]
    tables = tuple(
        Table(
            table.caption,
            table.head,
            tuple(tuple(Cell(number(value)) for value in row) for row in table.rows),
            title=run,
        )
        for run, own in named
        for table in own.tables
    )
    facts: tuple[Fact, ...] = ()
    if not named[0][0]:
        facts = tuple(Fact(label, number(value), note) for label, value, note in first.facts)
    elif table := _facts(named):
        tables = (table, *tables)
    titles = dict.fromkeys(curve.title for _, own in named for curve in own.curves)
    figures = tuple(_figure(title, named) for title in titles)
    return Section(
        first.slug, first.title, first.text, facts=facts, figures=figures, tables=tables
    )


def _facts(named: Named) -> Table | None:
    """Return a row for each run, a column for each number."""
    labels = dict.fromkeys(label for _, own in named for label, _, _ in own.facts)
    rows = []
    for run, own in named:
        cells = {label: Cell(number(value), note) for label, value, note in own.facts}
        rows.append((Cell(run), *(cells.get(label, Cell("none")) for label in labels)))
    return Table("Of each run", ("run", *labels), tuple(rows)) if labels else None


def _figure(title: str, named: Named) -> Figure:
    curves = [(run, each) for run, own in named for each in own.curves if each.title == title]
    first = curves[0][1]
    lines = [
        (": ".join(filter(None, (run, line.name))), line)
        for run, curve in curves
        for line in curve.lines
    ]

    def plot(axes: "Axes") -> None:
        for index, (name, line) in enumerate(lines):
            style = run_style(index)
            if line.low and line.high:
                band = {"color": style["color"], "alpha": 0.2, "linewidth": 0}
                axes.fill_between(line.x, line.low, line.high, **band)
            axes.plot(line.x, line.y, marker="o", markersize=3.5, label=plain(name), **style)
        axes.set(xlabel=plain(first.xlabel), ylabel=plain(first.ylabel))
        legend(axes, len(lines))

    return Figure(svg(title, plot), first.caption, title)
