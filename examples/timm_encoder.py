"""Pretrain a vision transformer of timm, and give it back to timm.

Its blocks see visible patches only; its own patch embedding, positions and class token are kept.

pip install "maskwise[timm]", then python examples/timm_encoder.py
"""

import numpy as np

import maskwise as mw

NAME = "vit_tiny_patch16_224"
SHAPE = "depth=4,embed_dim=96,num_heads=4"


def main() -> None:
    run = mw.pretrain(
        "digits",
        out="runs/timm-vit",
        # The size of the pictures, their channels and patches follow from the data.
        model={"encoder": f"timm:{NAME},{SHAPE}"},
        train={"steps": 300},
    )
    print("features:", run.embed(np.zeros((5, 8, 8), np.uint8)).shape, "report:", run.report)
    # timm.create_model("local-dir:runs/timm-vit/timm", pretrained=True) reads it.
    print("for timm:", run.export(run.path / "timm", "timm"))


if __name__ == "__main__":
    try:
        import timm  # noqa: F401
    except ImportError:
        print('timm is missing: pip install "maskwise[timm]"')
    else:
        main()
