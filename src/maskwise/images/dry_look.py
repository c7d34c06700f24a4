"""A dry look at images: what a source holds, and all that stands in the way of training."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from maskwise.errors import UserError
from maskwise.files import Entries
from maskwise.images.arrays import Arrays
from maskwise.images.data import (
    ImageDataSettings,
    array_splits,
    in_the_way,
    looked_at,
    numbered,
    opened,
    proposed_side,
)
from maskwise.images.folders import Listed
from maskwise.images.images import Images, ImageSource, ImageSplits, choose_patch
from maskwise.inspection import Inspection, Problem
from maskwise.measure.probes import unscored
from maskwise.textio import few

SHOWN = 8  # pictures
More = Callable[[ImageSplits, Images], list[Problem]]
"""(images, which need not be decoded, how they become tokens) -> what else stands in the way"""


def inspect(given: Any, data: ImageDataSettings, more: More) -> Inspection:
    """Say what a source of images holds, by headers where they are pictures.

    Args:
        given: images from Python, or None.
        data: where they are, and how they are read.
        more: what else stands in the way of images that can be used.
    """
    try:
        found = opened(data, given, keep=True)
    except UserError as error:
        return Inspection({}, problems=[Problem(str(error))])
    return (
        _pictures(found, data, more) if isinstance(found, Listed) else _arrays(found, data, more)
    )


def _pictures(listed: Listed, data: ImageDataSettings, more: More) -> Inspection:
    looked = looked_at(listed, data)
    rows = looked.kept[_spread(len(looked.kept))].tolist()
    shown = {row: looked.pictures.shown(row) for row in rows}
    broken = {row: each for row, each in shown.items() if isinstance(each, str)}
    looked = replace(looked, found_broken=broken)
    found, problems = looked.told(), in_the_way(looked, data)
    if not len(looked.kept):
        return Inspection(found, problems=problems)
    splits, few_left = _splits(lambda: looked.splits(data.holdout), data)
    plan = looked.plan
    differ = any({"data.size", "data.channels"} & each.settings.keys() for each in problems)
    shape = (plan.channels, plan.height, plan.width)
    if not differ:
        problems += _tokens(shape, data, splits, more, resizable=True)
    pictures = [each for each in shown.values() if not isinstance(each, str)]
    return _told(found, splits, [*problems, *few_left], pictures)


def _arrays(arrays: Arrays, data: ImageDataSettings, more: More) -> Inspection:
    channels, height, width = shape = arrays.parts[0].shape
    total = sum(map(len, arrays.parts))
    found: Entries = {"images": total, "size": f"{height}x{width}", "channels": channels}
    first = arrays.parts[0]
    found["values"] = str(first.read(first.rows[:1]).dtype)
    if first.labels is not None and first.classes is not None:
        labels = np.concatenate([part.labels for part in arrays.parts if part.labels is not None])
        counts = np.bincount(labels[labels >= 0], minlength=len(first.classes)).tolist()
        found["classes"] = dict(zip(first.classes, counts, strict=True))
        if bare := int((labels < 0).sum()):
            found["without a label"] = bare
    problems = []
    broken = numbered(arrays.broken)
    if broken:
        found["cannot be read"] = [f"{name} ({why})" for name, why in broken.items()]
        if data.broken == "stop":
            names = few(found["cannot be read"], 100)
            told = f"{len(broken)} cannot be read: {names}: mend or remove them"
            problems.append(Problem(told, {"data.broken": "skip"}))
    splits, few_left = _splits(lambda: array_splits(arrays, data), data)
    problems += few_left + _tokens(shape, data, splits, more, resizable=False)
    fine = np.setdiff1d(np.arange(len(first)), list(arrays.broken))
    return _told(found, splits, problems, _drawn(first, fine[_spread(len(fine))]))


def _spread(num: int) -> np.ndarray:
    """Return the numbers of a few of so many samples, from the first to the last."""
    return np.linspace(0, num - 1, min(num, SHOWN)).astype(int)


def _drawn(source: ImageSource, index: np.ndarray) -> list[np.ndarray]:
    """Return images to look at, uint8 [H, W] or [H, W, 3]; none of other channels."""
    if source.shape[0] not in (1, 3) or not len(index):
        return []
    values = source.read(source.rows[index])
    if values.dtype != np.uint8:
        low, high = float(values.min()), float(values.max())
        values = ((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    return list(values[..., 0] if source.shape[0] == 1 else values)


def _splits(
    make: Callable[[], Sequence[ImageSource]], data: ImageDataSettings
) -> tuple[ImageSplits | None, list[Problem]]:
    try:
        train, test = make()
    except UserError as error:
        return None, [Problem(str(error))]
    if data.limit is not None:
        train = train.take(np.arange(min(data.limit, len(train))))
    return ImageSplits(train, test, data.source), []


def _tokens(
    shape: tuple[int, int, int],
    data: ImageDataSettings,
    splits: ImageSplits | None,
    more: More,
    *,
    resizable: bool,
) -> list[Problem]:
    """Return what keeps images of one shape from becoming tokens, and what then stands there."""
    channels, height, width = shape
    try:
        patch = data.patch or choose_patch(height, width)
        images = Images(
            patch=patch,
            channels=channels,
            height=height,
            width=width,
            mean=(0.0,) * channels,
            std=(1.0,) * channels,
            target=data.target,
        )
    except UserError as error:
        return [Problem(str(error), _mended(shape, data, resizable))]
    return [] if splits is None else more(splits, images)


def _mended(
    shape: tuple[int, int, int], data: ImageDataSettings, resizable: bool
) -> dict[str, str]:
    """Return settings with which images of a shape become tokens; none if nothing does."""
    channels, height, width = shape
    patch = data.patch
    if patch is not None and not (height % patch[0] or width % patch[1]):
        return {"data.target": "raw"}  # a patch of one value
    if resizable:
        return {"data.size": str(proposed_side(min(height, width), patch))}
    found = any_patch(height, width)
    if found is None:
        return {}
    raw = {"data.target": "raw"} if channels * math.prod(found) == 1 else {}
    return {"data.patch": f"{found[0]},{found[1]}", **raw}


def any_patch(height: int, width: int) -> tuple[int, int] | None:
    """Return the patch, as square as can be, that cuts an image into 4 to 200; None: none does.

    >>> any_patch(31, 37), any_patch(24, 36), any_patch(1, 1)
    ((31, 1), (3, 3), None)
    """

    def sides(length: int) -> list[int]:
        return [side for side in range(1, length + 1) if not length % side]

    able = [
        (tall, wide)
        for tall, wide in itertools.product(sides(height), sides(width))
        if 4 <= height // tall * (width // wide) <= 200
    ]
    return min(able, key=lambda each: (abs(each[0] - each[1]), sum(each)), default=None)


def _told(
    found: Entries,
    splits: ImageSplits | None,
    problems: Sequence[Problem],
    pictures: Sequence[np.ndarray],
) -> Inspection:
    if splits is None:
        return Inspection(found, None, problems, pictures)
    found["held out"] = len(splits.test)
    if splits.train.labels is not None and splits.test.labels is not None:
        why = unscored(splits.train.labels, splits.test.labels)
        if why:
            found["probes"] = f"not scored: {why}"
    return Inspection(found, len(splits.train), problems, pictures)
