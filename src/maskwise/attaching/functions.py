"""Laws of functions that mask: their argument named like a ratio, in each call that of a law."""

import inspect
import math
from typing import Any

import torch
from torch import Tensor

from maskwise import masks
from maskwise.attaching.adapter import NAMES, Adapter
from maskwise.attaching.calls import AttachedCalls
from maskwise.attaching.ratios import Step
from maskwise.errors import UserError
from maskwise.laws import Fixed, Law, Scope
from maskwise.rng import Stream, uniforms


class FunctionOf(Adapter):
    """A function with an argument named like a ratio, such as scGPT's `random_mask_value`."""

    own_masks, by_sample = True, True

    def __init__(self, function: Any, argument: str) -> None:
        self.function, self.argument = function, argument
        names = list(inspect.signature(function).parameters)
        self.place = names.index(argument)
        self.first = names[0]

    @property
    def name(self) -> str:
        return str(self.function.__name__)

    def own(self) -> list[Any]:
        return []

    def restore(self, ratios: Any) -> None:
        """Leave it: nothing was set."""

    def set(self, ratio: float) -> None:
        """Leave it: each call is given its ratio."""


class TokenMask(FunctionOf):
    """lightly's `random_token_mask`: the indices of tokens that stay and of those that are hidden.

    It takes masks of ours by their pattern, on a square of tokens where they make one.
    """

    takes_masks, by_sample = True, False


class AttachedFunction(AttachedCalls):
    """A law that a function has been given: to be called in place of the function.

    Args:
        owner: the function.
        adapter: how it takes a ratio.
        law: of the ratio.
        scope: one ratio for each call, or for each row of its first argument.
        pattern: of the masks; None: the function's own.
        more: as `Ratios` has it.
    """

    adapter: FunctionOf

    def __init__(
        self,
        owner: Any,
        adapter: FunctionOf,
        law: Law,
        *,
        scope: Scope = "step",
        pattern: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(owner, adapter, law, **more)
        if scope == "sample" and pattern is not None:
            raise UserError(
                f"{adapter.name} needs equal counts in a minibatch: leave scope='sample' out"
            )
        self.scope, self.pattern = scope, pattern
        self.__name__, self.__doc__ = adapter.name, owner.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._detached:
            return self.owner(*args, **kwargs)
        with self._next():
            asked = self.log[-1]
            if self.pattern is not None:
                given = inspect.signature(self.owner).bind(*args, **kwargs).arguments
                return self._indices(asked, **given)
            if self.scope == "sample":
                return self._rows(asked, args, kwargs)
            return self._called(asked.asked, args, kwargs)

    def _called(self, ratio: float, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        place = self.adapter.place
        if len(args) > place:
            return self.owner(*args[:place], ratio, *args[place + 1 :], **kwargs)
        return self.owner(*args, **kwargs | {self.adapter.argument: ratio})

    def _rows(self, asked: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what the function makes of each row, with a ratio of its own."""
        first = self.adapter.first
        rows, rest = (args[0], args[1:]) if args else (kwargs[first], ())
        kwargs = {name: each for name, each in kwargs.items() if name != first}
        ids = torch.arange(len(rows))
        u = uniforms(self.seed, Stream.RATIO, epoch=asked.step, sample_ids=ids).numpy()
        ratios = self.law.draw(u, self._progress)
        self.log[-1] = asked._replace(
            asked=self.law.mean(self._progress), realised=float(ratios.mean())
        )
        found = [
            self._called(float(ratio), (rows[row : row + 1], *rest), kwargs)
            for row, ratio in enumerate(ratios)
        ]
        if not all(isinstance(each, Tensor) for each in found):
            raise UserError(
                f"{self.adapter.name} gives no tensor for each row: leave scope='sample' out"
            )
        return torch.cat(found)

    def _indices(
        self,
        asked: Step,
        size: tuple[int, int],
        mask_ratio: float = 0.6,
        mask_class_token: bool = False,
        device: Any = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the tokens that stay and those that are hidden, each [B, number]."""
        batch, length = size
        num = length - int(not mask_class_token)
        side = math.isqrt(num)
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        law = self.law if self.ladder is None else Fixed(asked.asked)
        mask = masks.draw(
            *(law, (side, side) if side**2 == num else (num,)),
            sample_ids=torch.arange(batch) + (rank << 40),
            seed=self.seed,
            epoch=asked.step,
            step=asked.step,
            progress=self._progress,
            pattern=self.pattern or "scattered",
        )
        self.log[-1] = asked._replace(realised=float(mask.ratio.mean()))
        stay, hidden = mask.visible_idx, mask.hidden_idx
        if not mask_class_token:
            first = torch.zeros((batch, 1), dtype=torch.int64)
            stay, hidden = torch.cat([first, stay + 1], dim=1), hidden + 1
        return stay.to(device), hidden.to(device)


def function(owner: Any, set_ratio: Any) -> FunctionOf | None:
    """Return how a function takes its ratio, or None if it is none.

    Raises:
        UserError: it has no argument named like a ratio, or none that is named so.
    """
    if not inspect.isroutine(owner):
        return None
    names = inspect.signature(owner).parameters
    wanted = NAMES if set_ratio is None else [set_ratio]
    argument = next((name for name in wanted if name in names), None)
    if argument is None:
        raise UserError(
            f"function {owner.__name__} has arguments {', '.join(names)}: give the name of the one"
            " that is a mask ratio, as set_ratio="
        )
    if owner.__name__ == "random_token_mask" and owner.__module__.split(".")[0] == "lightly":
        return TokenMask(owner, argument)
    return FunctionOf(owner, argument)
