"""Pictures of Hugging Face data sets, by name or as they are given."""

import io
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwise.errors import UserError
from maskwise.images.folders import Listed
from maskwise.rows import open_hub
from maskwise.textio import HELD, encode_labels

if TYPE_CHECKING:
    from PIL import Image


def list_hub(source: str) -> Listed:
    """Find the pictures of a data set of the hub, hf:NAME.

    Raises:
        UserError: it cannot be loaded, or has no pictures to train on.
    """
    return list_splits(source, open_hub(source))


def list_splits(
    source: str, splits: Mapping[str, Any], x: str | None = None, y: str | None = None
) -> Listed:
    """Find the pictures of splits by name, as of `datasets`; columns are found by their types.

    Or they are `x`, of pictures, and `y`, of labels.

    Raises:
        UserError: there is no split to train on, or it has no pictures.
    """
    if "train" not in splits:
        raise UserError(f"{source}: no split named train; found {', '.join(splits)}")
    parts = {key: splits[key] for key in ["train", *[key for key in HELD if key in splits][:1]]}
    features = splits["train"].features
    columns = {type(kind).__name__: name for name, kind in reversed(features.items())}
    for name in (x, y):
        if name is not None and name not in features:
            raise UserError(f"{source}: no column '{name}'; found {', '.join(features)}")
    image, label = x or columns.get("Image"), y or columns.get("ClassLabel")
    if image is None:
        raise UserError(f"{source}: no image column; found {', '.join(features)}")
    if not len(splits["train"]):
        raise UserError(f"{source}: the train split is empty")
    labels = classes = None
    given = [value for part in parts.values() for value in part[label][:]] if label else []
    if label is not None and not hasattr(features[label], "names"):
        labels, classes = encode_labels(np.array(given, object), f"{source}: column {label}")
    elif label is not None:
        # Data sets give -1 or nothing where the class is not known.
        labels = np.array([-1 if value is None else max(value, -1) for value in given], np.int64)
        classes = tuple(str(value) for value in features[label].names)
        if labels.max() >= len(classes):
            raise UserError(
                f"{source}: column {label} has labels outside its {len(classes)} classes in "
                f"{' or '.join(parts)}"
            )
    # Only the image column, so that reading a row decodes nothing else; nor the image itself,
    # where that can be left to us.
    rows = {key: part.select_columns([image]) for key, part in parts.items()}
    encoded = type(features[image])
    if all(hasattr(part, "cast_column") for part in rows.values()):
        rows = {key: part.cast_column(image, encoded(decode=False)) for key, part in rows.items()}
    counts = [len(part) for part in rows.values()]
    names = [
        f"{source} {key}[{row}]"
        for key, num in zip(rows, counts, strict=True)
        for row in range(num)
    ]
    num_test = counts[1] if len(counts) > 1 and counts[1] else None
    return Listed(source, partial(_open_row, rows, image), names, num_test, labels, classes)


def has_pictures(data: object) -> bool:
    """Say whether data are a data set, or splits, of `datasets` with a column of pictures."""
    parts = list(data.values()) if isinstance(data, dict) else [data]
    features = getattr(parts[0], "features", None) if parts else None
    if not isinstance(features, dict) or not hasattr(parts[0], "select_columns"):
        return False
    return any(type(kind).__name__ == "Image" for kind in features.values())


def _open_row(parts: Mapping[str, Any], column: str, row: int) -> "Image.Image":
    from PIL import Image

    for part in parts.values():
        if row >= len(part):
            row -= len(part)
            continue
        found = part[row][column]
        if not isinstance(found, dict):
            return found
        content = found.get("bytes")
        if content is None and not found.get("path"):
            raise ValueError("no picture")
        return Image.open(found["path"] if content is None else io.BytesIO(content))
    raise IndexError(row)


def splits_of(data: Any) -> Mapping[str, Any]:
    """Return the splits of what `has_pictures`; a data set is one to train on."""
    return data if isinstance(data, dict) else {"train": data}
