"""The textbook masked autoencoder that speed is compared with, in one file.

Encode the visible patches, decode all positions, take the loss at the hidden ones, step with
unfused AdamW: what a careful reader of the paper (arXiv 2111.06377) writes first.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attention(self, x: Tensor) -> Tensor:
        batch, num, width = x.shape
        qkv = self.qkv(x).reshape(batch, num, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1)
        return self.project((weights @ v).transpose(1, 2).reshape(batch, num, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class SdpaLayer(Layer):
    """The same with torch's fused attention, for the well-set comparison."""

    def attention(self, x: Tensor) -> Tensor:
        batch, num, width = x.shape
        qkv = self.qkv(x).reshape(batch, num, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.project(mixed.transpose(1, 2).reshape(batch, num, width))


class TextbookMAE(nn.Module):
    def __init__(
        self,
        *,
        image: int = 32,
        patch: int = 4,
        width: int = 192,
        depth: int = 12,
        heads: int = 3,
        decoder_width: int = 128,
        decoder_depth: int = 2,
        decoder_heads: int = 4,
        layer: type[Layer] = Layer,
    ) -> None:
        super().__init__()
        self.patch, self.length = patch, (image // patch) ** 2
        self.embed = nn.Linear(3 * patch**2, width)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, self.length + 1, width), requires_grad=False)
        self.blocks = nn.Sequential(*(layer(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.to_decoder = nn.Linear(width, decoder_width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_width))
        self.decoder_positions = nn.Parameter(
            torch.zeros(1, self.length + 1, decoder_width), requires_grad=False
        )
        self.decoder_blocks = nn.Sequential(
            *(layer(decoder_width, decoder_heads) for _ in range(decoder_depth))
        )
        self.decoder_norm = nn.LayerNorm(decoder_width, eps=1e-6)
        self.head = nn.Linear(decoder_width, 3 * patch**2)

    def patchify(self, images: Tensor) -> Tensor:
        batch, channels, height, width = images.shape
        p = self.patch
        x = images.reshape(batch, channels, height // p, p, width // p, p)
        return x.permute(0, 2, 4, 3, 5, 1).reshape(batch, self.length, p * p * channels)

    def forward(self, images: Tensor, ratio: float) -> Tensor:
        patches = self.patchify(images)
        x = self.embed(patches) + self.positions[:, 1:]
        batch, num, width = x.shape
        kept = int(num * (1 - ratio))
        shuffle = torch.rand(batch, num, device=x.device).argsort(dim=1)
        restore = shuffle.argsort(dim=1)
        x = x.gather(1, shuffle[:, :kept, None].expand(-1, -1, width))
        mask = torch.ones(batch, num, device=x.device)
        mask[:, :kept] = 0
        mask = mask.gather(1, restore)
        first = (self.class_token + self.positions[:, :1]).expand(batch, -1, -1)
        x = self.norm(self.blocks(torch.cat([first, x], dim=1)))

        x = self.to_decoder(x)
        tokens = self.mask_token.expand(batch, num - kept, -1)
        full = torch.cat([x[:, 1:], tokens.to(x.dtype)], dim=1)
        full = full.gather(1, restore[:, :, None].expand(-1, -1, x.shape[-1]))
        x = torch.cat([x[:, :1], full], dim=1) + self.decoder_positions
        prediction = self.head(self.decoder_norm(self.decoder_blocks(x)))[:, 1:]

        mean, var = patches.mean(-1, keepdim=True), patches.var(-1, keepdim=True)
        target = (patches - mean) / (var + 1e-6).sqrt()
        error = (prediction.float() - target).square().mean(-1)
        return (error * mask).sum() / mask.sum()
