"""A model as a folder of config.json and weights.safetensors; nothing in it is executed."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.files import Entries, atomic, read_json, write_json
from maskwise.layers.outline import outline, require_same, shapes_of
from maskwise.layers.transformer import Attention
from maskwise.modalities import KINDS, build, find
from maskwise.modality import EncoderFactory, M, MaskedModel, Source
from maskwise.settings import flatten, from_dict, to_dict


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


def sized(model: M, source: Source) -> M:
    """Return a model for samples of the size that a source has; of the same size, the model.

    Raises:
        UserError: they have a size that the model cannot take.
    """
    resized = find(model.tokenizer.modality).resized
    if resized is None or not len(source):
        return model
    return resized(model, tuple(source.get([0]).shape[1:]))


def save_model(folder: Path, model: MaskedModel) -> None:
    """Write `folder`/config.json, `folder`/weights.safetensors and files of the modality."""
    weights = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    with atomic(folder / "weights.safetensors") as temporary:
        save_file(weights, temporary, {"format": "pt"})
    describe_model(folder, model)


def describe_model(folder: Path, model: MaskedModel) -> None:
    """Write what `save_model` writes beside the weights: all that it takes to build the model."""
    kind = find(model.tokenizer.modality)
    folder.mkdir(parents=True, exist_ok=True)
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
    folder: Path,
    *,
    attention: Attention = "auto",
    encoder: EncoderFactory | None = None,
    weights: dict[str, Tensor] | None = None,
) -> Any:
    """Read a model folder, in eval mode.

    Args:
        folder: what `save_model` wrote.
        attention: see `PatchModel`.
        encoder: makes an encoder of the kind that the model was trained with, if it was given one.
        weights: those of the model, by name; default: what the folder holds.

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
    except UserError as error:
        where = "" if str(error).startswith(str(folder)) else f"{folder / 'config.json'}: "
        raise UserError(f"{where}{error}") from None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise UserError(f"{folder / 'config.json'} is no model description: {error}") from None
    own, encoder = encoder, encoder or kind.encoder_of_parts(values)
    if own is None and weights is None:
        plan = {**values, "model": to_dict(config)}
        _require_fit(
            path, plan, lambda: kind.build(modality, config, attention, encoder and encoder())
        )
    model = build(modality, config, seed=0, attention=attention, encoder=encoder)
    try:
        model.load_state_dict(load_file(path) if weights is None else weights)
    except (SafetensorError, OSError) as error:
        raise UserError(f"weights {path} are damaged or missing: {error}") from None
    except RuntimeError as error:
        first = " ".join(str(error).split())[:200]
        raise UserError(f"weights {path} do not fit the model in config.json: {first}") from None
    for name, value in model.named_parameters():
        if not value.isfinite().all():
            raise UserError(f"weights {path} are not finite: {name}; train again, with a lower lr")
    return model.eval()


def _require_fit(path: Path, values: Entries, make: Callable[[], nn.Module]) -> None:
    """Refuse weights that are not those of the model in config.json, before it is made.

    Of a file that somebody else wrote only the header is read, and no size in it or in config.json
    costs memory or time.
    """
    misfit = f"weights {path} do not fit the model in config.json"
    found = shapes_of(path)
    for name, value in flatten(values).items():
        layers = any(word in name.rpartition(".")[2] for word in ("depth", "layer", "group"))
        if layers and type(value) is int and value > len(found):
            raise UserError(f"{misfit}: {name} is {value}, and the file has {len(found)} tensors")
    try:
        wanted = outline(make)
        if wanted is None:
            return
        for one, other, what in ((wanted, found, "lacks"), (found, wanted, "also has")):
            if names := [name for name in one if name not in other]:
                raise UserError(f"the file {what} {names[0]} (one of {len(names)})")
        require_same(wanted, found)
    except UserError as error:
        raise UserError(f"{misfit}: {error}") from None


def fingerprint(model: MaskedModel) -> str:
    """Return what tells the weights of a model from others."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        array = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        digest.update(name.encode() + array.tobytes())
    return digest.hexdigest()
