"""What the commands print: what there is to choose from, and how good a run is."""

import dataclasses
from pathlib import Path
from typing import Any

from maskwise import words
from maskwise.errors import UserError
from maskwise.files import Entries, read_json
from maskwise.laws import FORMS
from maskwise.masks import PATTERNS
from maskwise.modalities import kinds, recipes
from maskwise.report.told import law_line, measured
from maskwise.settings import to_dict

# Settings that differ between kinds of data.
OWN = ("--data.", "--model.", "--evaluate.", "--law ")


def everything(runs: Path) -> str:
    """Return recipes with their laws, the forms of laws and patterns, and the runs in `runs`."""
    lines = ["recipes"]
    for name, recipe in recipes().items():
        config = recipe()
        lines.append(f"  {name:<23} {config.law:<18} {config.data.source}")
    lines += ["data", *(f"  {kind.name}: {kind.sources}" for kind in kinds())]
    lines += ["laws", *(f"  {form}" for form, _ in FORMS.values())]
    lines += ["patterns", *(f"  {form}" for form, _ in PATTERNS.values())]
    if found := sorted(path.parent for path in runs.glob("*/config.json")):
        lines.append("runs")
    for path in found:
        notes = [] if (path / "result.json").exists() else ["not finished"]
        notes += _predicts(path / "predictor/config.json")
        lines.append(f"  {path}" + (f"  ({', '.join(notes)})" if notes else ""))
    return "\n".join(lines)


def _predicts(path: Path) -> list[str]:
    """Return what a run's predictor predicts, if it has one that can be read."""
    try:
        return [f"predicts {read_json(path)['label']}"]
    except (UserError, LookupError, TypeError):
        return []


def settings_table() -> str:
    """Return every setting: its key, its default and what it does, by kind of data."""
    lines = []
    for kind in kinds():
        rows = _rows(kind.settings, to_dict(kind.settings()), "")
        own = [row for row in rows if row.startswith(OWN)]
        lines += [f"{kind.name}:", *own]
    return "\n".join([*lines, "all:", *(row for row in rows if not row.startswith(OWN))])


def _description(cls: Any, name: str) -> str:
    """Return the docstring of a setting, which a subclass that inherits it does not have."""
    known = [getattr(each, "__pydantic_fields__", {}).get(name) for each in cls.__mro__]
    return next(field.description for field in known if field and field.description)


def _rows(cls: Any, defaults: Entries, prefix: str) -> list[str]:
    rows = []
    for field in dataclasses.fields(cls):
        value = defaults[field.name]
        if field.name == "modality":  # follows from the data
            continue
        if dataclasses.is_dataclass(field.type):
            rows += _rows(field.type, value, f"{prefix}{field.name}.")
            continue
        text = _description(cls, field.name)
        shown = ",".join(map(str, value)) if isinstance(value, list) else value
        rows.append(f"--{prefix}{field.name} {shown}\n      {' '.join(text.split())}")
    return rows


def summary(run: Any) -> str:
    """Return the law that the loss saw, what was measured, and where the report is."""
    found = measured(run.result, words.read(run.path))
    return "\n".join([law_line(run.result), *found, f"report: {run.report}"])
