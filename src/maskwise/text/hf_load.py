"""Masked language models of transformers: loading and making them, quietly.

Dropout is off: masks vary the input enough, and only then is a resumed training the same training.
"""

import json
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from maskwise.errors import UserError

HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?")


def load(name: str) -> tuple[Any, Any]:
    """Return the model, in float32 on the CPU, and the tokenizer of a folder or a hub name.

    Raises:
        UserError: transformers is missing, there is no such model, or it predicts no masked
            tokens.
    """
    transformers = _require_transformers(name)
    place, options = _place(name)
    with _quiet(), torch.random.fork_rng(devices=[]):
        config = _config(name, place, options)
        _no_dropout(config)
        tokenizer = _read(place, transformers.AutoTokenizer, **options)
        model, info = _read(
            place,
            transformers.AutoModelForMaskedLM,
            config=config,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    if info["missing_keys"]:
        missing = min(info["missing_keys"])
        raise UserError(f"{name} has no weights {missing}: it is not a masked language model")
    return model.float(), tokenizer


def read_config(name: str) -> dict[str, Any]:
    """Return the configuration of a folder or a hub name, as `to_dict` does.

    Raises:
        UserError: transformers is missing, or there is no such masked language model.
    """
    _require_transformers(name)
    with _quiet():
        return to_dict(_config(name, *_place(name)))


def to_dict(config: Any) -> dict[str, Any]:
    """Return a configuration as plain values, without where it came from."""
    values = json.loads(config.to_json_string(use_diff=False))
    elsewhere = ("_name_or_path", "auto_map", "transformers_version")
    return {key: value for key, value in values.items() if key not in elsewhere}


def from_config(values: dict[str, Any]) -> Any:
    """Return a model with random weights, in float32 on the CPU, from what `to_dict` gave.

    Raises:
        UserError: transformers is missing, or this is no masked language model.
    """
    transformers = _require_transformers("a model of transformers")
    values = dict(values)
    kind = values.pop("model_type", None)
    try:
        with _quiet():
            config = transformers.AutoConfig.for_model(kind, **values)
            _no_dropout(config)
            model = transformers.AutoModelForMaskedLM.from_config(config, trust_remote_code=False)
    except Exception as error:  # whatever a configuration that does not fit raises
        reason = (str(error) or type(error).__name__).split("\n")[0]
        raise UserError(f"no masked language model of type {kind}: {reason}") from None
    return model.float()


def save(model: Any, folder: Path) -> None:
    """Write config.json and model.safetensors."""
    with _quiet():
        model.save_pretrained(folder)


def _no_dropout(config: Any) -> None:
    for key, value in config.to_dict().items():
        if "dropout" in key and isinstance(value, float):
            setattr(config, key, 0.0)


def _require_transformers(what: str) -> Any:
    try:
        import transformers
    except ImportError:
        raise UserError(f'{what} needs transformers: pip install "maskwise[text]"') from None
    return transformers


def _place(name: str) -> tuple[str, dict[str, Any]]:
    """Return where a model is, and the options with which to read it."""
    path = Path(name).expanduser()
    local = path.is_dir()
    if not local and not HUB_NAME.fullmatch(name):
        raise UserError(f"{name} is no folder")
    options = {"local_files_only": local, "trust_remote_code": False}
    return str(path) if local else name, options


def _config(name: str, place: str, options: dict[str, Any]) -> Any:
    import transformers

    config = _read(place, transformers.AutoConfig, **options)
    if type(config) not in transformers.MODEL_FOR_MASKED_LM_MAPPING:
        raise UserError(f"{name} is a {config.model_type} model, not a masked language model")
    return config


def _read(place: str, kind: Any, **options: Any) -> Any:
    try:
        return kind.from_pretrained(place, **options)
    except Exception as error:  # whatever hub, network, cache and file formats raise
        reason = (str(error) or type(error).__name__).split("\n")[0]
        where = "" if options["local_files_only"] else " (no folder here, so sought on the hub)"
        raise UserError(f"{place}{where} cannot be loaded: {reason}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers and the hub: what goes wrong becomes an error of one line."""
    from transformers.utils import logging as progress

    loggers = [logging.getLogger(name) for name in ("transformers", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    bar = progress.is_progress_bar_enabled()
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        progress.disable_progress_bar()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bar:
            progress.enable_progress_bar()
