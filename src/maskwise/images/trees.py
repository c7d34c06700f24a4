"""Files in folders, on a disk or inside an archive, as those who arrange pictures ask for them."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

from maskwise.errors import UserError
from maskwise.textio import files_below, is_data


class Tree(Protocol):
    """Folders and files; hidden ones, and what systems leave behind, are not there."""

    def inside(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """Return the folders and the files in a folder, in order."""

    def below(self, folder: Path) -> list[Path]:
        """Return all files below a folder, in order."""

    def text(self, path: Path) -> str:
        """Return what a small file says."""


class Disk:
    """The folders and files of a disk; links are followed, see `files_below`."""

    def inside(self, folder: Path) -> tuple[list[Path], list[Path]]:
        try:
            paths = sorted(path for path in folder.iterdir() if is_data(path))
        except OSError as error:
            told = error.strerror or error
            raise UserError(f"cannot read the folder {folder}: {told}") from None
        folders = [path for path in paths if path.is_dir()]
        return folders, [path for path in paths if not path.is_dir()]

    def below(self, folder: Path) -> list[Path]:
        lost: list[Path] = []
        return sorted(files_below(folder, lost=lost) + lost)

    def text(self, path: Path) -> str:
        try:
            return path.read_text("utf-8", errors="replace")
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from None


class Packed:
    """The folders and files inside an archive, by the names of these.

    Args:
        root: the archive; paths of what it holds begin with it, as if it were a folder.
        names: of its files, parted by /.
        read: gives the content of a file by its number.

    >>> tree = Packed(Path("a.zip"), ["cat/1.png", "__MACOSX/1.png"], lambda row: b"")
    >>> [path.as_posix() for path in tree.below(tree.root)]
    ['a.zip/cat/1.png']
    """

    def __init__(self, root: Path, names: Iterable[str], read: Callable[[int], bytes]) -> None:
        self.root = root
        self.read = read
        self.rows: dict[Path, int] = {}
        for row, name in enumerate(names):
            path = root / name
            if all(is_data(Path(part)) for part in name.split("/")):
                self.rows[path] = row

    @cached_property
    def _children(self) -> Mapping[Path, tuple[set[Path], list[Path]]]:
        found: dict[Path, tuple[set[Path], list[Path]]] = defaultdict(lambda: (set(), []))
        for path in self.rows:
            found[path.parent][1].append(path)
            folder = path.parent
            while folder != self.root and folder not in found[folder.parent][0]:
                found[folder.parent][0].add(folder)
                folder = folder.parent
        return dict(found)

    def inside(self, folder: Path) -> tuple[list[Path], list[Path]]:
        folders, files = self._children.get(folder, ((), ()))
        return sorted(folders), sorted(files)

    def below(self, folder: Path) -> list[Path]:
        found: list[Path] = []
        waiting: Sequence[Path] = [folder]
        while waiting:
            parts = [self.inside(each) for each in waiting]
            found += [path for _, files in parts for path in files]
            waiting = [path for folders, _ in parts for path in folders]
        return sorted(found)

    def text(self, path: Path) -> str:
        return self.read(self.rows[path]).decode("utf-8", "replace")

    def top(self, wanted: Iterable[str] = ()) -> Path:
        """Return the folder that holds all, below those that hold nothing but one folder.

        None of the folders that are wanted is passed by.
        """
        folder, kept = self.root, set(wanted)
        while True:
            folders, files = self.inside(folder)
            if files or len(folders) != 1 or folders[0].name in kept:
                return folder
            folder = folders[0]
