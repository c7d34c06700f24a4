"""What there is to choose from: recipes, laws, patterns, runs, and every setting."""

import dataclasses
from pathlib import Path
from typing import Any

from maskwise.laws import FORMS
from maskwise.masks import PATTERNS
from maskwise.recipes import RECIPES
from maskwise.settings import to_dict
from maskwise.train.config import CONFIGS


def everything(runs: Path) -> str:
    """Return recipes with their laws, the forms of laws and patterns, and the runs in `runs`."""
    lines = ["recipes"]
    for name, recipe in RECIPES.items():
        config = recipe()
        lines.append(f"  {name:<16} {config.law:<18} {config.data.source}")
    lines += [
        "data",
        "  images: FILE.npz|.npy|.npy.xz, a folder of images or arrays, hf:NAME",
        "  text: FILE.txt|.md|.jsonl|.parquet (.gz, .xz), a folder of these, hf:NAME",
    ]
    lines += ["laws", *(f"  {form}" for form, _ in FORMS.values())]
    lines += ["patterns", *(f"  {form}" for form, _ in PATTERNS.values())]
    found = sorted(path.parent for path in runs.glob("*/config.json"))
    if found:
        lines += ["runs", *(f"  {path}{_state(path)}" for path in found)]
    return "\n".join(lines)


def _state(run: Path) -> str:
    return "" if (run / "result.json").exists() else "  (not finished)"


def settings_table() -> str:
    """Return every setting: its key, its default and what it does, by kind of data."""
    lines = []
    for modality, config in CONFIGS.items():
        make: Any = config
        lines += [f"{modality}\n", *_rows(config, to_dict(make()), ""), ""]
    return "\n".join(lines)


def _rows(cls: Any, defaults: dict[str, Any], prefix: str) -> list[str]:
    rows = []
    for field in dataclasses.fields(cls):
        value = defaults[field.name]
        if dataclasses.is_dataclass(field.type):
            rows += _rows(field.type, value, f"{prefix}{field.name}.")
            continue
        text = cls.__pydantic_fields__[field.name].description or ""
        shown = ",".join(map(str, value)) if isinstance(value, list) else value
        rows.append(f"--{prefix}{field.name} {shown}\n      {' '.join(text.split())}")
    return rows
