"""Models for other programs and other people: export."""

from pathlib import Path
from typing import Any

from maskwise.api import load
from maskwise.exports.folder import write
from maskwise.modalities import find, kinds
from maskwise.modality import EncoderFactory, MaskedModel
from maskwise.run import Run
from maskwise.textio import user_path


def export(
    run: Run | MaskedModel | str | Path,
    out: str | Path,
    format: str | None = None,
    *,
    encoder: EncoderFactory | None = None,
) -> Path:
    """Write a model as other programs read it.

    Args:
        run: a run, a model, the folder of either, or a masked language model of transformers by
            its folder or its name on the hub.
        out: a folder, which is new or empty; it appears when all is written.
        format: one that models of this kind of data have; default: "hf-mlm" for models of texts.
        encoder: the function that the run was given, if it was given one.

    Returns:
        The folder.

    Raises:
        UserError: no such format, or a folder that holds something or cannot be written.
    """
    out, found = user_path(out), named(run, encoder)
    if isinstance(found, Run):
        return found.export(out, format, encoder=encoder)
    write(found, out, find(found.tokenizer.modality).exports, format)
    return out


def named(run: Run | MaskedModel | str | Path, encoder: EncoderFactory | None = None) -> Any:
    """Return a run, or a model that is of none.

    Raises:
        UserError: there is neither.
    """
    if isinstance(run, (Run, MaskedModel)):
        return run
    path = user_path(run)
    if (path / "weights.safetensors").exists():
        return load(path, encoder)
    if any((path / name).exists() for name in ("model", "checkpoint")):
        return Run(path)
    foreign = [kind.foreign for kind in kinds() if kind.foreign is not None]
    return foreign[0](str(run)) if foreign else Run(path)
