"""What an export of a model of images computes."""

from pathlib import Path

import torch
from torch import Tensor, nn

from maskwise.exports.graph import Graph, Input, without
from maskwise.images.images import Images
from maskwise.patches.model import PatchModel


class Pixels(nn.Module):
    """From pixels, in raw units, to features; what is standardised is so within."""

    def __init__(self, model: PatchModel) -> None:
        super().__init__()
        self.model = without(model, ("decoder", "to_decoder", "head"))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features [B, D] of images, float32 [B, C, H, W]."""
        return self.model.encode(pixels)


def image_graph(model: PatchModel, folder: Path) -> Graph:
    """Return the mean of a model's positions as a graph."""
    images = model.tokenizer
    assert isinstance(images, Images)
    shape = images.channels, images.height, images.width
    mean, std = (torch.tensor(each)[:, None, None] for each in (images.mean, images.std))
    steps = torch.linspace(-1, 1, 2 * shape[0] * shape[1] * shape[2])
    pixels = steps.view(2, *shape) * std + mean
    what = (
        "pixels as they are stored, 0..255 or whatever the model was trained on, in the order"
        " channels, height, width; they are standardised in the graph"
    )
    return Graph(
        Pixels(model),
        (Input("pixels", pixels, what),),
        {"mean": list(images.mean), "std": list(images.std)},
    )
