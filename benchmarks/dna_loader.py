"""Time reading windows of a genome: maskwise's source, and pyfaidx asked for each window.

    python -m benchmarks.dna_loader [--size 1e9] [--rounds 40]

A genome of random letters is written to a temporary folder (records of 100 Mb, 60 letters in a
line, a tenth of it N). Both sides read random batches in turn, so that a machine whose speed
drifts slows both alike; a ratio is the median over rounds of the paired ratio of times.
Then fresh processes open genomes up to that size and read batches of them; what is printed is the
most memory that each ever held, beside that of the imports alone.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.step import measure
from maskwise.dna.bases import CODES
from maskwise.dna.data import Windows, either_strand, split, windows
from maskwise.dna.fasta import open_genome
from maskwise.dna.record import any_dna
from maskwise.dna.tokens import DNA
from maskwise.modalities import build
from maskwise.rng import shuffled
from maskwise.train.batches import Batches
from maskwise.train.config import EfficiencySettings, connect
from maskwise.train.loop import Learner, backward, plan_of, prepare, setup

WIDTH, LINE, RECORD = 512, 60, 10**8
BATCH, LARGE = 64, 256
BATCHES = 32  # in a round
OURS, PLAIN = "maskwise", ("pyfaidx, slices", "pyfaidx, raw slices", "pyfaidx, its fetch")
READS = 20_000  # windows that a fresh process reads


def write_genome(path: Path, size: int) -> None:
    """Write a FASTA file with `size` letters."""
    generator = np.random.default_rng(0)
    letters = np.frombuffer(b"ACGTacgt", dtype=np.uint8)
    with path.open("wb") as file:
        for number, start in enumerate(range(0, size, RECORD), start=1):
            length = min(RECORD, size - start)
            file.write(f">chr{number}\n".encode())
            for place in range(0, length, LINE << 14):
                some = letters[generator.integers(0, 8, min(LINE << 14, length - place), np.uint8)]
                if length / 2 <= place < length * 0.6:
                    some[:] = ord("N")
                data = np.full((-(-len(some) // LINE), LINE + 1), ord("\n"), dtype=np.uint8)
                whole = len(some) // LINE * LINE
                data[: whole // LINE, :LINE] = some[:whole].reshape(-1, LINE)
                if len(some) > whole:
                    data[-1, : len(some) - whole] = some[whole:]
                file.write(data.tobytes()[: len(some) + len(data)])


def source_of(path: Path) -> Windows:
    genome = open_genome(path)
    return windows(genome, split(genome, 0.05)[0], width=WIDTH)


class Pyfaidx(Dataset[Tensor]):
    """The plain data set: pyfaidx gives each window as a str, a table turns that into codes.

    Sliced as pyfaidx's manual shows, as str without its class of sequences, or by the function
    below that, which is the fastest.
    """

    def __init__(self, path: Path, ours: Windows, how: str) -> None:
        import pyfaidx

        self.file, self.how = pyfaidx.Fasta(path, as_raw=how != PLAIN[0]), how
        records, starts, _ = ours.place(range(len(ours)))
        self.names, self.records, self.starts = ours.genome.names, records, starts

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> Tensor:
        name, start = self.names[self.records[index]], int(self.starts[index])
        if self.how == PLAIN[2]:
            letters = self.file.faidx.fetch(name, start + 1, start + WIDTH)
        else:
            letters = str(self.file[name][start : start + WIDTH])
        return torch.from_numpy(CODES[np.frombuffer(letters.encode(), dtype=np.uint8)])

    def get(self, indices: Tensor) -> Tensor:
        return torch.stack([self[index] for index in indices.tolist()])


def speed(path: Path, rounds: int, size: int) -> float:
    """Print windows/s of both sides in batches of a size, and their ratio; return ours."""
    source = source_of(path)
    plain = {how: Pyfaidx(path, source, how) for how in PLAIN}
    order = shuffled(len(source), seed=0, epoch=0)[: (rounds + 3) * BATCHES * size]
    batches = order.reshape(-1, BATCHES, size)
    for theirs in plain.values():
        assert torch.equal(source.get(batches[0, 0]), theirs.get(batches[0, 0]))
    loader = Batches(source, batch_size=size, seed=0)

    def ours_loaded(number: int) -> None:
        for _ in loader.read(number * BATCHES, (number + 1) * BATCHES):
            pass

    def loaded(theirs: Pyfaidx) -> Callable[[int], None]:
        def step(number: int) -> None:
            for _ in DataLoader(theirs, batch_sampler=batches[number].tolist()):
                pass

        return step

    def each(get: Callable[[Tensor], Tensor]) -> Callable[[int], None]:
        def step(number: int) -> None:
            for batch in batches[number]:
                get(batch)

        return step

    print(f"random batches of {size}, by index:")
    steps = {OURS: each(source.get)} | {how: each(data.get) for how, data in plain.items()}
    compare(steps, rounds, BATCHES * size)
    print(f"batches of {size}, as a training loop reads them:")
    steps = {OURS: ours_loaded} | {how: loaded(data) for how, data in plain.items()}
    return compare(steps, rounds, BATCHES * size)


def compare(steps: dict[str, Callable[[int], None]], rounds: int, num: int) -> float:
    """Print windows/s of steps that read `num` of them, and the first one's gain; return its."""
    # On one thread time of the processor, which other programs cannot take away.
    times = measure(cast(Any, steps), rounds, clock=time.process_time)
    for name, seconds in times.items():
        gain = seconds / times[OURS]
        low, high = np.percentile(gain, [25, 75])
        print(
            f"  {name:<20} {num / np.median(seconds):10,.0f} windows/s, maskwise is"
            f" {np.median(gain):.1f}x as fast ({low:.1f} .. {high:.1f}; asked: 5)"
        )
    return num / float(np.median(times[OURS]))


def model_rate(source: Windows, rounds: int = 3) -> float:
    """Return the windows/s of a training step of the model for data of one's own, in bf16."""
    config = any_dna("array")
    fabric = connect(EfficiencySettings(accelerator="cpu", precision="bf16"))
    fabric.launch()
    network = build(DNA(WIDTH), config.model, seed=0)
    model, optimizer = setup(fabric, Learner(network), config.train)
    plan = plan_of(config, either_strand)
    seconds = []
    for batch in Batches(source, batch_size=BATCH, seed=0).read(0, rounds + 1):
        began = time.process_time()
        part = prepare(batch, network, plan, fabric.device)
        backward(fabric, model, network, part, plan)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.process_time() - began)
    return BATCH / float(np.median(seconds[1:]))


def opening(path: Path) -> None:
    """Print how long the first and the second start take."""
    for which in ("first", "second"):
        began = time.perf_counter()
        source = source_of(path)
        seconds = time.perf_counter() - began
        print(f"{which} start: {seconds:6.2f} s, {len(source):,} windows")


def memory(path: Path | None) -> list[float]:
    """Return the most MiB that this process held: after reading a genome, and with its order."""
    if path is None:
        return [peak()]
    source = source_of(path)
    generator = np.random.default_rng(1)
    for _ in range(READS // BATCH):
        source.get(generator.integers(0, len(source), BATCH))
    read = peak()
    shuffled(len(source), seed=0, epoch=0)
    return [read, peak()]


def peak() -> float:
    # Other than getrusage's, this figure does not begin with what the parent held.
    [line] = [
        line for line in Path("/proc/self/status").read_text().split("\n") if "VmHWM" in line
    ]
    return int(line.split()[1]) / 1024


def fresh(path: Path | None) -> list[float]:
    """Return `memory` of a process of its own."""
    command = [sys.executable, "-m", "benchmarks.dna_loader", "--memory-of", str(path or "")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=float, default=1e9, help="letters of the largest genome")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of is not None:
        print(*memory(Path(arguments.memory_of) if arguments.memory_of else None))
        return
    torch.set_num_threads(1)
    size = int(arguments.size)
    with tempfile.TemporaryDirectory() as folder:
        with mock.patch.dict(os.environ, MASKWISE_CACHE=str(Path(folder) / "cache")):
            print(f"imports alone: {fresh(None)[0]:.0f} MiB at most")
            for part in (100, 10, 1):
                path = Path(folder) / f"genome{part}.fa"
                write_genome(path, size // part)
                read, ordered = fresh(path)
                print(
                    f"{size // part / 1e6:,.1f} Mb: {read:.0f} MiB at most, with the order of an"
                    f" epoch {ordered:.0f}"
                )
        with mock.patch.dict(os.environ, MASKWISE_CACHE=str(Path(folder) / "again")):
            opening(path)
            rate = speed(path, arguments.rounds, BATCH)
            speed(path, arguments.rounds // 2, LARGE)
            step = model_rate(source_of(path))
    print(
        f"a training step of the default model, in bf16: {step:,.1f} windows/s; reading is"
        f" {rate / step:,.0f}x as fast (asked: 20)"
    )


if __name__ == "__main__":
    main()
