"""Images of a Hugging Face data set."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwise.errors import UserError
from maskwise.images.decode import Pictures, picture_source
from maskwise.images.source import Source

if TYPE_CHECKING:
    from PIL import Image

_TEST = ("test", "validation", "valid", "val")


def read_hub(
    name: str, size: tuple[int, int] | None, channels: int | None
) -> tuple[Source, Source | None, Pictures]:
    """Return the train source, the test source if there is one, and the pictures behind them.

    The image column and the `ClassLabel` column are found by their type.

    Raises:
        UserError: `datasets` is missing, the name cannot be loaded, or it has no train split,
            no image column, or labels outside the named classes.
    """
    try:
        import datasets
    except ImportError:
        raise UserError(f'hf:{name} needs datasets: pip install "maskwise[data]"') from None
    try:
        splits = datasets.load_dataset(name)
    except Exception as error:  # whatever hub, network, cache and file formats raise
        reason = str(error).split("\n")[0]
        raise UserError(f"hf:{name}: cannot be loaded ({reason})") from error
    if "train" not in splits:
        raise UserError(f"hf:{name}: no split named train; found {', '.join(splits)}")
    features = splits["train"].features
    image, label = _column(features, "Image"), _column(features, "ClassLabel")
    if image is None:
        raise UserError(f"hf:{name}: no image column; found {', '.join(features)}")
    if not len(splits["train"]):
        raise UserError(f"hf:{name}: the train split is empty")
    parts = {"train": splits["train"]}
    parts |= {key: splits[key] for key in [key for key in _TEST if key in splits][:1]}
    num_train = len(splits["train"])
    total = sum(len(part) for part in parts.values())
    labels = classes = None
    if label is not None:
        labels = np.concatenate([np.asarray(part[label][:], np.int64) for part in parts.values()])
        classes = tuple(str(value) for value in features[label].names)
        if labels.min() < 0 or labels.max() >= len(classes):
            raise UserError(
                f"hf:{name}: column {label} has labels outside its {len(classes)} classes in "
                f"{' or '.join(parts)}"
            )
    # Only the image column, so that reading a row decodes nothing else.
    columns = {key: part.select_columns([image]) for key, part in parts.items()}
    pictures = Pictures(
        partial(_open, columns, image), partial(_name, name, columns), size, channels
    )
    both = picture_source(pictures, total, labels, classes)
    rows = np.arange(total)
    test = both.take(rows[num_train:]) if num_train < total else None
    return both.take(rows[:num_train]), test, pictures


def _column(features: Any, kind: str) -> str | None:
    return next((key for key, value in features.items() if type(value).__name__ == kind), None)


def _locate(columns: dict[str, Any], row: int) -> tuple[str, int]:
    """Rows count through train, then on through the test split."""
    for key, part in columns.items():
        if row < len(part):
            return key, int(row)
        row -= len(part)
    raise IndexError(row)


def _open(columns: dict[str, Any], image: str, row: int) -> "Image.Image":
    key, index = _locate(columns, row)
    return columns[key][index][image]


def _name(name: str, columns: dict[str, Any], row: int) -> str:
    key, index = _locate(columns, row)
    return f"hf:{name} {key}[{index}]"
