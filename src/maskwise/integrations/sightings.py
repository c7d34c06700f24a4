"""How often samples were seen, counted for all processes that load data."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

_SECONDS = 60  # to wait for other processes


class Sightings:
    """Counts how often each sample was seen, in all workers together.

    The counts are a table in a temporary file, 20 bytes for a sample: workers of any kind find it
    again by its name, be they forked or spawned, new in every epoch or not. It goes when this
    object does.

    Example:
        >>> sightings = Sightings()
        >>> sightings.count([7, 8, 7])
        [0, 0, 1]
        >>> sightings.count([8])
        [1]
    """

    def __init__(self) -> None:
        folder = tempfile.mkdtemp(prefix="maskwise-")
        self._path = Path(folder) / "seen"
        weakref.finalize(self, _remove, folder, os.getpid())
        with contextlib.closing(sqlite3.connect(self._path)) as table, table:
            table.execute("CREATE TABLE seen (sample INTEGER PRIMARY KEY, times INTEGER)")

    def count(self, samples: Sequence[int]) -> list[int]:
        """Return how often each was seen before, and count it; samples are 64-bit numbers."""
        # A connection must not outlive a fork, so there is one for each batch: 0.1 ms.
        connected = sqlite3.connect(self._path, timeout=_SECONDS, isolation_level="IMMEDIATE")
        with contextlib.closing(connected) as table, table:
            table.execute("PRAGMA synchronous = OFF")
            return [_see(table, sample) for sample in samples]


def _see(table: sqlite3.Connection, sample: int) -> int:
    table.execute(
        "INSERT INTO seen VALUES (?, 1) ON CONFLICT (sample) DO UPDATE SET times = times + 1",
        (sample,),
    )
    (times,) = table.execute("SELECT times FROM seen WHERE sample = ?", (sample,)).fetchone()
    return times - 1


def _remove(folder: str, owner: int) -> None:
    """Remove the file, but not at the end of a forked worker."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
