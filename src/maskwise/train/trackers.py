"""Where training is told beside metrics.jsonl: TensorBoard, Weights & Biases, a CSV file."""

import csv
import hashlib
import importlib.util
import json
import logging
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Literal, Protocol

from maskwise.errors import UserError, option, require
from maskwise.files import Entries, atomic, read_json

log = logging.getLogger("maskwise")
Name = Literal["auto", "tensorboard", "wandb", "csv"]
CSV = "metrics.csv"


class Tracker(Protocol):
    """What is told of every line of metrics.jsonl."""

    def log(self, row: Entries) -> None:
        """Take a new line."""

    def close(self) -> None:
        """Write what is left to be written."""


def check(names: Collection[Name]) -> None:
    """Refuse trackers that are not installed.

    Raises:
        UserError: one is not.
    """
    for name in set(names) & {"tensorboard", "wandb"}:
        require(name, option("log", name), name)


def opened(
    names: Sequence[Name], folder: Path, config: Entries, rows: Sequence[Entries], told: int
) -> list[Tracker]:
    """Return trackers of a run folder.

    Args:
        names: of them; "auto" is TensorBoard, if it is installed.
        folder: of the run.
        config: of the run, as plain values.
        rows: the lines that there are, of a run that goes on.
        told: the last step of which they may have been told; it and those before are not told
            again to who cannot forget them.
    """
    auto = "auto" in names and importlib.util.find_spec("tensorboard") is not None
    wanted = [name for name in names if name != "auto"]
    if auto and "tensorboard" not in wanted:
        wanted.append("tensorboard")
    return [TRACKERS[name](folder, config, rows, told) for name in dict.fromkeys(wanted)]


class CSVFile:
    """metrics.csv: a column for each thing that is told, empty in rows that do not tell it."""

    def __init__(self, folder: Path, config: Entries, rows: Sequence[Entries], told: int) -> None:
        self.path, self.rows = folder / CSV, list(rows)
        self.columns: list[str] = []
        self._write()

    def log(self, row: Entries) -> None:
        self.rows.append(row)
        if any(key not in self.columns for key in row):
            self._write()
            return
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, self.columns).writerow(row)
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from None

    def _write(self) -> None:
        self.columns = list(dict.fromkeys(key for row in self.rows for key in row))
        with (
            atomic(self.path) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.DictWriter(file, self.columns)
            if self.columns:
                writer.writeheader()
            writer.writerows(self.rows)

    def close(self) -> None:
        """All is written."""


class TensorBoard:
    """Scalars in the folder tensorboard/, and the configuration as a text."""

    def __init__(self, folder: Path, config: Entries, rows: Sequence[Entries], told: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        last = rows[-1]["step"] if rows else 0
        # What an earlier process told of later steps is not shown any more.
        purged = {"purge_step": last + 1} if told > last else {}
        self.writer = SummaryWriter(str(folder / "tensorboard"), **purged)
        if not rows:
            indented = json.dumps(config, indent=2).replace("\n", "\n    ")
            self.writer.add_text("config", f"    {indented}", 0)

    def log(self, row: Entries) -> None:
        for key, value in row.items():
            self.writer.add_scalar(key, value, row["step"])

    def close(self) -> None:
        self.writer.close()


class WandB:
    """A run of Weights & Biases; without a key, or with WANDB_MODE=offline, in the run folder."""

    def __init__(self, folder: Path, config: Entries, rows: Sequence[Entries], told: int) -> None:
        wandb = require("wandb", option("log", "wandb"), "wandb")
        self.told, mode = told, os.environ.get("WANDB_MODE")
        if mode is None and not wandb.api.api_key:
            mode = "offline"
            log.warning("no key of W&B: its run is kept in %s, for 'wandb sync'", folder / "wandb")
        try:
            self.run = wandb.init(
                project=os.environ.get("WANDB_PROJECT") or "maskwise",
                name=folder.name,
                id=run_id(folder),
                dir=str(folder),
                config=config,
                mode=mode,
                resume="allow",  # the same run again when training goes on
                settings=wandb.Settings(silent=True),
            )
        except (wandb.errors.Error, OSError) as error:
            told_of = " ".join(str(error).split())
            raise UserError(f"{option('log', 'wandb')}: {told_of:.300}") from None

    def log(self, row: Entries) -> None:
        if row["step"] > self.told:
            self.run.log(row, step=row["step"])

    def close(self) -> None:
        self.run.finish()


def run_id(folder: Path) -> str:
    """Return the same short name for a run folder whenever it is asked for, wherever it lies."""
    started = read_json(folder / "env.json").get("started", "")
    return hashlib.sha256(f"{folder.name} {started}".encode()).hexdigest()[:12]


TRACKERS: dict[Name, Callable[[Path, Entries, Sequence[Entries], int], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "csv": CSVFile,
}
