"""A trained model as a folder: config.json and weights.safetensors; nothing in it is executed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from maskwise.errors import UserError
from maskwise.files import atomic, read_json, write_json
from maskwise.modalities import Modality
from maskwise.modalities.images import Images
from maskwise.models.layers import Attention, Transformer
from maskwise.models.masked import MaskedModel, Model
from maskwise.settings import from_dict, to_dict

EncoderFactory = Callable[[], nn.Module]

MODALITIES: dict[str, Any] = {"images": Images}


def build(
    modality: Modality,
    config: Model,
    *,
    seed: int,
    attention: Attention = "auto",
    encoder: EncoderFactory | None = None,
) -> MaskedModel:
    """Return a model with initial weights decided by `seed`; global generators stay untouched.

    Args:
        modality: how samples become tokens.
        config: the shape of the model.
        seed: decides the initial weights, those of an encoder of your own too.
        attention: see `MaskedModel`.
        encoder: makes an encoder of your own.
    """
    if isinstance(encoder, nn.Module):
        raise UserError("encoder= takes a function that makes the module, not the module itself")
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would also seed the generators of GPUs for good.
        torch.default_generator.manual_seed(seed)
        return MaskedModel(modality, config, attention, encoder and encoder())


def save_model(folder: Path, model: MaskedModel) -> None:
    """Write `folder`/config.json and `folder`/weights.safetensors."""
    [kind] = [name for name, cls in MODALITIES.items() if isinstance(model.modality, cls)]
    weights = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    with atomic(folder / "weights.safetensors") as temporary:
        save_file(weights, temporary, {"format": "pt"})
    write_json(
        folder / "config.json",
        {
            "modality": kind,
            kind: to_dict(model.modality),
            "model": to_dict(model.config),
            "own_encoder": not isinstance(model.encoder, Transformer),
        },
    )


def load_model(
    folder: Path, *, attention: Attention = "auto", encoder: EncoderFactory | None = None
) -> MaskedModel:
    """Read a model folder, in eval mode.

    Args:
        folder: what `save_model` wrote.
        attention: see `MaskedModel`.
        encoder: makes an encoder of the kind that the model was trained with, if it was given one.

    Raises:
        UserError: a file is missing or damaged, or the weights do not fit.
    """
    values = read_json(folder / "config.json")
    path = folder / "weights.safetensors"
    if isinstance(values, dict) and values.get("own_encoder") and encoder is None:
        raise UserError(f"{folder} was trained with an encoder of your own: give encoder= again")
    try:
        modality: Modality = from_dict(MODALITIES[values["modality"]], values[values["modality"]])
        config = from_dict(Model, values["model"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / 'config.json'} is no model description: {error}") from None
    except UserError as error:
        raise UserError(f"{folder / 'config.json'}: {error}") from None
    model = build(modality, config, seed=0, attention=attention, encoder=encoder)
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise UserError(f"weights {path} are damaged or missing: {error}") from None
    except RuntimeError as error:
        first = " ".join(str(error).split())[:200]
        raise UserError(f"weights {path} do not fit the model in config.json: {first}") from None
    return model.eval()
