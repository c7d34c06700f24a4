"""What the commands print: what there is to choose from, and how good a run is."""

import dataclasses
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from maskwise import words
from maskwise.errors import UserError
from maskwise.files import Entries, read_json
from maskwise.laws import FORMS
from maskwise.masks import PATTERNS
from maskwise.modalities import kinds, recipes
from maskwise.report import curves
from maskwise.report.folder import Row
from maskwise.settings import to_dict

Line = tuple[float, float | None, float | None, str, str]

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
    result, law = run.result, run.result["law"]
    lines = [
        f"law {law['name']} (one ratio per {law['scope']}): mean {law['mean']:.3f},"
        f" effective mean {law['effective_mean']:.3f} under {law['reduction']}"
    ]
    by_f1 = "macro_f1" in words.read(run.path).probes.measures
    probes = _scores(result) if by_f1 else _accuracies(result)
    for value, low, high, form, what in chain(probes, _others(result), _imputed(result)):
        if value is None:
            lines.append(f"{'none':>7}  {what}")
            continue
        between = "" if low is None or high is None else f"[{low:{form}}, {high:{form}}]"
        lines.append(f"{value:7{form}}  {between:<14}  {what}")
    return "\n".join([*lines, f"report: {run.report}"])


def _accuracies(result: Row) -> Iterator[Line]:
    """Give the accuracy of each probe with its interval, and what it is of."""
    for probe in result.get("probes", ()):
        task = f"{probe['task']}: " if "task" in probe else ""
        what = f"{task}{probe['features']:<28} {probe['protocol']}"
        yield probe["accuracy"], probe["low"], probe["high"], ".1%", what


def _scores(result: Row) -> Iterator[Line]:
    """Give macro-F1 by the first probe with all labels and the fewest; the report has all."""
    probes = result.get("probes", ())
    tasks = list(dict.fromkeys(probe["task"] for probe in probes))[:2]
    for probe in probes:
        if probe["task"] in tasks and probe["protocol"] == probes[0]["protocol"]:
            found, what = probe["macro_f1"], f"{probe['task']}: {probe['features']}"
            yield found["value"], found["low"], found["high"], ".3f", f"macro-F1, {what}"


def _others(result: Row) -> Iterator[Line]:
    """Give the accuracy on minimal pairs and of fine-tuned models."""
    for pairs in result.get("minimal_pairs", ()):
        what = f"{pairs['name']}: {pairs['num_pairs']:,} minimal pairs"
        yield pairs["accuracy"], pairs["low"], pairs["high"], ".1%", what
    for tuned in result.get("finetuning", ()):
        found, what = tuned["accuracy"], f"{tuned['task']}: {tuned['model']}, fine-tuned"
        if "mcc" in tuned:
            what += f" (Matthews correlation {tuned['mcc']['mean']:.3f})"
        yield found["mean"], found["low"], found["high"], ".1%", what


def _imputed(result: Row) -> Iterator[Line]:
    """Give R² of the values that are imputed at the ratio of the report's headline."""
    for row in curves.at_headline(result):
        what = f"R² of hidden values at ratio {row['ratio']}: {row['method']}"
        yield row["r2"], row["r2_low"], row["r2_high"], ".3f", what
