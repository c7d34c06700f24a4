"""Random vision transformers of others, and models of ours that start from their weights."""

import logging

import numpy as np
import torch
from torch import nn

from maskwise.images.images import array_source, describe
from maskwise.images.init import load_into, settings_for
from maskwise.images.recipes import ImageRunSettings
from maskwise.modalities import build
from maskwise.settings import flatten, override
from tests.peers import peer

IMAGENET = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
HALF = torch.full((3,), 0.5), torch.full((3,), 0.5)
SHAPE = {"width": 32, "depth": 2, "heads": 2, "decoder_width": 16, "decoder_heads": 2}
PICTURES = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)


def shaken(make, *args, **options):
    """Make a module with weights that are nowhere 0 or 1, the same each time, in eval mode."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(0)
        module = make(*args, **options)
        for value in module.parameters():
            value.add_(0.1 * torch.randn_like(value))
    return module.eval()


def timm_vit(**changes):
    """A ViT of timm for images of 16 x 16 in patches of 4 x 4, width 32, two blocks and heads."""
    shape = {"img_size": 16, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2}
    timm = peer("timm")
    return shaken(timm.models.VisionTransformer, **(shape | {"num_classes": 0} | changes))


HF_SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 16,
    "patch_size": 4,
}
HF_DECODER = {
    "decoder_hidden_size": 16,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 32,
}


def hf_vit(folder, **changes):
    """A ViT of transformers, which is written into a folder."""
    transformers = peer("transformers")
    config = transformers.ViTConfig(**(HF_SHAPE | changes))
    model = shaken(transformers.ViTModel, config, add_pooling_layer=False)
    return saved(model, folder)


def hf_mae(folder, **changes):
    """A ViTMAE of transformers with positions, which is written into a folder."""
    transformers = peer("transformers")
    config = transformers.ViTMAEConfig(**(HF_SHAPE | HF_DECODER | changes))
    model = shaken(transformers.ViTMAEForPreTraining, config)
    with torch.no_grad():  # the decoder's class token has no position in MAE
        model.decoder.decoder_pos_embed[:, 0] = 0
    return saved(model, folder)


def saved(model, folder):
    peer("transformers").utils.logging.disable_progress_bar()
    level = logging.root.manager.disable
    logging.disable()
    try:
        model.save_pretrained(folder)
    finally:
        logging.disable(level)
    return model


class Masked(nn.Module):
    """A masked autoencoder as MAE names its parts, out of blocks of timm."""

    def __init__(self, width=32, behind=16, patch=4, grid=4):
        super().__init__()
        block = peer("timm").models.vision_transformer.Block
        norm = {"norm_layer": lambda size, **more: nn.LayerNorm(size, eps=1e-6), "qkv_bias": True}
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(positions(grid, width))
        self.blocks = nn.Sequential(*(block(width, 2, **norm) for _ in range(2)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.decoder_embed = nn.Linear(width, behind)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, behind))
        self.decoder_pos_embed = nn.Parameter(positions(grid, behind))
        self.decoder_blocks = nn.Sequential(block(behind, 2, **norm))
        self.decoder_norm = nn.LayerNorm(behind, eps=1e-6)
        self.decoder_pred = nn.Linear(behind, 3 * patch * patch)

    def features(self, x):
        x = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        return self.norm(self.blocks(x))

    def forward(self, x, hidden):
        """Predict hidden patches, [B, H, 3 p p], pixel by pixel; as many in each sample."""
        tokens = self.patch_embed["proj"](x).flatten(2).transpose(1, 2) + self.pos_embed[:, 1:]
        num = len(x)
        seen = tokens[~hidden].view(num, -1, tokens.shape[2])
        first = (self.cls_token + self.pos_embed[:, :1]).expand(num, -1, -1)
        seen = self.decoder_embed(self.norm(self.blocks(torch.cat([first, seen], dim=1))))
        full = self.mask_token.expand(num, hidden.shape[1], -1).clone()
        full[~hidden] = seen[:, 1:].flatten(0, 1)
        x = torch.cat([seen[:, :1], full], dim=1) + self.decoder_pos_embed
        x = self.decoder_pred(self.decoder_norm(self.decoder_blocks(x)))[:, 1:]
        return x[hidden].view(num, -1, x.shape[2])


def positions(grid, width):
    """MAE's table: sines and cosines of the column, then of the row; 0 for the class token."""
    rates = 10_000.0 ** (-np.arange(width // 4) / (width // 4))
    rows, columns = np.divmod(np.arange(grid * grid), grid)
    parts = [part(np.outer(axis, rates)) for axis in (columns, rows) for part in (np.sin, np.cos)]
    table = np.concatenate([np.zeros((1, width)), np.concatenate(parts, axis=1)])
    return torch.from_numpy(table).float()[None]


def masked_autoencoder():
    """A random one, whose positions are still MAE's."""
    model = shaken(Masked)
    with torch.no_grad():
        model.pos_embed.copy_(positions(4, 32))
        model.decoder_pos_embed.copy_(positions(4, 16))
    return model


def started(place, pictures=PICTURES, **given):
    """A model of ours that starts from weights, and what it says of them."""
    given = flatten(given)
    config = override(ImageRunSettings(), {"model.init": str(place), **given})
    config = settings_for(config, place, given)
    data = config.data
    tokenizer = describe(array_source(pictures), data.patch, data.target, data.mean, data.std)
    model = build(tokenizer, config.model, seed=0).eval()
    told = load_into(model, place)
    return model, told


def as_pixels(pictures, statistics):
    """Standardise pictures of 8 bits, [B, 3, H, W]."""
    mean, std = (each[:, None, None] for each in statistics)
    return (torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255 - mean) / std


def raw(pictures):
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)
