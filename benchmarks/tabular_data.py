"""Make the data of the comparison of laws on single cells and tables from public files.

    python -m benchmarks.tabular_data FOLDER --out DIR

FOLDER holds cells/pbmc4k_top2000.h5 and cells/bladder_2100_full.h5 (scDCC's data: matrices X,
types Y), tables/covertype15k/train.csv.xz (15,120 rows of UCI's Covertype) and
tables/mfeat/mfeat-{fac,fou,kar,pix}.csv.xz (UCI's Multiple Features: no names, the digit in the
last column). DIR gets pbmc4k.h5ad, bladder.h5ad, covertype.csv and mfeat.csv.
"""

import argparse
import csv
import lzma
from pathlib import Path

import numpy as np

VIEWS = ("fac", "fou", "kar", "pix")


def cells(source: Path, out: Path) -> None:
    """Write a matrix of counts and its types as AnnData."""
    import anndata
    import h5py
    import pandas as pd
    from scipy import sparse

    with h5py.File(source) as file:
        counts, types = file["X"][:], file["Y"][:]
    genes = pd.DataFrame(index=[f"gene{number}" for number in range(counts.shape[1])])
    obs = pd.DataFrame({"type": [f"type{int(each)}" for each in types]})
    obs.index = obs.index.astype(str)
    anndata.AnnData(sparse.csr_matrix(counts.astype(np.float32)), obs, genes).write_h5ad(out)


def covertype(source: Path, out: Path) -> None:
    """Write the rows without their numbers."""
    with lzma.open(source, "rt") as file:
        rows = [row[1:] for row in csv.reader(file)]
    write(out, rows)


def mfeat(folder: Path, out: Path) -> None:
    """Join the views of each digit, and leave out rows that occur twice."""
    views = []
    for view in VIEWS:
        with lzma.open(folder / f"mfeat-{view}.csv.xz", "rt") as file:
            views.append(list(csv.reader(file)))
    widths = {view: len(rows[0]) - 1 for view, rows in zip(VIEWS, views, strict=True)}
    names = [f"{view}{i}" for view, width in widths.items() for i in range(width)]
    kept: dict[tuple[str, ...], str] = {}
    for parts in zip(*views, strict=True):
        digits = {part[-1].strip() for part in parts}
        if len(digits) != 1:
            raise ValueError(f"the views of a row are of different digits: {digits}")
        values = [value.strip() for part in parts for value in part[:-1]]
        kept.setdefault(tuple(values), f"digit{digits.pop()}")
    write(out, [[*names, "digit"], *([*values, digit] for values, digit in kept.items())])


def write(out: Path, rows: list[list[str]]) -> None:
    """Write rows as text."""
    with out.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    source, out = arguments.folder, arguments.out
    out.mkdir(parents=True, exist_ok=True)
    cells(source / "cells/pbmc4k_top2000.h5", out / "pbmc4k.h5ad")
    cells(source / "cells/bladder_2100_full.h5", out / "bladder.h5ad")
    covertype(source / "tables/covertype15k/train.csv.xz", out / "covertype.csv")
    mfeat(source / "tables/mfeat", out / "mfeat.csv")
    print(*sorted(path.name for path in out.iterdir()))


if __name__ == "__main__":
    main()
