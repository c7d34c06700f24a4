"""Which class folders of a folder of images are used."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from maskwise.errors import UserError

IMAGENET100 = "imagenet100"


def class_names(classes: Sequence[str]) -> frozenset[str]:
    """Return the names that a setting stands for.

    Args:
        classes: names of class folders; or one word, `imagenet100` or a text file of a name in
            each line, where lines that start with # say nothing.

    Raises:
        UserError: a text file without names.

    >>> len(class_names(["imagenet100"])), sorted(class_names(["dog", "cat"]))
    (100, ['cat', 'dog'])
    """
    if list(classes) == [IMAGENET100]:
        return _lines(files("maskwise.images").joinpath("imagenet100.txt").read_text("utf-8"))
    if len(classes) != 1 or not Path(classes[0]).expanduser().is_file():
        return frozenset(classes)
    names = _lines(Path(classes[0]).expanduser().read_text("utf-8", errors="replace"))
    if not names:
        raise UserError(f"data.classes: {classes[0]} names no classes; give one in each line")
    return names


def require_folders(names: frozenset[str], found: Sequence[Path], root: Path) -> None:
    """Refuse names that no class folder has.

    Raises:
        UserError: how many there are, and the first few.
    """
    missing = sorted(names - {path.name for path in found})
    if missing:
        few = ", ".join(missing[:3]) + ", ..." * (len(missing) > 3)
        raise UserError(
            f"{root}: {len(missing)} of the {len(names)} classes of data.classes have no folder"
            f" here: {few}"
        )


def _lines(text: str) -> frozenset[str]:
    lines = (line.strip() for line in text.splitlines())
    return frozenset(line for line in lines if line and not line.startswith("#"))
