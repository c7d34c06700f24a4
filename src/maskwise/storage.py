"""A trained model as a folder: config.json and weights.safetensors; nothing in it is executed."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from maskwise.errors import UserError
from maskwise.files import atomic, read_json, write_json
from maskwise.layers.transformer import Attention
from maskwise.modalities import KINDS, find
from maskwise.modality import EncoderFactory, M, MaskedModel, ModelSettings, Tokenizer
from maskwise.settings import from_dict, to_dict


def build(
    tokenizer: Tokenizer,
    config: ModelSettings,
    *,
    seed: int,
    attention: Attention = "auto",
    encoder: EncoderFactory | None = None,
) -> Any:
    """Return a model with initial weights decided by `seed`; global generators stay untouched.

    Args:
        tokenizer: how samples become tokens.
        config: the shape of the model.
        seed: decides the initial weights, those of an encoder of your own too.
        attention: see `PatchModel`.
        encoder: makes an encoder of your own (images), or a network (text).
    """
    if isinstance(encoder, nn.Module):
        raise UserError("encoder= takes a function that makes the module, not the module itself")
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would also seed the generators of GPUs for good.
        torch.default_generator.manual_seed(seed)
        kind = find(tokenizer.modality)
        return kind.build(tokenizer, config, attention, encoder and encoder())


def untrained(model: M, seed: int = 0, encoder: EncoderFactory | None = None) -> M:
    """Return the same architecture with random weights, on the same device, in eval mode.

    Args:
        model: a masked model.
        seed: decides the weights.
        encoder: the function that the model was given, if it was given one.
    """
    kind = find(model.tokenizer.modality)
    encoder = encoder or kind.encoder_of_parts(kind.parts(model))
    made = build(model.tokenizer, model.config, seed=seed, encoder=encoder)
    return made.to(next(model.parameters()).device).eval()


def save_model(folder: Path, model: MaskedModel) -> None:
    """Write `folder`/config.json, `folder`/weights.safetensors and files of the modality."""
    kind = find(model.tokenizer.modality)
    weights = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    with atomic(folder / "weights.safetensors") as temporary:
        save_file(weights, temporary, {"format": "pt"})
    write_json(
        folder / "config.json",
        {
            "modality": kind.name,
            kind.name: model.tokenizer.save(folder),
            "model": to_dict(model.config),
            **kind.parts(model),
        },
    )


def load_model(
    folder: Path, *, attention: Attention = "auto", encoder: EncoderFactory | None = None
) -> Any:
    """Read a model folder, in eval mode.

    Args:
        folder: what `save_model` wrote.
        attention: see `PatchModel`.
        encoder: makes an encoder of the kind that the model was trained with, if it was given one.

    Raises:
        UserError: a file is missing or damaged, or the weights do not fit.
    """
    values = read_json(folder / "config.json")
    path = folder / "weights.safetensors"
    if isinstance(values, dict) and values.get("own_encoder") and encoder is None:
        raise UserError(f"{folder} was trained with an encoder of your own: give encoder= again")
    try:
        if values["modality"] not in KINDS:
            raise KeyError(values["modality"])
        kind = find(values["modality"])
        modality = kind.restore(folder, values[kind.name])
        config: Any = from_dict(kind.model_settings, values["model"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / 'config.json'} is no model description: {error}") from None
    except UserError as error:
        raise UserError(f"{folder / 'config.json'}: {error}") from None
    encoder = encoder or kind.encoder_of_parts(values)
    model = build(modality, config, seed=0, attention=attention, encoder=encoder)
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise UserError(f"weights {path} are damaged or missing: {error}") from None
    except RuntimeError as error:
        first = " ".join(str(error).split())[:200]
        raise UserError(f"weights {path} do not fit the model in config.json: {first}") from None
    return model.eval()
