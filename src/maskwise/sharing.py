"""Models for other programs and other people: export, and the hub."""

import tempfile
from pathlib import Path
from typing import Any

from maskwise.api import load
from maskwise.exports.card import UNKNOWN, Origin
from maskwise.exports.folder import ABOUT, write
from maskwise.exports.hub import place
from maskwise.modalities import find, kinds
from maskwise.modality import EncoderFactory, MaskedModel
from maskwise.run import Run
from maskwise.textio import user_path


def export(
    run: Run | MaskedModel | str | Path,
    out: str | Path,
    format: str | None = None,
    *,
    license: str = UNKNOWN,
    encoder: EncoderFactory | None = None,
) -> Path:
    """Write a model as other programs read it.

    Args:
        run: a run, a model, the folder of either, or a masked language model of transformers by
            its folder or its name on the hub.
        out: a folder, which is new or empty; it appears when all is written.
        format: one that models of this kind of data have; default: "hf-mlm" for models of texts.
        license: identifier of the licence that the model's card names, such as "apache-2.0".
        encoder: the function that the run was given, if it was given one.

    Returns:
        The folder.

    Raises:
        UserError: no such format, or a folder that holds something or cannot be written.
    """
    out, found = user_path(out), named(run, encoder)
    if isinstance(found, Run):
        return found.export(out, format, license=license, encoder=encoder)
    kind = find(found.tokenizer.modality)
    write(found, out, kind.exports, format, Origin(license=license))
    return out


def push_to_hub(
    run: Run | MaskedModel | str | Path,
    name: str,
    format: str | None = None,
    *,
    private: bool = True,
    license: str = UNKNOWN,
    encoder: EncoderFactory | None = None,
) -> str:
    """Put a model on the Hugging Face hub; return its address.

    The token is that of `hf auth login`, or of the variable HF_TOKEN.

    Args:
        run: as for `export`; or the folder of an export, which is put there as it is.
        name: where on the hub, as "user/name"; what is there stays in the history.
        format: as for `export`.
        private: whether nobody else sees it.
        license: as for `export`.
        encoder: as for `export`.

    Raises:
        UserError: as for `export`; huggingface_hub is missing, there is no token, or the hub
            refuses.

    Example:
        >>> import maskwise as mw
        >>> mw.push_to_hub("runs/photos", "me/photos", "onnx", license="mit")  # doctest: +SKIP
        'https://huggingface.co/me/photos'
    """
    there = place(name, private=private)
    if isinstance(run, (str, Path)) and (user_path(run) / ABOUT).is_file():
        return there.upload(user_path(run))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "model"
        export(run, out, format, license=license, encoder=encoder)
        return there.upload(out)


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
