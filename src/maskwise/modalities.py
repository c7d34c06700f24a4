"""Which kinds of data there are, which of them a source or a run is of, and models of them.

A new kind is a package with a record, and one line in `KINDS`.
"""

import difflib
import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeAlias

from maskwise.errors import UserError, option
from maskwise.files import Entries
from maskwise.given import ONCE, Items, Streamed, wrapped
from maskwise.settings import flatten, from_dict, override, to_dict
from maskwise.textio import files_below, is_data, is_there, kind_of, user_path

if TYPE_CHECKING:  # so that to know the names costs nothing
    import torch

    from maskwise.layers.transformer import Attention
    from maskwise.modality import EncoderFactory, Features, Modality, ModelSettings, Tokenizer
    from maskwise.train.config import RunSettings

Kind: TypeAlias = "Modality[Any, Any, Any, Any, Any]"

# Where the record of each is, or the record itself.
KINDS: "dict[str, str | Kind]" = {
    "images": "maskwise.images.record",
    "text": "maskwise.text.record",
    "dna": "maskwise.dna.record",
    "cells": "maskwise.cells.record",
    "tables": "maskwise.tables.record",
}
LAST = "images"  # which has the sources that none takes
GIVEN = (
    "a file, folder or recipe by its name; images as an array [N, H, W] or [N, H, W, C], a tensor"
    " [N, C, H, W], a pair (images, labels), or a list of pictures; a list of texts; a table of"
    " pandas, polars or Arrow, a mapping of columns or an array [N, F]; AnnData; or a data set, an"
    " iterable one, or a function that returns an iterator, of pictures, texts or rows"
)
"""what can be given from Python"""
USUAL, DEEPEST = 1024, 10_000  # sizes that need no check; layers of a model that anybody trains


def find(name: str) -> "Kind":
    """Return the record of a kind of data.

    Raises:
        UserError: there is none of that name.
    """
    if name not in KINDS:
        raise UserError(f"modality {name!r} is none of {', '.join(KINDS)}")
    found = KINDS[name]
    return importlib.import_module(found).RECORD if isinstance(found, str) else found


def kinds() -> "Iterator[Kind]":
    """Give the record of every kind."""
    return map(find, KINDS)


def recipes() -> "dict[str, Callable[[], RunSettings]]":
    """Return the recipes of all kinds by name."""
    return {name: recipe for kind in kinds() for name, recipe in kind.recipes.items()}


def config_of(
    data: object, changes: Mapping[str, Any], modality: str | None = None
) -> "RunSettings":
    """Return the settings of a recipe or a data source with changes applied.

    Args:
        data: a recipe, a file, folder or hf:NAME, or data in memory.
        changes: dotted settings.
        modality: what a source holds, where that is not plain.

    Raises:
        UserError: neither a recipe nor a source, an unknown key or a bad value.
    """
    named = recipes()
    data = wrapped(data, changes.get("data.x"), changes.get("data.y"))
    if isinstance(data, str) and data in named:
        return override(named[data](), changes)
    told = [kind for kind in kinds() if kind.telling & changes.keys()]
    if modality is not None:
        told = [find(modality)]
    elif not told and not isinstance(data, str):
        told = _with(changes)
    check_given(data, of_any=not told)
    kind = told[0] if told else _kind(data, named)
    return override(kind.own(data if isinstance(data, str) else "array"), changes)


def _with(changes: Mapping[str, Any]) -> "list[Kind]":
    """Return the kind that alone has all of some settings, if any does.

    It says better what is wrong with data than another does with the settings.
    """
    known = {each: flatten(to_dict(find(each).own("array"))).keys() for each in KINDS}
    able = [find(name) for name, keys in known.items() if changes.keys() <= keys]
    return able if len(able) == 1 else []


def check_given(data: object, *, of_any: bool = False) -> None:
    """Refuse data from Python that no kind could read: what is read once only, numbers, bytes.

    Args:
        data: what was given.
        of_any: whether a kind must say that they are its own.

    Raises:
        UserError: such data, with what can be given.
    """
    if isinstance(data, str) or any(_takes(kind, data) for kind in kinds()):
        return
    told, more = type(data).__name__, ""
    if isinstance(data, (Items, Streamed)):
        if not of_any:
            return
        first, told = data.first, type(data.data).__name__  # the first says what is wrong
        keys = f" with the keys {', '.join(map(str, first))}" if isinstance(first, dict) else ""
        more = f": its samples are {type(first).__name__}{keys}"
    elif hasattr(data, "dataset") and hasattr(data, "__iter__"):
        more = ": it gives minibatches, so give its data set, .dataset"
    elif hasattr(type(data), "__next__"):
        more = f": it {ONCE}"
    elif data is None or isinstance(data, (bool, int, float)) or callable(data):
        told += f" ({getattr(data, '__name__', data)})"
    elif not hasattr(data, "__len__") or getattr(data, "shape", None) == ():
        more = ": they have no length; give a list of a known number of them"
    elif not isinstance(data, (bytes, bytearray, memoryview, set, frozenset)):
        if not of_any:
            return
        shape = getattr(data, "shape", None)
        told += "" if shape is None else f" and shape {tuple(shape)}"
    raise UserError(f"data of type {told} cannot be read{more}. Give {GIVEN}")


def _takes(kind: "Kind", data: Any) -> bool:
    """Say whether data from Python are of a kind."""
    return kind.of_memory(_seen(kind, data))


def _seen(kind: "Kind", data: Any) -> Any:
    """Return data as a kind sees them: as they were, if it reads neither data sets nor streams."""
    blind = (isinstance(data, Items) and kind.of_items is None) or (
        isinstance(data, Streamed) and kind.of_stream is None
    )
    return data.data if blind else data


def taken(kind: "Kind", data: Any, config: "RunSettings") -> Any:
    """Return data from Python as the functions of a kind take them; a data set is read so once.

    Raises:
        UserError: a data set that cannot be read.
    """
    found = _seen(kind, as_given(data, config))
    if not isinstance(found, Items) or kind.of_items is None:
        return found
    read = kind.of_items
    return found.once(config.data, lambda: read(found, config))


def as_given(data: Any, config: "RunSettings") -> Any:
    """Return data sets as `Items` and streams as `Streamed`, with the keys that settings name."""
    return wrapped(data, getattr(config.data, "x", None), getattr(config.data, "y", None))


def reading(
    config: "RunSettings", source: str, beside: str | None = None, where: object = "this run"
) -> "RunSettings":
    """Return the settings of a run with those that say which samples are meant.

    Args:
        config: of the run.
        source: where they are.
        beside: what they need beside that, as regions of DNA need their genome.
        where: what messages call the run.

    Raises:
        UserError: the samples need nothing else.
    """
    kind = find(config.modality)
    if kind.source_settings is not None:
        return override(config, kind.source_settings(source, beside))
    if beside is not None:
        raise UserError(f"{option('fasta')} is for models of DNA, but {where} is none")
    return override(config, {"data.source": source})


def meant_by(config: "RunSettings", data: Any) -> "tuple[Any, RunSettings]":
    """Return samples for a run as data from Python, or None, and the settings that say the rest.

    Args:
        config: of the run.
        data: as from Python, or where the samples are; a text that is no file is one text.

    Raises:
        UserError: data that no kind could read.
    """
    kind = find(config.modality)
    if isinstance(data, (str, PurePath)):
        text = str(data)
        named = isinstance(data, PurePath) or text.startswith("hf:") or is_there(user_path(text))
        if named or not kind.of_memory([text]):
            return None, reading(config, text)
        data = [text]
    data = as_given(data, config)
    if isinstance(data, Streamed):
        raise UserError(
            f"{data.told} cannot be read: it has no length, and here all samples are needed: give"
            " a list of them, such as list(itertools.islice(data, 1000))"
        )
    check_given(data)
    return taken(kind, data, config), config


def _kind(data: object, named: Mapping[str, object]) -> "Kind":
    """Say what a source holds."""
    asked = sorted(kinds(), key=lambda kind: -kind.precedence)
    if not isinstance(data, str):
        takes = [_takes(kind, data) for kind in asked]
    elif data.startswith("hf:"):
        takes = [kind.of_hub(data) for kind in asked]
    elif is_there(path := user_path(data)):
        if not (path.is_file() or path.is_dir()):
            raise UserError(f"{path} is neither a file nor a folder: give what holds the data")
        data_in = [each for each in path.iterdir() if is_data(each)] if path.is_dir() else []
        inside = {kind_of(each) for each in data_in}
        below = {kind_of(each) for each in files_below(path)} if inside else set()
        seen = {"none": set(), "flat": inside, "deep": below}
        takes = [
            bool(seen[kind.folders] & kind.endings)
            or (kind_of(path) in kind.endings and (kind.owns is None or kind.owns(path)))
            or (path.is_file() and kind_of(path) in kind.related)
            or (kind.holds is not None and kind.holds(path))
            for kind in asked
        ]
    else:
        takes = [kind.several and any(ending in data for ending in kind.endings) for kind in asked]
        if not any(takes):
            near = difflib.get_close_matches(data, list(named), n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"recipes are {', '.join(named)}"
            raise UserError(f"'{data}' is no recipe and no file or folder; {hint}")
    return next((kind for kind, it in zip(asked, takes, strict=True) if it), find(LAST))


def read_config(values: object) -> "RunSettings":
    """Build the settings of a run from what its config.json holds.

    Raises:
        UserError: an unknown key or a bad value, in one line.
    """
    if not isinstance(values, dict):
        raise UserError(f"input should be a dictionary, not {type(values).__name__}")
    return from_dict(find(values.get("modality", "")).settings, values)


def build(
    tokenizer: "Tokenizer",
    config: "ModelSettings",
    *,
    seed: int,
    attention: "Attention" = "auto",
    encoder: "EncoderFactory | None" = None,
) -> Any:
    """Return a model with initial weights decided by `seed`; global generators stay untouched.

    Args:
        tokenizer: how samples become tokens.
        config: the shape of the model.
        seed: decides the initial weights, those of an encoder of your own too.
        attention: see `PatchModel`.
        encoder: makes an encoder of your own (images), or a network (text).

    Raises:
        UserError: a model that this machine has no room for.
    """
    import torch

    if isinstance(encoder, torch.nn.Module):
        raise UserError("encoder= takes a function that makes the module, not the module itself")
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would also seed the generators of GPUs for good.
        torch.default_generator.manual_seed(seed)
        kind = find(tokenizer.modality)
        if encoder is None:
            _require_room(lambda: kind.build(tokenizer, config, attention, None), to_dict(config))
        return kind.build(tokenizer, config, attention, encoder and encoder())


def _require_room(make: "Callable[[], torch.nn.Module]", config: Entries) -> None:
    """Refuse a model that is larger than the memory before any of it is made."""
    from maskwise.layers.outline import outline, require_memory

    sizes = {name: value for name, value in config.items() if type(value) in (int, float)}
    if max(sizes.values(), default=0) <= USUAL:
        return
    deep = [name for name, value in sizes.items() if "depth" in name and value > DEEPEST]
    if deep:
        raise UserError(f"model.{deep[0]} {sizes[deep[0]]} is more than {DEEPEST}: lower it")
    try:
        require_memory(outline(make) or {})
    except UserError as error:
        large = max(sizes, key=lambda name: sizes[name])
        raise UserError(f"{error}: lower model.{large} {sizes[large]}") from None


def read_features(
    source: str,
    changes: Mapping[str, Any] | None = None,
    target: str | None = None,
    *,
    classes: bool = False,
) -> "Features":
    """Read a table of numbers, or images, whose features are means of patches.

    Args:
        source: what a kind of data with features can read.
        changes: settings of the data.
        target: name of a column, or its number from 0, to be predicted from the others.
        classes: the target holds classes, also texts, and becomes their numbers; NaN if missing.

    Raises:
        UserError: what cannot be read, or has no such column.

    >>> read_features("digits").values.shape
    (1438, 16)
    """
    path = user_path(source)

    def later(kind: Kind) -> tuple[bool, int]:
        """Ask first whose kind a file or folder is by what is inside."""
        inside = kind.holds is not None and is_there(path) and kind.holds(path)
        return not inside, kind.precedence

    asked = [kind.features for kind in sorted(kinds(), key=later)]
    found = (
        read(source, dict(changes or {}), target, classes) for read in asked if read is not None
    )
    return next(features for features in found if features is not None)
