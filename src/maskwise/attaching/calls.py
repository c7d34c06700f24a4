"""Laws of what prepares batches: collators and data sets with a ratio among their attributes."""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

from torch.utils.data import Dataset, IterableDataset

from maskwise.attaching.adapter import Adapter, Attributes, candidates, unknown
from maskwise.attaching.ratios import Ratios, Step
from maskwise.errors import UserError
from maskwise.laws import Law

log = logging.getLogger("maskwise")

_END = object()


class AttachedCalls(Ratios):
    """A law that a collator has been given: to be used in place of the collator.

    Each call has the ratio of its number. Calls are counted in all worker processes together, so
    that the ratios are those of the law for any number of workers; with two or more of them it
    depends on their pace which batch has which. The log is that of this process.

    Args:
        owner: what prepares batches.
        adapter: how it takes a ratio.
        law: of the ratio.
        more: as `Ratios` has it.
    """

    def __init__(self, owner: Any, adapter: Adapter, law: Law, **more: Any) -> None:
        # It imports all kinds of data, which models need not wait for.
        from maskwise.integrations.hf_samples import Sightings

        super().__init__(law, **more)
        self.owner, self.adapter = owner, adapter
        self._calls, self._first, self._process = Sightings(), 0, os.getpid()
        self._detached = False

    def begin(self, step: int, steps: int | None, parts: int = 1) -> None:
        # Batches are made ahead, so that only their number says which step they are for.
        self._calls = type(self._calls)()
        self._first, self.steps = step * parts, steps and steps * parts

    def at(self, step: int, steps: int | None = None) -> None:
        self.steps = self.steps or steps

    @contextlib.contextmanager
    def _next(self) -> Iterator[None]:
        """Set the ratio of the next call, for so long."""
        if self._detached:
            yield
            return
        self._check_steps()
        self.step = self._first + self._calls.count([0])[0]
        own, ratio = self.adapter.own(), self.ratio
        self.adapter.set(ratio)
        self.log.append(Step(self.step, ratio, ratio))
        self.step += 1
        try:
            yield
        finally:
            self.adapter.restore(own)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._next():
            return self.owner(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "owner" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.owner, name)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.begin(self.step, None)

    def detach(self) -> None:
        self._detached = True

    def __del__(self) -> None:
        # Whoever does not keep it believes that the collator itself has the law now.
        with contextlib.suppress(Exception):
            here = self._process == os.getpid() and not self._detached
            if here and not self.log and not self._calls.count([0])[0]:
                log.warning(
                    "law '%s' was never used: give the DataLoader or Trainer what attach returns,"
                    " in place of %s",
                    *(self.law, type(self.owner).__name__),
                )


class AttachedItems(AttachedCalls, Dataset[Any]):
    """A law that a map-style data set has been given: each item has the ratio of its number."""

    def __getitem__(self, index: Any) -> Any:
        with self._next():
            return self.owner[index]

    def __len__(self) -> int:
        return len(self.owner)


class AttachedStream(AttachedCalls, IterableDataset[Any]):
    """A law that an iterable data set has been given: each item has the ratio of its number."""

    def __iter__(self) -> Iterator[Any]:
        items = iter(self.owner)
        while True:
            with self._next():
                item = next(items, _END)
            if item is _END:
                self.log.pop()
                return
            yield item


def collator(owner: Any) -> Adapter:
    """Return how a collator or a data set takes its ratio: by the attribute that is named so.

    Raises:
        UserError: it has none, or several, or masks by a law of its own, or is neither.
    """
    if not (callable(owner) or hasattr(owner, "__getitem__") or hasattr(owner, "__iter__")):
        raise UserError(f"attach takes a model, not {type(owner).__name__}")
    if isinstance(getattr(owner, "law", None), Law):
        raise UserError(f"{type(owner).__name__} has a law of its own: give it the law as law=")
    found = list(candidates(owner))
    if len(found) != 1:
        raise unknown(owner)
    return Attributes(owner, found)


def attach_calls(owner: Any, adapter: Adapter, law: Law, **more: Any) -> AttachedCalls:
    """Return a law for a collator or a data set."""
    if callable(owner):
        return AttachedCalls(owner, adapter, law, **more)
    if isinstance(owner, IterableDataset):
        return AttachedStream(owner, adapter, law, **more)
    return AttachedItems(owner, adapter, law, **more)
