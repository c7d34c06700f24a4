"""What a page is made of: sections with notes, numbers, figures and tables.

The builders fill these; the template lays them out. Text is escaped by the template, and only
`Figure.body` is markup.
"""

from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup


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
    facts: tuple[Fact, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    compact: bool = False


def unmade(section: Section, what: str, command: str) -> Section:
    """Return a section that says what it lacks and how to make it."""
    missing = f"No {what} yet. Evaluate the run to make it:"
    return replace(section, missing=missing, commands=(command,))


def number(value: Any) -> str:
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


def percent(value: float) -> str:
    """Format a fraction as a percentage.

    >>> percent(0.9312)
    '93.1 %'
    """
    return f"{100 * value:.1f} %"


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
