"""Files of NumPy with one sample each: [H, W], [H, W, C] or [C, H, W]."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO, Literal

import numpy as np

from maskwise.images.bands import Bands

Layout = Literal["NHWC", "NCHW"] | None
ENDINGS = (".npy", ".npz")
LOOKED_AT = 20  # of the files in a folder, to say whether each may be a sample
Shape = tuple[int, ...]


def open_npy(file: IO[bytes], layout: Layout) -> Bands:
    """Open a .npy of one sample; its values are read later.

    Raises:
        ValueError: it is none, is cut off, needs pickle, or has no shape of a sample.
    """
    shape, fortran, dtype = _header(file)
    start = file.tell()
    if file.seek(0, 2) < start + math.prod(shape) * dtype.itemsize:
        raise ValueError("cut off")

    def values() -> np.ndarray:
        file.seek(start)
        content = file.read(math.prod(shape) * dtype.itemsize)
        return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")

    return _of(shape, dtype, layout, values, file)


def open_npz(file: IO[bytes], layout: Layout, name: str | None) -> Bands:
    """Open a .npz of one sample: the only array in it, or that of a name.

    Raises:
        ValueError: as `open_npy`, or there is no such array.
    """
    with np.load(file, allow_pickle=False) as archive:
        names = archive.files
        if name is None and len(names) != 1:
            raise ValueError(f"arrays {', '.join(names) or 'none'}: data.x says which is meant")
        if name is not None and name not in names:
            raise ValueError(f"no array {name}; found {', '.join(names) or 'none'}")
        values = archive[name or names[0]]
    return _of(values.shape, values.dtype, layout, lambda: values, file)


def _header(file: IO[bytes]) -> tuple[Shape, bool, np.dtype]:
    """Read the header of a .npy: shape, whether it is in Fortran's order, type of values."""
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"a .npy of version {version}, which is for names of fields")
    shape, fortran, dtype = readers[version](file)
    if min(shape, default=0) < 0:
        raise ValueError(f"shape {shape}, which nothing has")
    if dtype.hasobject:
        raise ValueError("Python objects, which need pickle: save numbers")
    return shape, fortran, dtype


def _of(shape: Shape, dtype: np.dtype, layout: Layout, values: object, file: IO[bytes]) -> Bands:
    first = len(shape) == 3 and (layout or layout_of(shape)) == "NCHW"
    height, width, channels = of_layout(shape, first)
    return Bands((height, width, channels), dtype, partial(_last, values, first), file.close)


def _last(values: object, first: bool) -> np.ndarray:
    assert callable(values)
    found: np.ndarray = values()
    if found.ndim == 2:
        return found[..., None]
    return np.moveaxis(found, 0, -1) if first else found


def of_layout(shape: Shape, first: bool) -> Shape:
    """Return height, width and channels of a sample of two or three axes."""
    if len(shape) not in (2, 3):
        raise ValueError(f"shape {shape}, which is not [H, W], [H, W, C] or [C, H, W]")
    if len(shape) == 2:
        return (*shape, 1)
    return (*shape[1:], shape[0]) if first else shape


def layout_of(shape: Shape) -> Layout:
    """Say whether a sample of three axes has its channels first or last.

    They are the shortest axis, or one of 1 or 3; the last also if it has up to 4.

    Raises:
        ValueError: either could be, or neither.

    >>> layout_of((13, 64, 64)), layout_of((64, 64, 13)), layout_of((3, 3, 5))
    ('NCHW', 'NHWC', 'NCHW')
    """
    first, middle, last = shape
    first_can = first in (1, 3) or first < min(middle, last)
    last_can = last <= 4 or last < min(first, middle)
    if first_can == last_can:
        raise ValueError(
            f"shape {shape}, whose channels may be first or last: data.layout says which, NCHW or"
            " NHWC"
        )
    return "NCHW" if first_can else "NHWC"


def why_not_one_each(files: Sequence[Path], layout: Layout) -> str:
    """Return why the .npy and .npz beside each other may not be one sample each, or "".

    Args:
        files: all of them.
        layout: what is said of their channels, and thereby of what they are.
    """
    if len(files) < 2:
        return "one file is no folder of samples"
    if others := [file.name for file in files if file.suffix.lower() not in ENDINGS]:
        return f"{others[0]} is no sample"
    spread = np.linspace(0, len(files) - 1, min(len(files), LOOKED_AT)).astype(int)
    for file in (files[number] for number in spread):
        if file.suffix.lower() == ".npz":
            continue  # what is wrong with one is told of each
        try:
            with file.open("rb") as opened:
                shape, *_ = _header(opened)
        except (OSError, ValueError):
            continue
        if len(shape) not in (2, 3):
            return f"{file.name} has the shape {shape}, which is no sample"
        if len(shape) == 3 and layout is None and _may_be_many(shape):
            return (
                f"{file.name} has the shape {shape}, one sample or many: data.layout NCHW or NHWC"
                " says that each file is one"
            )
    return ""


def _may_be_many(shape: Shape) -> bool:
    """Say whether an array may hold several images [N, H, W]."""
    try:
        return layout_of(shape) == "NCHW" and shape[0] not in (1, 3)
    except ValueError:
        return True
