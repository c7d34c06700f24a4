"""How a class of models takes its mask ratio: what every adapter says, and the plain ones."""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.rng import Keys

Inputs: TypeAlias = Mapping[str, Any]
"""what a forward was given, by the names of its arguments"""
Place: TypeAlias = tuple[object, str]
"""an object and the name of its attribute that holds a ratio"""
SetRatio: TypeAlias = Callable[[Any, float], object]
"""(model, ratio) -> anything: sets it"""

NAMES = (
    "mask_ratio",
    "masking_ratio",
    "random_mask_ratio",
    "mask_prob",
    "mask_probability",
    "mlm_probability",
    "mask_rate",
    "masking_rate",
    "mask_fraction",
    "drop_ratio",
)
"""what a mask ratio is called in models that are read by their attributes"""
COARSE = 0.02  # by which rounding may change a ratio unsaid


def within(ratio: float, num: int) -> float:
    """Return the ratio, so far from 0 and 1 that int(num (1 - ratio)) is in 1..num-1.

    >>> [int(4 * (1 - within(ratio, 4))) for ratio in (0, 0.1, 0.6, 1)]
    [3, 3, 1, 1]
    """
    return ratio if num < 2 else min(max(ratio, 0.5 / num), 1 - 1.5 / num)


@dataclass(frozen=True)
class Positions:
    """Of which positions a forward may hide some.

    Args:
        batch: samples, B.
        grid: positions along each axis; their product is L.
        device: of the inputs.
        eligible: what may be hidden, bool [B, L]; None = all.
        units: which positions are hidden together, int64 [B, L], for patterns of words.
        equal: whether all samples of a minibatch must hide the same number.
        samples: numbers that stand for the samples, int64 [B] on the CPU; in eval mode the same
            ones then have the same masks, however they are batched.
    """

    batch: int
    grid: tuple[int, ...]
    device: torch.device
    eligible: Tensor | None = None
    units: Tensor | None = None
    equal: bool = False
    samples: Tensor | None = None


class Adapter:
    """How models of some classes take a ratio, a mask, or both.

    Adapters of a library's classes are listed in `maskwise.attaching.attached.ADAPTERS`. One says
    where the ratio is (`places`), or takes masks (`positions` and `give`), or does both.

    Args:
        model: of one of the classes.
        tokenizer: of language models, whose masks need it.
    """

    library: ClassVar[str] = ""
    """the package that has the classes"""
    classes: ClassVar[tuple[str, ...]] = ()
    """their names; classes made from them count, too"""
    takes_masks: ClassVar[bool] = False
    """whether `positions` and `give` are there"""
    own_masks: ClassVar[bool] = False
    """whether it masks by itself where it is given no mask"""
    by_sample: ClassVar[bool] = False
    """whether it takes a ratio for each sample where it masks by itself"""
    usual_pattern: ClassVar[str] = "scattered"
    """of models that make no masks themselves, where none is asked for"""
    recompiles: ClassVar[bool] = True
    """whether a compiled model compiles anew for each ratio"""
    skips_hooks: ClassVar[bool] = False
    """whether calling the model runs its forward without its hooks"""
    strict: ClassVar[bool] = False
    """whether a model with a fault is refused, rather than warned of"""
    extras: ClassVar[tuple[str, ...]] = ()
    """arguments of a call that `positions` and `give` read, and the model does not take"""
    keys: Keys
    """of the mask that `give` gets, for whatever else it draws"""

    def __init__(self, model: nn.Module, tokenizer: Any = None) -> None:
        self.model: Any = model
        self.tokenizer = tokenizer

    @classmethod
    def knows(cls, kind: type) -> bool:
        """Say whether a class is one of these."""
        return kind.__name__ in cls.classes and kind.__module__.split(".")[0] == cls.library

    def prepare(self, pattern: str | None, options: dict[str, Any]) -> None:
        """Make ready for a pattern and for what was given to `attach` for language models."""
        if options:
            raise UserError(f"{' and '.join(options)} are for language models: leave them out")

    @property
    def name(self) -> str:
        """What messages call it."""
        return type(self.model).__name__

    def places(self) -> Sequence[Place]:
        """Return all attributes that hold the ratio, each of which must be set."""
        return ()

    def set(self, ratio: float) -> None:
        """Set the ratio of the next forward."""
        for owner, attribute in self.places():
            setattr(owner, attribute, ratio)

    def own(self) -> list[Any]:
        """Return the ratios that are set, one for each place."""
        return [getattr(owner, attribute) for owner, attribute in self.places()]

    def restore(self, ratios: Sequence[Any]) -> None:
        """Set what `own` returned."""
        for (owner, attribute), ratio in zip(self.places(), ratios, strict=True):
            setattr(owner, attribute, ratio)

    def realised(self, ratio: float) -> float:
        """Return which ratio results where `ratio` is set: counts are whole numbers."""
        return ratio

    def passed(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], ratio: float
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Return the arguments of a forward with the ratio, or None where it is no argument."""
        return None

    def note(self, ratio: float) -> str | None:
        """Return what users should know of how it makes masks of a ratio, in words, or None."""
        return None

    def positions(self, inputs: Inputs) -> Positions:
        """Return which positions of the inputs may be hidden."""
        raise NotImplementedError

    def give(self, inputs: Inputs, mask: Mask) -> dict[str, Any]:
        """Return the arguments of the forward that make it hide a mask; they replace others."""
        raise NotImplementedError

    def fault(self) -> str | None:
        """Return what is wrong with the model as it was made, in words, or None."""
        return None

    def mend(self) -> None:
        """Mend what `fault` says."""


class Counted(Adapter):
    """A model that keeps int(L (1 - ratio)) of L positions visible, as the code of MAE does.

    Ratios next to 0 and 1 are set so that at least one is hidden, and one visible.
    """

    @property
    def num(self) -> int:
        """Positions, L."""
        raise NotImplementedError

    def set(self, ratio: float) -> None:
        super().set(within(ratio, self.num))

    def realised(self, ratio: float) -> float:
        return 1 - int(self.num * (1 - within(ratio, self.num))) / self.num

    def note(self, ratio: float) -> str | None:
        hidden = self.realised(ratio)
        if hidden - ratio < COARSE:
            return None
        return (
            f"{self.name} has {self.num} positions that it can hide, and rounds up: where"
            f" {ratio:g} is asked for it hides {hidden:g}"
        )


class CountedDown(Adapter):
    """A model that hides int(L ratio) of L positions; at least one is hidden, and one visible."""

    @property
    def num(self) -> int:
        """Positions, L."""
        raise NotImplementedError

    def set(self, ratio: float) -> None:
        # Half a position more than hidden: no rounding of the ratio then changes the count.
        super().set((round(self.realised(ratio) * self.num) + 0.5) / self.num)

    def realised(self, ratio: float) -> float:
        return min(max(math.floor(self.num * ratio + 1e-9), 1), self.num - 1) / self.num


class Argument(Adapter):
    """A model whose forward takes the ratio as an argument, which then need not be given."""

    def __init__(self, model: nn.Module, argument: str) -> None:
        super().__init__(model)
        self._argument = argument
        self._place = list(inspect.signature(model.forward).parameters).index(argument)

    def passed(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], ratio: float
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if len(args) > self._place:
            return (*args[: self._place], ratio, *args[self._place + 1 :]), kwargs
        return args, kwargs | {self._argument: ratio}

    @staticmethod
    def of(model: nn.Module) -> str | None:
        """Return the argument of the forward that is named like a ratio, or None."""
        names = inspect.signature(model.forward).parameters
        return next((name for name in NAMES if name in names), None)


class Attributes(Adapter):
    """A model whose ratio is one attribute, or several, by dotted names."""

    def __init__(self, model: nn.Module, paths: Sequence[str]) -> None:
        super().__init__(model)
        self._places = [resolve(model, path) for path in paths]

    def places(self) -> Sequence[Place]:
        return self._places


class Function(Adapter):
    """A model whose ratio a function sets; what it was before is not known."""

    def __init__(self, model: nn.Module, set_ratio: SetRatio) -> None:
        super().__init__(model)
        self._set = set_ratio

    def set(self, ratio: float) -> None:
        self._set(self.model, ratio)


def resolve(model: object, path: str) -> Place:
    """Return the object that has an attribute, which is given by its dotted name.

    Raises:
        UserError: there is none of that name, or it is no number.

    >>> model = nn.Module()
    >>> model.masking = nn.Module()
    >>> model.masking.ratio = 0.4
    >>> resolve(model, "masking.ratio")[1]
    'ratio'
    """
    owner, (*parts, last) = model, path.split(".")
    for part in parts:
        owner = owner.get(part) if isinstance(owner, dict) else getattr(owner, part, None)
    value = getattr(owner, last, None)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        what = "no such attribute" if value is None else f"of type {type(value).__name__}"
        raise UserError(f"set_ratio='{path}': {type(model).__name__} has {what}{_found(model)}")
    return owner, last


def candidates(model: object) -> Iterator[str]:
    """Give the dotted names of attributes that look like a mask ratio.

    >>> model = nn.Module()
    >>> model.masking = nn.Module()
    >>> model.masking.mask_ratio = 0.4
    >>> list(candidates(model))
    ['masking.mask_ratio']
    """
    modules = model.named_modules() if isinstance(model, nn.Module) else [("", model)]
    seen: set[int] = set()
    for name, module in modules:
        for owner, prefix in ((module, name), (getattr(module, "config", None), f"{name}.config")):
            if owner is None or id(owner) in seen:
                continue
            seen.add(id(owner))
            for attribute in NAMES:
                value = getattr(owner, attribute, None)
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    yield f"{prefix}.{attribute}".strip(".")


def _found(model: object) -> str:
    found = list(dict.fromkeys(candidates(model)))[:5]
    if not found:
        return "; give set_ratio=, a function (model, ratio) that sets it"
    return f"; attributes that look like a mask ratio: {', '.join(found)}"


def unknown(model: object) -> UserError:
    """Return what to say of a model that no adapter knows."""
    found = list(dict.fromkeys(candidates(model)))
    name = f"{type(model).__module__.partition('.')[0]}.{type(model).__name__}"
    if not found:
        return UserError(
            f"{name} is not known, and has no attribute named like a mask ratio: give set_ratio=,"
            " a function (model, ratio) that sets it, or the dotted name of an attribute"
        )
    more = ", ".join(found[:5])
    return UserError(
        f"{name} is not known; attributes named like a mask ratio: {more}: name the one that its"
        f" forward reads, as set_ratio='{found[0]}', or give a function (model, ratio)"
    )
