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
from maskwise.errors import UserError
from maskwise.evaluation.features import Pool, extract
from maskwise.files import read_json, read_json_lines, write_json
from maskwise.modalities.image_source import Source
from maskwise.models import EncoderFactory, MaskedModel, load_model
from maskwise.settings import differences, from_dict, to_dict
from maskwise.train.config import Config
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
    def config(self) -> Config:
        """The resolved configuration."""
        path = self.path / "config.json"
        try:
            return from_dict(Config, read_json(path))
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        return read_json_lines(self.path / METRICS)

    @property
    def result(self) -> dict[str, Any]:
        """What result.json holds: training, law, data, reconstruction errors and probes."""
        if not (self.path / "result.json").exists():
            raise UserError(f"{self.path} has no result yet: continue its training with --resume")
        return read_json(self.path / "result.json")

    @property
    def likelihood(self) -> dict[str, Any]:
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
        images: np.ndarray | torch.Tensor | Source,
        pool: Pool = "mean",
        layer: int = -1,
        encoder: EncoderFactory | None = None,
    ) -> np.ndarray:
        """Return features of images, float32 [N, D]; nothing is hidden.

        Args:
            images: NumPy [N, H, W] or [N, H, W, C], torch [N, C, H, W], or a source.
            pool: see `MaskedModel.encode`.
            layer: see `MaskedModel.encode`.
            encoder: the function that the run was given, if it was given one.
        """
        from maskwise.modalities.image_data import as_source

        source = images if isinstance(images, Source) else as_source(images)
        return extract(self.model(encoder), source, pool, layer)


def create(folder: Path, config: Config, *, resume: bool) -> None:
    """Make the run folder with config.json and env.json, or check that it may be resumed.

    Raises:
        UserError: the folder is in use, cannot be written, or holds another configuration.
    """
    if resume:
        _check_resumable(folder, config)
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{folder} already exists: continue it with --resume, or choose another --out"
        )
    write_json(folder / "env.json", environment())
    write_json(folder / "config.json", to_dict(config))


def _check_resumable(folder: Path, config: Config) -> None:
    saved = read_json(Run(folder).path / "config.json")
    changed = differences(saved, to_dict(config))
    changed = [line for line in changed if not line.startswith("efficiency.")]
    if changed:
        raise UserError(
            f"{folder} was started with another configuration ({'; '.join(changed)}):"
            " resume with the old values, or start a new run with --out"
        )


def environment() -> dict[str, Any]:
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
