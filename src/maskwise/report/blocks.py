"""What a page is made of: sections with notes, numbers, figures and tables.

The parts fill these; the template lays them out. Text is escaped by the template, and only
`Figure.body` is markup.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources

from markupsafe import Markup

from maskwise.report.folder import Row, RunFolder


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

    text = resources.files("maskwise.report").joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(text)
    return template.render(title=title, summary=summary, sections=sections)


def unmade(
    section: Section, runs: Sequence[RunFolder], what: str, has: Callable[[RunFolder], object]
) -> Section:
    """Return a section that says how to make what runs lack; itself if they lack nothing.

    Args:
        section: what there is without it.
        runs: one run, or several that are compared.
        what: what an only run may lack.
        has: whether a run has it.
    """
    lacking = [run for run in runs if not has(run)]
    if not lacking:
        return section
    missing = "Some runs are not evaluated yet. To evaluate them:"
    if len(runs) == 1:
        missing = f"No {what} yet. Evaluate the run to make it:"
    commands = tuple(run.command("evaluate") for run in lacking)
    return replace(section, missing=missing, commands=commands)


def grouped(rows: Iterable[Row], name: Callable[[Row], str]) -> dict[str, list[Row]]:
    """Return rows by their name, in order."""
    found: dict[str, list[Row]] = {}
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
    *,
    folded: bool = False,
    title: str = "",
) -> Table:
    """Return a table of columns, by what is above them; `first` is above the names of the rows."""
    rows = tuple(cells(*row) for row in zip(names, *columns.values(), strict=True))
    return Table(caption, (first, *columns), rows, folded, title)


def compared(
    rows: Sequence[Row | None],
    key: str = "value",
    form: str = ".3f",
    best: Callable[[Iterable[float]], float] | None = max,
    among: Iterable[Row | None] | None = None,
) -> list[Cell]:
    """Return cells with the values of `key` over their intervals, the best in bold.

    Args:
        rows: None where there is none.
        key: which value; it may be unknown.
        form: see `between`.
        best: `max` or `min`; None: nothing is bold.
        among: rows of which it is the best; default: these.
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
    """Write a value in a format, or as a percentage for "%".

    >>> written(0.9312, "%"), written(0.9312, ".2f")
    ('93.1 %', '0.93')
    """
    return f"{100 * value:.1f} %" if form == "%" else f"{value:{form}}"


def between(row: Row, form: str = ".3f") -> str:
    """Write the interval of a value, if it is known.

    >>> between({"low": 0.5, "high": 0.75}), between({"low": None, "high": None})
    ('0.500 to 0.750', '')
    """
    low, high = row.get("low"), row.get("high")
    if low is None or high is None:
        return ""
    return f"{written(low, form)} to {written(high, form)}".replace(" %", "")


def lines(*texts: str) -> str:
    """Return the small text of a cell: a line for each text that says something."""
    return "\n".join(filter(None, texts))


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


def duration(seconds: float) -> str:
    """Format a time span.

    >>> duration(42.34), duration(125), duration(7325)
    ('42.3 s', '2 min 5 s', '2 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
