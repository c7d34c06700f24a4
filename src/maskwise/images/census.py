"""A census of pictures by their headers: what there is of them, and what stands in the way."""

import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from maskwise.errors import UserError, option
from maskwise.files import Entries, atomic, cached
from maskwise.images.endings import unreadable_ending
from maskwise.images.folders import USUALLY, Listed
from maskwise.images.headers import NOTES, Header
from maskwise.images.pictures import Become, Pictures, Plan
from maskwise.inspection import Problem
from maskwise.progress import track
from maskwise.textio import in_line

T = TypeVar("T")
Look = Header | str
"""what a header says, or what is wrong with the picture"""
REMEMBERED = 1000  # files from which on headers are remembered
FORMAT = 2  # of what is remembered
LARGEST = 224  # side in pixels of the pictures that are proposed, at most
_PIECE = 64  # pictures that a thread looks at in turn
_MOST = 20  # different sizes that are listed


@dataclass(frozen=True, eq=False)
class Census:
    """What the headers of pictures say.

    Args:
        headers: by row; None where a picture cannot be read.
        broken: by row, what is wrong with those.
    """

    headers: Sequence[Header | None]
    broken: Mapping[int, str]

    @property
    def read(self) -> dict[int, Header]:
        """Those that can be read, by row."""
        return {row: each for row, each in enumerate(self.headers) if each is not None}


def take(pictures: Pictures, listed: Listed) -> Census:
    """Look at the headers of all pictures, in threads.

    Headers of many files, or parts of one, are remembered, and looked at again where size or time
    have changed.

    Args:
        pictures: by row.
        listed: what is known of them so far.
    """
    known: dict[int, Look] = {}
    stamps, place = listed.states or [_stamp(file) for file in listed.files], None
    keys = listed.names if listed.states else [str(file) for file in listed.files]
    known |= {row: each for row, each in enumerate(stamps) if isinstance(each, str)}
    if listed.root is not None and len(stamps) >= REMEMBERED:
        how = [] if listed.reading == USUALLY else [repr(listed.reading)]
        place = cached("pictures", [FORMAT, str(listed.root.resolve()), *how])
        old = _remembered(place)
        for row, (key, each) in enumerate(zip(keys, stamps, strict=True)):
            entry = old.get(key)
            if row not in known and entry is not None and entry[:2] == each:
                known[row] = _looked(entry[2])
    fresh = [row for row in range(len(pictures.names)) if row not in known]
    parts = [fresh[start : start + _PIECE] for start in range(0, len(fresh), _PIECE)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda part: [pictures.look(row) for row in part], parts)
        for part, looks in zip(parts, track(found, "headers", len(parts)), strict=True):
            known |= zip(part, looks, strict=True)
    if place is not None and fresh:
        every = zip(keys, stamps, strict=True)
        _remember(
            place,
            {
                key: [*each, known[row]]
                for row, (key, each) in enumerate(every)
                if not isinstance(each, str)
            },
        )
    every_look = [known[row] for row in range(len(pictures.names))]
    return Census(
        [None if isinstance(each, str) else each for each in every_look],
        {row: each for row, each in enumerate(every_look) if isinstance(each, str)},
    )


def _stamp(path: Path) -> list[int] | str:
    """Return size and time of a file, or what is wrong with it before it is opened."""
    try:
        status = path.stat()
    except OSError as error:
        return "a link to nothing" if path.is_symlink() else error.strerror or "not there"
    if not stat.S_ISREG(status.st_mode):
        return "no file, but a pipe, a socket or a device"  # opening one may never end
    if not status.st_size:
        return "empty"
    return unreadable_ending(path) or [status.st_size, status.st_mtime_ns]


def _remembered(place: Path) -> Entries:
    try:
        found = json.loads(place.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _looked(value: object) -> Look:
    if isinstance(value, list):
        mode, height, width, notes, bands = value
        return Header(mode, height, width, tuple(notes), bands)
    return str(value)


def _remember(place: Path, entries: Entries) -> None:
    try:
        with atomic(place) as temporary:
            temporary.write_text(json.dumps(entries), "utf-8", errors="surrogatepass")
    except UserError:
        pass  # a cache that cannot be written costs time, and nothing else


def plan_of_most(census: Census, become: Become) -> Plan:
    """Return what most pictures become; of equally many, what the first does."""
    return Counter(become.plan(header) for header in census.read.values()).most_common(1)[0][0]


def problems(
    census: Census, names: Sequence[str], become: Become, propose: Callable[[int], int]
) -> list[Problem]:
    """Return all in which pictures differ that must be alike, and what would mend it.

    Args:
        census: of the pictures.
        names: of all.
        become: what is said of what they become.
        propose: from a usual side in pixels to one that would do.
    """
    found = []

    def firsts(of: Callable[[Header], T]) -> list[tuple[T, str, int]]:
        """Return each value, the name of the first picture that has it, and how many do."""
        counts = Counter(map(of, census.read.values()))
        first: dict[T, str] = {}
        for row, header in census.read.items():
            first.setdefault(of(header), in_line(names[row]))
        return [(value, name, counts[value]) for value, name in first.items()]

    sizes = firsts(lambda header: (header.height, header.width))
    if become.size is None and len(sizes) > 1:
        told = ", ".join(f"{name} is {size[0]}x{size[1]}" for size, name, _ in sizes[:2])
        told += " (height x width)" + f", and there are {len(sizes) - 2} more" * (len(sizes) > 2)
        shorter = [min(header.height, header.width) for header in census.read.values()]
        side = propose(min(int(np.median(shorter)), LARGEST))
        found.append(Problem(f"images differ in size: {told}", {"data.size": str(side)}))
    found += _channels(census, names, become, firsts(lambda header: header.channels))
    depths = firsts(lambda header: header.depth)
    if len(firsts(become.bits)) > 1:
        told = ", ".join(f"{name} has {bits} bits ({of} do)" for bits, name, of in depths)
        if any(bits == 32 for bits, *_ in depths):
            found.append(Problem(f"images differ in depth: {told}; convert the floats yourself"))
        else:
            told += "; 16 keeps what 8 makes coarser"
            found.append(Problem(f"images differ in depth: {told}", {"data.depth": "8"}))
    return found


def _channels(
    census: Census,
    names: Sequence[str],
    become: Become,
    channels: Sequence[tuple[int, str, int]],
) -> list[Problem]:
    """Return what is wrong with the channels of pictures.

    Args:
        census: of the pictures.
        names: of all.
        become: what is said of what they become.
        channels: each number that there is, the first picture that has it, and how many do.
    """
    told = ", ".join(f"{name} has {num} ({of} do)" for num, name, of in channels)
    if become.channels is None:
        if len(channels) == 1:
            return []
        plain = not any(header.bands for header in census.read.values())
        mended = {"data.channels": "3"} if plain else {}
        way_out = "" if plain else ": make them alike, or read each kind by itself"
        return [Problem(f"images differ in channels: {told}{way_out}", mended)]
    others = [row for row, header in census.read.items() if not become.takes(header)]
    if not others:
        return []
    return [
        Problem(
            f"{len(others)} images cannot have {become.channels} channels, the first is"
            f" {in_line(names[others[0]])} ({told}): leave out {option('data.channels')}"
        )
    ]


def told(census: Census) -> Entries:
    """Return how many pictures there are of each size and mode, and what is told of some."""
    read = census.read.values()
    sizes = Counter(f"{each.height}x{each.width}" for each in read).most_common()
    entries: Entries = {"sizes": dict(sizes[:_MOST])}
    if len(sizes) > _MOST:
        entries["other sizes"] = len(sizes) - _MOST
    entries["modes"] = dict(Counter(each.told for each in read).most_common())
    return entries | {f"pictures that {NOTES[key]}": num for key, num in notes(census).items()}


def notes(census: Census) -> dict[str, int]:
    """Return how many pictures have each of `NOTES` that any has."""
    counts = Counter(key for header in census.read.values() for key in header.notes)
    return {key: counts[key] for key in NOTES if counts[key]}
