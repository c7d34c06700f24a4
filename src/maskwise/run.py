"""A run folder and the model in it: what training leaves behind, and evaluation and reports read.

A model is a folder too, of config.json and weights.safetensors; nothing in it is executed.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from maskwise import words
from maskwise.errors import UserError, option
from maskwise.files import Entries, atomic, read_json, write_json
from maskwise.layers.outline import outline, require_same, shapes_of
from maskwise.layers.transformer import Attention
from maskwise.modalities import KINDS, Kind, build, check_given, find, read_config
from maskwise.modality import EncoderFactory, M, MaskedModel, Pool
from maskwise.outputs import Embedded, spread
from maskwise.settings import flatten, from_dict, override, to_dict
from maskwise.textio import is_there, user_path
from maskwise.train.checkpoint import read_weights
from maskwise.train.config import RunSettings
from maskwise.train.folder import read as read_metrics

log = logging.getLogger("maskwise")


@dataclass(frozen=True)
class Run:
    """A finished or interrupted run in its folder."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        if not (self.path / "config.json").is_file():
            raise UserError(f"{self.path} is not a run folder: it has no config.json")

    @property
    def config(self) -> RunSettings:
        """The resolved configuration."""
        path = self.path / "config.json"
        try:
            return read_config(read_json(path))
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    @property
    def kind(self) -> Kind:
        """The record of its kind of data."""
        return find(self.config.modality)

    def say(self) -> None:
        """Write what the report calls things, where that is not yet there."""
        if not (self.path / words.NAME).exists():
            write_json(self.path / words.NAME, to_dict(self.kind.words))

    @property
    def metrics(self) -> list[Entries]:
        """The lines of metrics.jsonl."""
        return read_metrics(self.path)

    @property
    def result(self) -> Entries:
        """What result.json holds: training, law, data, reconstruction errors and probes."""
        if not (self.path / "result.json").exists():
            raise self._unfinished("result")
        return read_json(self.path / "result.json")

    def _unfinished(self, what: str) -> UserError:
        way_out = f"continue its training with {option('resume', 'auto')}"
        return UserError(f"{self.path} has no {what} yet: {way_out}")

    @property
    def likelihood(self) -> Entries:
        """What likelihood.json holds: score by number hidden, area, anchor and law."""
        if not (self.path / "likelihood.json").exists():
            raise UserError(f"{self.path} has no likelihood yet: run maskwise likelihood on it")
        return read_json(self.path / "likelihood.json")

    @property
    def report(self) -> Path:
        """The report's path."""
        return self.path / "report.html"

    def require_model(self) -> None:
        """Refuse a run whose training has not ended.

        Raises:
            UserError: it has no model to keep.
        """
        if not (self.path / "model").is_dir():
            raise self._unfinished("model")

    def model(self, encoder: EncoderFactory | None = None) -> MaskedModel:
        """Load the trained model, in eval mode; of a run that was stopped, its newest checkpoint.

        Raises:
            UserError: there is neither, or files are damaged.
        """
        described = (self.path / "checkpoint/config.json").is_file()
        found = None
        if described and not (self.path / "model").is_dir():
            found = read_weights(self.path)
        if found is None:
            self.require_model()
            return load_model(self.path / "model", encoder=encoder)
        step, steps = found[0], self.config.train.steps
        log.warning(
            "%s was stopped at step %s of %s: its newest checkpoint is used",
            *(self.path, f"{step:,}", f"{steps:,}"),
        )
        return load_model(self.path / "checkpoint", encoder=encoder, weights=found[1])

    def embed(
        self,
        data: Any,
        pool: Pool = "mean",
        layer: int = -1,
        encoder: EncoderFactory | None = None,
    ) -> np.ndarray:
        """Return features of samples, float32 [N, D]; nothing is hidden.

        Args:
            data: images, as NumPy [N, H, W] or [N, H, W, C], torch [N, C, H, W] or a source; a
                list, array or column of texts, or of sequences of DNA (letters); AnnData; or a
                table. Or where the samples are, as for `pretrain`; a text that is no file is one
                text.
            pool: see `PatchModel.encode`.
            layer: see `PatchModel.encode`.
            encoder: the function that the run was given, if it was given one.
        """
        kind = self.kind
        if isinstance(data, (str, Path)):
            text = str(data)
            named = isinstance(data, Path) or text.startswith("hf:") or is_there(user_path(text))
            if named or not kind.of_memory([text]):
                config = self.reading(text)
                return self.embed_source(config, pool, layer, encoder).features
            data = [text]
        check_given(data)
        return kind.embed(self.model(encoder), data, self.config, pool, layer)

    def reading(self, source: str, beside: str | None = None) -> RunSettings:
        """Return the settings that say which samples are meant.

        Args:
            source: where they are.
            beside: what they need beside that, as regions of DNA need their genome.
        """
        kind = self.kind
        if kind.source_settings is not None:
            return override(self.config, kind.source_settings(source, beside))
        if beside is not None:
            raise UserError(f"{option('fasta')} is for models of DNA, but {self.path} is none")
        return override(self.config, {"data.source": source})

    def embed_source(
        self,
        config: RunSettings,
        pool: Pool = "mean",
        layer: int = -1,
        encoder: EncoderFactory | None = None,
    ) -> Embedded:
        """Return features of all samples of a source, with their names; see `embed`.

        Those of samples that cannot be read are NaN.

        Args:
            config: which samples, see `reading`.
            pool: see `PatchModel.encode`.
            layer: see `PatchModel.encode`.
            encoder: the function that the run was given, if it was given one.

        Raises:
            UserError: a source without a single sample that can be read.
        """
        model, kind = self.model(encoder), self.kind
        given, names, broken = kind.read(config)
        if broken:
            rows = [f"{names[row] if names else row + 1}: {why}" for row, why in broken.items()]
            few = "; ".join(rows[:3]) + "; ..." * (len(rows) > 3)
            log.warning("%d samples cannot be read and have no features: %s", len(rows), few)
        return spread(kind.embed(model, given, config, pool, layer), names, broken)

    def impute(self, data: Any) -> Any:
        """Return data with missing values filled in: a table, or AnnData with a further layer.

        Args:
            data: a pandas, polars or Arrow table, a mapping of columns or an array, of which a
                copy is returned (see `maskwise.tables.files.fill`); or AnnData, which is
                changed (see `maskwise.integrations.scverse.impute`).

        Raises:
            UserError: a run on other data, or data that its model cannot read.
        """
        return self.kind.needed(self.kind.impute, "impute")(self.model(), data, self.config)


def untrained(model: M, seed: int = 0, encoder: EncoderFactory | None = None) -> M:
    """Return the same architecture with random weights, on the same device, in eval mode.

    Args:
        model: a masked model.
        seed: decides the weights.
        encoder: the function that the model was given, if it was given one.
    """
    kind = find(model.tokenizer.modality)
    encoder = encoder or kind.encoder_of_parts(kind.parts(model))
    made = build(model.tokenizer, model.config, seed=seed, encoder=encoder)
    return made.to(next(model.parameters()).device).eval()


def save_model(folder: Path, model: MaskedModel) -> None:
    """Write `folder`/config.json, `folder`/weights.safetensors and files of the modality."""
    weights = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    with atomic(folder / "weights.safetensors") as temporary:
        save_file(weights, temporary, {"format": "pt"})
    describe_model(folder, model)


def describe_model(folder: Path, model: MaskedModel) -> None:
    """Write what `save_model` writes beside the weights: all that it takes to build the model."""
    kind = find(model.tokenizer.modality)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(
        folder / "config.json",
        {
            "modality": kind.name,
            kind.name: model.tokenizer.save(folder),
            "model": to_dict(model.config),
            **kind.parts(model),
        },
    )


def load_model(
    folder: Path,
    *,
    attention: Attention = "auto",
    encoder: EncoderFactory | None = None,
    weights: dict[str, Tensor] | None = None,
) -> Any:
    """Read a model folder, in eval mode.

    Args:
        folder: what `save_model` wrote.
        attention: see `PatchModel`.
        encoder: makes an encoder of the kind that the model was trained with, if it was given one.
        weights: those of the model, by name; default: what the folder holds.

    Raises:
        UserError: a file is missing or damaged, or the weights do not fit.
    """
    values = read_json(folder / "config.json")
    path = folder / "weights.safetensors"
    if isinstance(values, dict) and values.get("own_encoder") and encoder is None:
        raise UserError(f"{folder} was trained with an encoder of your own: give encoder= again")
    try:
        if values["modality"] not in KINDS:
            raise KeyError(values["modality"])
        kind = find(values["modality"])
        modality = kind.restore(folder, values[kind.name])
        config: Any = from_dict(kind.model_settings, values["model"])
    except UserError as error:
        where = "" if str(error).startswith(str(folder)) else f"{folder / 'config.json'}: "
        raise UserError(f"{where}{error}") from None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise UserError(f"{folder / 'config.json'} is no model description: {error}") from None
    own, encoder = encoder, encoder or kind.encoder_of_parts(values)
    if own is None and weights is None:
        plan = {**values, "model": to_dict(config)}
        _require_fit(
            path, plan, lambda: kind.build(modality, config, attention, encoder and encoder())
        )
    model = build(modality, config, seed=0, attention=attention, encoder=encoder)
    try:
        model.load_state_dict(load_file(path) if weights is None else weights)
    except (SafetensorError, OSError) as error:
        raise UserError(f"weights {path} are damaged or missing: {error}") from None
    except RuntimeError as error:
        first = " ".join(str(error).split())[:200]
        raise UserError(f"weights {path} do not fit the model in config.json: {first}") from None
    for name, value in model.named_parameters():
        if not value.isfinite().all():
            raise UserError(f"weights {path} are not finite: {name}; train again, with a lower lr")
    return model.eval()


def _require_fit(path: Path, values: Entries, make: Callable[[], nn.Module]) -> None:
    """Refuse weights that are not those of the model in config.json, before it is made.

    Of a file that somebody else wrote only the header is read, and no size in it or in config.json
    costs memory or time.
    """
    misfit = f"weights {path} do not fit the model in config.json"
    found = shapes_of(path)
    for name, value in flatten(values).items():
        layers = any(word in name.rpartition(".")[2] for word in ("depth", "layer", "group"))
        if layers and type(value) is int and value > len(found):
            raise UserError(f"{misfit}: {name} is {value}, and the file has {len(found)} tensors")
    try:
        wanted = outline(make)
        if wanted is None:
            return
        for one, other, what in ((wanted, found, "lacks"), (found, wanted, "also has")):
            if names := [name for name in one if name not in other]:
                raise UserError(f"the file {what} {names[0]} (one of {len(names)})")
        require_same(wanted, found)
    except UserError as error:
        raise UserError(f"{misfit}: {error}") from None
