"""What takes long says how far it is, with bars on a terminal, and can be asked to stop."""

import signal
import sys
import threading
from collections.abc import Collection, Iterable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
_shown: "list[Progress]" = []  # the bars that are on the terminal now: one block of lines


def bars(*columns: object, enabled: bool | None = None) -> "Progress":
    """Return bars with their counts and the time left, not yet started.

    Args:
        *columns: what stands between the count and the time left.
        enabled: whether they are shown; default: if standard error is a terminal.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        *columns,  # type: ignore[arg-type]
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not (sys.stderr.isatty() if enabled is None else enabled),
    )


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Give items in turn, and show how many are done.

    Inside another, it is a further line below it, which goes when it is done.

    Args:
        items: what is worked on.
        what: what is done, such as "probes".
        total: how many there are; default: what `len` says, if it says anything.

    >>> list(track("ab", "letters"))
    ['a', 'b']
    """
    if total is None and isinstance(items, Collection):
        total = len(items)
    outer = not _shown
    if outer:
        _shown.append(bars())
        _shown[0].start()
    bar = _shown[0]
    task = bar.add_task(what, total=total)
    try:
        for item in items:
            yield item
            bar.advance(task)
    finally:
        if outer:
            _shown.clear()
            bar.stop()
        else:
            bar.remove_task(task)


class StopRequest:
    """While active, SIGINT and SIGTERM set `requested`; a second one stops at once."""

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._request)
        return self

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(self, *details: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
