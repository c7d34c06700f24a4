"""What others call the weights of a vision transformer, and how theirs become ours and back.

Ours are those of `PatchModel`. Functions here are pure: dictionaries of tensors in and out.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

Names = Mapping[str, tuple[str, ...]]
"""our name -> theirs; where they have several, their rows follow each other in ours"""
Patch = tuple[int, int]


@dataclass(frozen=True)
class Style:
    """The names that a library gives to the parts of an encoder, and of a decoder behind it.

    Parts are layers, with a weight and a bias, but tokens and positions.
    """

    title: str
    encoder: Mapping[str, str]
    blocks: str
    block: Mapping[str, tuple[str, ...]]
    decoder: Mapping[str, str] = field(default_factory=dict)
    decoder_blocks: str = ""


TIMM_BLOCK = {
    "norm1": ("norm1",),
    "qkv": ("attn.qkv",),
    "project": ("attn.proj",),
    "norm2": ("norm2",),
    "mlp.0": ("mlp.fc1",),
    "mlp.2": ("mlp.fc2",),
}
HF_BLOCK = {
    "norm1": ("layernorm_before",),
    "qkv": tuple(f"attention.attention.{part}" for part in ("query", "key", "value")),
    "project": ("attention.output.dense",),
    "norm2": ("layernorm_after",),
    "mlp.0": ("intermediate.dense",),
    "mlp.2": ("output.dense",),
}
TIMM = Style(
    title="timm",
    encoder={
        "class_token": "cls_token",
        "positions": "pos_embed",
        "embed": "patch_embed.proj",
        "encoder.norm": "norm",
    },
    blocks="blocks.{}.",
    block=TIMM_BLOCK,
    decoder={
        "to_decoder": "decoder_embed",
        "mask_token": "mask_token",
        "decoder_positions": "decoder_pos_embed",
        "decoder.norm": "decoder_norm",
        "head": "decoder_pred",
    },
    decoder_blocks="decoder_blocks.{}.",
)
HF = Style(
    title="transformers",
    encoder={
        "class_token": "embeddings.cls_token",
        "positions": "embeddings.position_embeddings",
        "embed": "embeddings.patch_embeddings.projection",
        "encoder.norm": "layernorm",
    },
    blocks="encoder.layer.{}.",
    block=HF_BLOCK,
    decoder={
        "to_decoder": "decoder.decoder_embed",
        "mask_token": "decoder.mask_token",
        "decoder_positions": "decoder.decoder_pos_embed",
        "decoder.norm": "decoder.decoder_norm",
        "head": "decoder.decoder_pred",
    },
    decoder_blocks="decoder.decoder_encoder.layer.{}.",
)
TOKENS = ("class_token", "mask_token", "positions", "decoder_positions")
"""parts that are one tensor each"""
DECODER = ("to_decoder.", "mask_token", "decoder_positions", "decoder.", "head.")
"""how names of ours begin that are not the encoder's"""

# What transformers 5 calls weights while a model runs, and what it writes into files.
RUNNING = {
    r"^vit\.": "",
    r"^decoder\.decoder_layers\.": "decoder.decoder_encoder.layer.",
    r"^layers\.": "encoder.layer.",
    r"\.attention\.q_proj\.": ".attention.attention.query.",
    r"\.attention\.k_proj\.": ".attention.attention.key.",
    r"\.attention\.v_proj\.": ".attention.attention.value.",
    r"\.attention\.o_proj\.": ".attention.output.dense.",
    r"(\.layer\.\d+)\.mlp\.fc1\.": r"\1.intermediate.dense.",
    r"(\.layer\.\d+)\.mlp\.fc2\.": r"\1.output.dense.",
}


def as_written(name: str) -> str:
    """Return what transformers calls a weight in a file of an encoder alone.

    >>> as_written("vit.layers.0.attention.q_proj.bias")
    'encoder.layer.0.attention.attention.query.bias'
    """
    for pattern, instead in RUNNING.items():
        name = re.sub(pattern, instead, name)
    return name


def names_of(
    style: Style, depth: int, decoder_depth: int | None = None, *, class_token: bool = True
) -> dict[str, tuple[str, ...]]:
    """Return the names of all weights, ours to theirs.

    Args:
        style: whose names.
        depth: blocks of the encoder.
        decoder_depth: blocks of the decoder; None: there is no decoder.
        class_token: whether there is a token of no position.

    >>> names = names_of(HF, depth=1)
    >>> names["encoder.blocks.0.norm1.bias"], len(names["encoder.blocks.0.qkv.weight"])
    (('encoder.layer.0.layernorm_before.bias',), 3)
    """
    parts: dict[str, tuple[str, ...]] = {ours: (theirs,) for ours, theirs in style.encoder.items()}
    if not class_token:
        del parts["class_token"]
    stacks = [("encoder", style.blocks, depth)]
    if decoder_depth is not None:
        parts |= {ours: (theirs,) for ours, theirs in style.decoder.items()}
        stacks.append(("decoder", style.decoder_blocks, decoder_depth))
    for stack, blocks, num in stacks:
        for index in range(num):
            for ours, theirs in style.block.items():
                place = blocks.format(index)
                parts[f"{stack}.blocks.{index}.{ours}"] = tuple(place + each for each in theirs)
    return {
        f"{ours}{kind}": tuple(f"{each}{kind}" for each in theirs)
        for ours, theirs in parts.items()
        for kind in ([""] if ours in TOKENS else [".weight", ".bias"])
    }


def depth_of(names: Iterable[str], blocks: str) -> int:
    """Return how many blocks there are whose names begin so.

    >>> depth_of(["blocks.0.norm1.bias", "blocks.1.norm1.bias", "norm.bias"], "blocks.{}.")
    2
    """
    pattern = re.compile(re.escape(blocks).replace(r"\{\}", r"(\d+)"))
    found = [pattern.match(name) for name in names]
    return max((int(each[1]) + 1 for each in found if each), default=0)


def to_ours(theirs: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    """Return weights under our names; those of which all parts are there.

    The patch embedding stays a convolution, [D, C, h, w], until its size is known to fit; the
    head's rows are in the order of theirs, see `head_to_ours`; positions may still begin with
    that of the class token, see `without_class`.
    """
    return {
        ours: torch.cat([theirs[part] for part in parts]) if len(parts) > 1 else theirs[parts[0]]
        for ours, parts in names.items()
        if all(part in theirs for part in parts)
    }


def to_theirs(ours: Mapping[str, Tensor], names: Names, patch: Patch) -> dict[str, Tensor]:
    """Return all weights under their names.

    Args:
        ours: the state of a `PatchModel`, and its positions where these are no part of it.
        names: which of them.
        patch: height and width in pixels.
    """
    found: dict[str, Tensor] = {}
    first = int("class_token" in names)
    for name, parts in names.items():
        value = ours[name].detach().cpu()
        if name == "embed.weight":
            value = value.unflatten(1, (-1, *patch))
        elif name in ("positions", "decoder_positions"):
            value = torch.cat([value.new_zeros(1, first, value.shape[2]), value], dim=1)
        elif name.startswith("head."):
            value = head_to_theirs(value, patch)
        found |= zip(parts, (each.clone() for each in value.chunk(len(parts))), strict=True)
    return found


def without_class(positions: Tensor, token: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return positions [1, L, D] of [1, 1 + L, D], and a class token that has its own added."""
    first, rest = positions[:, :1], positions[:, 1:]
    return rest, None if token is None else token + first


def head_to_ours(value: Tensor, patch: Patch) -> Tensor:
    """Reorder the rows of a head, [h w C, ...], from pixel by pixel to channel by channel.

    >>> head_to_ours(torch.arange(8), (2, 2)).tolist()
    [0, 2, 4, 6, 1, 3, 5, 7]
    """
    return value.unflatten(0, (patch[0] * patch[1], -1)).transpose(0, 1).flatten(0, 1)


def head_to_theirs(value: Tensor, patch: Patch) -> Tensor:
    """Reorder the rows of a head, [C h w, ...], from channel by channel to pixel by pixel.

    >>> head_to_theirs(head_to_ours(torch.arange(8), (2, 2)), (2, 2)).tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    return value.unflatten(0, (-1, patch[0] * patch[1])).transpose(0, 1).flatten(0, 1)
