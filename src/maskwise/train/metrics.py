"""What training tells: metrics.jsonl, TensorBoard if installed, and the progress bar."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from maskwise.errors import UserError
from maskwise.files import atomic, read_json_lines
from maskwise.modality import Entries
from maskwise.progress import bars

if TYPE_CHECKING:  # an extra
    from torch.utils.tensorboard import SummaryWriter

NAME = "metrics.jsonl"
COUNTED = ("samples", "encoder_tokens", "predicted", "seconds")  # summed, not averaged


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
def progress_bar(steps: int, start: int, *, enabled: bool) -> Iterator[Callable[[Entries], None]]:
    """Show a bar with loss, samples/s, tokens/s and the time left; give what moves it on."""
    from rich.progress import TextColumn

    bar = bars(TextColumn("{task.fields[text]}"), enabled=enabled)
    task = bar.add_task("train", total=steps, completed=start, text="")

    def show(row: Entries) -> None:
        text = (
            f"loss {row['loss']:.4f} · {row['samples_per_s']:,.0f} samples/s"
            f" · {row['encoder_tokens_per_s']:,.0f} tokens/s"
        )
        bar.update(task, completed=row["step"], text=text)

    with bar:
        yield show
