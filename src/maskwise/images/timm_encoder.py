"""Networks of timm as encoders of images, by name: `timm:NAME`, `timm:NAME,argument=value,...`."""

import difflib
import json
import warnings
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import nn

from maskwise.errors import UserError, option, require
from maskwise.files import write_json
from maskwise.images import vit_export
from maskwise.images.images import Images
from maskwise.layers.transformer import Attention
from maskwise.patches.model import PatchModel, PatchModelSettings
from maskwise.patches.own_vit import ViTReader, is_vit

PREFIX = "timm:"
OURS = ("img_size", "in_chans", "num_classes", "features_only")
"""what the data and the model decide"""


class Asked(NamedTuple):
    """What a setting asks for."""

    name: str
    arguments: dict[str, Any]
    pretrained: bool

    def __str__(self) -> str:
        """Return the setting that asks for the same network with random weights."""
        given = [f"{key}={_spelled(value)}" for key, value in self.arguments.items()]
        return PREFIX + ",".join([self.name, *given])


def asked(text: str) -> Asked:
    """Read the setting `model.encoder`.

    Raises:
        UserError: another spelling, or an argument that the data decide.

    >>> asked("timm:vit_tiny_patch16_224,depth=2,out_indices=0+1").arguments
    {'depth': 2, 'out_indices': (0, 1)}
    """
    name, *pairs = (part.strip() for part in text.removeprefix(PREFIX).split(","))
    if not text.startswith(PREFIX) or not name:
        raise UserError(f"model.encoder {text!r}: give {PREFIX}NAME, such as timm:convnext_atto")
    arguments: dict[str, Any] = {}
    for pair in pairs:
        key, is_pair, value = pair.partition("=")
        if not is_pair or not key or not value:
            raise UserError(f"model.encoder {text!r}: {pair!r} is no argument=value")
        if key in OURS:
            raise UserError(f"model.encoder {text!r}: {key} follows from the data; leave it out")
        arguments[key] = _value(value)
    pretrained = arguments.pop("pretrained", False)
    if not isinstance(pretrained, bool):
        raise UserError(f"model.encoder {text!r}: pretrained is true or false, not {pretrained}")
    return Asked(name, arguments, pretrained)


def _value(text: str) -> Any:
    parts = text.split("+")
    if len(parts) > 1:
        return tuple(_value(part) for part in parts)
    try:
        return json.loads({"True": "true", "False": "false", "None": "null"}.get(text, text))
    except ValueError:
        return text


def _spelled(value: Any) -> str:
    if isinstance(value, tuple):
        return "+".join(map(_spelled, value))
    return value if isinstance(value, str) else json.dumps(value)


def images_model(
    tokenizer: Images, config: PatchModelSettings, attention: Attention, encoder: nn.Module | None
) -> PatchModel:
    """Return a model of images; what its settings say of a network of timm is then all true.

    Raises:
        UserError: no such network, or one that does not read such images.
    """
    if config.encoder is None:
        return PatchModel(tokenizer, config, attention, encoder)
    wanted = asked(config.encoder)
    if encoder is not None:
        raise UserError(f"{option('encoder')} and model.encoder {wanted}: give one of them")
    network = network_of(wanted, tokenizer)
    if is_vit(network):
        config = replace(config, class_token=getattr(network, "cls_token", None) is not None)
    else:
        config = replace(config, class_token=False, mode="replace")
        network.reads = "pictures"  # type: ignore[assignment]
    # Its weights are those of the model from here on: nothing is loaded twice.
    config = replace(config, encoder=str(wanted))
    try:
        return PatchModel(tokenizer, config, attention, network)
    except UserError as error:
        way_out = "" if is_vit(network) else "; of small images take early maps: out_indices=0+1"
        raise UserError(f"model.encoder {wanted}: {error}{way_out}") from None


def to_timm(model: PatchModel, folder: Path) -> None:
    """Write an encoder that timm loads, ours or a vision transformer of its own.

    Raises:
        UserError: another one.
    """
    if model.config.encoder is None:
        vit_export.to_timm(model, folder)
        return
    wanted, images = asked(model.config.encoder), model.tokenizer
    assert isinstance(images, Images)
    if not isinstance(model.encoder, ViTReader):
        raise UserError(
            f"{wanted} was trained without its head, and timm loads no part of it: its weights are"
            " those of `model.encoder.network`"
        )
    network, arguments = model.encoder.network, _arguments_for(wanted, images)
    weights = {name: each.contiguous().cpu() for name, each in network.state_dict().items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    values = {"architecture": wanted.name, "num_classes": 0, "num_features": model.width}
    more = {"model_args": arguments, "pretrained_cfg": vit_export.pixels_of(images)}
    write_json(folder / "config.json", values | more)


def patch_of(text: str) -> tuple[int, int] | None:
    """Return the patch of a network of timm, if it is a vision transformer."""
    wanted = asked(text)
    arguments = {key: it for key, it in wanted.arguments.items() if key != "out_indices"}
    network: Any = _outline(wanted, arguments)
    size = getattr(network.patch_embed, "patch_size", None) if is_vit(network) else None
    return None if size is None else (int(size[0]), int(size[1]))


def network_of(wanted: Asked, images: Images) -> nn.Module:
    """Return a network for such images: a vision transformer, or what gives feature maps.

    Raises:
        UserError: no such network, or weights that cannot be had.
    """
    return _create(wanted, _arguments_for(wanted, images), pretrained=wanted.pretrained)


def _arguments_for(wanted: Asked, images: Images) -> dict[str, Any]:
    given = tuple(wanted.arguments.items())
    return _arguments(wanted.name, given, images.shape, images.patch)


@lru_cache(maxsize=16)
def _arguments(
    name: str,
    given: tuple[tuple[str, Any], ...],
    shape: tuple[int, int, int],
    patch: tuple[int, int],
) -> dict[str, Any]:
    """Return what a network is made with so that it reads images of a shape."""
    wanted = Asked(name, dict(given), pretrained=False)
    arguments = {"in_chans": shape[0], "img_size": shape[1:], **wanted.arguments}
    maps = {"features_only": True}
    if "out_indices" in arguments:
        maps["out_indices"] = arguments.pop("out_indices")
    try:
        network: Any = _outline(wanted, arguments)
    except UserError as error:
        if "'img_size'" not in str(error):
            raise
        del arguments["img_size"]  # convolutions read any size
        network = _outline(wanted, arguments)
    if not is_vit(network):
        return arguments | maps
    if len(maps) > 1:
        raise UserError(f"model.encoder {wanted}: a vision transformer has no out_indices")
    arguments["num_classes"] = 0
    grid = shape[1] // patch[0], shape[2] // patch[1]
    if tuple(network.patch_embed.grid_size) != grid and "patch_size" not in arguments:
        arguments["patch_size"] = patch if patch[0] != patch[1] else patch[0]
    return arguments


def _outline(wanted: Asked, arguments: dict[str, Any]) -> nn.Module:
    """Return a network whose weights have shapes only, if it can be made so."""
    try:
        with torch.device("meta"):
            return _create(wanted, arguments)
    except RuntimeError:  # it computes with weights while it is made
        return _create(wanted, arguments)


def _create(wanted: Asked, arguments: dict[str, Any], pretrained: bool = False) -> nn.Module:
    """Make a network; say in a line what is wrong with its name, arguments or weights."""
    timm = require("timm", f"model.encoder {wanted}", "timm")
    where = f"model.encoder {wanted}"
    if not timm.is_model(wanted.name):
        near = difflib.get_close_matches(wanted.name, timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() names them"
        raise UserError(f"{where}: timm has no network {wanted.name!r}; {hint}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made: nn.Module = timm.create_model(wanted.name, pretrained=pretrained, **arguments)
    except TypeError as error:
        _, unexpected, which = str(error).partition("unexpected keyword argument ")
        told = f"the network has no argument {which}" if unexpected else str(error)
        raise UserError(f"{where}: {told}") from None
    except Exception as error:  # whatever networks raise, and whatever a download does
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if "meta tensor" in reason.lower():
            raise
        if pretrained:
            raise UserError(
                f"{where}: its weights cannot be had ({reason}): with a connection they are, and"
                " without pretrained=true they are random"
            ) from None
        raise UserError(f"{where}: it cannot be made so ({reason})") from None
    return made
