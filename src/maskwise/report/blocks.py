"""What a page is made of: sections with notes, numbers, figures and tables.

The parts fill these with numbers and with what texts.toml has for all kinds of data, and
page.html lays them out. Text is escaped there; only `Figure.body` is markup.
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import chain
from typing import Any, TypeVar

from markupsafe import Markup

from maskwise.errors import UserError
from maskwise.report.figures import Axes, curve, legend, plain, svg
from maskwise.report.folder import Row, RunFolder
from maskwise.settings import from_dict, settings

T = TypeVar("T")
Value = str | bool | int | float | None


def _read(name: str) -> str:
    return resources.files("maskwise.report").joinpath(name).read_text("utf-8")


TEXTS: Mapping[str, Any] = tomllib.loads(_read("texts.toml"))


@dataclass(frozen=True)
class Figure:
    """One picture with the caption that says what to read from it."""

    body: Markup
    caption: str
    title: str = ""


@dataclass(frozen=True)
class Cell:
    """One table cell: its text, a smaller second line, whether it is the best of its kind."""

    text: str
    small: str = ""
    best: bool = False
    color: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows; `folded` hides it behind a click."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    folded: bool = False
    title: str = ""


@dataclass(frozen=True)
class Fact:
    """One headline number."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A titled part of the page; `missing` says what it lacks, `commands` make it.

    Tables of keys and values are `compact`: side by side and without heads.
    """

    slug: str
    title: str
    text: str = ""
    missing: str = ""
    commands: tuple[str, ...] = ()
    facts: Sequence[Fact] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    compact: bool = False


def render(title: str, summary: str, sections: Sequence[Section]) -> str:
    """Fill the template; every text is escaped."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_read("page.html"))
    return template.render(title=title, summary=summary, sections=sections)


def say(part: str, name: str, /, **values: object) -> str:
    """Return a text of texts.toml, on one line and with values filled in."""
    return " ".join(TEXTS[part][name].split()).format(**values)


def unmade(
    runs: Sequence[RunFolder],
    what: str,
    has: Callable[[RunFolder], object],
    verb: str = "evaluate",
) -> dict[str, Any]:
    """Return what a section says of how to make what runs lack; nothing if they lack nothing."""
    lacking = [run for run in runs if not has(run)]
    if not lacking:
        return {}
    said = say(verb, "unmade" if len(runs) == 1 else "some unmade", what=what)
    return {"missing": said, "commands": tuple(run.command(verb) for run in lacking)}


def grouped(rows: Iterable[T], name: Callable[[T], str]) -> dict[str, list[T]]:
    """Return rows by their name, in order."""
    found: dict[str, list[T]] = {}
    for row in rows:
        found.setdefault(name(row), []).append(row)
    return found


def cells(*values: object) -> tuple[Cell, ...]:
    """Return a row of a table; what is no cell yet is written by `number`."""
    return tuple(each if isinstance(each, Cell) else Cell(number(each)) for each in values)


def table(
    caption: str,
    first: str,
    names: Iterable[object],
    columns: Mapping[str, Iterable[object]],
    **look: Any,
) -> Table:
    """Return a table of columns, by what is above them; `first` is above the names of the rows."""
    rows = tuple(cells(*row) for row in zip(names, *columns.values(), strict=True))
    return Table(caption, (first, *columns), rows, **look)


def compared(
    rows: Sequence[Row | None],
    key: str = "value",
    form: str = ".3f",
    best: Callable[[Iterable[float]], float] | None = max,
    among: Iterable[Row | None] | None = None,
) -> list[Cell]:
    """Return cells with the values of `key` over their intervals, the best in bold.

    It is the best of `rows`, or of those it is `among`. Rows and values may be None.
    """
    others = rows if among is None else among
    known = [row[key] for row in others if row and row.get(key) is not None]
    top = best(known) if best and known else None
    return [
        Cell("none")
        if row is None or row.get(key) is None
        else Cell(written(row[key], form), between(row, form), row[key] == top)
        for row in rows
    ]


def written(value: float, form: str) -> str:
    """Write a value in a format, or as a percentage for "%"."""
    return f"{100 * value:.1f} %" if form == "%" else f"{value:{form}}"


def between(row: Row, form: str = ".3f") -> str:
    """Write the interval of a value, if it is known."""
    low, high = row.get("low"), row.get("high")
    if low is None or high is None:
        return ""
    return f"{written(low, form)} to {written(high, form)}".replace(" %", "")


def number(value: object) -> str:
    """Format a value for reading.

    >>> number(1234567), number(0.000123456), number(0.25), number(None), number(True)
    ('1,234,567', '0.0001235', '0.25', 'none', 'yes')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(number(item) for item in value) or "none"
    return str(value)


def duration(seconds: float | None) -> str:
    """Format a time span, if it is known.

    >>> duration(42.34), duration(125), duration(7325)
    ('42.3 s', '2 min 5 s', '2 h 2 min')
    """
    if seconds is None:
        return "none"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


@settings
class OwnTable:
    """A table that a kind of data brings; its first column names the rows."""

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


def own_sections(runs: Sequence[RunFolder]) -> list[Section]:
    """Return each section that any run brings in result.json, of all runs that bring it.

    Raises:
        UserError: a section that cannot be read.
    """
    found = []
    for run in runs:
        for values in run.result.get("sections") or ():
            try:
                own = from_dict(OwnSection, values)
            except UserError as error:
                where = f"{run.path / 'result.json'}: a section cannot be read"
                raise UserError(f"{where}: {error}; evaluate it anew") from None
            found.append((run.name if len(runs) > 1 else "", own))
    return [_own_section(named) for named in grouped(found, lambda each: each[1].slug).values()]


def _own_section(named: Sequence[tuple[str, OwnSection]]) -> Section:
    (name, first), *_ = named
    tables = [
        Table(each.caption, each.head, tuple(cells(*row) for row in each.rows), title=run)
        for run, own in named
        for each in own.tables
    ]
    facts = [Fact(label, number(value), note) for label, value, note in first.facts]
    if name:
        # A row for each run, a column for each number.
        of_runs = [
            {label: Cell(number(value), note) for label, value, note in own.facts}
            for _, own in named
        ]
        columns = {label: [found.get(label) for found in of_runs] for label in chain(*of_runs)}
        of_each = table("Of each run", "run", [run for run, _ in named], columns)
        facts, tables = [], [of_each] * bool(columns) + tables
    curves = grouped(
        ((run, each) for run, own in named for each in own.curves), lambda each: each[1].title
    )
    drawn = [_own_figure(each) for each in curves.values()]
    return Section(first.slug, first.title, first.text, facts=facts, figures=drawn, tables=tables)


def _own_figure(curves: Sequence[tuple[str, OwnCurve]]) -> Figure:
    first = curves[0][1]

    def plot(axes: Axes) -> None:
        lines = [(run, line) for run, each in curves for line in each.lines]
        for index, (run, line) in enumerate(lines):
            name = ": ".join(filter(None, (run, line.name)))
            curve(axes, index, name, line.x, line.y, line.low, line.high)
        axes.set(xlabel=plain(first.xlabel), ylabel=plain(first.ylabel))
        legend(axes, len(lines))

    return Figure(svg(first.title, plot), first.caption, first.title)
