"""Check an encoder of your own, and pretrain it: here a small convolutional network of pictures.

Hidden patches of a picture are filled with a learned one, and the network returns a feature map,
from which the patches are predicted. A module of embedded patches, from [B, L, width] to the
same, would do as well: see "Use your own encoder" in the documentation.

python examples/own_encoder.py
"""

import torch
from torch import Tensor, nn

import maskwise as mw
from maskwise.testing import check_encoder

SETTINGS = {"mode": "replace", "class_token": False}


class Block(nn.Module):
    """A residual convolution over the pixels nearby, then one over the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.space = nn.Conv2d(width, width, kernel_size=5, padding=2, groups=width)
        self.channels = nn.Sequential(
            nn.GroupNorm(1, width), nn.Conv2d(width, 2 * width, 1), nn.GELU()
        )
        self.back = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.back(self.channels(self.space(x)))


def make_encoder() -> nn.Module:
    """From pictures [B, 1, 8, 8] to features [B, 32, 4, 4]: one for each patch of 2 x 2."""
    return nn.Sequential(nn.Conv2d(1, 32, kernel_size=2, stride=2), Block(32), Block(32))


def main() -> None:
    print(check_encoder(make_encoder, "digits", model=SETTINGS))
    run = mw.pretrain(
        "digits",
        out="runs/own-encoder",
        encoder=make_encoder,
        model=SETTINGS,
        train={"steps": 300},
    )
    # The folder holds the weights, not the code: give a fresh encoder to load them into.
    model = mw.load(run.path, encoder=make_encoder)
    with torch.no_grad():
        print("features:", tuple(model.encode(torch.zeros(5, 1, 8, 8)).shape))
    print("report:", run.report)


if __name__ == "__main__":
    main()
