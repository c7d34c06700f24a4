"""Recipes: named, complete configurations. A recipe is a function that returns one.

A new recipe is one function and one line in `RECIPES`.
"""

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from maskwise.errors import UserError
from maskwise.modalities.fasta_files import SUFFIXES as SEQUENCES
from maskwise.modalities.image_folder import SUFFIXES as PICTURES
from maskwise.modalities.text_files import SUFFIXES as TEXTS
from maskwise.modalities.text_files import hub_columns, kind_of
from maskwise.recipes.dna import any_dna
from maskwise.recipes.images import any_images, cifar10, digits, mnist
from maskwise.recipes.text import any_texts, pydoc
from maskwise.settings import override
from maskwise.train.config import Config

RECIPES: dict[str, Callable[[], Config]] = {
    "digits": digits,
    "digits-fixed": lambda: digits(law="fixed:0.65"),
    "mnist": mnist,
    "mnist-fixed": lambda: mnist(law="fixed:0.75"),
    "cifar10": cifar10,
    "cifar10-fixed": lambda: cifar10(law="fixed:0.75"),
    "pydoc": pydoc,
    "pydoc-fixed": lambda: pydoc(law="fixed:0.15"),
}

# For data of your own: a configuration by the kind of data.
ANY: dict[str, Callable[[str], Config]] = {
    "images": any_images,
    "text": any_texts,
    "dna": any_dna,
}


def config_of(data: Any, changes: Mapping[str, Any], modality: str | None = None) -> Config:
    """Return the configuration of a recipe or a data source with changes applied.

    Args:
        data: a recipe, a file, folder or hf:NAME, or data in memory.
        changes: dotted settings.
        modality: what a source holds, where that is not plain.

    Raises:
        UserError: neither a recipe nor a source, an unknown key or a bad value.
    """
    if isinstance(data, str) and data in RECIPES:
        return override(RECIPES[data](), changes)
    modality = modality or _modality(data)
    if modality not in ANY:
        raise UserError(f"modality '{modality}' is none of {', '.join(ANY)}")
    return override(ANY[modality](data if isinstance(data, str) else "array"), changes)


def _modality(data: Any) -> str:
    """Say what a source holds."""
    if not isinstance(data, str):
        return "text" if isinstance(data, list) and data and isinstance(data[0], str) else "images"
    if data.startswith("hf:"):
        kinds = hub_columns(data)
        return "text" if "string" in kinds and "Image" not in kinds else "images"
    path = Path(data).expanduser()
    if not path.exists():
        near = difflib.get_close_matches(data, list(RECIPES), n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"recipes are {', '.join(RECIPES)}"
        raise UserError(f"'{data}' is no recipe and no file or folder; {hint}")
    if path.is_dir():
        kinds = {kind_of(file) for file in path.rglob("*") if file.is_file()}
        if kinds & set(SEQUENCES) and not kinds & set(PICTURES):
            return "dna"
        return "text" if kinds & TEXTS and not kinds & set(PICTURES) else "images"
    if kind_of(path) in SEQUENCES:
        return "dna"
    return "text" if kind_of(path) in TEXTS else "images"


__all__ = ["ANY", "RECIPES", "any_dna", "any_images", "any_texts", "config_of"]
