"""A trained model as a folder: config.json and weights.safetensors; nothing in it is executed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from maskwise.cells.cells import Cells
from maskwise.columns.model import Tabular, TabularModel
from maskwise.dna.dna import DNA
from maskwise.dna.model import DNAModel
from maskwise.errors import UserError
from maskwise.files import atomic, read_json, write_json
from maskwise.images.images import Images
from maskwise.layers.transformer import Attention, Transformer
from maskwise.patches.model import MaskedModel, Model
from maskwise.settings import from_dict, to_dict
from maskwise.tables.table import Table
from maskwise.text import hf_load
from maskwise.text.hf_network import HFNetwork
from maskwise.text.text import Text
from maskwise.tokens.model import LanguageModel, TextModel

AnyModel = MaskedModel | LanguageModel | TabularModel
EncoderFactory = Callable[[], nn.Module]


@dataclass(frozen=True)
class Kind:
    """What the models of a modality are made of."""

    modality: Any
    """with `save(folder)`, which gives plain values, and `load(folder, values)`"""
    config: Any
    model: Any


KINDS = {
    "images": Kind(Images, Model, MaskedModel),
    "text": Kind(Text, TextModel, LanguageModel),
    "dna": Kind(DNA, DNAModel, LanguageModel),
    "cells": Kind(Cells, Tabular, TabularModel),
    "tables": Kind(Table, Tabular, TabularModel),
}


def build(
    modality: Any,
    config: Any,
    *,
    seed: int,
    attention: Attention = "auto",
    encoder: EncoderFactory | None = None,
) -> Any:
    """Return a model with initial weights decided by `seed`; global generators stay untouched.

    Args:
        modality: how samples become tokens.
        config: the shape of the model.
        seed: decides the initial weights, those of an encoder of your own too.
        attention: see `MaskedModel`.
        encoder: makes an encoder of your own (images), or a network (text).
    """
    if isinstance(encoder, nn.Module):
        raise UserError("encoder= takes a function that makes the module, not the module itself")
    if encoder is None and isinstance(config, TextModel) and config.hf is not None:
        encoder = partial(_of_transformers, config.hf, config.pretrained)
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would also seed the generators of GPUs for good.
        torch.default_generator.manual_seed(seed)
        return _kind(modality).model(modality, config, attention, encoder and encoder())


def untrained(model: Any, seed: int = 0, encoder: EncoderFactory | None = None) -> Any:
    """Return the same architecture with random weights, on the same device, in eval mode.

    Args:
        model: a masked model.
        seed: decides the weights.
        encoder: the function that the model was given, if it was given one.
    """
    if encoder is None and isinstance(network := getattr(model, "network", None), HFNetwork):
        encoder = partial(HFNetwork.from_config, network.config)
    made = build(model.modality, model.config, seed=seed, encoder=encoder)
    return made.to(next(model.parameters()).device).eval()


def encoder_of(model: Any) -> nn.Module:
    """Return the part of a model that encodes; all of it, where features are the last layer's."""
    if hasattr(model, "encoder"):
        return model.encoder
    return getattr(model.network, "encoder", model.network)


def save_model(folder: Path, model: AnyModel) -> None:
    """Write `folder`/config.json, `folder`/weights.safetensors and files of the modality."""
    [name] = [name for name, kind in KINDS.items() if kind is _kind(model.modality)]
    weights = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    with atomic(folder / "weights.safetensors") as temporary:
        save_file(weights, temporary, {"format": "pt"})
    write_json(
        folder / "config.json",
        {
            "modality": name,
            name: model.modality.save(folder),
            "model": to_dict(model.config),
            **_own_parts(model),
        },
    )


def load_model(
    folder: Path, *, attention: Attention = "auto", encoder: EncoderFactory | None = None
) -> Any:
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
        kind = KINDS[values["modality"]]
        modality = kind.modality.load(folder, values[values["modality"]])
        config = from_dict(kind.config, values["model"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / 'config.json'} is no model description: {error}") from None
    except UserError as error:
        raise UserError(f"{folder / 'config.json'}: {error}") from None
    if "network" in values:
        encoder = partial(HFNetwork.from_config, values["network"])
    model = build(modality, config, seed=0, attention=attention, encoder=encoder)
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise UserError(f"weights {path} are damaged or missing: {error}") from None
    except RuntimeError as error:
        first = " ".join(str(error).split())[:200]
        raise UserError(f"weights {path} do not fit the model in config.json: {first}") from None
    return model.eval()


def _kind(modality: Any) -> Kind:
    [found] = [kind for kind in KINDS.values() if isinstance(modality, kind.modality)]
    return found


def _of_transformers(name: str, pretrained: bool) -> HFNetwork:
    if pretrained:
        return HFNetwork(hf_load.load(name)[0])
    return HFNetwork.from_config(hf_load.read_config(name))


def _own_parts(model: AnyModel) -> dict[str, Any]:
    """Return what else it takes to build the model again."""
    if isinstance(model, TabularModel):
        return {}
    if isinstance(model, LanguageModel):
        theirs = isinstance(model.network, HFNetwork)
        return {"network": model.network.config} if theirs else {}
    return {"own_encoder": not isinstance(model.encoder, Transformer)}
