"""An MLP, a convolutional net and a transformer for `benchmarks.networks`.

All map [B, L, channels], with zeros where hidden, to [B, L, channels].
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class MLP(nn.Module):
    """One hidden layer on the flattened sample."""

    def __init__(self, grid: tuple[int, ...], channels: int, width: int) -> None:
        super().__init__()
        size = math.prod(grid) * channels
        self.inner, self.outer = nn.Linear(size, width), nn.Linear(width, size)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(functional.relu(self.inner(x.flatten(1)))).view_as(x)


class Conv(nn.Module):
    """Three layers of 3 x 3 (in one dimension, 5) with a residual in the middle."""

    def __init__(self, grid: tuple[int, ...], channels: int, width: int) -> None:
        super().__init__()
        self.grid = grid
        kind, size = (nn.Conv1d, 5) if len(grid) == 1 else (nn.Conv2d, 3)
        sides = ((channels, width), (width, width), (width, channels))
        self.layers = nn.ModuleList(kind(*side, size, padding="same") for side in sides)

    def forward(self, x: Tensor) -> Tensor:
        first, second, last = self.layers
        h = functional.relu(first(x.transpose(1, 2).unflatten(2, self.grid)))
        h = h + functional.relu(second(h))
        return last(h).flatten(2).transpose(1, 2)


class Block(nn.Module):
    """Pre-norm attention (one head) and MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        # Plain products: at this size they are faster on a CPU than the fused attention.
        q, k, v = self.qkv(self.norm1(x)).chunk(3, dim=2)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(1, 2)
        x = x + self.out(scores.softmax(-1) @ v)
        return x + self.down(functional.relu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """Two blocks with learned position embeddings."""

    def __init__(self, grid: tuple[int, ...], channels: int, width: int) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(channels, width), nn.Linear(width, channels)
        self.position = nn.Parameter(torch.empty(math.prod(grid), width))
        self.blocks = nn.Sequential(Block(width), Block(width))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embed(x) + self.position)))


def build(
    network: str, grid: tuple[int, ...], channels: int, width: int, generator: torch.Generator
) -> nn.Module:
    """Return a network whose weights are N(0, 1 / fan-in), biases 0, position embeddings N(0, 1).

    The module is made without memory first: torch's own initialisation would draw from the
    global generator.
    """
    kind: type[nn.Module] = {"mlp": MLP, "conv": Conv, "transformer": Transformer}[network]
    with torch.device("meta"):
        model = kind(grid, channels, width)
    model.to_empty(device="cpu")
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            fan_in = 1 if name == "position" else parameter[0].numel()
            nn.init.normal_(parameter, std=fan_in**-0.5, generator=generator)
        else:
            is_scale = "norm" in name and name.endswith("weight")
            nn.init.constant_(parameter, 1.0 if is_scale else 0.0)
    return model
