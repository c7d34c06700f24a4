"""Time reading cells of a sparse .h5ad at random: maskwise's source, and anndata's AnnLoader.

    python -m benchmarks.cells_loader [--cells 200000] [--rounds 5]

Synthetic counts (20,000 genes, 1,000 of them in each cell) are written to a temporary folder, a
part at a time, not compressed and by gzip and lzf. Both sides read shuffled batches of 128 cells
as dense tensors, in turn, so that a machine whose speed drifts slows both alike; a ratio is the
median over rounds of the paired ratio of times of the processor. maskwise gives cells normalised
to library size and log1p, of all genes and of the 2,000 most variable ones. AnnLoader gives counts
of all genes, from which the 2,000 are taken; in a third comparison these are normalised too, which
makes the work the same.
Then fresh processes open files of a tenth of the cells and of all, look through them, choose
genes and read 20,000 cells; what is printed is the most memory that each ever held, beside that
of the imports alone.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from benchmarks.dna_loader import peak
from benchmarks.step import measure
from maskwise.cells.cells import Cells
from maskwise.cells.data import CellsDataSettings, load
from maskwise.columns.tabular import TabularRows
from maskwise.train.batches import Batches

GENES, DETECTED = 20_000, 1_000
BATCH = 128
BATCHES = 4  # in a round
PART = 10_000  # cells written at once
READS = 20_000  # cells that a fresh process reads
COMPRESSIONS = (None, "lzf", "gzip")


def write_cells(path: Path, num: int, compression: str | None = None) -> None:
    """Write an .h5ad file with counts of `num` cells, chunked as anndata writes it."""
    import anndata
    import h5py
    import pandas as pd

    frames = (
        pd.DataFrame(index=[f"{what}{n}" for n in range(size)])
        for what, size in (("cell", num), ("gene", GENES))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        anndata.AnnData(obs=next(frames), var=next(frames)).write_h5ad(path)
    generator = np.random.default_rng(0)
    with h5py.File(path, "a") as file:
        file.pop("X", None)
        group = file.create_group("X")
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        group.attrs["shape"] = np.array([num, GENES])
        group["indptr"] = np.arange(num + 1, dtype=np.int64) * DETECTED
        arrays = [
            group.create_dataset(
                name, (num * DETECTED,), dtype, maxshape=(None,), compression=compression
            )
            for name, dtype in (("data", np.float32), ("indices", np.int32))
        ]
        for start in range(0, num, PART):
            size = min(PART, num - start)
            some = slice(start * DETECTED, (start + size) * DETECTED)
            arrays[0][some] = generator.geometric(0.4, size * DETECTED).astype(np.float32)
            # A gene in each of as many equal parts of all.
            step = GENES // DETECTED
            place = generator.integers(0, step, (size, DETECTED), np.int32)
            place += np.arange(0, GENES, step, dtype=np.int32)[:DETECTED]
            arrays[1][some] = place.ravel()


def loader(path: Path, genes: Sequence[str] | None, target: float | None) -> Iterator[Tensor]:
    """Give batches of anndata's AnnLoader, shuffled anew whenever all were read.

    Args:
        path: the file.
        genes: which to take; None: all.
        target: the library size to normalise to, before log1p; None: counts.
    """
    import anndata
    from anndata.experimental import AnnLoader

    cells = anndata.read_h5ad(path, backed="r")
    # Of each batch: from a backed view of some genes it would read the whole file for each.
    some = slice(None) if genes is None else torch.from_numpy(cells.var_names.get_indexer(genes))
    while True:
        for batch in AnnLoader(cells, batch_size=BATCH, shuffle=True):
            counts = batch.X[:, some]
            if target is not None:
                counts = (counts * (target / batch.X.sum(1, keepdim=True))).log1p()
            yield counts


def speed(path: Path, rounds: int) -> None:
    """Print cells/s of both sides, and their ratio."""
    for which in ("first", "second"):
        began = time.perf_counter()
        few = load(CellsDataSettings(source=str(path)))
        print(f"  opened for the {which} time in {time.perf_counter() - began:.1f} s", flush=True)
    everything = load(CellsDataSettings(source=str(path), num_genes=None))

    def ours(rows: TabularRows) -> Callable[[int], None]:
        batches = Batches(rows, batch_size=BATCH, seed=0)

        def step(number: int) -> None:
            for _ in batches.read(number * BATCHES, (number + 1) * BATCHES):
                pass

        return step

    def theirs(cells: Iterator[Tensor]) -> Callable[[int], None]:
        def step(number: int) -> None:
            for _ in range(BATCHES):
                next(cells)

        return step

    assert isinstance(few.tokenizer, Cells)
    some, target = few.tokenizer.genes, few.tokenizer.target_sum
    for what, splits, cells in (
        ("all genes", everything, loader(path, None, None)),
        ("2,000 genes", few, loader(path, some, None)),
        ("2,000 genes, both normalised", few, loader(path, some, target)),
    ):
        steps = {"AnnLoader": theirs(cells), "maskwise": ours(splits.train)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            times = measure(cast(Any, steps), rounds, clock=time.process_time)
        gain = times["AnnLoader"] / times["maskwise"]
        rates = [BATCHES * BATCH / np.median(seconds) for seconds in times.values()]
        print(
            f"  {what}: AnnLoader {rates[0]:,.0f} cells/s, maskwise {rates[1]:,.0f}:"
            f" {np.median(gain):.1f}x as fast ({gain.min():.1f} .. {gain.max():.1f}; asked: 10)",
            flush=True,
        )


def memory(path: Path | None) -> float:
    """Return the most MiB that this process held, after reading a file."""
    if path is not None:
        rows = load(CellsDataSettings(source=str(path))).train
        generator = np.random.default_rng(1)
        for _ in range(READS // BATCH):
            rows.get(generator.integers(0, len(rows), BATCH))
    return peak()


def fresh(path: Path | None) -> float:
    """Return `memory` of a process of its own."""
    command = [sys.executable, "-m", "benchmarks.cells_loader", "--memory-of", str(path or "")]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=float, default=2e5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of is not None:
        print(memory(Path(arguments.memory_of) if arguments.memory_of else None))
        return
    torch.set_num_threads(1)
    num = int(arguments.cells)
    print(f"imports alone: {fresh(None):.0f} MiB at most")
    for compression in COMPRESSIONS:
        with tempfile.TemporaryDirectory() as folder:
            cache = str(Path(folder) / "cache")
            with mock.patch.dict(os.environ, MASKWISE_CACHE=cache):
                path = Path(folder) / "cells.h5ad"
                write_cells(path, num, compression)
                size = path.stat().st_size / 1e9
                print(f"{num:,} cells, {size:.2f} GB, {compression or 'not compressed'}:")
                speed(path, arguments.rounds)
            small = Path(folder) / "small.h5ad"
            write_cells(small, num // 10, compression)
            for each, cells in ((small, num // 10), (path, num)):
                with mock.patch.dict(os.environ, MASKWISE_CACHE=f"{cache}-{cells}"):
                    print(f"  {cells:,} cells: {fresh(each):.0f} MiB at most", flush=True)


if __name__ == "__main__":
    main()
