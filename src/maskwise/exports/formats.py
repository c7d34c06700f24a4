"""Graphs as files: ONNX, and programs of torch."""

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from maskwise.errors import UserError, require
from maskwise.exports.folder import ABOUT, Writer
from maskwise.exports.graph import OUTPUT, Graph, GraphOf, traced, unheard
from maskwise.files import read_json
from maskwise.modality import MaskedModel

if TYPE_CHECKING:
    pass

log = logging.getLogger("maskwise")
OPSET = 18
ONNX, PROGRAM = "model.onnx", "model.pt2"
ROOM = 2**31 - 2**24  # bytes in a protobuf, with some left for the graph
CLOSE = 1e-3  # of the largest feature
M = TypeVar("M", bound=MaskedModel)


def graph_formats(graph_of: GraphOf[M]) -> dict[str, Writer[M]]:
    """Return the formats that models have of which features are a graph."""
    return {
        "onnx": partial(_write, graph_of, write_onnx),
        "torch-export": partial(_write, graph_of, write_program),
    }


def _write(graph_of: GraphOf[M], write: Any, model: M, folder: Path) -> None:
    write(graph_of(model, folder), folder)


def write_onnx(graph: Graph, folder: Path) -> None:
    """Write model.onnx and inputs.json; weights too large for one file lie in one beside it.

    Where onnxruntime is installed, it must compute the same features.

    Raises:
        UserError: onnx or onnxscript are missing, a network that is no graph, or other features.
    """
    for name in ("onnx", "onnxscript"):
        require(name, "--format onnx", "onnx")
    about = read_json(folder / ABOUT) if (folder / ABOUT).is_file() else {}
    weights = graph.module.state_dict().values()
    large = sum(each.numel() * each.element_size() for each in weights) > ROOM
    program = traced(graph)
    try:
        with unheard():
            made = torch.onnx.export(
                program,
                input_names=[each.name for each in graph.inputs],
                output_names=[OUTPUT],
                opset_version=OPSET,
                verbose=False,
            )
            assert made is not None
            made.model.metadata_props.update({key: str(value) for key, value in about.items()})
            _name_axes(made.model.graph, graph)
            made.save(folder / ONNX, external_data=large)
    except torch.onnx.errors.OnnxExporterError as error:
        told = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(f"this network cannot be written as ONNX: {told}") from error
    given = ", ".join(f'"{each.name}": {each.name}' for each in graph.inputs)
    run = f'session = onnxruntime.InferenceSession("{ONNX}")\n'
    run += f"[{OUTPUT}] = session.run(None, {{{given}}})"
    graph.describe(folder, ONNX, "import onnxruntime", run)
    _check(graph, folder / ONNX)


def _name_axes(made: Any, graph: Graph) -> None:
    """Say of inputs what they are, and call axes of any size by their names, not s10 and s77."""
    names: dict[str, str] = {}
    for each, value in zip(graph.inputs, made.inputs, strict=True):
        value.doc_string = each.what
        names |= {str(value.shape[axis]): name for axis, name in each.free.items()}
    values = [*made.inputs, *(output for node in made for output in node.outputs)]
    for value in values:
        for axis, size in enumerate(value.shape or ()):
            if str(size) in names:
                value.shape[axis] = names[str(size)]


def _check(graph: Graph, path: Path) -> None:
    """Refuse a file of which onnxruntime, where it is installed, computes other features."""
    try:
        import onnxruntime
    except ImportError:
        log.warning("%s was not tried: that needs onnxruntime", ONNX)
        return
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = {each.name: each.example.numpy() for each in graph.inputs}
    with torch.no_grad():
        wanted = graph.module(*graph.examples)
    found = torch.from_numpy(session.run(None, given)[0])
    off = float((found - wanted).abs().max())
    if not off <= CLOSE * float(wanted.abs().max()):
        raise UserError(
            f"onnxruntime {onnxruntime.__version__} finds other features, by up to {off:.2g}:"
            " nothing was written; try another version of it, or of torch"
        )


def write_program(graph: Graph, folder: Path) -> None:
    """Write model.pt2, which `torch.export.load` reads, and inputs.json.

    Raises:
        UserError: a network that is no graph.
    """
    program = traced(graph)
    with unheard():
        torch.export.save(program, folder / PROGRAM)
    given = ", ".join(f"torch.from_numpy({each.name})" for each in graph.inputs)
    run = f'program = torch.export.load("{PROGRAM}").module()\n'
    run += f"with torch.no_grad():\n    {OUTPUT} = program({given})"
    graph.describe(folder, PROGRAM, "import torch", run)
