"""What texts hold: found by reading them once, and kept by size and time of the files."""

import logging
from dataclasses import asdict, dataclass, field

from maskwise.encodings import whole
from maskwise.errors import UserError
from maskwise.files import Entries, cached, read_json, write_json
from maskwise.text.given import Given
from maskwise.text.sources import How, Part, Seen, identity, read_all, tell, text_files
from maskwise.textio import Broken, few, leave_out
from maskwise.tokens.files import other_files

log = logging.getLogger("maskwise")


@dataclass(frozen=True)
class Survey:
    """What a source of texts holds."""

    files: int = 0
    bytes: int = 0
    documents: int = 0
    characters: int = 0
    empty: int = 0
    """documents without a letter"""
    blank: int = 0
    """lines that are no documents"""
    halves: int = 0
    """texts with halves of characters"""
    encodings: dict[str, int] = field(default_factory=dict)
    """of text files, and how many have each"""
    broken: dict[str, str] = field(default_factory=dict)
    """rows without a text by where they are, and why"""
    empty_files: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    """files of other kinds in a folder"""

    def entries(self) -> Entries:
        """Return what a dry look says of it."""
        told: Entries = {}
        if self.files:
            told |= {"files": self.files, "bytes": self.bytes}
        if self.encodings:
            told["encodings"] = self.encodings
        told |= {"documents": self.documents, "characters": self.characters}
        counts = {
            "documents without a letter": self.empty,
            "blank lines": self.blank,
            "with halves of characters": self.halves,
        }
        told |= {name: num for name, num in counts.items() if num}
        lists = {
            "without a text": list(self.broken),
            "empty files": self.empty_files,
            "left out": self.others,
        }
        return told | {name: f"{len(each)}: {few(each)}" for name, each in lists.items() if each}


def look(source: str, how: How) -> Survey:
    """Return what a source holds.

    Raises:
        UserError: it cannot be read at all.
    """
    key = {"format": 1, "source": source, "texts": identity(source, how)}
    if _has_files(source):
        files = text_files(source)
        key["beside"] = [[path.name for path in each] for each in (files.empty, files.others)]
    place = cached("texts", key).with_suffix(".json")
    if place.is_file():
        try:
            return Survey(**read_json(place))
        except (UserError, TypeError):  # of another version, or damaged
            log.info("%s: %s is read anew", source, place)
    found = _surveyed(source, how)
    write_json(place, asdict(found))
    return found


def _has_files(source: str) -> bool:
    return source != "pydoc" and not source.startswith("hf:")


def _surveyed(source: str, how: How) -> Survey:
    seen = Seen()
    broken: dict[str, str] = {}
    documents = characters = filled = 0
    blank = True  # whether the document has had no letter yet
    for part in read_all(source, how, seen):
        if part.wrong:
            broken[part.where] = part.wrong
            continue
        documents += part.first
        blank |= part.first
        characters += len(part.text)
        if blank and part.text.strip():
            filled, blank = filled + 1, False
    counted = Survey(
        documents=documents,
        characters=characters,
        empty=documents - filled,
        blank=seen.blank,
        halves=seen.halves,
        encodings=dict(seen.encodings),
        broken=broken,
    )
    if not _has_files(source):
        return counted
    files = text_files(source)
    return Survey(
        **asdict(counted)
        | {
            "files": len(files.used),
            "bytes": sum(path.stat().st_size for path in files.used),
            "empty_files": [whole(path.name) for path in files.empty],
            "others": [whole(path.name) for path in files.others],
        }
    )


def of_given(given: Given) -> Survey:
    """Return what texts from Python hold."""
    missing = set(given.missing)
    kept = [text for row, text in enumerate(given.texts) if row not in missing]
    return Survey(
        documents=len(kept),
        characters=sum(map(len, kept)),
        empty=sum(not text.strip() for text in kept),
        broken={f"text {row + 1}": "it is missing" for row in given.missing},
    )


def say(source: str, found: Survey, policy: Broken) -> None:
    """Say what is unusual and what is left out.

    Raises:
        UserError: rows have no text, and the policy is to stop.
    """
    tell(source, found.encodings, found.halves)
    if found.empty_files:
        log.warning(
            "%s: %d empty files left out: %s",
            *(source, len(found.empty_files), few(found.empty_files)),
        )
    if found.others:
        log.warning("%s: %s", source, other_files(found.others))
    leave_out(source, found.broken, policy)


def parts_of(given: Given) -> list[Part]:
    """Return texts from Python as documents."""
    missing = set(given.missing)
    return [Part(text, True) for row, text in enumerate(given.texts) if row not in missing]
