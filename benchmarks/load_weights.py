"""How long a ViT-B takes to start from weights, and in how much memory, beside torch and timm.

python -m benchmarks.load_weights

Each line has a process of its own, so that none warms another. `start` is all of it: to look into
the file, to make a model and to fill it. Peak memory is what the process had at most, less what it
had after its imports, over the size of the file; seconds are of one core.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maskwise.images.images import Images

WAYS = ("start", "torch", "timm")
FORMS = ("safetensors", "pth")


def write(folder: Path) -> list[Path]:
    """Write the weights of a random ViT-B in both forms."""
    import torch
    from safetensors.torch import save_file

    from maskwise.images.vit_names import TIMM, names_of, to_theirs
    from maskwise.patches.model import PatchModel, PatchModelSettings

    shape = PatchModelSettings(width=768, heads=12, positions="learned", mode="replace")
    state = PatchModel(_images(), shape).state_dict()
    weights = to_theirs(state, names_of(TIMM, shape.depth), (16, 16))
    paths = [folder / f"vit_b.{form}" for form in FORMS]
    save_file(weights, paths[0])
    torch.save({"model": weights}, paths[1])
    return paths


def _images() -> "Images":
    from maskwise.images.images import Images

    mean, std = (124.0,) * 3, (58.0,) * 3
    return Images(patch=(16, 16), channels=3, height=224, width=224, mean=mean, std=std)


def measure(way: str, path: Path) -> None:
    """Load weights in one way; print seconds of a core, and peak memory over the file."""
    import torch
    from safetensors.torch import load_file

    from maskwise.images.init import load_into, settings_for
    from maskwise.images.recipes import ImageRunSettings
    from maskwise.modalities import build

    if way == "timm":
        from tests.peers import peer

        timm = peer("timm")
    torch.set_num_threads(1)
    before, begun = _memory("VmRSS"), time.process_time()
    if way == "start":
        config = settings_for(ImageRunSettings(), path, ())
        load_into(build(_images(), config.model, seed=0), path)
    elif way == "timm":
        timm.create_model("vit_base_patch16_224", checkpoint_path=path, num_classes=0)
    elif path.suffix == ".pth":
        torch.load(path, weights_only=True)
    else:
        load_file(path)
    seconds = time.process_time() - begun
    peak = _memory("VmHWM") - before
    size = path.stat().st_size
    print(f"{way:6} {path.suffix:13} {seconds:6.2f} s   {peak / size:5.2f} x {size / 1e6:.0f} MB")


def _memory(what: str) -> int:
    """Return the bytes that this process has in memory, VmRSS, or had at most, VmHWM."""
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith(what):
            return int(line.split()[1]) * 1024
    raise KeyError(what)


def main() -> None:
    """Print a line for each way and form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "FILE"))
    one = parser.parse_args().one
    if one:
        measure(one[0], Path(one[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        for path in write(Path(folder)):
            for way in WAYS:
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.load_weights",
                    "--one",
                    way,
                    str(path),
                ]
                subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
