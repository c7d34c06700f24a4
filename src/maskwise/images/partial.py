"""Images of which parts may be missing: pixels that are NaN, masked or fully transparent."""

import dataclasses
import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from maskwise.errors import UserError
from maskwise.images.arrays import Arrays
from maskwise.images.data import ImageDataSettings, looked_at, opened
from maskwise.images.images import Images, ImageSource, held_out, joined
from maskwise.images.looked import Looked, readable
from maskwise.images.sizes import of_size, suited
from maskwise.measure.features import in_batches
from maskwise.modality import Given, Incomplete, Known, Labelled
from maskwise.patches.model import PatchModel

if TYPE_CHECKING:
    from maskwise.images.recipes import ImageRunSettings

log = logging.getLogger("maskwise")


class _Read(NamedTuple):
    """All images of a source."""

    source: ImageSource
    """those that can be read"""
    labels: np.ndarray | None
    """class numbers of these, -1 = none"""
    classes: tuple[str, ...] | None
    names: list[str] | None
    broken: Mapping[int, str]
    missing: np.ndarray | None
    """which pixels of them are not there, bool [n, H, W]"""
    num_train: int | None
    """how many of all come first, to train on; None: that is to be chosen"""


def incomplete(model: PatchModel, given: Given, config: "ImageRunSettings") -> Incomplete:
    """Return all images; a patch with a pixel that is not there is missing.

    Pixels are not there that are NaN or masked in arrays, or fully transparent in pictures.

    Args:
        model: of images.
        given: images in memory; None: the source that the settings name.
        config: says how to read them.

    Raises:
        UserError: images that cannot be read, or are none for this model.
    """
    return _incomplete(model, _read(model, given, config.data))


def labelled(
    model: PatchModel, given: Given, config: "ImageRunSettings", column: str | None, known: Known
) -> Labelled:
    """Return all images and the classes that they come with: folders, or labels beside arrays.

    Which are held out follows from the settings, as for training.

    Args:
        model: of images.
        given: images in memory; None: the source that the settings name.
        config: says how to read them.
        column: there is none.
        known: whether labels are given apart.

    Raises:
        UserError: a column is asked for, or images cannot be read.
    """
    if column is not None:
        raise UserError(
            f"images have no column '{column}', and there is no such file: their labels are class"
            " folders, labels beside an array, or a file of names and labels"
        )
    read, values = _read(model, given, config.data), None
    if read.labels is not None and read.classes is not None:
        values = np.array([*read.classes, None], dtype=object)[read.labels]
    rows = np.setdiff1d(np.arange(len(read.source) + len(read.broken)), list(read.broken))
    if read.num_train is not None:
        held = rows >= read.num_train
    else:
        whole = np.ones(len(rows), bool) if read.missing is None else ~read.missing.any((1, 2))
        labels = None if read.labels is None else read.labels[whole]
        held = np.zeros(len(rows), dtype=bool)
        held[whole] = held_out(int(whole.sum()), labels, config.data.holdout)
    return Labelled(_incomplete(model, read), values, held)


def _incomplete(model: PatchModel, read: _Read) -> Incomplete:
    assert isinstance(model.tokenizer, Images)
    images = of_size(model.tokenizer, read.source.shape)
    told = read.labels, read.classes, read.names, read.broken
    if read.missing is None:
        return Incomplete(read.source, None, None, *told)
    (rows, columns), (height, width) = images.grid, images.patch
    pixels = read.missing.reshape(-1, rows, height, columns, width)
    patches = np.asarray(pixels.any(axis=(2, 4)))
    num = int(read.missing.any(axis=(1, 2)).sum())
    log.info("%d of %d images lack pixels: %d patches", num, len(patches), patches.sum())
    values = read.source.read
    # Nothing may be NaN, not even where it is hidden: 0 times NaN is NaN.
    source = dataclasses.replace(read.source, read=lambda rows: np.nan_to_num(values(rows)))
    return Incomplete(source, patches.reshape(len(patches), -1), None, *told)


def _read(model: PatchModel, given: Given, data: ImageDataSettings) -> _Read:
    assert isinstance(model.tokenizer, Images)
    data = suited(model.tokenizer, given, data)
    found = opened(data, given)
    return _of_arrays(found) if isinstance(found, Arrays) else _of_pictures(looked_at(found, data))


def _of_arrays(found: Arrays) -> _Read:
    """Return images in arrays; an infinite value cannot be read."""
    parts = found.parts
    source = parts[0] if len(parts) == 1 else joined(*parts)
    known = [part.labels for part in parts if part.labels is not None]
    labels = np.concatenate(known) if len(known) == len(parts) else None
    missing, broken = np.zeros((len(source), *source.shape[1:]), dtype=bool), {}
    for part in in_batches(np.arange(len(source))) if found.broken else []:
        values = source.get(part).numpy()
        missing[part] = np.isnan(values).any(axis=1)
        for row in part[np.isinf(values).any(axis=(1, 2, 3))].tolist():
            num = int(np.isinf(values[row - part[0]]).sum())
            broken[row] = f"{num} of {values[0].size} values are infinite"
    if len(broken) == len(source):
        raise UserError(f"{found.where}: none of the images can be read: {broken[0]}")
    if broken:
        kept = np.setdiff1d(np.arange(len(source)), list(broken))
        source, missing = source.take(kept), missing[kept]
        labels = None if labels is None else labels[kept]
    num_train = len(parts[0]) if len(parts) == 2 else None
    lacks = missing if missing.any() else None
    return _Read(source, labels, parts[0].classes, None, broken, lacks, num_train)


def _of_pictures(looked: Looked) -> _Read:
    """Return pictures; those that cannot be read, or become no image as most do, are broken."""
    source, broken = readable(looked)
    listed = looked.listed
    rows = np.setdiff1d(np.arange(len(listed.names)), list(broken))
    clear = [i for i, row in enumerate(rows) if "alpha" in looked.census.read[row].notes]
    missing = np.zeros((len(rows), *source.shape[1:]), dtype=bool)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for place, pixels in zip(
            clear, pool.map(looked.pictures.transparent, rows[clear].tolist()), strict=True
        ):
            missing[place] = pixels
    labels = None if listed.labels is None else listed.labels[rows]
    names = list(listed.names) if listed.root else None
    num_train = None if listed.num_test is None else len(listed.names) - listed.num_test
    lacks = missing if missing.any() else None
    return _Read(source, labels, listed.classes, names, broken, lacks, num_train)
