"""What a run folder has from the start, and whether a run in it may go on."""

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import torch

import maskwise
from maskwise.errors import UserError, option
from maskwise.files import (
    LOCK,
    Entries,
    locked,
    read_json,
    write_json,
)
from maskwise.settings import differences, from_dict, to_dict
from maskwise.train import checkpoint, trackers
from maskwise.train.config import RunSettings
from maskwise.train.metrics import NAME, read
from maskwise.words import NAME as WORDS
from maskwise.words import Words


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
        UserError: the folder is in use, cannot be written, or holds another configuration; or a
            tracker is not installed.
    """
    trackers.check(config.efficiency.log)
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
