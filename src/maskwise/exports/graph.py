"""What an export computes: features of samples, from what a user has of them."""

import copy
import logging
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.files import Entries, write_json
from maskwise.modality import MaskedModel

if TYPE_CHECKING:
    from torch.export import ExportedProgram

INPUTS = "inputs.json"
OUTPUT = "features"
LARGEST = 2**31 - 1
M = TypeVar("M", bound=MaskedModel)
N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class Input:
    """A tensor that goes in.

    Args:
        name: what it is called.
        example: values of two samples or more.
        what: what it holds, in a line.
        free: the axes of any size: their names, by number; axis 0 is the samples.
        most: how long such an axis may be, by its name.
    """

    name: str
    example: Tensor
    what: str
    free: dict[int, str] = field(default_factory=lambda: {0: "batch"})
    most: dict[str, int] = field(default_factory=dict)

    @property
    def shape(self) -> list[int | str]:
        """Its sizes, or the names of those that are free."""
        return [self.free.get(axis, size) for axis, size in enumerate(self.example.shape)]

    @property
    def zeros(self) -> str:
        """A line of Python that makes an array of zeros."""
        shape = (2, *self.example.shape[1:])
        return f"{self.name} = np.zeros({shape}, dtype=np.{str(self.example.dtype)[6:]})"

    def described(self) -> Entries:
        """Return plain values that say what goes in."""
        kind = str(self.example.dtype).removeprefix("torch.")
        told = {"name": self.name, "dtype": kind, "shape": self.shape, "what": self.what}
        return told | ({"at_most": self.most} if self.most else {})


@dataclass(frozen=True)
class Graph:
    """A module from inputs to features of samples, [B, D], with nothing drawn at random in it.

    Args:
        module: whose `forward` takes the inputs, in their order and by their names.
        inputs: at least one.
        more: what else there is to know, as plain values.
        prepare: lines of Python that make the inputs, as arrays of NumPy by their names; default:
            zeros.
    """

    module: nn.Module
    inputs: tuple[Input, ...]
    more: Entries = field(default_factory=dict)
    prepare: str = ""

    @property
    def examples(self) -> tuple[Tensor, ...]:
        """Values of all inputs."""
        return tuple(each.example for each in self.inputs)

    def describe(self, folder: Path, file: str, imports: str, run: str) -> None:
        """Write what goes into a file of this graph, and comes out, as inputs.json; and how.

        Args:
            folder: of the export.
            file: which holds the graph.
            imports: lines of Python.
            run: lines that compute features from arrays of NumPy called as the inputs.
        """
        with torch.no_grad():
            width = self.module(*self.examples).shape[1]
        output = {"name": OUTPUT, "dtype": "float32", "shape": ["batch", width]}
        told: Entries = {"file": file, "inputs": [each.described() for each in self.inputs]}
        write_json(folder / INPUTS, told | {"outputs": [output], **self.more})
        made = self.prepare or "\n" + "\n".join(each.zeros for each in self.inputs)
        lines = ["```python", "import numpy as np", imports, made, run, "```"]
        (folder / "README.md").write_text("\n".join(lines) + "\n", "utf-8")


GraphOf = Callable[[M, Path], Graph]
"""(model, the folder of the export, for files of its own) -> what it computes"""


def traced(graph: Graph) -> "ExportedProgram":
    """Return a graph as one program, for any number of samples.

    Raises:
        UserError: a module that cannot be one.
    """
    sizes: dict[str, object] = {}
    for each in graph.inputs:
        for name in each.free.values():
            most = each.most.get(name, LARGEST)
            sizes.setdefault(name, torch.export.Dim(name, min=1, max=most))
    shapes = {
        each.name: {axis: sizes[name] for axis, name in each.free.items()} for each in graph.inputs
    }
    try:
        with unheard(), torch.no_grad():
            return torch.export.export(
                graph.module, graph.examples, dynamic_shapes=shapes, strict=False
            )
    except Exception as error:  # whatever a module raises that is traced
        told = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(f"this network cannot be exported as a graph: {told}") from error


def without(module: N, parts: Collection[str]) -> N:
    """Return a module that lacks parts, which are not needed; it shares all weights.

    >>> pair = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    >>> [*without(pair, ["a"])._modules], [*pair._modules]
    (['b'], ['a', 'b'])
    """
    found = copy.copy(module)
    found.__dict__["_modules"] = {
        name: each for name, each in module._modules.items() if name not in parts
    }
    return found


@contextmanager
def unheard() -> Iterator[None]:
    """Silence what libraries say that nobody here can change."""
    disabled = logging.root.manager.disable
    logging.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
