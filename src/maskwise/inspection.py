"""What a dry look at data finds: what there is, and all that stands in the way of training."""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from maskwise.errors import UserError, call, option
from maskwise.files import Entries


@dataclass(frozen=True)
class Problem:
    """One thing that stands in the way.

    Args:
        text: what it is, with the value; and what to do, where no setting mends it.
        settings: what would mend it: dotted settings, each as a text of the command line.
    """

    text: str
    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, error: UserError) -> "Problem":
        """Return what an error says, and the settings that it knows to mend it."""
        return cls(str(error), error.settings)


@dataclass(frozen=True, eq=False)
class Inspection:
    """What a source holds, found without training and without reading all of it.

    Args:
        found: plain values of JSON by what they are called, in the order of reading, as
            {"files": 60, "classes": {"cat": 40, "dog": 20}, "left out": ["notes.txt"]}.
        num_train: samples to train on, where they are known.
        problems: all that stands in the way, not only the first.
        pictures: a few samples to look at, uint8 [H, W] or [H, W, 3], where they are pictures.
    """

    found: Entries
    num_train: int | None = None
    problems: Sequence[Problem] = ()
    pictures: Sequence[np.ndarray] = ()

    def to_dict(self) -> Entries:
        """Return plain values, without pictures."""
        told = [{"problem": each.text, "settings": dict(each.settings)} for each in self.problems]
        return {"found": self.found, "samples to train on": self.num_train, "problems": told}

    def text(self) -> str:
        """Return a table of what was found, in lines.

        >>> print(Inspection({"files": 1200, "classes": {"cat": 800, "dog": 400}}).text())
        files    1,200
        classes  2: cat 800, dog 400
        """
        rows = {
            name: ", ".join(value) if name.startswith("first ") else _shown(value)
            for name, value in self.found.items()
        }
        if self.num_train is not None:
            rows["samples to train on"] = f"{self.num_train:,}"
        width = max(map(len, rows), default=0)
        return "\n".join(f"{name:{width}}  {value}" for name, value in rows.items())

    def figure(self, title: str) -> Any:
        """Return the pictures side by side, as a figure of matplotlib.

        Raises:
            UserError: there are none.
        """
        if not self.pictures:
            raise UserError(f"{title} has no pictures to show: leave out {option('out')}")
        from matplotlib.figure import Figure

        columns = min(8, len(self.pictures))
        rows = -(-len(self.pictures) // columns)
        figure = Figure(figsize=(1.6 * columns, 1.6 * rows + 0.4), layout="constrained")
        figure.suptitle(title)
        places = figure.subplots(rows, columns, squeeze=False).ravel()
        for place in places:
            place.set_axis_off()
        for place, picture in zip(places, self.pictures, strict=False):
            place.imshow(picture, cmap="gray", vmin=0, vmax=255)
        return figure

    def require(self, data: str | None, settings: Mapping[str, object]) -> None:
        """Refuse data with all that stands in the way, and say a command that would work.

        Args:
            data: the source; None: data in memory.
            settings: what else was given.

        Raises:
            UserError: something stands in the way.
        """
        if not self.problems:
            return
        texts = [each.text for each in self.problems]
        told = texts[0]
        if len(texts) > 1:
            listed = "; ".join(f"({number}) {text}" for number, text in enumerate(texts, start=1))
            told = f"{len(texts)} things stand in the way: {listed}"
        if all(each.settings for each in self.problems):
            mended = dict(settings)
            for each in self.problems:
                mended |= each.settings
            told += f". This works: {call('pretrain', data, mended)}"
        raise UserError(told)


@contextmanager
def quietly() -> Iterator[None]:
    """Let nothing be logged by this thread within the block.

    A dry look says what it finds in its own words, and training says it again. What takes long is
    logged as "maskwise.slow" all the same.
    """
    log, here = logging.getLogger("maskwise"), threading.get_ident()

    def others(record: logging.LogRecord) -> bool:
        return record.thread != here

    log.addFilter(others)
    try:
        yield
    finally:
        log.removeFilter(others)


def _shown(value: object, most: int = 8) -> str:
    """Return a value for a line of the table; of many the first.

    >>> _shown({"a": 1, "b": 2}), _shown(["RGB", "L"]), _shown(0.25)
    ('2: a 1, b 2', '2: RGB, L', '0.25')
    """
    if isinstance(value, dict):
        value = [f"{name} {_shown(each)}" for name, each in value.items()]
    if isinstance(value, (list, tuple)):
        more = f", and {len(value) - most:,} more" if len(value) > most else ""
        return f"{len(value):,}: {', '.join(str(each) for each in value[:most])}{more}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
