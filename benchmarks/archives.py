"""Time the same pictures read from a folder, a .zip, a .tar and a .parquet.

    python -m benchmarks.archives [--num 4000] [--side 64] [--rounds 5]

Small JPEGs in ten classes are written to a folder and packed, the .zip with deflate and without.
Of each source is timed: listing it with a look at all headers, as before every training (of
Parquet the bytes are copied into the cache then, the first time); and decoding in a random order
in minibatches, as training does with what does not fit into memory. Sources take turns, and the
fastest round of each counts. Rates are images a second, with the ratio to the folder.
"""

import argparse
import io
import os
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from maskwise.images import looked
from maskwise.images.data import ImageDataSettings, load
from maskwise.patches.arrays import read_ahead

CLASSES, BATCH = 10, 256


def write(folder: Path, num: int, side: int) -> list[Path]:
    """Write smooth pictures with some noise, which JPEG packs as it packs photographs."""
    from PIL import Image

    rng, paths = np.random.default_rng(0), []
    for number in range(num):
        small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)
        path = folder / str(number % CLASSES) / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = rng.normal(0, 6, (side, side, 3))
        values = (np.asarray(image) + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(values).save(path, quality=85)
        paths.append(path)
    return sorted(paths)


def pack(folder: Path, paths: list[Path]) -> dict[str, Path]:
    """Pack the pictures of a folder in every way, beside it; return all sources by name."""
    import pyarrow as pa
    from pyarrow import parquet

    beside = folder.parent
    for name, how in (("deflated", zipfile.ZIP_DEFLATED), ("stored", zipfile.ZIP_STORED)):
        with zipfile.ZipFile(beside / f"{name}.zip", "w", how) as archive:
            for path in paths:
                archive.write(path, path.relative_to(folder))
    with tarfile.open(beside / "plain.tar", "w") as tar:
        for path in paths:
            content = path.read_bytes()
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    rows = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    labels = [path.parent.name for path in paths]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(rows, kind), "label": labels})
    parquet.write_table(table, beside / "rows.parquet", row_group_size=100)
    return {
        "folder": folder,
        ".zip, deflated": beside / "deflated.zip",
        ".zip, stored": beside / "stored.zip",
        ".tar": beside / "plain.tar",
        ".parquet": beside / "rows.parquet",
    }


def seconds(do: Callable[[], object]) -> float:
    """Return how long something takes."""
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--num", type=int, default=4000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    looked.MEMORY_BYTES = 0  # decoded whenever asked for
    with tempfile.TemporaryDirectory() as place:
        os.environ["MASKWISE_CACHE"] = f"{place}/cache"
        folder = Path(place, "pictures")
        sources = pack(folder, write(folder, args.num, args.side))
        first, again, decode = ({name: float("inf") for name in sources} for _ in range(3))
        order = np.random.default_rng(1)
        for number in range(args.rounds):
            for name, path in sources.items():
                data = ImageDataSettings(source=str(path))
                taken = seconds(lambda data=data: load(data))  # type: ignore[misc]
                kept = again if number else first
                kept[name] = min(kept[name], taken)
                train = load(data).train
                rows = order.permutation(len(train))
                parts = np.array_split(rows, -(-len(rows) // BATCH))
                taken = seconds(lambda: [None for _ in read_ahead(train, parts)])  # noqa: B023
                decode[name] = min(decode[name], taken / len(rows))
        print(f"{args.num} JPEGs of {args.side} x {args.side}, {os.cpu_count()} cores")
        print("| source | first look, s | later, s | decoded, images/s | ratio | MB |")
        print("|---|---|---|---|---|---|")
        for name, path in sources.items():
            files = path.rglob("*.jpg") if path.is_dir() else [path]
            size = sum(each.stat().st_size for each in files) / 1e6
            print(
                f"| {name} | {first[name]:.2f} | {again[name]:.2f} | {1 / decode[name]:,.0f} |"
                f" {decode['folder'] / decode[name]:.2f} | {size:.1f} |"
            )


if __name__ == "__main__":
    main()
