"""Make the data of the comparison of laws on DNA from public files.

    python -m benchmarks.dna_data FOLDER --out DIR

FOLDER holds ctcf_peaks_100bp.fa.gz and pu1_peaks_100bp.fa.gz (DeepSTARR's demonstration),
celegans_chrI_part.fa.xz (htslib's tests), yeast_chrI.fa.xz (R64-1-1), splice_uci.csv (UCI), and
arabidopsis_chloroplast.gb.xz (NC_000932). DIR gets:

- genomes/: what is pretrained on, a FASTA file for each source;
- ctcf_pu1_train.tsv, ctcf_pu1_test.tsv: peaks of the other chromosomes, and of the held-out ones;
- splice.csv: as it is, to be cross-validated by sequence;
- coding.tsv: windows of the chloroplast that lie within coding sequence, or outside, and the block
  of 2,000 bases that each is in, to be cross-validated by block.
"""

import argparse
import csv
import gzip
import lzma
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

PEAKS = {"ctcf": "ctcf_peaks_100bp.fa.gz", "pu1": "pu1_peaks_100bp.fa.gz"}
GENOMES = {"celegans": "celegans_chrI_part.fa.xz", "yeast": "yeast_chrI.fa.xz"}
HELDOUT = ("chr8", "chr20", "CHROMOSOME_II", "CHROMOSOME_X")
WIDTH = 100  # bases of a peak
BLOCK = 2000  # bases of the chloroplast that stay together
NUM_TRAIN = 4000  # peaks of each class to train probes on


def records(path: Path) -> Iterator[tuple[str, str]]:
    """Give name and sequence of each record of a FASTA file."""
    opener: Any = {".gz": gzip.open, ".xz": lzma.open}[path.suffix]
    name, lines = "", list[str]()
    with opener(path, "rt") as file:
        for line in file:
            if line.startswith(">"):
                if name:
                    yield name, "".join(lines)
                name, lines = line[1:].split()[0], []
            else:
                lines.append(line.strip())
        yield name, "".join(lines)


def genomes(folder: Path, out: Path) -> None:
    """Write what is pretrained on; a peak that both proteins have is written once."""
    out.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    for protein, file in PEAKS.items():
        with (out / f"{protein}.fa").open("w", encoding="ascii") as written:
            for name, sequence in records(folder / file):
                if name not in seen:
                    written.write(f">{name}\n{sequence}\n")
                seen.add(name)
    for organism, file in GENOMES.items():
        with lzma.open(folder / file) as read, (out / f"{organism}.fa").open("wb") as written_raw:
            shutil.copyfileobj(read, written_raw)


def peaks(folder: Path, out: Path) -> None:
    """Write which protein a peak is of; a position that both have is left out."""
    of = {protein: dict(records(folder / file)) for protein, file in PEAKS.items()}
    both = set(of["ctcf"]) & set(of["pu1"])
    rows: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    for protein, found in of.items():
        train = []
        for name, sequence in found.items():
            if name in both:
                continue
            if name.split(":")[0] in HELDOUT:
                rows["test"].append((sequence, protein))
            else:
                train.append((sequence, protein))
        chosen = np.random.default_rng(0).choice(len(train), NUM_TRAIN, replace=False)
        rows["train"] += [train[place] for place in np.sort(chosen)]
    for part, found_rows in rows.items():
        write(out / f"ctcf_pu1_{part}.tsv", ("sequence", "label"), found_rows)


def coding(path: Path, out: Path) -> None:
    """Write windows that are all coding, or not at all, with the block that each is in."""
    text = lzma.decompress(path.read_bytes()).decode()
    sequence = re.sub("[^a-z]", "", text.split("ORIGIN", 1)[1]).upper()
    inside = np.zeros(len(sequence), dtype=bool)
    # What a feature's location says, up to its first qualifier.
    for location in re.findall(r"^     CDS +([^/]+)/", text, flags=re.MULTILINE):
        for start, stop in re.findall(r"(\d+)\.\.(\d+)", location):
            inside[int(start) - 1 : int(stop)] = True
    rows = []
    for start in range(0, len(sequence) - WIDTH + 1, WIDTH):
        share = inside[start : start + WIDTH].mean()
        if share in (0, 1):
            label = "coding" if share else "other"
            rows.append((sequence[start : start + WIDTH], label, str(start // BLOCK)))
    write(out / "coding.tsv", ("sequence", "label", "group"), rows)


def write(path: Path, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    with path.open("w", encoding="ascii", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([head, *rows])
    print(f"{path}: {len(rows)} rows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    genomes(arguments.folder, arguments.out / "genomes")
    peaks(arguments.folder, arguments.out)
    shutil.copyfile(arguments.folder / "splice_uci.csv", arguments.out / "splice.csv")
    coding(arguments.folder / "arabidopsis_chloroplast.gb.xz", arguments.out)


if __name__ == "__main__":
    main()
