from pathlib import Path

import pytest
import torch

from maskwise import UserError, masks
from maskwise.masks import PATTERNS
from maskwise.show import as_png, as_text, draw_masks, parse_grid

GRIDS = [(16,), (6, 4), (3, 4, 5)]


def read_text(text: str, num: int, grid: tuple[int, ...]) -> torch.Tensor:
    """The inverse of `as_text`: bool [num, rows, columns]."""
    side = grid[-1]
    lines = text.splitlines()[1:]
    sheets = [
        [[line[i * (2 * side + 3) + 2 * j] == "█" for j in range(side)] for line in lines]
        for i in range(num)
    ]
    return torch.tensor(sheets)


# Words come with a text, gaps with a table, spans have one axis, and tubes two or more.
SHOWN = [
    (pattern, grid)
    for pattern in PATTERNS
    for grid in GRIDS
    if pattern not in ("words", "ngrams", "copied", "proportional")
    and (pattern != "spans" or len(grid) == 1)
    and (pattern != "tubes" or len(grid) > 1)
]


@pytest.mark.parametrize(("pattern", "grid"), SHOWN, ids=str)
def test_text_shows_the_mask(pattern: str, grid: tuple[int, ...]) -> None:
    hidden = draw_masks("uniform:0.3,0.8", pattern, grid, num=3, seed=1)
    assert hidden.shape == (3, *grid)
    text = as_text(hidden)
    assert torch.equal(read_text(text, 3, grid).flatten(), hidden.flatten())
    shares = [int(word) for word in text.splitlines()[0].replace("%", "").split()]
    assert shares == [round(100 * float(sheet.float().mean())) for sheet in hidden]


def test_masks_are_those_of_consecutive_steps() -> None:
    hidden = draw_masks("uniform:0.1,0.9", "scattered", (8, 8), num=4, seed=3)
    for step, shown in enumerate(hidden):
        mask = masks.draw(
            "uniform:0.1,0.9", (8, 8), sample_ids=torch.tensor([step]), seed=3, step=step
        )
        assert torch.equal(mask.hidden.view(8, 8), shown)
    assert len({int(sheet.sum()) for sheet in hidden}) > 1


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_png(grid: tuple[int, ...], tmp_path: Path) -> None:
    from matplotlib.image import imread

    hidden = draw_masks("fixed:0.5", "block", grid, num=2)
    path = tmp_path / "deep" / "mask.png"
    as_png(hidden, path, "a title")
    pixels = imread(path)
    assert min(pixels.shape[:2]) > 100
    # Dark where hidden, light where visible.
    dark = (pixels[..., :3].mean(-1) < 0.5).mean()
    assert 0.02 < dark < 0.7
    assert list(path.parent.iterdir()) == [path]


def test_png_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        as_png(torch.ones(1, 2, 2, dtype=torch.bool), tmp_path / "file" / "mask.png", "a title")


@pytest.mark.parametrize("grid", [(1,), (16,), (14, 14), (3, 4, 5)])
def test_parse_grid(grid: tuple[int, ...]) -> None:
    assert parse_grid("x".join(map(str, grid))) == grid
    assert parse_grid("X".join(map(str, grid))) == grid


@pytest.mark.parametrize(
    "text", ["", "x", "14x", "ax4", "0x4", "-3x4", "14,14", "1.5x2", "14x14x"]
)
def test_a_bad_grid(text: str) -> None:
    with pytest.raises(UserError) as error:
        parse_grid(text)
    assert str(error.value).startswith(f"grid '{text}' cannot be read")
    assert "\n" not in str(error.value)


def test_bad_laws_and_patterns() -> None:
    with pytest.raises(UserError, match="unknown law"):
        draw_masks("unifrom:0,1", "block", (4, 4))
    with pytest.raises(UserError, match="unknown pattern"):
        draw_masks("fixed:0.5", "blok", (4, 4))


def test_patterns_of_texts_need_a_text() -> None:
    for pattern in ("words", "ngrams"):
        with pytest.raises(UserError, match="only texts have"):
            draw_masks("fixed:0.5", pattern, (16,))
    with pytest.raises(UserError, match="one axis, not a grid of 2"):
        draw_masks("fixed:0.5", "spans", (4, 4))
