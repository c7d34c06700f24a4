"""What training tells: metrics.jsonl, TensorBoard if installed, and the progress bar."""

import json
from collections import deque
from pathlib import Path
from typing import Any

from torch import nn

from maskwise.errors import UserError
from maskwise.files import atomic, read_json_lines
from maskwise.progress import bars

NAME = "metrics.jsonl"
COUNTED = ("samples", "tokens", "predicted", "seconds")  # summed over steps, not averaged


class Metrics:
    """Means over the steps since the last line, one JSON line at a time.

    Args:
        folder: the run folder.
        start: finished steps; lines of later steps, from a run that was cut off, are dropped.
        enabled: False on ranks that do not write.
    """

    def __init__(self, folder: Path, start: int, *, enabled: bool) -> None:
        self.path, self.enabled = folder / NAME, enabled
        rows = read_json_lines(self.path) if start and self.path.exists() else []
        rows = [row for row in rows if row["step"] <= start]
        self.seconds = rows[-1]["seconds"] if rows else 0.0
        self.tokens = rows[-1]["encoder_tokens"] if rows else 0
        self.predicted = rows[-1]["predicted"] if rows else 0
        self.recent: deque[float] = deque((row["loss"] for row in rows), maxlen=10)
        self.samples = rows[-1]["samples"] if rows else 0
        self._interval: list[dict[str, float]] = []
        self._board = None
        if enabled:
            with atomic(self.path) as temporary:
                temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
            self._board = _tensorboard(folder)

    def add(self, **values: float) -> None:
        """Take one step's samples, tokens, predicted and seconds, and what is to be averaged."""
        self._interval.append(values)

    def write(
        self, step: int, epoch: int, lr: float, measured: dict[str, float] | None = None
    ) -> dict[str, Any]:
        """Write and return the line of the interval that ends with `step`.

        Args:
            step: finished steps.
            epoch: passes over the data.
            lr: the learning rate.
            measured: what else is known at this step, if anything.
        """
        interval, self._interval = self._interval, []
        total = {key: sum(values[key] for values in interval) for key in interval[0]}
        self.seconds += total["seconds"]
        self.tokens += int(total["tokens"])
        self.predicted += int(total["predicted"])
        self.samples += int(total["samples"])
        row = {"step": step, "epoch": epoch, "lr": lr}
        row |= {key: total[key] / len(interval) for key in total if key not in COUNTED}
        row |= measured or {}
        row |= {
            "samples_per_s": total["samples"] / total["seconds"],
            "encoder_tokens_per_s": total["tokens"] / total["seconds"],
            "samples": self.samples,
            "encoder_tokens": self.tokens,
            "predicted": self.predicted,
            "seconds": self.seconds,
        }
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

    def summary(self, steps: int, model: nn.Module) -> dict[str, Any]:
        """Return the "train" entry of result.json."""
        return {
            "steps": steps,
            "seconds": self.seconds,
            "num_samples": self.samples,
            "encoder_tokens": self.tokens,
            "predicted": self.predicted,
            "final_loss": sum(self.recent) / len(self.recent) if self.recent else None,
            "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        }


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))


class Progress:
    """A progress bar with loss, samples/s, tokens/s and the time left."""

    def __init__(self, steps: int, start: int, *, enabled: bool) -> None:
        from rich.progress import TextColumn

        self.bar = bars(TextColumn("{task.fields[text]}"), enabled=enabled)
        self.task = self.bar.add_task("train", total=steps, completed=start, text="")

    def update(self, row: dict[str, Any]) -> None:
        """Show a line of metrics."""
        text = (
            f"loss {row['loss']:.4f} · {row['samples_per_s']:,.0f} samples/s"
            f" · {row['encoder_tokens_per_s']:,.0f} tokens/s"
        )
        self.bar.update(self.task, completed=row["step"], text=text)

    def __enter__(self) -> "Progress":
        self.bar.start()
        return self

    def __exit__(self, *details: object) -> None:
        self.bar.stop()
