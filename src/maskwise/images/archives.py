"""Archives of pictures, .zip and .tar: each is read where it lies, without unpacking others."""

import logging
import stat
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskwise.encodings import READ_ERRORS
from maskwise.errors import UserError, require
from maskwise.files import Stamp, stamp
from maskwise.images.arrange import arrange, relative
from maskwise.images.endings import ZIP, unreadable_ending
from maskwise.images.folders import USUALLY, Listed
from maskwise.images.inside import LARGEST, Inside, Opened
from maskwise.images.opening import Reading
from maskwise.images.trees import Packed
from maskwise.images.unpacked import plain_tar
from maskwise.textio import few

log = logging.getLogger("maskwise")
BLOCK = tarfile.BLOCKSIZE
DEFLATED = zipfile.ZIP_DEFLATED
ENCRYPTED = 0x1  # a flag of a member
SUSPECT, RATIO = 64 << 20, 200  # bytes from which on a member is small for what it unpacks to


class Member(NamedTuple):
    """A file in an archive."""

    name: str
    begin: int
    """where it begins, or what is said of it before it does"""
    packed: int = 0
    """bytes that it takes"""
    size: int = 0
    method: int = 0
    """how it is packed"""
    checksum: int = 0
    wrong: str = ""
    """why it cannot be read"""


@dataclass(frozen=True, eq=False)
class Archive:
    """What an archive holds."""

    path: Path
    """of the archive"""
    files: Inside
    names: list[str]
    wrong: list[str]
    """why each cannot be read, or """ ""
    again: list[str]
    """names that come again later, and so mean what comes last"""


def list_archive(
    path: Path, only: Sequence[str] = (), reading: Reading = USUALLY, label: str | None = None
) -> Listed:
    """Find the pictures to train and, if there are any, to test on, of a .zip or a .tar.

    They lie in it as in a folder, see `arrange`; a single folder that holds all does not count.

    Args:
        path: the archive; a compressed .tar is unpacked into the cache, once.
        only: the classes that are wanted; none: all.
        reading: how files are read that may hold more than a picture.
        label: what is called so in a .json beside a picture is its class.

    Raises:
        UserError: it is damaged, or has no pictures.
    """
    require("PIL.Image", path, "images")
    archive = open_archive(path)
    tree = Packed(path, archive.names, archive.files.read)
    if not tree.rows:
        raise UserError(f"{path}: the archive is empty")
    root = tree.top(only)
    found = arrange(tree, root, only, label)
    rows = [tree.rows[each] for each in found.paths]
    told = found.told
    if again := sorted(set(archive.again) & set(relative(found.paths, path))):
        told["packed again"] = again
        log.info("%s: %d files come again, the last is read: %s", path, len(again), few(again))
    files = archive.files.take(rows)
    time = int(archive.files.state[2])
    wrong = [
        archive.wrong[row] or unreadable_ending(each)
        for row, each in zip(rows, found.paths, strict=True)
    ]
    return Listed(
        str(path),
        Opened(files, reading),
        relative(found.paths, root),
        found.num_test,
        found.labels,
        found.classes,
        root=path,
        told=told,
        problems=found.problems,
        states=[
            why or [begin, time]
            for why, begin in zip(wrong, files.places[:, 0].tolist(), strict=True)
        ],
        reading=reading,
    )


def open_archive(path: Path) -> Archive:
    """Read what an archive says that it holds.

    Raises:
        UserError: it cannot be read.
    """
    zipped = path.suffix.lower() == ZIP
    place = path if zipped else plain_tar(path)
    try:
        state = stamp(place)
        members = list(_in_zip(place) if zipped else _in_tar(place, path))
    except (*READ_ERRORS, *_DAMAGED) as error:
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
        raise UserError(f"{path}: cannot be read as an archive ({reason})") from None
    return _archive(path, place, state, members, zipped)


_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, NotImplementedError, UnicodeError, ValueError),
)


def _archive(
    path: Path, place: Path, state: Stamp, members: Sequence[Member], zipped: bool
) -> Archive:
    outside = [each.name for each in members if _outside(each.name)]
    if outside:
        raise UserError(
            f"{path}: {len(outside)} names lead out of the archive: {few(outside)}: pack it anew"
        )
    names = ["/".join(_parts(each.name)) for each in members]
    last = {name: row for row, name in enumerate(names)}
    kept = sorted(last.values())
    places = np.array([members[row][1:4] for row in kept], np.int64).reshape(-1, 3)
    checks = np.array([members[row][4:6] for row in kept], np.int64).reshape(-1, 2)
    return Archive(
        path,
        Inside(str(place), state, places, checks if zipped else None),
        [names[row] for row in kept],
        [_wrong(members[row]) for row in kept],
        [name for row, name in enumerate(names) if last[name] != row],
    )


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def _outside(name: str) -> bool:
    """Say whether a name would lead somewhere else if the archive were unpacked."""
    return name.startswith("/") or ".." in name.split("/") or name[1:3] in (":/", ":\\")


def _wrong(member: Member) -> str:
    if member.wrong:
        return member.wrong
    if not member.size:
        return "empty"
    if member.size > LARGEST:
        return f"{member.size:,} bytes are more than {LARGEST:,}"
    if member.size > SUSPECT and member.size > RATIO * member.packed:
        return f"{member.packed:,} bytes that unpack to {member.size:,}"
    return ""


def _in_zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for each in archive.infolist():
            name = each.filename.replace("\\", "/")  # of Windows
            if name.endswith("/"):
                continue
            wrong = ""
            if each.flag_bits & ENCRYPTED:
                wrong = "encrypted: unpack it"
            elif stat.S_ISLNK(each.external_attr >> 16):
                wrong = "a link: pack what it leads to"
            elif each.compress_type not in (zipfile.ZIP_STORED, DEFLATED):
                wrong = f"packed by method {each.compress_type}: pack it by deflate"
            yield Member(
                name,
                each.header_offset,
                each.compress_size,
                each.file_size,
                each.compress_type,
                each.CRC,
                wrong,
            )


def _in_tar(path: Path, called: Path) -> Iterator[Member]:
    size, found = path.stat().st_size, dict[str, Member]()
    with tarfile.open(path, "r:") as archive:
        for each in iter(archive.next, None):
            archive.members = []  # type: ignore[attr-defined]  # it would keep them all
            if each.isdir():
                continue
            member = Member(each.name, each.offset_data, each.size, each.size)
            if each.islnk() and each.linkname in found:
                member = found[each.linkname]._replace(name=each.name)
            elif each.issym() or each.islnk():
                member = Member(each.name, 0, wrong="a link: pack what it leads to (tar -h)")
            elif each.issparse():
                member = member._replace(wrong="packed with holes: pack it without -S")
            elif not each.isreg():
                member = Member(each.name, 0, wrong="no file, but a pipe or a device")
            elif member.begin + member.size > size:
                raise ValueError(f"cut off in {each.name}")
            found[each.name] = member
            yield member
        end = archive.offset
    with path.open("rb") as file:
        file.seek(end)
        block = file.read(BLOCK)
    if block.strip(b"\0"):
        raise ValueError(f"damaged at byte {end:,}")
    if len(block) < BLOCK:
        log.warning("%s has no mark at its end: some of it may be missing", called)
