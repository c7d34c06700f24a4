"""What training tells while it runs: metrics.jsonl, trackers, functions of the user, a bar."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from maskwise.errors import UserError
from maskwise.files import Entries, atomic, read_json_lines
from maskwise.progress import bars
from maskwise.settings import to_dict
from maskwise.train.checkpoint import places
from maskwise.train.config import RunSettings
from maskwise.train.trackers import Tracker, opened

NAME = "metrics.jsonl"
COUNTED = ("samples", "encoder_tokens", "predicted", "seconds")  # summed, not averaged
WIDE = 100  # columns of a terminal that has room for tokens/s


class StopTraining(Exception):
    """Raised by `on_log` or `on_checkpoint`: training ends after one more step, on all devices.

    Then the model is kept and evaluated. With ``resume=True`` training goes on from there.

    Example:
        >>> def enough(row):
        ...     if row["loss"] < 0.1:
        ...         raise StopTraining
    """


@dataclass(frozen=True)
class Watch:
    """Functions of the user, called on the first device.

    Args:
        on_log: takes every line of metrics.jsonl.
        on_checkpoint: takes every checkpoint, its path and how many steps are finished.
    """

    on_log: Callable[[Entries], object] | None = None
    on_checkpoint: Callable[[Path, int], object] | None = None

    def __post_init__(self) -> None:
        for name, function in vars(self).items():
            if function is not None and not callable(function):
                raise UserError(f"{name} takes a function, not {function!r:.40}")


def read(folder: Path) -> list[Entries]:
    """Read metrics.jsonl of a run folder; a last line that was cut off is left out.

    Raises:
        UserError: it cannot be read, or another line is damaged.
    """
    return read_json_lines(folder / NAME, ("step", "loss", *COUNTED))


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
        config: RunSettings | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.path, self.enabled, self.watch = folder / NAME, enabled, watch or Watch()
        rows = read(folder) if start and self.path.exists() else []
        told = rows[-1]["step"] if rows else 0
        rows = [row for row in rows if row["step"] <= start]
        self.total: dict[str, float] = {key: rows[-1][key] if rows else 0 for key in COUNTED}
        self.recent: deque[float] = deque((row["loss"] for row in rows), maxlen=10)
        self.interval = list(interval)
        self.ended = False
        """whether the user's functions asked for no more steps"""
        self.trackers: list[Tracker] = []
        if enabled:
            with atomic(self.path) as temporary:
                temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
            if config is not None:
                names, values = config.efficiency.log, to_dict(config)
                self.trackers = opened(names, folder, values, rows, told)

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *details: object) -> None:
        for tracker in self.trackers:
            tracker.close()

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
            for tracker in self.trackers:
                tracker.log(row)
            if self.watch.on_log is not None:
                self._call(self.watch.on_log, dict(row))
        return row

    def saved(self, step: int) -> None:
        """Tell of the newest checkpoint."""
        if self.watch.on_checkpoint is not None:
            self._call(self.watch.on_checkpoint, places(self.path.parent)[0], step)

    def _call(self, function: Callable[..., object], *values: object) -> None:
        try:
            function(*values)
        except StopTraining:
            self.ended = True

    def summary(self, steps: int, model: nn.Module) -> Entries:
        """Return the "train" entry of result.json."""
        return {
            "steps": steps,
            **{key.replace("samples", "num_samples"): num for key, num in self.total.items()},
            "final_loss": sum(self.recent) / len(self.recent) if self.recent else None,
            "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        }


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
