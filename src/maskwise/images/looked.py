"""Pictures whose headers were looked at: which are used, what they become, and decoding them."""

import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from maskwise.errors import UserError
from maskwise.files import Entries
from maskwise.images import census
from maskwise.images.census import Census
from maskwise.images.folders import Listed
from maskwise.images.headers import NOTES
from maskwise.images.images import ImageSource, array_source, first_shuffled, hold_out
from maskwise.images.pictures import Become, Pictures, Plan, empty, too_large
from maskwise.progress import track
from maskwise.textio import Broken, few, leave_out

log = logging.getLogger("maskwise")
MEMORY_BYTES = 4 << 30  # decoded images up to this size are kept in memory
_PIECE = 16  # pictures that a thread decodes at a time


@dataclass(frozen=True, eq=False)
class Looked:
    """Pictures of a source after a look at their headers.

    Args:
        listed: which there are.
        pictures: what decodes them.
        census: what their headers say.
        found_broken: by row, what is wrong with those that could not be decoded.
    """

    listed: Listed
    pictures: Pictures
    census: Census
    found_broken: Mapping[int, str]

    @property
    def where(self) -> str:
        """What messages call the source."""
        return self.listed.where

    @cached_property
    def large(self) -> dict[int, str]:
        """What is said of pictures with too many pixels, by row."""
        most = self.pictures.max_pixels
        return {
            row: too_large(header.height, header.width, most)
            for row, header in self.census.read.items()
            if header.pixels > most
        }

    @cached_property
    def broken(self) -> dict[int, str]:
        """What is wrong with pictures that cannot be read, by row, in order."""
        every = {**self.census.broken, **self.large, **self.found_broken}
        return dict(sorted(every.items()))

    @cached_property
    def kept(self) -> np.ndarray:
        """Rows of the pictures that can be read."""
        return np.setdiff1d(np.arange(len(self.listed.names)), list(self.broken))

    @cached_property
    def plan(self) -> Plan:
        """What most of those become."""
        return census.plan_of_most(self.headers, self.pictures.become)

    @cached_property
    def headers(self) -> Census:
        """The census of those."""
        some = [
            None if row in self.broken else each for row, each in enumerate(self.census.headers)
        ]
        return Census(some, self.broken)

    @cached_property
    def emptied(self) -> list[str]:
        """Names of classes that have lost all of their pictures."""
        codes, classes = self.listed.labels, self.listed.classes
        if codes is None or classes is None:
            return []
        lost = np.setdiff1d(codes[codes >= 0], codes[self.kept])
        return [classes[code] for code in lost]

    def source(self, rows: np.ndarray) -> ImageSource:
        """Return pictures that are decoded on demand; classes that lost all theirs are gone."""
        codes, classes = self.listed.labels, self.listed.classes
        if codes is not None and classes is not None and self.emptied:
            gone = np.isin(classes, self.emptied)
            numbers = np.append(np.where(gone, -1, np.cumsum(~gone) - 1), -1)  # -1 stays
            codes, classes = numbers[codes], tuple(np.array(classes)[~gone].tolist())
        _, height, width, channels = self.plan
        read = partial(self.pictures.read, plan=self.plan)
        labels = None if codes is None else codes[rows]
        return ImageSource((channels, height, width), read, rows, labels, classes, False)

    def splits(self, holdout: float) -> list[ImageSource]:
        """Return the pictures to train on and those to test on.

        Raises:
            UserError: too few.
        """
        num_train = len(self.listed.names) - (self.listed.num_test or 0)
        parts = [self.kept[self.kept < num_train], self.kept[self.kept >= num_train]]
        if self.listed.num_test is None:
            return list(hold_out(self.source(self.kept), holdout))
        for rows, what in zip(parts, ("train", "test"), strict=True):
            if not len(rows):
                raise UserError(f"{self.where}: no picture to {what} on can be read")
        return [self.source(rows) for rows in parts]

    def named(self, broken: Mapping[int, str]) -> dict[str, str]:
        """Return what is wrong with pictures by their names."""
        return {self.listed.names[row]: why for row, why in broken.items()}

    def told(self) -> Entries:
        """Return what there is, for an inspection."""
        entries: Entries = {"pictures": len(self.kept)}
        codes, classes = self.listed.labels, self.listed.classes
        if codes is not None and classes is not None:
            counts = np.bincount(codes[self.kept][codes[self.kept] >= 0], minlength=len(classes))
            entries["classes"] = dict(zip(classes, counts.tolist(), strict=True))
            if bare := int((codes[self.kept] < 0).sum()):
                entries["without a label"] = bare
        entries |= census.told(self.headers)
        if self.broken:
            entries["cannot be read"] = [
                f"{name} ({why})" for name, why in self.named(self.broken).items()
            ]
        return entries | self.listed.told


def look(listed: Listed, become: Become, max_pixels: int) -> Looked:
    """Look at the headers of all pictures of a source."""
    pictures = Pictures(listed.open, listed.names, become, max_pixels)
    return Looked(listed, pictures, census.take(pictures, listed), {})


def decoded(
    looked: Looked, policy: Broken, holdout: float, limit: int | None
) -> list[ImageSource]:
    """Return the pictures to train on and to test on, without those that cannot be read.

    They are decoded once, on all cores, if they fit `MEMORY_BYTES`; else whenever asked for, and
    if some may be left out, once before that.

    Args:
        looked: all pictures.
        policy: what is done about those that cannot be read, as decoding finds.
        holdout: share of them to test on, where there is no test split.
        limit: how many are trained on at most.

    Raises:
        UserError: some cannot be read, and the policy is to stop; or too few are left.
    """
    while True:
        train, test = looked.splits(holdout)
        parts = [train if limit is None else first_shuffled(train, limit), test]
        in_memory = _fit(looked, sum(map(len, parts)))
        if not in_memory and policy == "stop":
            break
        images, broken = decode(looked, np.concatenate([each.rows for each in parts]), in_memory)
        if not broken:
            if in_memory:
                parts = [
                    array_source(each, part.labels, part.classes)
                    for part, each in zip(parts, np.split(images, [len(parts[0])]), strict=True)
                ]
            break
        if policy == "stop":
            leave_out(looked.where, looked.named(broken), policy)
        looked = replace(looked, found_broken={**looked.found_broken, **broken})
    leave_out(looked.where, looked.named(looked.broken), policy)
    say(looked)
    return parts


def readable(looked: Looked) -> tuple[ImageSource, dict[int, str]]:
    """Return all pictures that can be read and become what most do, and what is wrong with others.

    Raises:
        UserError: there is none.
    """
    become, plan = looked.pictures.become, looked.plan
    others = {
        row: f"{header.height}x{header.width}, {header.mode}: it becomes no {plan.mode} of"
        f" {plan.height}x{plan.width}, as most do"
        for row, header in looked.headers.read.items()
        if become.plan(header) != plan
    }
    looked = replace(looked, found_broken={**looked.found_broken, **others})
    in_memory = _fit(looked, len(looked.kept))
    images, broken = decode(looked, looked.kept, in_memory)
    fine = ~np.isin(looked.kept, list(broken))
    if not fine.any():
        raise UserError(f"{looked.where}: none of {len(looked.listed.names)} images can be read")
    say(looked)
    source = array_source(images[fine]) if in_memory else looked.source(looked.kept[fine])
    return source, dict(sorted({**looked.broken, **broken}.items()))


def _fit(looked: Looked, num: int) -> bool:
    return empty(1, looked.plan).nbytes * num <= MEMORY_BYTES


def decode(looked: Looked, rows: np.ndarray, keep: bool) -> tuple[np.ndarray, dict[int, str]]:
    """Decode rows on all cores; return them if they are kept, and what is wrong with which."""
    images = empty(len(rows) if keep else 0, looked.plan)

    def some(part: np.ndarray) -> dict[int, str]:
        own = images if keep else empty(1, looked.plan)
        found = {}
        for place in part.tolist():
            row = int(rows[place])
            found[row] = looked.pictures.decode(row, own[place if keep else 0])
        return {row: why for row, why in found.items() if why}

    parts = np.array_split(np.arange(len(rows)), -(-len(rows) // _PIECE))
    broken: dict[int, str] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for each in track(pool.map(some, parts), "pictures", len(parts)):
            broken |= each
    return images, broken


def say(looked: Looked) -> None:
    """Tell of what was read otherwise than somebody might think, and of classes left empty."""
    if looked.emptied:
        log.warning("%s: no picture is left of classes: %s", looked.where, few(looked.emptied, 20))
    for key, num in census.notes(looked.headers).items():
        log.info("%s: %d pictures %s", looked.where, num, NOTES[key])
