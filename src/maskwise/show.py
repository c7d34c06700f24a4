"""Draw masks: in the terminal, and as a PNG."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from maskwise import masks
from maskwise.errors import UserError
from maskwise.files import write_png

_HIDDEN, _VISIBLE = "██", "··"


def draw_masks(
    law: str, pattern: str, grid: Sequence[int], *, num: int = 4, seed: int = 0
) -> torch.Tensor:
    """Return `num` masks of one epoch on consecutive steps, bool [num, *grid], True = hidden.

    >>> draw_masks("fixed:0.5", "columns", (2, 4)).shape
    torch.Size([4, 2, 4])
    """
    if num < 1:
        raise UserError(f"num {num} draws nothing: ask for at least 1 mask")
    draw = partial(masks.draw, law, tuple(grid), seed=seed, pattern=pattern)
    drawn = [draw(sample_ids=torch.tensor([step]), step=step).hidden for step in range(num)]
    return torch.cat(drawn).view(num, *grid)


def as_text(hidden: torch.Tensor) -> str:
    """Return masks [num, ...] as text, side by side; axes before the last are stacked as rows.

    >>> print(as_text(torch.tensor([[[True, False], [False, True]]])))
     50 %
    ██··
    ··██
    """
    sheets = _sheets(hidden)
    width = 2 * sheets.shape[2]
    title = "   ".join(
        f"{sheet.float().mean():4.0%}".replace("%", " %").ljust(width) for sheet in sheets
    )
    rows = [
        "   ".join("".join(_HIDDEN if cell else _VISIBLE for cell in line) for line in lines)
        for lines in zip(*sheets.tolist(), strict=True)
    ]
    return "\n".join([title.rstrip(), *rows])


def as_png(hidden: torch.Tensor, path: Path, title: str) -> None:
    """Write masks [num, ...] as a PNG, hidden positions dark."""
    from matplotlib.figure import Figure

    sheets = _sheets(hidden)
    figure = Figure(figsize=(2.2 * len(sheets), 2.8), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(1, len(sheets), squeeze=False)[0]
    for axis, sheet in zip(axes, sheets, strict=True):
        axis.pcolormesh(
            sheet.flip(0).float(), cmap="Greys", vmin=-0.15, vmax=1.2, edgecolors="white", lw=0.5
        )
        axis.set_title(f"{sheet.float().mean():.0%} hidden", fontsize=9)
        axis.set_aspect("equal")
        axis.set_axis_off()
    write_png(path, figure)


def _sheets(hidden: torch.Tensor) -> torch.Tensor:
    """Stack the axes before the last as rows: [num, rows, columns]."""
    return hidden.flatten(1, -2) if hidden.ndim > 2 else hidden[:, None]


def parse_grid(text: str) -> tuple[int, ...]:
    """Read a grid such as 14x14 or 8x14x14.

    >>> parse_grid("8x14x14")
    (8, 14, 14)
    """
    try:
        grid = tuple(int(side) for side in text.lower().split("x"))
    except ValueError:
        grid = ()
    if not grid or min(grid) < 1:
        raise UserError(f"grid '{text}' cannot be read: write positions per axis, as in 14x14")
    return grid
