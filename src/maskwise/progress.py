"""What takes long says how far it is, with bars on a terminal, and can be asked to stop."""

import signal
import sys
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, Task

T = TypeVar("T")
_shown: "list[Progress]" = []  # the bars that are on the terminal now: one block of lines


def bars(*columns: object, enabled: bool | None = None) -> "Progress":
    """Return bars with their counts and the time left, not yet started.

    Args:
        *columns: what stands between the count and the time left.
        enabled: whether they are shown; default: if standard error is a terminal.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
    from rich.text import Text

    class Left(ProgressColumn):
        def render(self, task: "Task") -> Text:
            return Text(f"ETA {_clock(_left(task))}", "progress.remaining", no_wrap=True)

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),  # with all else in the 80 columns of a usual terminal
        MofNCompleteColumn(),
        *columns,  # type: ignore[arg-type]
        Left(),
        console=Console(stderr=True),
        disable=not (sys.stderr.isatty() if enabled is None else enabled),
    )


def _left(task: "Task") -> float | None:
    """Return the seconds left, as soon as anything is done.

    rich looks at the last half minute, where slow steps are one, which says nothing.
    """
    if task.time_remaining is not None or task.total is None:
        return task.time_remaining
    done = task.completed - task.fields.get("start_at", 0)
    return (task.elapsed or 0) / done * (task.total - task.completed) if done else None


def _clock(seconds: float | None) -> str:
    """Return hours, minutes and seconds.

    >>> _clock(3725), _clock(None)
    ('1:02:05', '-:--:--')
    """
    if seconds is None:
        return "-:--:--"
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"


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


def begins(what: str) -> None:
    """Say on a terminal that something begins, so that nobody waits for a first sign of it."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{what}: reading\n")
        sys.stderr.flush()


class StopRequest:
    """While active, signals that ask to stop set `requested`; a second one stops at once.

    These are SIGINT and SIGTERM, and SIGHUP and SIGUSR1, by which terminals and clusters say that
    the time is up. What is done `safely` is never cut short.
    """

    def __init__(self) -> None:
        self.requested = self._busy = self._late = False
        self._previous: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"):
                if (number := getattr(signal, name, None)) is not None:
                    self._previous[number] = signal.signal(number, self._request)
        return self

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested and not self._busy:
            raise KeyboardInterrupt
        self._late = self.requested
        self.requested = True

    @contextmanager
    def safely(self) -> Iterator[None]:
        """Put off a second request until what is done here is done."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
        if self._late:
            raise KeyboardInterrupt

    def __exit__(self, *details: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
