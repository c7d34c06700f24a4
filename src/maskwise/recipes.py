"""Recipes: named, complete configurations. A recipe is a function that returns one.

A new recipe is one function and one line in `RECIPES`.
"""

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from maskwise.cells.recipes import any_cells, pbmc68k
from maskwise.dna.fasta_files import SUFFIXES as SEQUENCES
from maskwise.dna.recipes import any_dna
from maskwise.errors import UserError
from maskwise.images.folder import SUFFIXES as PICTURES
from maskwise.images.recipes import any_images, cifar10, digits, mnist
from maskwise.images.umae import cifar10_umae, imagenet1k_umae, imagenet100_umae
from maskwise.settings import override
from maskwise.tables.recipes import any_tables, breast_cancer
from maskwise.text.files import SUFFIXES as TEXTS
from maskwise.text.files import hub_columns, kind_of, names_in_parquet
from maskwise.text.recipes import any_texts, pydoc
from maskwise.train.config import Config

RECIPES: dict[str, Callable[[], Config]] = {
    "digits": digits,
    "digits-fixed": lambda: digits(law="fixed:0.65"),
    "mnist": mnist,
    "mnist-fixed": lambda: mnist(law="fixed:0.75"),
    "cifar10": cifar10,
    "cifar10-fixed": lambda: cifar10(law="fixed:0.75"),
    "cifar10-umae": cifar10_umae,
    "cifar10-umae-paper": lambda: cifar10_umae("public"),
    "imagenet100-umae": imagenet100_umae,
    "imagenet100-umae-paper": lambda: imagenet100_umae("public"),
    "imagenet1k-umae": imagenet1k_umae,
    "imagenet1k-umae-paper": lambda: imagenet1k_umae("public"),
    "pydoc": pydoc,
    "pydoc-fixed": lambda: pydoc(law="fixed:0.15"),
    "pbmc68k": pbmc68k,
    "pbmc68k-fixed": lambda: pbmc68k(law="fixed:0.5"),
    "breast-cancer": breast_cancer,
    "breast-cancer-fixed": lambda: breast_cancer(law="fixed:0.3"),
}

CELLS = (".h5ad", ".zarr")
OF_FILES = {
    "cells": (*CELLS, ".h5"),  # which says how to make the former
    "dna": SEQUENCES,
    "text": TEXTS,
    "tables": (".csv", ".tsv", ".feather"),
}

# For data of your own: a configuration by the kind of data.
ANY: dict[str, Callable[[str], Config]] = {
    "images": any_images,
    "text": any_texts,
    "dna": any_dna,
    "cells": any_cells,
    "tables": any_tables,
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
    modality = modality or ("text" if "data.column" in changes else _modality(data))
    if modality not in ANY:
        raise UserError(f"modality '{modality}' is none of {', '.join(ANY)}")
    return override(ANY[modality](data if isinstance(data, str) else "array"), changes)


def _modality(data: Any) -> str:
    """Say what a source holds."""
    if not isinstance(data, str):
        return _modality_of_object(data)
    if data.startswith("hf:"):
        kinds = hub_columns(data)
        return "text" if "string" in kinds and "Image" not in kinds else "images"
    path = Path(data).expanduser()
    if not path.exists():
        if any(kind in data for kind in CELLS):  # several files
            return "cells"
        near = difflib.get_close_matches(data, list(RECIPES), n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"recipes are {', '.join(RECIPES)}"
        raise UserError(f"'{data}' is no recipe and no file or folder; {hint}")
    if path.is_dir() and path.suffix not in CELLS:
        kinds = {kind_of(file) for file in path.iterdir()}
        if kinds & set(CELLS):
            return "cells"
        kinds = {kind_of(file) for file in path.rglob("*") if file.is_file()}
        if kinds & set(SEQUENCES) and not kinds & set(PICTURES):
            return "dna"
        return "text" if kinds & TEXTS and not kinds & set(PICTURES) else "images"
    kind = kind_of(path)
    found = [name for name, kinds in OF_FILES.items() if kind in kinds]
    if kind == ".parquet" and not _holds_texts(path):
        return "tables"
    return found[0] if found else "images"


def _holds_texts(path: Path) -> bool:
    try:
        return "text" in names_in_parquet(path)
    except UserError:  # whoever reads it says what is wrong
        return True


def _modality_of_object(data: Any) -> str:
    if isinstance(data, list) and data and isinstance(data[0], str):
        return "text"
    if hasattr(data, "obs") and hasattr(data, "var"):
        return "cells"
    values = data[0] if isinstance(data, tuple) and len(data) == 2 else data
    table = isinstance(values, dict) or hasattr(values, "columns")
    return "tables" if table or getattr(values, "ndim", 0) == 2 else "images"


__all__ = [
    "ANY",
    "RECIPES",
    "any_cells",
    "any_dna",
    "any_images",
    "any_tables",
    "any_texts",
    "config_of",
]
