"""Which pieces of documents each row of tokens holds."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class PackedRows:
    """Which pieces each row holds, int64 each."""

    first: np.ndarray  # where in the corpus a piece begins, row by row, [pieces]
    size: np.ndarray  # how many tokens it has, [pieces]
    place: np.ndarray  # where in its row its first token stands, [pieces]
    begin: np.ndarray  # the first piece of each row, and the number of pieces, [rows + 1]

    def __len__(self) -> int:
        return len(self.begin) - 1

    def pieces_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pieces of some rows, and which of these each is in."""
        return expand(self.begin[rows], self.begin[rows + 1] - self.begin[rows])

    def tokens_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return where each token of some rows lies: in the corpus, its row, its place in it."""
        pieces, row = self.pieces_of(rows)
        source, piece = expand(self.first[pieces], self.size[pieces])
        start = self.place[pieces] - self.first[pieces]
        return source, row[piece], source + start[piece]


def expand(first: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of all ranges [first, first + size), and which range each is of.

    >>> expand(np.array([5, 0]), np.array([2, 3]))
    (array([5, 6, 0, 1, 2]), array([0, 0, 1, 1, 1]))
    """
    which = np.repeat(np.arange(len(size)), size)
    begin = np.cumsum(size) - size
    return np.arange(len(which)) - begin[which] + first[which], which


def cut(documents: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where pieces of documents [n, 2] begin, and their sizes: as few as fit, about equal.

    >>> cut(np.array([[0, 5], [5, 7]]), 4)
    (array([0, 3, 5]), array([3, 2, 2]))
    """
    size = documents[:, 1] - documents[:, 0]
    num = -(-size // room)
    number, which = expand(np.zeros_like(num), num)
    base, extra = size // np.maximum(num, 1), size % np.maximum(num, 1)
    first = documents[which, 0] + number * base[which] + np.minimum(number, extra[which])
    return first, base[which] + (number < extra[which])


def pack(first: np.ndarray, size: np.ndarray, length: int, start: int, stop: int) -> PackedRows:
    """Fill rows of `length` with whole pieces: the largest, then the largest that still fits.

    In front of a piece are `start` special tokens, behind it `stop`.

    >>> rows = pack(np.array([0, 6, 9]), np.array([6, 3, 1]), length=8, start=1, stop=1)
    >>> rows.begin.tolist(), rows.place.tolist()
    ([0, 1, 3], [1, 1, 6])
    """
    frame = start + stop
    left = np.bincount(size, minlength=length - frame + 1)
    # Pieces of one size in order of the corpus; `taken` counts those that are in a row.
    order = np.argsort(size, kind="stable")
    offset = np.cumsum(left) - left
    taken = np.zeros_like(left)
    pieces, counts = [], []
    while left.any():
        sizes = _combination(left, length, frame)
        kinds, multiple = np.unique(sizes, return_counts=True)
        repeat = int((left[kinds] // multiple).min())
        columns = []
        for kind, many in zip(kinds[::-1], multiple[::-1], strict=True):
            begin = offset[kind] + taken[kind]
            columns.append(order[begin : begin + repeat * many].reshape(repeat, many))
            left[kind] -= repeat * many
            taken[kind] += repeat * many
        pieces.append(np.concatenate(columns, axis=1).ravel())
        counts.append(np.full(repeat, len(sizes)))
    chosen, count = np.concatenate(pieces), np.concatenate(counts)
    begin = np.concatenate([[0], np.cumsum(count)])
    framed = size[chosen] + frame
    before = np.cumsum(framed) - framed
    place = before - np.repeat(before[begin[:-1]], count) + start
    return PackedRows(first[chosen], size[chosen], place, begin)


def _combination(left: np.ndarray, length: int, frame: int) -> list[int]:
    """Return sizes of pieces for one row, largest first."""
    left, sizes, space = left.copy(), list[int](), length
    while space > frame and len(fits := np.flatnonzero(left[: space - frame + 1])):
        sizes.append(int(fits[-1]))
        left[sizes[-1]] -= 1
        space -= sizes[-1] + frame
    return sizes
