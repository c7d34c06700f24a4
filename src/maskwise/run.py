"""A run folder: what training leaves behind, and what evaluation and reports read."""

import platform
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import maskwise
from maskwise import words
from maskwise.errors import UserError
from maskwise.files import Entries, read_json, read_json_lines, write_json
from maskwise.modalities import Kind, find, read_config
from maskwise.modality import EncoderFactory, MaskedModel, Pool
from maskwise.settings import differences, to_dict
from maskwise.storage import load_model
from maskwise.train.config import RunSettings
from maskwise.train.metrics import NAME as METRICS


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
            words.save(self.path, self.kind.words)

    @property
    def metrics(self) -> list[Entries]:
        """The lines of metrics.jsonl."""
        return read_json_lines(self.path / METRICS)

    @property
    def result(self) -> Entries:
        """What result.json holds: training, law, data, reconstruction errors and probes."""
        if not (self.path / "result.json").exists():
            raise UserError(f"{self.path} has no result yet: continue its training with --resume")
        return read_json(self.path / "result.json")

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

    def model(self, encoder: EncoderFactory | None = None) -> MaskedModel:
        """Load the trained model, in eval mode."""
        if not (self.path / "model").is_dir():
            raise UserError(f"{self.path} has no model yet: continue its training with --resume")
        return load_model(self.path / "model", encoder=encoder)

    def embed(
        self,
        data: Any,
        pool: Pool = "mean",
        layer: int = -1,
        encoder: EncoderFactory | None = None,
    ) -> np.ndarray:
        """Return features of samples, float32 [N, D]; nothing is hidden.

        Args:
            data: images, as NumPy [N, H, W] or [N, H, W, C], torch [N, C, H, W] or a source; or a
                list of texts, or of sequences of DNA (letters); AnnData or an .h5ad; or a table.
            pool: see `PatchModel.encode`.
            layer: see `PatchModel.encode`.
            encoder: the function that the run was given, if it was given one.
        """
        model = self.model(encoder)
        config = self.config
        return self.kind.embed(model, data, config, pool, layer)

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


def create(folder: Path, config: RunSettings, fingerprint: Entries, *, resume: bool) -> None:
    """Make the run folder with its first files, or check that it may go on.

    Args:
        folder: the run folder.
        config: the resolved configuration.
        fingerprint: what of the data must be the same when the run is resumed.
        resume: whether the run goes on.

    Raises:
        UserError: the folder is in use, cannot be written, or holds another configuration.
    """
    if resume:
        _check_resumable(folder, config, fingerprint)
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{folder} already exists: continue it with --resume, or choose another --out"
        )
    write_json(folder / "env.json", environment())
    if fingerprint:
        write_json(folder / "data.json", fingerprint)
    words.save(folder, find(config.modality).words)
    write_json(folder / "config.json", to_dict(config))


def _check_resumable(folder: Path, config: RunSettings, fingerprint: Entries) -> None:
    saved = read_json(Run(folder).path / "config.json")
    changed = differences(saved, to_dict(config))
    changed = [line for line in changed if not line.startswith("efficiency.")]
    if changed:
        raise UserError(
            f"{folder} was started with another configuration ({'; '.join(changed)}):"
            " resume with the old values, or start a new run with --out"
        )
    if fingerprint and (changed := differences(read_json(folder / "data.json"), fingerprint)):
        raise UserError(
            f"the data of {folder} have changed ({changed[0]}): restore them, or start a new run"
            " with --out"
        )


def environment() -> Entries:
    """Return what the run was made with."""
    return {
        "maskwise": maskwise.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "cpu": _processor(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "command": " ".join(["maskwise", *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
