"""Odd inputs of every kind of data, as people have them: files built by hypothesis.

Each is sound, and then says what is in it, or has something wrong somewhere.
"""

import gzip
import io
import json
import lzma
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image

STEMS = [
    "a",
    "with space",
    "\u00fcn\u00ef \u03b2",
    "-dash",
    "=sum",
    "a.b",
    "UPPER",
    "100%",
    "it's",
    "~",
    "new\nline",
]
CODECS = {"": lambda data: data, ".gz": gzip.compress, ".xz": lzma.compress}
LETTERS = st.sampled_from("abc xyz,;\t'\"\\{}<>=\u00e9\u00fc\u00df-0123.")
WIDE = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])


@dataclass(frozen=True)
class Odd:
    """Files, and what a source of them holds.

    Args:
        kind: the name of the kind of data.
        files: contents by name.
        source: the file or folder that is given.
        settings: words of the command line.
        holds: what is in it, or None if something is wrong.
        links: symbolic links, with where they lead.
    """

    kind: str
    files: dict[str, bytes]
    source: str
    settings: tuple[str, ...] = ()
    holds: list | None = None
    links: tuple[tuple[str, str], ...] = ()

    def write(self, folder: Path) -> str:
        """Write the files below a folder; return the source, as a word of the command line."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for name, target in self.links:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(target)
        source = folder / self.source
        if not self.files and not source.exists():
            source.mkdir()
        return str(source)


@st.composite
def damaged(draw, content: bytes) -> bytes:
    """Return a file that something happened to."""
    how = draw(st.sampled_from(["cut", "flipped", "empty", "zeros", "twice", "noise"]))
    if how == "empty" or not content:
        return b""
    place = draw(st.integers(0, len(content) - 1))
    if how == "cut":
        return content[:place]
    if how == "flipped":
        return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]
    if how == "zeros":
        return content[:place] + b"\0" * 8 + content[place:]
    return content * 2 if how == "twice" else draw(st.binary(max_size=64))


@st.composite
def texts(draw) -> Odd:
    """Texts in lines, JSON lines, lists of JSON and tables."""
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))
    letters = LETTERS if encoding == "cp1252" else st.one_of(LETTERS, WIDE)
    said = draw(st.lists(st.text(letters, max_size=30), max_size=5))
    said = [f"w{text}w" for text in said]
    ending = draw(st.sampled_from([".txt", ".md", ".jsonl", ".json", ".csv"]))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    blanks = draw(st.booleans())
    if ending in (".txt", ".md"):
        lines = said
    elif ending == ".jsonl":
        ascii_only = draw(st.booleans())
        lines = [json.dumps({"text": text, "n": 1}, ensure_ascii=ascii_only) for text in said]
        encoding = "utf-8" if encoding in ("utf-16", "cp1252") else encoding
    elif ending == ".json":
        lines = [json.dumps([{"text": text} for text in said])]
        encoding = "utf-8"
    else:
        quoted = ['"' + text.replace('"', '""') + '"' for text in said]
        lines = ["text,n", *(f"{text},1" for text in quoted)]
    content = newline.join(lines + [""] * (1 + blanks * (ending != ".json"))).encode(encoding)
    wrong = draw(st.booleans())
    codec = draw(st.sampled_from(sorted(CODECS)))
    content = CODECS[codec](content)
    if wrong:
        content = draw(damaged(content))
    name = draw(st.sampled_from(STEMS)) + ending + codec
    files, source = {name: content}, name
    if draw(st.booleans()):
        files = {f"in/{name}": content, "in/._" + name: b"\0\5", "in/.x/y.txt": b"hidden"}
        source = "in"
    holds = said if said and not wrong else None
    return Odd("text", files, source, ("--modality", "text"), holds)


def _encoded(array: np.ndarray, mode: str, form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).convert(mode).save(file, format=form)
    return file.getvalue()


@st.composite
def pictures(draw) -> Odd:
    """Folders of pictures, with classes and splits or without, some of them broken."""
    height, width = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    mode = draw(st.sampled_from(["L", "L", "RGB", "RGB", "RGBA", "LA", "P", "1"]))
    form = draw(st.sampled_from(["PNG", "BMP", "TIFF", "GIF"]))
    if form != "PNG" and mode in ("RGBA", "LA", "P"):
        mode = "RGB"
    layout = draw(st.sampled_from(["flat", "classes", "splits"]))
    parts = {
        "flat": [""],
        "classes": ["cat/", "d og/"],
        "splits": ["Train/cat/", "Train/dog/", "valid/cat/", "valid/dog/"],
    }[layout]
    num = draw(st.integers(0, 6))
    files, holds, wrong = {}, [], False
    for part in parts:
        for number in range(num):
            content = np.full((height, width), 40 * number, np.uint8)
            data = _encoded(content, mode, form)
            if draw(st.integers(0, 19)) == 0:
                data, wrong = draw(damaged(data)), True
            stem = draw(st.sampled_from(STEMS))
            files[f"in/{part}{number}{stem}.{form.lower()}"] = data
    if draw(st.booleans()):
        files["in/__MACOSX/._0.png"] = b"\0"
        files["in/notes.txt"] = b"notes"
    some = [(("in/loop", "."),), (("in/gone.png", "nowhere.png"),)]
    links = draw(st.sampled_from([(), (), (), (), *some]))
    wrong |= bool(links) or mode not in ("L", "RGB") or form == "GIF" or not num
    if not wrong:
        holds = sorted(name.removeprefix("in/") for name in files if name.endswith(form.lower()))
    settings = draw(
        st.sampled_from(
            [(), ("--data.size", "4"), ("--data.broken", "skip"), ("--data.channels", "3")]
        )
    )
    return Odd("images", files, "in", settings, holds or None, links)


@st.composite
def sequences(draw) -> Odd:
    """Records of FASTA."""
    bases = st.text(st.sampled_from("ACGTacgtNRY"), max_size=90)
    said = draw(st.lists(bases, max_size=4))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    width = draw(st.sampled_from([7, 60, 1000]))
    lines = []
    for number, record in enumerate(said):
        lines.append(f">{draw(st.sampled_from(['chr', 'r|s', 'x y ']))}{number}")
        lines += [record[start : start + width] for start in range(0, len(record), width)]
    content = newline.join([*lines, ""]).encode()
    wrong = draw(st.booleans())
    codec = draw(st.sampled_from(sorted(CODECS)))
    content = CODECS[codec](content)
    if wrong:
        content = draw(damaged(content))
    name = draw(st.sampled_from(STEMS)) + draw(st.sampled_from([".fa", ".fasta", ".fna"])) + codec
    known = any(set(record.upper()) & set("ACGT") for record in said)
    holds = said if known and not wrong else None
    return Odd("dna", {name: content}, name, ("--data.window", "16"), holds)


@st.composite
def frames(draw) -> Odd:
    """Tables as text."""
    rows = draw(st.integers(0, 12))
    delimiter = draw(st.sampled_from([",", ";", "\t"]))
    decimal = draw(st.sampled_from([".", ","] if delimiter == ";" else ["."]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))
    numbers = draw(st.lists(st.integers(-(10**6), 10**6), min_size=rows, max_size=rows))
    kinds = draw(
        st.lists(st.sampled_from(["red", " blue", "gr\u00fcn", ""]), min_size=rows, max_size=rows)
    )
    header = draw(st.sampled_from(["x,kind", "2019,\u00fc 1", "x,x", "x,"])).split(",")
    lines = [delimiter.join(header)]
    for number, word in zip(numbers, kinds, strict=True):
        lines.append(f"{number / 8}".replace(".", decimal) + delimiter + word)
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    content = (newline.join(lines) + newline).encode(encoding)
    wrong = draw(st.booleans())
    if wrong:
        content = draw(damaged(content))
    name = draw(st.sampled_from(STEMS)) + (".tsv" if delimiter == "\t" else ".csv")
    sound = rows > 2 and not wrong and header == ["x", "kind"]
    holds = [number / 8 for number in numbers] if sound else None
    return Odd("tables", {name: content}, name, (), holds)


@st.composite
def cells(draw) -> Odd:
    """Matrices of 10x, as text."""
    genes, barcodes = draw(st.tuples(st.integers(0, 5), st.integers(0, 6)))
    counts = np.array(
        draw(st.lists(st.integers(0, 9), min_size=genes * barcodes, max_size=genes * barcodes))
    ).reshape(genes, barcodes)
    entries = [f"{g + 1} {c + 1} {counts[g, c]}" for g, c in np.argwhere(counts)]
    head = [
        "%%MatrixMarket matrix coordinate integer general",
        f"{genes} {barcodes} {len(entries)}",
    ]
    files = {
        "matrix.mtx": "\n".join([*head, *entries, ""]).encode(),
        "features.tsv": "".join(
            f"ENSG{g}\tgene{g}\tGene Expression\n" for g in range(genes)
        ).encode(),
        "barcodes.tsv": "".join(f"cell {c}-1\n" for c in range(barcodes)).encode(),
    }
    wrong = draw(st.booleans())
    if wrong:
        which = draw(st.sampled_from(sorted(files)))
        files[which] = draw(damaged(files[which]))
    codec = draw(st.sampled_from(["", ".gz"]))
    files = {f"in/{name}{codec}": CODECS[codec](data) for name, data in files.items()}
    sound = not wrong and counts.size and counts.sum(0).all()
    return Odd("cells", files, "in", (), counts.T.tolist() if sound else None)


KINDS = {"text": texts, "images": pictures, "dna": sequences, "tables": frames, "cells": cells}
EVERY = st.one_of([make() for make in KINDS.values()])
