"""Sequences of DNA with labels: tables, and FASTA files of one class each."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskwise.dna.bases import INVALID, UNKNOWN, encode
from maskwise.dna.fasta_files import SUFFIXES as FASTA
from maskwise.errors import UserError
from maskwise.textio import columns, json_rows, kind_of, read_lines, table_rows

_SEQUENCES = ("sequence", "seq", "dna")
_LABELS = ("label", "class", "target")
TABLES = (".csv", ".tsv", ".jsonl")


@dataclass(frozen=True, eq=False)
class LabelledSequences:
    """Sequences, as codes of bases, with a label each, and a group ("" = none)."""

    sequences: list[np.ndarray]
    labels: list[str]
    groups: list[str]

    def __len__(self) -> int:
        return len(self.sequences)


def read_sequences(paths: Sequence[Path]) -> LabelledSequences:
    """Read labelled sequences; .gz and .xz too.

    - one .csv (quoted), .tsv (not) or .jsonl with a column `sequence`, `seq` or `dna`, a column
      `label`, `class` or `target`, and, if sequences belong together, a column `group`;
    - FASTA files (.fa, .fasta, .fna, .ffn), each of one class, named like the file.

    Lower case is accepted. IUPAC codes of several bases become unknown bases.

    Raises:
        UserError: a file that cannot be read or is none of these, or a sequence that is empty,
            has a letter that is no DNA, or no known base.
    """
    kinds = {kind_of(path) for path in paths}
    if len(paths) == 1 and kinds <= set(TABLES):
        found = list(_from_json(paths[0]) if kinds == {".jsonl"} else _from_table(paths[0]))
    elif kinds <= set(FASTA):
        names = [class_of(path) for path in paths]
        if len(set(names)) < len(names):
            raise UserError(f"two FASTA files have one name ({', '.join(names)}): rename one")
        found = [row for path in paths for row in _from_fasta(path)]
    else:
        raise UserError(
            f"{' + '.join(map(str, paths))}: give one table ({', '.join(TABLES)}) or FASTA files"
            f" ({', '.join(FASTA)}) of one class each"
        )
    if not found:
        raise UserError(f"{' + '.join(map(str, paths))}: no sequences")
    sequences, labels, groups = zip(*found, strict=True)
    return LabelledSequences(list(sequences), list(labels), list(groups))


def class_of(path: Path) -> str:
    """Return a file's name without its endings and without a "train" or "test" at the end.

    >>> class_of(Path("ctcf_train.fa.gz"))
    'ctcf'
    """
    known = "|".join(kind[1:] for kind in (*TABLES, *FASTA))
    stem = re.sub(rf"(?:\.(?:{known}))?(?:\.(?:gz|bgz|xz))?$", "", path.name, flags=re.IGNORECASE)
    return re.sub(r"[._-]*(?:train(?:ing)?|test)$", "", stem) or path.absolute().parent.name


Row = tuple[np.ndarray, str, str]  # codes, label, group


def _from_json(path: Path) -> Iterator[Row]:
    for where, row in json_rows(path):
        sequence, label = columns(path, list(row), _SEQUENCES, _LABELS)
        group = "" if row.get("group") is None else row["group"]
        yield _row(path, where, str(row[sequence]), str(row[label]), str(group))


def _from_table(path: Path) -> Iterator[Row]:
    rows = table_rows(path)
    _, first = next(rows, ("", []))
    names = [name.strip().lower() for name in first]
    sequence, label = (names.index(name) for name in columns(path, names, _SEQUENCES, _LABELS))
    group = names.index("group") if "group" in names else None
    for where, row in rows:
        name = "" if group is None else row[group]
        yield _row(path, where, row[sequence], row[label], name)


def _from_fasta(path: Path) -> Iterator[Row]:
    name, parts = "", list[np.ndarray]()
    label = class_of(path)
    for number, line in enumerate(read_lines(path), start=1):
        text = line.strip()
        if text.startswith(">"):
            if name:
                yield _known(path, name, parts), label, ""
            name, parts = f"line {number} ({text[:40]})", []
        elif text and not name:
            raise UserError(f"{path} is no FASTA: line {number} comes before any '>'")
        elif text:
            parts.append(_codes(path, f"line {number}", text))
    if name:
        yield _known(path, name, parts), label, ""


def _row(path: Path, where: str, sequence: str, label: str, group: str) -> Row:
    if not label.strip():
        raise UserError(f"{path}: {where} has no label")
    codes = _codes(path, where, "".join(sequence.split()))
    return _known(path, where, [codes]), label.strip(), group.strip()


def _codes(path: Path, where: str, letters: str) -> np.ndarray:
    codes = encode(letters)
    wrong = codes == INVALID
    if wrong.any():
        letter = letters[int(wrong.argmax())]
        raise UserError(
            f"{path}: {where} has the letter '{letter}', which is no DNA: give A, C, G, T or IUPAC"
            " codes"
        )
    return codes


def _known(path: Path, where: str, parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return the whole sequence, which must have a known base."""
    codes = np.concatenate([np.zeros(0, np.uint8), *parts])
    if not (codes & 7 < UNKNOWN).any():
        raise UserError(f"{path}: {where} has no known base: leave it out")
    return codes
