"""Images of another size than those of a run: what of them a model reads, and as what model."""

import logging
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

from maskwise.errors import UserError, option
from maskwise.given import Items, Streamed, wrapped
from maskwise.images.array_files import Layout
from maskwise.images.data import ImageDataSettings, looked_at, opened
from maskwise.images.folders import Listed
from maskwise.images.given_items import is_pillow, parts_of
from maskwise.images.images import Images, ImageSource
from maskwise.images.looked import Looked
from maskwise.layers.transformer import Transformer
from maskwise.modality import Given
from maskwise.patches.model import PatchModel
from maskwise.patches.sizes import on_grid
from maskwise.textio import few

log = logging.getLogger("maskwise")


def suited(images: Images, given: Given, data: ImageDataSettings) -> ImageDataSettings:
    """Return settings under which a model reads images that come without a size of their choice.

    Pictures get the size of the model's, which is said of those that have another; arrays stay as
    they are. A size that was asked for is left alone.

    Args:
        images: what the model reads.
        given: images in memory; None: the source that the settings name.
        data: how they are read; a size that is the model's counts as none.

    Raises:
        UserError: a source that does not exist or cannot be used.
    """
    own = (images.height, images.width)
    if given is not None:
        data = replace(data, layout=_layout(images, given) or data.layout, classes=())
    if data.size not in (None, own) or (data.size and _by_item(given)):
        return data
    given = wrapped(given)
    usual = replace(data, size=own if _holds_pillow(given) else None)
    if isinstance(given, Streamed):
        return usual
    try:
        found = opened(replace(data, size=None), given, keep=True)
    except UserError:
        if usual.size is None:
            raise
        return usual  # pictures of a data set that differ
    if not isinstance(found, Listed):
        return usual
    if data.size is None:
        _say(looked_at(found, data), own)
    return replace(data, size=own)


def _by_item(given: Given) -> bool:
    """Say whether images are items of a data set, which makes of each what settings say."""
    return not isinstance(given, (list, tuple)) and isinstance(wrapped(given), Items)


def _holds_pillow(given: Given) -> bool:
    """Say whether a data set or a stream is of pictures of Pillow, which can be resized."""
    if not isinstance(given, (Items, Streamed)) or (first := given.peeked) is None:
        return False
    return is_pillow(parts_of(given, first, 0)[0])


def _layout(images: Images, given: Given) -> Layout:
    """Say where an array has its channels, if it has as many as the model there."""
    shape = tuple(getattr(given, "shape", ()))
    fits = shape[1:] == (images.height, images.width, images.channels)
    last = len(shape) == 4 and shape[3] == images.channels != shape[1]
    return "NHWC" if fits or last else None


def _say(looked: Looked, own: tuple[int, int]) -> None:
    read = looked.headers.read
    others = [row for row, each in read.items() if (each.height, each.width) != own]
    if others:
        names = few([looked.listed.names[row] for row in others])
        log.warning(
            "%s: %d of %d pictures are resized to %dx%d, the size of the run: %s",
            *(looked.where, len(others), len(read), *own, names),
        )


def of_size(images: Images, size: tuple[int, ...]) -> Images:
    """Return how images of another size become tokens, with the same patch.

    Args:
        images: what a model reads.
        size: height and width in pixels, or one side of a square; channels may be in front.

    Raises:
        UserError: a size that the patch does not divide, or other channels.

    >>> digits = Images(patch=(2, 2), channels=1, height=8, width=8, mean=(0.0,), std=(1.0,))
    >>> of_size(digits, (12, 8)).grid
    (6, 4)
    """
    *channels, height, width = tuple(size) * (2 if len(size) == 1 else 1)
    if channels and channels[0] != images.channels:
        raise UserError(_other_channels(images, channels[0]))
    if (height, width) == (images.height, images.width):
        return images
    sides = tuple(zip((height, width), images.patch, strict=True))
    if any(side < 1 or side % step for side, step in sides):
        near = "x".join(str(max(1, round(side / step)) * step) for side, step in sides)
        raise UserError(
            f"images of {height}x{width} (height x width) are not cut by the model's patch,"
            f" {images.patch[0]}x{images.patch[1]}: the nearest size that it cuts is {near}:"
            f" resize arrays, and give {option('data.size', near.replace('x', ','))} for pictures"
        )
    return replace(images, height=height, width=width)


def at_size(source: ImageSource, size: tuple[int, int]) -> ImageSource:
    """Return the same images resized to a height and a width, float32; of that size, as they are.

    Bicubic, over as many old pixels as a new one spans; nothing is cropped.

    >>> from maskwise.images.images import array_source
    >>> source = array_source(np.zeros((5, 4, 6, 1), np.uint8))
    >>> at_size(source, (8, 8)).get([0, 3]).shape
    torch.Size([2, 1, 8, 8])
    """
    channels, *old = source.shape
    if tuple(old) == size:
        return source

    def read(rows: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(source.read(rows)).permute(0, 3, 1, 2).float()
        found = F.interpolate(images, size=size, mode="bicubic", antialias=True)
        return found.permute(0, 2, 3, 1).numpy()

    return replace(source, shape=(channels, *size), read=read)


def _other_channels(images: Images, channels: int) -> str:
    told = f"images have {channels} channel{'s' * (channels > 1)} and this model takes"
    way_out = "convert them"
    if images.channels in (1, 3):
        way_out += f" (pictures: {option('data.channels', str(images.channels))})"
    return f"{told} {images.channels}: {way_out}, or train a model of such images from this one"


def resized(model: PatchModel, size: tuple[int, ...]) -> PatchModel:
    """Return a model for images of another size, and say so; of the same size, the model itself.

    Positions are laid over the grid of the run's, see `on_grid`.

    Args:
        model: of images.
        size: as for `of_size`.

    Raises:
        UserError: a size that the patch does not divide, other channels, or an encoder of one's
            own that takes no other number of positions.
    """
    images = model.tokenizer
    assert isinstance(images, Images)
    wanted = of_size(images, size)
    if wanted == images:
        return model
    made = on_grid(model, wanted)
    if not isinstance(model.encoder, Transformer):
        _try(made, wanted)
    log.warning(
        "images of %dx%d, and the run's were %dx%d: the model reads a grid of %dx%d patches"
        " instead of %dx%d, on positions between those it learned",
        *(wanted.height, wanted.width, images.height, images.width, *wanted.grid, *images.grid),
    )
    return made


def _try(model: PatchModel, images: Images) -> None:
    """Refuse an encoder of one's own that cannot read a grid."""
    weight = model.head.weight
    blank = weight.new_zeros(1, images.channels, images.height, images.width)
    try:
        model.encode(blank)
    except Exception as error:  # whatever a module of somebody else raises
        why = " ".join(str(error).split())[:100] or type(error).__name__
        rows, columns = images.grid
        raise UserError(
            f"the run's own encoder cannot read a grid of {rows}x{columns} patches ({why}): give"
            " images of the run's size"
        ) from None
