"""Pretrain an encoder of your own: here a small convolutional network.

In "replace" mode hidden positions become a mask token, so the encoder may be any module from
[B, N, width] to [B, N, width].

python examples/own_encoder.py
"""

import torch
from torch import Tensor, nn

import maskwise as mw

WIDTH, GRID = 48, (4, 4)  # digits are 8 x 8 and the patch is 2 x 2


class Mixer(nn.Module):
    """A residual convolution over the grid of positions, then one over the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.space = nn.Conv2d(width, width, kernel_size=3, padding=1, groups=width)
        self.channels = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU())

    def forward(self, tokens: Tensor) -> Tensor:
        x = tokens.transpose(1, 2).unflatten(2, GRID)
        tokens = tokens + self.space(x).flatten(2).transpose(1, 2)
        return tokens + self.channels(tokens)


def make_encoder() -> nn.Module:
    return nn.Sequential(Mixer(WIDTH), Mixer(WIDTH), nn.LayerNorm(WIDTH))


def main() -> None:
    run = mw.pretrain(
        "digits",
        out="runs/own-encoder",
        encoder=make_encoder,
        model={"mode": "replace", "class_token": False, "width": WIDTH},
        train={"steps": 300},
    )
    # The folder holds the weights, not the code: give a fresh encoder to load them into.
    model = mw.load(run.path, encoder=make_encoder)
    with torch.no_grad():
        print("features:", tuple(model.encode(torch.zeros(5, 1, 8, 8)).shape))
    print("report:", run.report)


if __name__ == "__main__":
    main()
