"""Data from Python that are asked for their samples: data sets by number, streams one by one."""

import inspect
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import PositiveInt

from maskwise.errors import UserError, option
from maskwise.settings import settings
from maskwise.textio import few

T = TypeVar("T")
ONCE = (
    "can be read once only, and training reads its data again: give a function that makes a new"
    " one each time, or a class with __iter__"
)
USUAL = 1000, 10_000  # samples to test on, and in the buffer
_NO_ITEMS = (str, bytes, bytearray, memoryview, dict, range, tuple, set, frozenset, type)
_OF_LIBRARIES = ("ndim", "dtype", "shape", "columns", "to_pylist", "tolist", "to_numpy")


@settings
class ItemSettings:
    """Which part of an item of data from Python is the sample, and how streams are read."""

    x: str | None = None
    """Of data from Python whose items are dicts: the key of the sample; none: a usual one, such
    as `image` or `text`."""
    stream_test: PositiveInt = USUAL[0]
    """Of a stream from Python: so many items, the first, are set aside to test on; as many after
    them are what means, vocabularies and baselines are measured on."""
    buffer: PositiveInt = USUAL[1]
    """Of a stream: samples among which training shuffles."""


class _Given:
    """Data that are asked for their items.

    Args:
        data: of somebody else.
        x: the key of the sample, where items are dicts; None: a usual one.
        y: the key of its label.
    """

    def __init__(self, data: Any, x: str | None = None, y: str | None = None) -> None:
        self.data, self.x, self.y = data, x, y
        self._kept: tuple[object, Any] | None = None

    def once(self, key: object, make: Callable[[], T]) -> T:
        """Return what `make` returns; what a look has made before for an equal key is taken."""
        if self._kept is None or self._kept[0] != key:
            self._kept = key, make()
        found: T = self._kept[1]
        return found

    @property
    def told(self) -> str:
        """What messages call it."""
        return f"data of type {type(self.data).__name__}"

    def named(self, number: int) -> str:
        """Say which item is meant, by its number from 0."""
        raise NotImplementedError

    @property
    def first(self) -> Any:
        """The first item."""
        raise NotImplementedError

    @property
    def peeked(self) -> Any:
        """The first item, or None where it cannot be read."""
        try:
            return self.first
        except UserError:
            return None

    def parts(
        self, item: Any, number: int, x: Sequence[str] = (), y: Sequence[str] = ()
    ) -> tuple[Any, Any]:
        """Return the sample of an item and what stands beside it, or None.

        Args:
            item: a dict, or the sample itself.
            number: of the item, from 0.
            x: usual keys of a sample, for dicts; one without any of them is the sample itself.
            y: usual keys of a label.

        Raises:
            UserError: None, or a dict without the key that was asked for.
        """
        if item is None:
            raise UserError(f"{self.named(number)} is None: leave it out, or give what it is")
        if not isinstance(item, Mapping):
            if self.x is not None:
                raise UserError(
                    f"{option('data.x', self.x)} names a key, and {self.named(number)} is no dict"
                    f" but {type(item).__name__}: leave it out"
                )
            return item, None
        known = [key for key in (self.x, self.y) if key is not None]
        lacking = [key for key in known if key not in item]
        if lacking:
            there = few([str(key) for key in item]) or "none"
            what = f"has no key '{lacking[0]}': its keys are {there}"
            raise UserError(f"{self.named(number)} {what}")
        of_x = x if self.x is None else [self.x]
        of_y = y if self.y is None else [self.y]
        sample = next((item[key] for key in of_x if key in item), item)
        return sample, next((item[key] for key in of_y if key in item), None)


class Items(_Given):
    """A data set that has a length, and is asked for the item of a number."""

    def __len__(self) -> int:
        try:
            return len(self.data)
        except (TypeError, NotImplementedError) as error:
            raise UserError(
                f"{self.told} has no length ({error}): give a list or a data set"
            ) from error

    @cached_property
    def num(self) -> int:
        """How many there were when it was first asked."""
        return len(self)

    def named(self, number: int) -> str:
        return f"sample {number + 1} of {self.num}"

    @cached_property
    def first(self) -> Any:
        if not self.num:
            raise UserError(f"{self.told} has no samples")
        return self.item(0)

    def item(self, number: int) -> Any:
        """Return an item.

        Raises:
            UserError: whatever the data set raises, with the number.
        """
        try:
            return self.data[number]
        except Exception as error:  # whatever a data set of somebody else raises
            raise UserError(f"{self.named(number)} cannot be read: {reason(error)}") from error

    def every(self) -> Iterator[Any]:
        """Give all items, never beyond the length, which must stay."""
        for number in range(self.num):
            yield self.item(number)
        self.check()

    def check(self) -> None:
        """Refuse a data set that has changed its length.

        Raises:
            UserError: it has.
        """
        if (now := len(self)) != self.num:
            raise UserError(
                f"{self.told} had {self.num} samples and has {now} now: its length must stay while"
                " it is read"
            )


class Streamed(_Given):
    """Items one after the other, nobody knows how many; it is read again and again."""

    def __init__(self, data: Any, x: str | None = None, y: str | None = None) -> None:
        super().__init__(data, x, y)
        self._last: object = None
        self._begun = False

    def named(self, number: int) -> str:
        return f"sample {number + 1} of the stream"

    @cached_property
    def first(self) -> Any:
        return next(iter(self))

    def __iter__(self) -> Iterator[Any]:
        """Give all items, from the first on.

        Raises:
            UserError: whatever the stream raises, with the number; or it gives nothing (again).
        """
        try:
            found = iter(self.data() if is_factory(self.data) else self.data)
        except Exception as error:  # whatever somebody else's code raises
            raise UserError(f"{self.told} gives no stream: {reason(error)}") from error
        if found is self._last:
            raise UserError(f"{self.told} gives the same iterator again, which {ONCE}")
        self._last = found
        for number in itertools.count():
            try:
                item = next(found)
            except StopIteration:
                break
            except Exception as error:
                raise UserError(f"{self.named(number)} cannot be read: {reason(error)}") from error
            self._begun = True
            yield item
        if not number:
            again = f"gave samples once and none when it was read again: it {ONCE}"
            raise UserError(f"{self.told} {again if self._begun else 'gives no samples'}")


def wrapped(data: Any, x: str | None = None, y: str | None = None) -> Any:
    """Return data sets as `Items` and streams as `Streamed`; all else as it is.

    >>> wrapped(lambda: iter("abc")).first, wrapped([{"text": "a"}]).first, wrapped([1, 2])
    ('a', {'text': 'a'}, [1, 2])
    """
    if isinstance(data, _Given):
        return data
    if _has_items(data):
        return Items(data, x, y)
    return Streamed(data, x, y) if _is_stream(data) else data


def is_of_hub(data: object) -> bool:
    """Say whether data are a data set of `datasets`, in memory or on disk."""
    return hasattr(data, "select_columns") and hasattr(data, "column_names")


def is_factory(data: object) -> bool:
    """Say whether data are a function that needs no arguments, which may make an iterator."""
    if not callable(data) or isinstance(data, type) or hasattr(data, "__iter__"):
        return False
    try:
        inspect.signature(data).bind()
    except (TypeError, ValueError):  # it needs arguments, or nobody knows
        return False
    return not hasattr(data, "state_dict")  # a network


def _is_iterable_only(data: object) -> bool:
    """Say whether data are iterable data sets of others, which may say a length all the same."""
    return any(each.__name__ == "IterableDataset" for each in type(data).__mro__)


def _has_items(data: object) -> bool:
    kind = type(data)
    if _is_iterable_only(data):
        return False
    if not (hasattr(kind, "__len__") and hasattr(kind, "__getitem__")):
        return False
    if isinstance(data, list):
        return bool(data) and isinstance(data[0], Mapping)
    if is_of_hub(data):
        return True
    return not isinstance(data, _NO_ITEMS) and not any(hasattr(data, it) for it in _OF_LIBRARIES)


def _is_stream(data: object) -> bool:
    kind = type(data)
    if is_factory(data) or _is_iterable_only(data):
        return True
    minibatches = hasattr(data, "dataset") and hasattr(data, "batch_sampler")
    known = hasattr(kind, "__len__") or hasattr(kind, "__next__") or minibatches
    return hasattr(kind, "__iter__") and not known and not isinstance(data, type)


def reason(error: BaseException) -> str:
    r"""Return what an exception says, in a line.

    >>> reason(KeyError("a")), reason(OSError()), reason(RuntimeError("no disk\nat all"))
    ("KeyError: 'a'", 'OSError', 'no disk')
    """
    text = next(iter(str(error).strip().splitlines()), "")
    named = f"{type(error).__name__}: {text}" if isinstance(error, LookupError) else text
    return named or type(error).__name__


@dataclass(frozen=True, eq=False)
class Head(Generic[T]):
    """The first items of a stream.

    Args:
        test: those that are set aside.
        train: those after them, at most as many, which are the first to train on.
        num: how many there are to train on, where the stream ended among these; else None.
        seconds: what reading one took.
    """

    test: list[T]
    train: list[T]
    num: int | None
    seconds: float


def head(stream: Streamed, num: int, convert: Callable[[Any, int], T]) -> Head[T]:
    """Read the first items of a stream: `num` to test on, and at most as many after them.

    Args:
        stream: read from its beginning.
        num: `data.stream_test`.
        convert: (item, its number from 0) -> what is kept of it.

    Raises:
        UserError: it ends before there is anything to train on.
    """
    begun = time.perf_counter()
    rows = itertools.islice(iter(stream), 2 * num)
    found = [convert(item, number) for number, item in enumerate(rows)]
    seconds = (time.perf_counter() - begun) / max(len(found), 1)
    if len(found) <= num:
        fewer = max(len(found) // 5, 1)
        raise UserError(
            f"the stream ended after {len(found)} samples, and its first {num} are set aside to"
            f" test on: lower {option('data.stream_test', str(fewer))}",
            {"data.stream_test": str(fewer)} if len(found) > 1 else None,
        )
    left = len(found) - num
    return Head(found[:num], found[num:], left if left < num else None, seconds)
