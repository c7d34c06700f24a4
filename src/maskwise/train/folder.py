"""What a run folder has from the start, and what training tells: metrics.jsonl, and a bar."""

import json
import platform
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

import maskwise
from maskwise.errors import UserError, option
from maskwise.files import (
    LOCK,
    Entries,
    atomic,
    locked,
    read_json,
    read_json_lines,
    write_json,
)
from maskwise.progress import bars
from maskwise.settings import differences, from_dict, to_dict
from maskwise.train import checkpoint
from maskwise.train.config import RunSettings
from maskwise.words import NAME as WORDS
from maskwise.words import Words

if TYPE_CHECKING:  # an extra
    from torch.utils.tensorboard import SummaryWriter

NAME = "metrics.jsonl"
COUNTED = ("samples", "encoder_tokens", "predicted", "seconds")  # summed, not averaged
WIDE = 100  # columns of a terminal that has room for tokens/s


def read(folder: Path) -> list[Entries]:
    """Read metrics.jsonl of a run folder; a last line that was cut off is left out.

    Raises:
        UserError: it cannot be read, or another line is damaged.
    """
    return read_json_lines(folder / NAME, ("step", "loss", *COUNTED))


@contextmanager
def training(
    folder: Path,
    config: RunSettings,
    words: Words,
    fingerprint: Entries,
    *,
    resume: bool | Literal["auto"],
) -> Iterator[None]:
    """Make a run folder with its first files, or check that it may go on; train in it alone.

    Args:
        folder: the run folder.
        config: the resolved configuration.
        words: what reports call things.
        fingerprint: what of the data must be the same when the run is resumed.
        resume: whether the run goes on; "auto": if it has begun.

    Raises:
        UserError: the folder is in use, cannot be written, or holds another configuration.
    """
    if resume == "auto":
        resume = (folder / "config.json").exists()
    if resume:
        _check_resumable(folder, config, fingerprint)
    elif folder.exists() and (not folder.is_dir() or any(map(_matters, folder.iterdir()))):
        raise UserError(
            f"{folder} already exists: continue it with {option('resume', 'auto')}, or choose"
            f" another {option('out')}"
        )
    with locked(folder, "trains in it"):
        for stray in folder.rglob(".*.tmp"):  # of writes that were killed
            stray.unlink()
        now = environment()
        if not resume:
            write_json(folder / "env.json", now)
            if fingerprint:
                write_json(folder / "data.json", fingerprint)
            write_json(folder / WORDS, to_dict(words))
            write_json(folder / "config.json", to_dict(config))
        try:
            yield
        except UserError:  # then nothing was done
            resume = False
            raise
        finally:
            if resume:
                first = read_json(folder / "env.json")
                again = [*first.get("resumed", []), now]
                write_json(folder / "env.json", {**first, "resumed": again})


def _matters(path: Path) -> bool:
    """Say whether a file is more than what a run leaves that was killed before it had begun."""
    return path.name not in ("env.json", "data.json", WORDS, LOCK) and path.suffix != ".tmp"


def _check_resumable(folder: Path, config: RunSettings, fingerprint: Entries) -> None:
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not a run folder: it has no config.json")
    # A setting that an older version did not have is what it is by default.
    try:
        saved = from_dict(type(config), read_json(folder / "config.json"))
    except UserError as error:
        raise UserError(f"{folder / 'config.json'}: {error}") from None
    changed = differences(to_dict(saved), to_dict(config))
    changed = [line for line in changed if not line.startswith("efficiency.")]
    if changed:
        raise UserError(
            f"{folder} was started with another configuration ({'; '.join(changed)}):"
            f" resume with the old values, or start a new run with {option('out')}"
        )
    if fingerprint and (changed := differences(read_json(folder / "data.json"), fingerprint)):
        raise UserError(
            f"the data of {folder} have changed ({changed[0]}): restore them, or start a new run"
            f" with {option('out')}"
        )
    done = read(folder)[-1:] if (folder / NAME).exists() else []
    if done and done[0]["step"] >= config.train.checkpoint_every and not checkpoint.places(folder):
        raise UserError(
            f"{folder} has trained {done[0]['step']} steps and has no checkpoint any more: restore"
            f" it from a copy, or start a new run with {option('out')}"
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


class Metrics:
    """Means over the steps since the last line, one JSON line at a time, of a run folder.

    Lines of steps after `start`, from a run that was cut off, are dropped. Ranks that do not write
    are not `enabled`. Steps since the last line, the `interval`, are kept in checkpoints.
    """

    def __init__(
        self,
        folder: Path,
        start: int,
        interval: Sequence[dict[str, float]] = (),
        *,
        enabled: bool,
    ) -> None:
        self.path, self.enabled = folder / NAME, enabled
        rows = read(folder) if start and self.path.exists() else []
        rows = [row for row in rows if row["step"] <= start]
        self.total: dict[str, float] = {key: rows[-1][key] if rows else 0 for key in COUNTED}
        self.recent: deque[float] = deque((row["loss"] for row in rows), maxlen=10)
        self.interval = list(interval)
        self._board = None
        if enabled:
            with atomic(self.path) as temporary:
                temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
            self._board = _tensorboard(folder)

    def add(self, **values: float) -> None:
        """Take what is `COUNTED` in one step, and what is to be averaged."""
        self.interval.append(values)

    def write(
        self, step: int, epoch: int, lr: float, measured: dict[str, float] | None = None
    ) -> Entries:
        """Write and return the line of the interval that ends with `step`.

        It says what else was `measured` at this step, if anything.
        """
        interval, self.interval = self.interval, []
        total = {key: sum(values[key] for values in interval) for key in interval[0]}
        self.total = {key: self.total[key] + total[key] for key in COUNTED}
        row: Entries = {"step": step, "epoch": epoch, "lr": lr}
        row |= {key: total[key] / len(interval) for key in total if key not in COUNTED}
        row |= measured or {}
        for key in ("samples", "encoder_tokens"):
            row[f"{key}_per_s"] = total[key] / total["seconds"]
        row |= self.total
        self.recent.append(row["loss"])
        if self.enabled:
            try:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
            except OSError as error:
                raise UserError(f"cannot write {self.path}: {error.strerror}") from None
        if self._board is not None:
            for key, value in row.items():
                self._board.add_scalar(key, value, step)
        return row

    def summary(self, steps: int, model: nn.Module) -> Entries:
        """Return the "train" entry of result.json."""
        return {
            "steps": steps,
            **{key.replace("samples", "num_samples"): num for key, num in self.total.items()},
            "final_loss": sum(self.recent) / len(self.recent) if self.recent else None,
            "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        }


def _tensorboard(folder: Path) -> "SummaryWriter | None":
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))


@contextmanager
def progress_bar(
    steps: int, start: int, *, enabled: bool
) -> Iterator[Callable[[int, Entries | None], None]]:
    """Show a bar with loss, samples/s and the time left; give what moves it on.

    That takes the step, and the line of metrics.jsonl if there is a new one. A wide terminal is
    told tokens/s too.
    """
    from rich.progress import TextColumn

    bar = bars(TextColumn("{task.fields[text]}"), enabled=enabled)
    task = bar.add_task("train", total=steps, completed=start, start_at=start, text="")

    def show(step: int, row: Entries | None) -> None:
        bar.update(task, completed=step)
        if row is not None:
            text = f"loss {row['loss']:.4f} · {row['samples_per_s']:,.0f} samples/s"
            if bar.console.width >= WIDE:
                text += f" · {row['encoder_tokens_per_s']:,.0f} tokens/s"
            bar.update(task, text=text)

    with bar:
        yield show
