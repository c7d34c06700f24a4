"""A model of images that starts from weights: those of others, or of a run on other images."""

import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from maskwise.errors import UserError, option
from maskwise.files import Entries
from maskwise.images.checkpoints import Checkpoint, read_checkpoint
from maskwise.images.images import Images
from maskwise.images.vit_names import DECODER, head_to_ours, to_ours, without_class
from maskwise.layers.resize import adapt_channels, resize_patches, resize_positions
from maskwise.patches.model import PatchModel
from maskwise.settings import override
from maskwise.textio import few
from maskwise.train.config import RunSettings
from maskwise.train.rows import FITTED
from maskwise.train.start import Start, completed, run_at

KEYS = frozenset({"data.patch", "data.mean", "data.std", "data.target"})
"""settings beside those of the model that weights decide"""
FREE = {"decoder_width", "decoder_depth", "decoder_heads", "mode"}
"""settings of the model that may be others: then the decoder is a new one"""
C = TypeVar("C", bound=RunSettings)


def find_checkpoint(place: Path) -> Checkpoint:
    """Return the weights at a place, be they ours or those of others.

    Raises:
        UserError: they are missing or damaged, or those of something else.
    """
    start = run_at(place, Images.modality)
    return read_checkpoint(place) if start is None else _of_run(start)


def _of_run(start: Start) -> Checkpoint:
    """Describe a model of ours as one of others."""
    images = Images.load(start.folder, start.values[Images.modality])
    model = {
        k: v for k, v in start.values["model"].items() if k not in ("init", "predict_fraction")
    }
    if model.get("mode") == "replace":
        model = {key: value for key, value in model.items() if "decoder" not in key}
    white = images.white
    if "white" not in start.values[Images.modality] and max(*images.mean, *images.std) <= 1:
        white = 1.0  # older versions did not say that values were no bytes
    mean, std = (tuple(each / white for each in values) for values in (images.mean, images.std))
    return Checkpoint(
        place=start.place,
        title="a run",
        weights=start.weights,
        names={name: (name,) for name in start.weights.shapes if name not in FITTED},
        left=(),
        model=model,
        usual=frozenset(),
        patch=images.patch,
        channels=images.channels,
        grid=images.grid,
        with_class=False,
        mean=mean,
        std=std,
        pixels="as it did",
        target=images.target,
        ours=True,
    )


def settings_for(config: C, place: Path, given: Collection[str]) -> C:
    """Return settings with all that weights decide; see `Init.settings`."""
    found, told = find_checkpoint(place), {}
    for key, value in found.model.items():
        name = f"model.{key}"
        mine = getattr(config.model, key)
        if name in given and (key in FREE or key in found.usual):
            continue
        if key == "positions" and name in given and mine in ("learned", "fixed"):
            continue
        if value is None and name not in given:
            raise UserError(f"{place} does not say its {key}: give {option(name)}")
        told[name] = value
    config = completed(config, told, given, place)
    data: Entries = {"data.patch": list(found.patch)}
    if found.mean and not {"data.mean", "data.std"} & set(given):
        data |= {"data.mean": list(found.mean), "data.std": list(found.std)}
    if found.target is not None:
        data["data.target"] = found.target
    return override(config, {key: value for key, value in data.items() if key not in given})


def load_into(model: PatchModel, place: Path) -> str:
    """Copy weights into a model, resized where it is of another size; see `Init.load`."""
    found, images = find_checkpoint(place), model.tokenizer
    assert isinstance(images, Images)
    reasons: dict[str, list[str]] = {}
    if found.left:
        reasons["not needed"] = list(found.left)
    wanted, there = _wanted(found, model, images, reasons), model.state_dict()
    taken, resized = set(), list(_resized(found, images))
    for group in _groups(wanted, found.weights.whole):
        values = to_ours(found.read(group), {name: found.names[name] for name in group})
        for name, value in _fitted(values, found, images).items():
            there[name].copy_(value)
            taken.add(name)
    new = [name for name in there if name not in taken and name not in FITTED]
    return _told(found, model, len(taken), reasons, new, resized)


def _wanted(
    found: Checkpoint, model: PatchModel, images: Images, reasons: dict[str, list[str]]
) -> list[str]:
    """Return what of the weights a model takes, by our names; say why of the rest."""
    there, names = model.state_dict(), list(found.names)
    decoder = [name for name in names if name.startswith(DECODER)]
    config, told = model.config, found.model
    told = {"mode": "drop", **told}
    same = all(getattr(config, key) == told.get(key) for key in FREE & told.keys() - found.usual)
    if decoder and not same:
        reasons["the decoder is to be another"] = decoder
    elif decoder and found.with_class and _class_in_decoder(found):
        reasons["its decoder knows a position of the class token"] = decoder
    elif decoder and (images.patch, images.channels) != (found.patch, found.channels):
        head = [name for name in decoder if name.startswith("head.")]
        reasons["its patches are of another size"] = head
    gone = {name for each in reasons.values() for name in each}
    # Positions by our formula are no part of a model's state, of whatever size it is.
    return [name for name in names if name not in gone and name in there]


def _class_in_decoder(found: Checkpoint) -> bool:
    [values] = found.read(["decoder_positions"]).values()
    return bool(values[:, 0].any())


def _groups(names: list[str], whole: bool) -> Iterator[list[str]]:
    """Give names block by block, and first all that belongs to none."""
    groups: dict[str, list[str]] = {"": []}
    for name in names:
        stack, dot, rest = name.partition(".blocks.")
        key = f"{stack}{dot}{rest.partition('.')[0]}" if dot and not whole else ""
        groups.setdefault(key, []).append(name)
    return iter(groups.values())


def _fitted(values: dict[str, Tensor], found: Checkpoint, images: Images) -> dict[str, Tensor]:
    """Return weights as a model takes them, of its patches, channels and grid."""
    values = {name: value.float() for name, value in values.items()}  # they may be of 16 bits
    if found.with_class:
        for name in {"positions", "decoder_positions"} & values.keys():
            token = values.get("class_token") if name == "positions" else None
            values[name], token = without_class(values[name], token)
            if token is not None:
                values["class_token"] = token
    for name in {"positions", "decoder_positions"} & values.keys():
        values[name] = resize_positions(values[name], found.grid, images.grid)
    if not found.ours:
        for name in {"head.weight", "head.bias"} & values.keys():
            values[name] = head_to_ours(values[name], found.patch)
    if "embed.weight" in values:
        weight = values["embed.weight"]
        if found.ours:
            weight = weight.unflatten(1, (found.channels, *found.patch))
        if _is_grey(found, images):
            weight, values["embed.bias"] = as_one_channel(
                weight, values["embed.bias"], found.mean, found.std
            )
        weight = adapt_channels(weight, images.channels)
        values["embed.weight"] = resize_patches(weight, images.patch).flatten(1)
    return values


def _is_grey(found: Checkpoint, images: Images) -> bool:
    """Say whether images of one channel are standardised as the mean of three."""
    return len(found.mean) == 3 and images.channels == 1 and _standardised(found, images)


def as_one_channel(
    weight: Tensor, bias: Tensor, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """Return a patch embedding as if all channels were standardised alike, which grey ones are.

    Where channel c had (x - m_c) / s_c, it has (x - m) / s with the means m and s of these, and
    the patch embedding gives the same.

    Args:
        weight: [D, C, h, w].
        bias: [D].
        mean: m_c.
        std: s_c.
    """
    means, stds = (torch.tensor(each, dtype=torch.float64) for each in (mean, std))
    m, s = means.mean(), stds.mean()
    full = weight.double() / stds[:, None, None]
    shift = (full.sum((2, 3)) * (m - means)).sum(1)
    return (full * s).to(weight), (bias.double() + shift).to(bias)


def _standardised(found: Checkpoint, images: Images) -> bool:
    """Say whether images are standardised as those were that the weights know."""
    mine = [each / images.white for each in (*images.mean, *images.std)]
    told = [*_for_all(found.mean, images.channels), *_for_all(found.std, images.channels)]
    return len(mine) == len(told) and all(map(_close, mine, told))


def _for_all(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Return what `given_channels` makes of values."""
    if len(values) == 3 and channels == 1:
        return (sum(values) / 3,)
    return values * channels if len(values) == 1 else values


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)


def _resized(found: Checkpoint, images: Images) -> Iterator[str]:
    sizes = {
        "positions": (found.grid, images.grid),
        "patches": (found.patch, images.patch),
    }
    for what, ((height, width), (rows, columns)) in sizes.items():
        if (height, width) != (rows, columns):
            yield f"{what} from {height}x{width} to {rows}x{columns}"
    if found.channels != images.channels:
        yield f"channels from {found.channels} to {images.channels}"


def _told(
    found: Checkpoint,
    model: PatchModel,
    num: int,
    reasons: dict[str, list[str]],
    new: list[str],
    resized: list[str],
) -> str:
    """Say what was taken, what was left and what was resized."""
    config, images = model.config, model.tokenizer
    assert isinstance(images, Images)
    guess = ""
    if "heads" in found.usual and config.heads == found.model["heads"]:
        guess = f" (as is usual for that; {option('model.heads')} for others)"
    lines = [
        f"starts from {found.place}, {found.title}: {config.depth} blocks of width {config.width},"
        f" {config.heads} heads{guess}, patches of {found.patch[0]}x{found.patch[1]} pixels",
        f"  taken: {num} tensors, {config.positions} positions",
    ]
    for why, names in reasons.items():
        lines.append(f"  left: {few(names)} ({len(names)} tensors, {why})")
    if new:
        lines.append(f"  new: {few(new)} ({len(new)} tensors)")
    if resized:
        lines.append(f"  resized: {', '.join(resized)}")
    mean, std = (
        ", ".join(f"{each / images.white:.4g}" for each in values)
        for values in (images.mean, images.std)
    )
    said = found.pixels if _standardised(found, images) else "not those that the weights know"
    lines.append(f"  pixels: mean {mean} and deviation {std} of {images.white:g}, {said}")
    return "\n".join(lines)
