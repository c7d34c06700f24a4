"""Start from a vision transformer of timm, go on under a law, and give timm its encoder back.

python examples/from_timm.py
"""

from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.torch import save_file

import maskwise as mw


def main() -> None:
    # A small one with random weights; yours is a file that timm or somebody else has written.
    shape = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 2, "num_heads": 2}
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, **shape).eval()
    save_file(vit.state_dict(), "vit.safetensors")

    photos = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    run = mw.pretrain(
        photos,
        law="uniform:0.6,0.9",
        out="runs/from-timm",
        model={"init": "vit.safetensors", "heads": 2, "decoder_width": 32, "decoder_depth": 1},
        train={"steps": 20},
    )
    run.export("back", "timm")

    again = timm.create_model("local-dir:back", pretrained=True).eval()
    mean, std = (
        torch.tensor(again.pretrained_cfg[name])[:, None, None] for name in ("mean", "std")
    )
    pixels = torch.from_numpy(photos[:4]).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        theirs = again.forward_features((pixels - mean) / std)[:, 1:].mean(1)
    apart = np.abs(run.embed(photos[:4]) - theirs.numpy()).max()
    print(f"features of the run and of timm are equal to {apart:.0e}")
    assert apart < 1e-4, apart
    print("in", Path("back") / "model.safetensors", "report:", run.report)


if __name__ == "__main__":
    main()
