"""A law in somebody else's model: each training forward has the ratio of its step."""

import inspect
import logging
import math
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Self, cast
from weakref import WeakSet

import torch
from torch import Tensor, nn

from maskwise import laws, masks
from maskwise.attaching import series, vision
from maskwise.attaching.adapter import (
    Adapter,
    Argument,
    Attributes,
    Function,
    Positions,
    SetRatio,
    unknown,
)
from maskwise.errors import UserError
from maskwise.laws import Fixed, Law, Scheduled, Scope
from maskwise.masks import Mask
from maskwise.rng import Stream, uniforms

log = logging.getLogger("maskwise")

ADAPTERS: tuple[type[Adapter], ...] = (
    vision.ViTMAE,
    vision.Hiera,
    vision.Beit,
    vision.MaskedPositions,
    vision.VideoMAE,
    series.PatchSeries,
    series.Moment,
)
REPLACED = frozenset({"input_ids", "labels"})
"""arguments of language models of which masked ones are made"""
KEPT = 100_000  # steps that the log remembers
_BLOCK = 256  # steps whose uniforms are made at once
_taken: "WeakSet[nn.Module]" = WeakSet()
"""models that have a law"""


class Step(NamedTuple):
    """What a training forward was asked to hide, and what it hid."""

    step: int
    asked: float
    realised: float


class Attached:
    """A law that a model has been given; made by `attach`.

    Args:
        model: whose forwards are meant.
        adapter: how it takes a ratio.
        law: of the ratio.
        seed: of ratios and masks.
        pattern: of the masks; None: the model's own.
        scope: one ratio for each step, or for each sample.
        steps: of the whole training, for laws that move.
        eval_ratio: in eval mode; None: the model's own.
        ladder: how many ratios there are; None: as many as the law has.
    """

    def __init__(
        self,
        model: nn.Module,
        adapter: Adapter,
        law: Law,
        *,
        seed: int = 0,
        pattern: str | None = None,
        scope: Scope = "step",
        steps: int | None = None,
        eval_ratio: float | None = None,
        ladder: int | None = None,
    ) -> None:
        self.model, self.adapter, self.law, self.seed = model, adapter, law, seed
        self.pattern, self.scope, self.steps = pattern, scope, steps
        self.eval_ratio, self.ladder = eval_ratio, ladder
        self.step = 0
        """of the next training forward, counted from 0"""
        self.log: deque[Step] = deque(maxlen=KEPT)
        """the last steps, with the ratio asked for and the one that resulted"""
        self.hidden: Tensor | None = None
        """what the last training forward hid, bool [B, L], where masks are ours"""
        self._told, self._part, self._evaluated = False, 0, 0
        self._own: list[Any] | None = None
        self._block: tuple[int, list[float]] = (-1, [])
        self._parameters = inspect.signature(adapter.model.forward)
        # Hooks are Python of this process: no part of what a compiler makes of a model.
        before, after = (torch.compiler.disable(each) for each in (self._before, self._after))
        self._hooks = [
            model.register_forward_pre_hook(before, with_kwargs=True),
            model.register_forward_hook(after, always_call=True),
        ]
        _taken.add(adapter.model)

    def at(self, step: int, steps: int | None = None) -> None:
        """Say which step comes next, instead of counting forwards: callbacks do.

        Args:
            step: counted from 0; the forwards until the next call share its ratio.
            steps: of the whole training, for laws that move.
        """
        self.step, self._told, self._part = step, True, 0
        self.steps = steps or self.steps

    @property
    def ratio(self) -> float:
        """The ratio that the law has for the next step."""
        block, place = divmod(self.step, _BLOCK)
        if self._block[0] != block:
            ids = torch.arange(block * _BLOCK, (block + 1) * _BLOCK)
            self._block = block, uniforms(self.seed, Stream.RATIO, sample_ids=ids).tolist()
        u = self._block[1][place]
        if self.ladder is not None:
            u = (math.floor(u * self.ladder) + 0.5) / self.ladder
        return float(self.law.draw(u, self._progress))

    @property
    def _progress(self) -> float:
        return 0.0 if self.steps is None else min(self.step / self.steps, 1.0)

    def _before(
        self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if model is not self.model:  # a copy, which takes hooks along
            return None
        if not model.training:
            return None if self.eval_ratio is None else self._fixed(self.eval_ratio, args, kwargs)
        if self.steps is None and isinstance(self.law, Scheduled):
            raise UserError(
                f"law '{self.law}' moves with training: give attach(..., steps=) its number of"
                " steps, or use a callback"
            )
        if self.pattern is None:
            ratio = self.ratio
            self._set(ratio)
            self._count(ratio, self.adapter.realised(ratio))
            return self.adapter.passed(args, kwargs, ratio)
        inputs = self._inputs(args, kwargs)
        asked = self.ratio
        mask = self._draw(self.adapter.positions(inputs))
        self.hidden = mask.hidden
        new = self._given(inputs, mask)
        for name in new:
            if name not in REPLACED and inputs.get(name) is not None:
                raise UserError(f"the call gives {name} itself, which attach makes: leave it out")
        asked = asked if self.scope == "step" else self.law.mean(self._progress)
        self._count(asked, float(mask.ratio.mean()))
        return (), inputs | new

    def _fixed(
        self, ratio: float, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Return the arguments of a forward in eval mode; a mask that the call has stays."""
        if self.adapter.own_masks or not self.adapter.takes_masks:
            self._set(ratio)
            return self.adapter.passed(args, kwargs, ratio)
        inputs = self._inputs(args, kwargs)
        # Each evaluation has the same masks.
        mask = self._draw(self.adapter.positions(inputs), Fixed(ratio), self._evaluated)
        self._evaluated += 1
        new = self._given(inputs, mask)
        given = any(name not in REPLACED and inputs.get(name) is not None for name in new)
        return None if given else ((), inputs | new)

    def _inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return what a forward was given, by name."""
        given = self._parameters.bind_partial(*args, **kwargs)
        inputs = {k: each for k, each in given.arguments.items() if k != "kwargs"}
        return inputs | given.arguments.get("kwargs", {})

    def _given(self, inputs: dict[str, Any], mask: Mask) -> dict[str, Any]:
        self._own = self._own or self.adapter.own()
        return self.adapter.give(inputs, mask)

    def _draw(
        self, where: Positions, fixed: Law | None = None, evaluated: int | None = None
    ) -> Mask:
        if self.scope == "sample" and where.equal and fixed is None:
            raise UserError(
                f"{self.adapter.name} needs equal counts in a minibatch: leave scope='sample' out"
            )
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        step, part = (self.step, self._part) if evaluated is None else (0, evaluated)
        ids = torch.arange(where.batch) + (rank << 40) + (part << 24)
        eligible, units = (
            None if each is None else each.cpu() for each in (where.eligible, where.units)
        )
        law = fixed or (self.law if self.ladder is None else Fixed(self.ratio))
        mask = masks.draw(
            *(law, where.grid),
            sample_ids=ids,
            seed=self.seed,
            epoch=step,
            step=step,
            progress=self._progress,
            pattern=cast(str, self.pattern),
            scope=self.scope if fixed is None else "step",
            eligible=eligible,
            units=units,
        )
        if where.device.type == "cpu":
            return mask
        opened = None if mask.eligible is None else mask.eligible.to(where.device)
        return Mask(mask.hidden.to(where.device), opened)

    def _set(self, ratio: float) -> None:
        # What is set now is the model's own, also where it was changed since the last step.
        self._own = self._own or self.adapter.own()
        self.adapter.set(ratio)

    def _after(self, model: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if model is self.model and self._own is not None:
            self.adapter.restore(self._own)
            self._own = None

    def _count(self, asked: float, realised: float) -> None:
        self.log.append(Step(self.step, asked, realised))
        self._evaluated = 0
        if self._told:
            self._part += 1
        else:
            self.step += 1

    def state_dict(self) -> dict[str, Any]:
        """Return plain values from which `load_state_dict` continues."""
        return {"step": self.step, "seed": self.seed, "law": str(self.law)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where another one stood.

        Raises:
            UserError: it had another law or seed.
        """
        for name, mine in (("law", str(self.law)), ("seed", self.seed)):
            if state[name] != mine:
                raise UserError(
                    f"the state is of {name} {state[name]}, and this of {mine}: attach the same"
                )
        self.step = int(state["step"])

    def detach(self) -> None:
        """Leave the model as it was before; a second call does nothing."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        _taken.discard(self.adapter.model)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.detach()


def attach(
    model: Any,
    law: Law | str | float,
    *,
    seed: int = 0,
    pattern: str | None = None,
    scope: Scope = "step",
    steps: int | None = None,
    eval_ratio: float | None = None,
    ladder: int | None = None,
    set_ratio: SetRatio | str | Sequence[str] | None = None,
    tokenizer: Any = None,
    mend: bool = False,
) -> Attached:
    """Make the mask ratio of somebody else's model a law.

    Before each training forward it sets this step's ratio, which seed and step decide: it is the
    same on all ranks, and goes on after a resume. After the forward, and so in eval mode, the
    model has its own ratio again.

    Args:
        model: of a class that is known, see docs/attach.md; compiled, or wrapped for several
            devices, or not.
        law: a ratio law, or its string.
        seed: of ratios and masks.
        pattern: which positions are hidden, for models that take masks; default: the model's own
            masks, or "scattered" where it makes none.
        scope: one ratio for each "step", or for each "sample" where masks may differ in size.
        steps: of the whole training, for laws that move; callbacks say it themselves.
        eval_ratio: of forwards in eval mode; default: the model's own.
        ladder: use only this many ratios, the middle of as many equally probable parts of the law:
            a compiled model then compiles so often at most.
        set_ratio: for a class that is not known: a function (model, ratio), or the dotted name of
            the attribute that holds the ratio, or the names of several.
        tokenizer: of transformers, for language models.
        mend: mend what is known to be wrong with models of this class as they are made.

    Returns:
        What takes the law away again (`detach`, or the end of a with block), continues it
        (`state_dict`), and tells the ratio of each step (`log`).

    Raises:
        UserError: a model without a ratio, or one that has a law already; an unknown law or
            pattern.

    Example:
        >>> import torch, maskwise as mw
        >>> class Theirs(torch.nn.Module):
        ...     mask_ratio = 0.75
        ...     def forward(self, x):
        ...         return x[:, : round(x.shape[1] * (1 - self.mask_ratio))]
        >>> model = Theirs()
        >>> with mw.attach(model, "uniform:0.4,0.9", set_ratio="mask_ratio") as attached:
        ...     lengths = {model(torch.zeros(1, 100)).shape[1] for _ in range(50)}
        >>> len(lengths) > 20, min(lengths) >= 10, max(lengths) <= 60, model.mask_ratio
        (True, True, True, 0.75)
    """
    if isinstance(model, nn.parallel.DistributedDataParallel):
        model = model.module
    inner = _inner(model)
    if inner in _taken:
        raise UserError(f"{type(inner).__name__} has a law already: detach() it first")
    adapter = _adapter(inner, set_ratio, tokenizer)
    law = laws.parse(law)
    if pattern is None and (scope == "sample" or (not adapter.own_masks and adapter.takes_masks)):
        pattern = adapter.usual_pattern
    if pattern is not None:
        masks.parse_pattern(pattern)
        if not adapter.takes_masks:
            what = f"pattern='{pattern}'" if scope == "step" else "scope='sample'"
            raise UserError(f"{adapter.name} makes its masks itself: leave {what} out")
    for name, value in (("ladder", ladder), ("steps", steps)):
        if value is not None and value < 1:
            raise UserError(f"{name} {value} is below 1: leave it out")
    if eval_ratio is not None and not 0 <= eval_ratio <= 1:
        raise UserError(f"eval_ratio {eval_ratio:g} is outside [0, 1]")
    if mend and adapter.fault():
        adapter.mend()
    elif (fault := adapter.fault()) is not None:
        log.warning("%s: give mend=True to mend it", fault)
    if pattern is None and (note := adapter.note(law.mean())) is not None:
        log.warning("%s", note + "; pattern='scattered' rounds to the nearest" * adapter.takes_masks)
    _warn_of_compiling(model, law, ladder)
    return Attached(
        *(model, adapter, law),
        seed=seed,
        pattern=pattern,
        scope=scope,
        steps=steps,
        eval_ratio=eval_ratio,
        ladder=ladder,
    )


def _inner(model: Any) -> nn.Module:
    """Return the model within what compiles it."""
    model = getattr(model, "_orig_mod", model)
    if not isinstance(model, nn.Module):
        raise UserError(f"attach takes a model, not {type(model).__name__}")
    return model


def _adapter(model: nn.Module, set_ratio: Any, tokenizer: Any) -> Adapter:
    if isinstance(set_ratio, str):
        return Attributes(model, [set_ratio])
    if callable(set_ratio):
        return Function(model, set_ratio)
    if set_ratio is not None:
        return Attributes(model, list(set_ratio))
    for each in type(model).__mro__:
        for kind in ADAPTERS:
            if each.__name__ in kind.classes and each.__module__.split(".")[0] == kind.library:
                return kind(model, tokenizer)
    argument = Argument.of(model)
    if argument is None:
        raise unknown(model)
    return Argument(model, argument)


def _warn_of_compiling(model: Any, law: Law, ladder: int | None) -> None:
    """Say that a compiled model compiles anew for each ratio."""
    compiled = hasattr(model, "_orig_mod") or model._compiled_call_impl is not None
    most = torch._dynamo.config.recompile_limit if compiled else 0
    atoms = law.atoms() if not isinstance(law, Scheduled) else []
    whole = math.isclose(sum(share for _, share in atoms), 1)
    num = ladder or (len(atoms) if whole else math.inf)
    if not compiled or num <= most:
        return
    told = f"a ladder of {ladder} ratios" if ladder else f"law '{law}'"
    log.warning(
        "%s has more ratios than the %d versions that torch.compile makes of a model, one for each"
        " number of visible positions: give ladder=%d, or raise"
        " torch._dynamo.config.recompile_limit",
        *(told, most, most),
    )
