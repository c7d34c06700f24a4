"""What a file or folder of weights of a vision transformer holds: whose it is, and its shape."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from maskwise.errors import UserError, option
from maskwise.files import Entries, read_json
from maskwise.images.images import WHITE
from maskwise.images.vit_names import (
    DECODER,
    HF,
    TIMM,
    Names,
    Style,
    as_written,
    depth_of,
    names_of,
)
from maskwise.layers.transformer import sincos_positions
from maskwise.layers.weights import FILES, Weights, open_weights

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""mean and standard deviation of its channels, as shares of white"""
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
"""those that processors of transformers have unless they are told others"""
MANY_HEADS = {1152: 16, 1280: 16, 1408: 16, 1664: 16}
"""widths that are not 64 a head, of the largest vision transformers"""
BEHIND = re.compile(r"(head|fc|pre_logits|classifier|pooler)\.|embeddings\.mask_token$")
"""what stands behind an encoder, and is not needed"""
WANTED = (
    "a vision transformer has patches, a norm before each attention and MLP and a last one behind"
    " them, biases of queries, keys and values, plain MLPs, and one class token at most"
)


@dataclass(frozen=True)
class Checkpoint:
    """Weights of a vision transformer.

    Args:
        place: where they are.
        title: whose they are.
        weights: the tensors.
        names: of them that we use, ours to theirs.
        left: names of those that we do not.
        model: settings of the shape that they say; None: that is to be given.
        usual: those of them that nothing says, but that are usual.
        patch: height and width in pixels.
        channels: of images.
        grid: patches along height and width.
        with_class: whether the class token has a position, the first.
        mean: of channels, as shares of white; none: it is not known.
        std: likewise.
        pixels: where these come from.
        target: what the decoder predicts; None: not known.
        ours: whether they have our names and orders.
    """

    place: Path
    title: str
    weights: Weights
    names: Names
    left: tuple[str, ...]
    model: Entries
    usual: frozenset[str]
    patch: tuple[int, int]
    channels: int
    grid: tuple[int, int]
    with_class: bool
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    pixels: str = ""
    target: str | None = None
    ours: bool = False

    @property
    def decoder(self) -> bool:
        """Whether there is a decoder that we use."""
        return "to_decoder.weight" in self.names

    def read(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Return tensors by their names."""
        return self.weights.read(part for name in names for part in self.names[name])


def read_checkpoint(place: Path) -> Checkpoint:
    """Look into weights of timm, transformers or MAE.

    Raises:
        UserError: they are missing or damaged, or those of something else.
    """
    weights, told = open_weights(place), _told(place)
    renamed = weights.named(as_written)
    style = HF if f"{HF.encoder['embed']}.weight" in renamed.shapes else TIMM
    weights = renamed if style is HF else weights
    names, left = _used(place, weights, style)
    shapes = {ours: weights.shapes[parts[0]] for ours, parts in names.items()}
    ranks = {"embed.weight": 4, "positions": 3}
    if odd := [names[n][0] for n, shape in shapes.items() if len(shape) < ranks.get(n, 1)]:
        raise _misfit(place, "its shapes do not fit:", odd)
    _check_words(place, told)
    model = sizes_of(shapes)
    usual = _heads(model, told)
    channels, *patch = shapes["embed.weight"][1:]
    side = (patch[0], patch[1])
    grid, with_class = _grid(place, shapes, side, told)
    eps = told.get("layer_norm_eps", 1e-12) if style is HF else told.get("norm_eps", 1e-6)
    model |= {"class_token": "class_token" in names, "eps": eps}
    model["positions"] = _positions(weights, names, grid, with_class)
    mean, std, pixels = _pixels(style, "head.weight" in names, told)
    found = Checkpoint(
        place=place,
        title=_title(style, names),
        weights=weights,
        names=names,
        left=left,
        model=model,
        usual=usual,
        patch=side,
        channels=channels,
        grid=grid,
        with_class=with_class,
        mean=mean,
        std=std,
        pixels=pixels,
        target={True: "normalised", False: "raw"}.get(told.get("norm_pix_loss", "")),
    )
    wrong = _wrong(found)
    if wrong and all(name.startswith(DECODER) for name in wrong):
        return _without_decoder(found)
    if wrong:
        parts = [part for name in wrong for part in names[name]]
        raise _misfit(place, "its shapes do not fit:", parts)
    return found


def _without_decoder(found: Checkpoint) -> Checkpoint:
    """Leave a decoder that ours cannot be, as one whose MLPs are of another width."""
    behind = {name: each for name, each in found.names.items() if name.startswith(DECODER)}
    parts = [part for each in behind.values() for part in each]
    model = {key: each for key, each in found.model.items() if not key.startswith("decoder")}
    names = {name: each for name, each in found.names.items() if name not in behind}
    return replace(found, names=names, left=(*found.left, *parts), model=model, target=None)


def _told(place: Path) -> Entries:
    """Return what the config.json beside weights says, if there is one, and what is beside that.

    Raises:
        UserError: a folder without one.
    """
    folder = place if place.is_dir() else place.parent
    path, pixels = folder / "config.json", folder / "preprocessor_config.json"
    if place.is_dir() and not path.is_file():
        raise UserError(f"{place} has no config.json, which says what its weights are")
    if not path.is_file() or not (place.is_dir() or place.name in FILES):
        return {}
    found: Entries = {}
    for each in (path, pixels):
        values = read_json(each) if each.is_file() else {}
        if not isinstance(values, dict):
            raise UserError(f"{each} is no description of a model")
        found |= values if each is path else {"preprocessor": values}
    return found


def _used(
    place: Path, weights: Weights, style: Style
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Return the names that we use and the tensors that we do not.

    Raises:
        UserError: what we have no place for, or what we need and is not there.
    """
    shapes = weights.shapes
    depth, behind = (depth_of(shapes, each) for each in (style.blocks, style.decoder_blocks))
    class_token = style.encoder["class_token"] in shapes
    names = names_of(style, depth, behind or None, class_token=class_token)
    used = {each for parts in names.values() for each in parts}
    others = [name for name in shapes if name not in used]
    if not depth:
        raise _misfit(place, "it has", list(shapes))
    if odd := [name for name in others if not BEHIND.match(name)]:
        raise _misfit(place, "it also has", odd)
    if lacking := [part for parts in names.values() for part in parts if part not in shapes]:
        raise _misfit(place, "it lacks", lacking)
    return names, tuple(others)


def _misfit(place: Path, what: str, names: Sequence[str]) -> UserError:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return UserError(
        f"{place} is no encoder as ours: {what} {', '.join(names[:10])}{more}; {WANTED}"
    )


def _wrong(found: Checkpoint) -> list[str]:
    """Return which weights do not have the shape that a model of such settings has."""
    wrong = []
    for ours, shape in shapes_wanted(found).items():
        for name in found.names.get(ours, ()):
            there = found.weights.shapes[name]
            if ours == "embed.weight":
                there = (there[0], math.prod(there[1:]))
            if there != (shape[0] // len(found.names[ours]), *shape[1:]):
                wrong.append(ours)
    return wrong


def shapes_wanted(found: Checkpoint) -> dict[str, tuple[int, ...]]:
    """Return the shapes that a model has, with the position of the class token if it has one."""
    model, values = found.model, found.channels * math.prod(found.patch)
    num, width = math.prod(found.grid) + found.with_class, model["width"]
    shapes: dict[str, tuple[int, ...]] = {
        "class_token": (1, 1, width),
        "positions": (1, num, width),
        **_layer("embed", width, values),
        **_stack("encoder", width, model["depth"], model["mlp_ratio"]),
    }
    if "decoder_width" not in model:
        return shapes
    behind = model["decoder_width"]
    return shapes | {
        "mask_token": (1, 1, behind),
        "decoder_positions": (1, num, behind),
        **_layer("to_decoder", behind, width),
        **_stack("decoder", behind, model["decoder_depth"], model["mlp_ratio"]),
        **_layer("head", values, behind),
    }


def _layer(name: str, rows: int, *columns: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (rows, *columns), f"{name}.bias": (rows,)}


def _stack(name: str, width: int, depth: int, ratio: float) -> dict[str, tuple[int, ...]]:
    hidden, shapes = int(width * ratio), _layer(f"{name}.norm", width)
    for index in range(depth):
        block = f"{name}.blocks.{index}"
        shapes |= _layer(f"{block}.norm1", width) | _layer(f"{block}.qkv", 3 * width, width)
        shapes |= _layer(f"{block}.project", width, width) | _layer(f"{block}.norm2", width)
        shapes |= _layer(f"{block}.mlp.0", hidden, width) | _layer(f"{block}.mlp.2", width, hidden)
    return shapes


def _title(style: Style, names: Names) -> str:
    decoder = "head.weight" in names
    if style is HF:
        return "a ViTMAE of transformers" if decoder else "a ViT of transformers"
    return "a masked autoencoder" if decoder else "a vision transformer"


def sizes_of(shapes: Mapping[str, tuple[int, ...]]) -> Entries:
    """Return the sizes of an encoder, and of a decoder if there is one, from shapes by our names.

    Weights of the MLPs of both are as many times wider as those of the encoder.
    """
    width, hidden = shapes["embed.bias"][0], shapes["encoder.blocks.0.mlp.0.bias"][0]
    ratio = hidden / width
    if int(width * ratio) != hidden:  # rounded down
        ratio = math.nextafter(ratio, math.inf)
    depth, behind = (depth_of(shapes, f"{each}.blocks.{{}}.") for each in ("encoder", "decoder"))
    found: Entries = {"width": width, "depth": depth, "mlp_ratio": ratio}
    if behind:
        found |= {"decoder_width": shapes["to_decoder.bias"][0], "decoder_depth": behind}
    return found


def _heads(model: Entries, told: Entries) -> frozenset[str]:
    """Complete the numbers of heads, which tensors do not say; return which are only usual."""
    args = told.get("model_args")
    args = args if isinstance(args, dict) else {}
    said = told.get("num_attention_heads", args.get("num_heads"))
    model["heads"] = said or MANY_HEADS.get(model["width"]) or _whole(model["width"], 64)
    usual = set() if said else {"heads"}
    if "decoder_width" in model:
        said = told.get("decoder_num_attention_heads")
        model["decoder_heads"] = said or _whole(model["decoder_width"], 32)
        usual |= set() if said else {"decoder_heads"}
    return frozenset(usual)


def _whole(width: int, each: int) -> int | None:
    return None if width % each else width // each


def _check_words(place: Path, told: Entries) -> None:
    """Refuse what no tensor shows: another activation."""
    args = told.get("model_args")
    both = {**told, **(args if isinstance(args, dict) else {})}
    for key in ("hidden_act", "act_layer"):
        if both.get(key) not in (None, "gelu"):
            raise UserError(
                f"{place} is no encoder as ours: its config.json has {key} {both[key]!r}, and our"
                " MLPs have 'gelu'"
            )


def _grid(
    place: Path, shapes: Mapping[str, tuple[int, ...]], patch: tuple[int, int], told: Entries
) -> tuple[tuple[int, int], bool]:
    """Return patches along height and width, and whether the class token has a position too."""
    num, class_token = shapes["positions"][1], "class_token" in shapes
    args, usual = told.get("model_args"), told.get("pretrained_cfg")
    size = told.get("image_size", args.get("img_size") if isinstance(args, dict) else None)
    if size is None and isinstance(usual, dict):
        size = list(usual.get("input_size", ()))[1:]
    sides = [size, size] if isinstance(size, int) else size
    if isinstance(sides, list) and len(sides) == 2:
        rows, columns = (side // each for side, each in zip(sides, patch, strict=True))
        if 0 <= num - rows * columns <= class_token:
            return (rows, columns), num > rows * columns
    for with_class in [True, False] if class_token else [False]:
        side = math.isqrt(num - with_class)
        if side and side**2 == num - with_class:
            return (side, side), with_class
    raise UserError(
        f"{place} has {num} positions, which are of no square grid, and no config.json beside it"
        " says of which"
    )


def _positions(weights: Weights, names: Names, grid: tuple[int, int], with_class: bool) -> str:
    """Return the setting of positions: those of our formula, fixed ones or learned ones.

    MAE's, of another formula in which the width comes first, are fixed, and so are those beside
    which a decoder has some.
    """
    tables = [name for name in ("positions", "decoder_positions") if name in names]
    values = weights.read(names[name][0] for name in tables)
    found = [values[names[name][0]][:, int(with_class) :].float() for name in tables]
    if any(each.shape[2] % 4 for each in found):
        return "learned"
    formulas = [sincos_positions(grid, each.shape[2])[None] for each in found]
    if _alike(found, formulas):
        return "sincos"
    swapped = [torch.cat(each.chunk(2, dim=2)[::-1], dim=2) for each in formulas]
    return "fixed" if len(tables) > 1 or _alike(found, swapped) else "learned"


def _alike(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    pairs = zip(some, others, strict=True)
    return all(a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=1e-6) for a, b in pairs)


def _pixels(
    style: Style, decoder: bool, told: Entries
) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    """Return mean and standard deviation of channels as shares of white, and who says so."""
    processor, usual = told.get("preprocessor"), told.get("pretrained_cfg")
    if isinstance(processor, dict) and "image_mean" in processor:
        factor = (
            processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 1
        )
        said = [processor["image_mean"], processor["image_std"]]
        if not processor.get("do_normalize", True):
            said = [[0.0], [1.0]]
        mean, std = (tuple(each / (WHITE * factor) for each in values) for values in said)
        return mean, std, "as preprocessor_config.json says"
    if isinstance(usual, dict) and "mean" in usual and "std" in usual:
        return tuple(usual["mean"]), tuple(usual["std"]), "as config.json says"
    change = f"nothing says so; {option('data.mean')} and {option('data.std')} for others"
    if style is HF and not decoder:
        return *HALF, f"as is usual ({change})"
    return *IMAGENET, "those of ImageNet, as is usual" + ("" if decoder else f" ({change})")
