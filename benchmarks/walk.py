"""Which files a call passes, from the command line to the first loss.

python -m benchmarks.walk [SOURCE ...] runs ``maskwise pretrain SOURCE`` until the loss of the
first step is known, with files made for the purpose where SOURCE is `cells` or `pictures`, and
lists the files of the package whose functions were called, in the order of their first call. All
is imported before, and importing is no call.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from types import FrameType

import numpy as np

import maskwise

SOURCES = ("cells", "digits", "pictures")
HERE = Path(str(maskwise.__file__)).parent


class Arrived(Exception):
    """The first loss is known."""


def made(source: str, folder: Path) -> str:
    """Return a source, made in a folder where it is a kind of file."""
    rng = np.random.default_rng(0)
    if source == "cells":
        import anndata

        path = folder / "cells.h5ad"
        counts = rng.poisson(1.0, (200, 40)).astype(np.float32)
        anndata.AnnData(counts).write_h5ad(path)
        return str(path)
    if source == "pictures":
        from PIL import Image

        for number in range(200):
            path = folder / "pictures" / f"{number % 2}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
        return str(folder / "pictures")
    return source


def walk(source: str) -> tuple[list[str], int]:
    """Return the files whose functions are called up to the first loss, and how many functions."""
    from maskwise import api, modalities
    from maskwise.cli import main
    from maskwise.train import loop

    assert api
    modalities.recipes()
    files: dict[str, None] = {}
    functions: set[tuple[str, str]] = set()

    def see(frame: FrameType, event: str, _: object) -> None:
        path = frame.f_code.co_filename
        name = frame.f_code.co_name
        if event != "call" or not path.startswith(str(HERE)) or name == "<module>":
            return
        where = str(Path(path).relative_to(HERE))
        files.setdefault(where)
        functions.add((where, frame.f_code.co_qualname))

    real = loop.Learner.losses

    def arrive(*arguments: object, **options: object) -> None:
        real(*arguments, **options)  # type: ignore[arg-type]
        raise Arrived

    loop.Learner.losses = arrive  # type: ignore[method-assign, assignment]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = [
            "pretrain",
            made(source, folder),
            "--budget",
            "none",
            "--out",
            str(folder / "run"),
        ]
        sys.setprofile(see)
        try:
            main(words)
        except Arrived:
            pass
        finally:
            sys.setprofile(None)
            loop.Learner.losses = real  # type: ignore[method-assign]
    return list(files), len(functions)


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("sources", nargs="*", default=SOURCES)
    for source in parser.parse_args().sources:
        files, num = walk(source)
        print(f"{source}: {len(files)} files, {num} functions\n  {'  '.join(files)}")


if __name__ == "__main__":
    run()
