"""Weights in files of others, safetensors and .pth: read a part at a time, never executed."""

import argparse
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from maskwise.errors import UserError
from maskwise.files import read_json

WRAPPERS = ("model", "state_dict", "model_state_dict")
"""keys of a .pth below which programs keep weights"""
FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
"""of a folder of weights"""
PICKLED = (".pth", ".pt", ".bin", ".ckpt")


@dataclass(frozen=True)
class Weights:
    """Tensors in one file or several, by name, none of which is read yet.

    Args:
        path: what messages call them.
        shapes: of each.
        places: the file that each is in, and its name there.
        whole: whether a file can only be read as a whole.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    places: Mapping[str, tuple[Path, str]]
    whole: bool = False

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Return some of the tensors.

        They lie in the file as long as anything refers to them: what is copied a part at a time
        never takes the memory of both.

        Raises:
            UserError: a file is damaged, or they are no finite numbers.
        """
        files: dict[Path, dict[str, str]] = {}
        for name in names:
            path, there = self.places[name]
            files.setdefault(path, {})[name] = there
        found: dict[str, Tensor] = {}
        for path, wanted in files.items():
            found |= _read(path, wanted)
        for name, value in found.items():
            if not value.is_floating_point() or not value.isfinite().all():
                raise UserError(f"{self.path} is damaged: {name} has values that are no numbers")
        return found

    def below(self, prefix: str) -> "Weights":
        """Return those whose names begin so, without that."""
        kept = {name: shape for name, shape in self.shapes.items() if name.startswith(prefix)}
        places = {name: self.places[name] for name in kept}
        return replace(self, shapes=kept, places=places).named(lambda n: n.removeprefix(prefix))

    def named(self, rename: Callable[[str], str]) -> "Weights":
        """Return the same tensors under other names."""
        shapes = {rename(name): shape for name, shape in self.shapes.items()}
        places = {rename(name): place for name, place in self.places.items()}
        return replace(self, shapes=shapes, places=places)


def open_weights(place: Path) -> Weights:
    """Look into a file of weights, or a folder of them; only names and shapes are read.

    Raises:
        UserError: it is missing or damaged, holds no weights, or needs pickle.

    Example:
        >>> import tempfile
        >>> from safetensors.torch import save_file
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_file({"a": torch.ones(2, 3)}, f"{folder}/model.safetensors")
        ...     open_weights(Path(folder)).shapes
        {'a': (2, 3)}
    """
    path = place
    if place.is_dir():
        there = [place / name for name in FILES if (place / name).is_file()]
        if not there:
            raise UserError(f"{place} holds no weights: it has none of {', '.join(FILES)}")
        path = there[0]
    if not path.is_file():
        raise UserError(f"no file or folder of weights '{place}'")
    if path.suffix == ".json":
        return _sharded(place, path)
    if path.suffix in PICKLED:
        shapes = {name: tuple(value.shape) for name, value in _unpickled(path).items()}
        whole = not zipfile.is_zipfile(path)
    else:
        shapes, whole = _header(path), False
    return _plain(Weights(path, shapes, {name: (path, name) for name in shapes}, whole))


def _plain(weights: Weights) -> Weights:
    """Take away what torch puts before the names of a model that ran on several devices."""
    if all(name.startswith("module.") for name in weights.shapes):
        return weights.named(lambda name: name.removeprefix("module."))
    return weights


def _sharded(place: Path, index: Path) -> Weights:
    listed = read_json(index)
    files = listed.get("weight_map") if isinstance(listed, dict) else None
    if not isinstance(files, dict):
        raise UserError(f"{index} is damaged: it has no weight_map")
    parts = {name: Path(str(name)).name for name in sorted({str(each) for each in files.values()})}
    shapes, places = {}, {}
    for part in parts.values():
        for name, shape in _header(place / part).items():
            shapes[name], places[name] = shape, (place / part, name)
    return Weights(place, shapes, places)


def _header(path: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            return {name: tuple(file.get_slice(name).get_shape()) for name in names}
    except (SafetensorError, OSError) as error:
        raise UserError(f"weights {path} are damaged or missing: {error}") from None


def _read(path: Path, wanted: Mapping[str, str]) -> dict[str, Tensor]:
    """Return tensors of a file, by the name they shall have."""
    if path.suffix in PICKLED:
        there = _unpickled(path)
        return {name: there[old] for name, old in wanted.items()}
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(old) for name, old in wanted.items()}
    except (SafetensorError, OSError) as error:
        raise UserError(f"weights {path} are damaged or missing: {error}") from None


def _unpickled(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a .pth, which stay in the file until they are used.

    Raises:
        UserError: it is damaged, holds no weights, or more than tensors and plain values.
    """
    mapped = zipfile.is_zipfile(path)  # what torch 1.6 and later write
    try:
        # Programs keep their arguments beside the weights: names with plain values.
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")
            found: Any = torch.load(path, map_location="cpu", mmap=mapped, weights_only=True)
    except Exception as error:  # whatever a file that is none makes of it
        raise _unreadable(path, " ".join(str(error).split())) from None
    while isinstance(found, dict):
        tensors = {str(name): each for name, each in found.items() if isinstance(each, Tensor)}
        if tensors:
            return tensors
        below = [found[key] for key in WRAPPERS if isinstance(found.get(key), dict)]
        if not below:
            break
        found = below[0]
    keys = ", ".join(map(str, list(found)[:10])) if isinstance(found, dict) else type(found)
    raise UserError(f"{path} holds no weights, but {keys or 'nothing'}")


def _unreadable(path: Path, told: str) -> UserError:
    """Say why torch does not read a file: it is damaged, or more than tensors."""
    with path.open("rb") as file:
        pickled = file.read(1) == b"\x80"
    if not pickled and "can still be loaded" not in told:
        return UserError(f"weights {path} are damaged: {told[:160] or 'there is nothing in it'}")
    what = re.search(r"GLOBAL (\S+)", told)
    holds = f"holds {what[1]}, and " if what else ""
    return UserError(
        f"{path} {holds}needs pickle, which executes what a file says, so it is not read: where"
        " you trust it, open it with torch.load(..., weights_only=False) and write its weights"
        " with safetensors.torch.save_file"
    )
