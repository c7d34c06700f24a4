"""A law in somebody else's model: each training forward has the ratio of its step."""

import inspect
import logging
from collections.abc import Sequence
from typing import Any, cast
from weakref import WeakSet

import torch
from torch import Tensor, nn

from maskwise import laws, masks
from maskwise.attaching import language, others, series, vision
from maskwise.attaching.adapter import (
    Adapter,
    Argument,
    Attributes,
    Function,
    Positions,
    SetRatio,
    unknown,
)
from maskwise.attaching.calls import AttachedCalls, attach_calls, collator
from maskwise.attaching.functions import AttachedFunction, FunctionOf, function
from maskwise.attaching.ratios import Ratios, Step
from maskwise.attaching.wrapped import (
    Called,
    Hook,
    hooked,
    innermost,
    refuse_again,
    refuse_copies,
    warn_of_compiling,
)
from maskwise.errors import UserError
from maskwise.laws import Fixed, Law, Scope
from maskwise.masks import Mask
from maskwise.objectives.cross_entropy import Shares
from maskwise.rng import Keys

log = logging.getLogger("maskwise")

ADAPTERS: tuple[type[Adapter], ...] = (
    *language.ADAPTERS,
    *vision.ADAPTERS,
    *series.ADAPTERS,
    *others.ADAPTERS,
)
REPLACED = frozenset({"input_ids", "labels"})
"""arguments of language models of which masked ones are made"""
_taken: "WeakSet[nn.Module]" = WeakSet()
"""models that have a law"""


class Attached(Ratios):
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
        super().__init__(law, seed=seed, steps=steps, ladder=ladder)
        self.model, self.adapter = model, adapter
        self.pattern, self.scope, self.eval_ratio = pattern, scope, eval_ratio
        self.hidden: Tensor | None = None
        """what the last training forward hid, bool [B, L], where masks are ours"""
        self._evaluated = 0
        self._own: list[Any] | None = None
        self._parameters = inspect.signature(adapter.model.forward)
        self._hooks: list[Any] = [
            model.register_forward_pre_hook(Hook(self._before), with_kwargs=True),
            model.register_forward_hook(Hook(self._after), always_call=True),
        ]
        if adapter.skips_hooks:
            self._hooks.append(Called(adapter.model))
        _taken.add(adapter.model)

    def _before(
        self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        refuse_copies(model)
        if not model.training:
            return None if self.eval_ratio is None else self._fixed(self.eval_ratio, args, kwargs)
        refuse_again()
        self._check_steps()
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
        return (), self._seen(inputs) | new

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
        return None if given else ((), self._seen(inputs) | new)

    def _inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return what a forward was given, by name, and what was given for the adapter alone."""
        extras = {name: kwargs[name] for name in self.adapter.extras if name in kwargs}
        kwargs = {name: each for name, each in kwargs.items() if name not in extras}
        given = self._parameters.bind_partial(*args, **kwargs)
        inputs = {k: each for k, each in given.arguments.items() if k != "kwargs"}
        return inputs | given.arguments.get("kwargs", {}) | extras

    def _seen(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return what of these the model takes."""
        return {name: each for name, each in inputs.items() if name not in self.adapter.extras}

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
        if evaluated is not None and where.samples is not None:
            ids = where.samples
        self.adapter.keys = Keys(self.seed, step, ids.to(where.device))
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
        if self._own is not None:
            self.adapter.restore(self._own)
            self._own = None

    def _count(self, asked: float, realised: float) -> None:
        self.log.append(Step(self.step, asked, realised))
        self._evaluated = 0
        if self._told:
            self._part += 1
        else:
            self.step += 1

    def detach(self) -> None:
        """Leave the model as it was before; a second call does nothing."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        _taken.discard(self.adapter.model)


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
    shares: Shares | None = None,
    ngrams: Any = None,
    mend: bool = False,
) -> Any:
    """Make the mask ratio of somebody else's model, or collator, a law.

    Before each training forward it sets this step's ratio, which seed and step decide: it is the
    same on all ranks, and goes on after a resume. After the forward, and so in eval mode, the
    model has its own ratio again.

    Args:
        model: of a class that is known, see docs/attach.md; compiled, or wrapped for several
            devices, or not. Or a collator or data set with an attribute such as
            `mlm_probability`, or a function with an argument such as `mask_ratio`: use what is
            returned, `AttachedCalls`, in its place.
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
            the attribute that holds the ratio, or the names of several; of a function: the name of
            its argument.
        tokenizer: of transformers, for language models.
        shares: of hidden tokens that become the mask token, become a random one and stay, for
            language models; default (1, 0, 0).
        ngrams: which n-grams are hidden whole, for the pattern "ngrams" of language models.
        mend: mend what is known to be wrong with models of this class as they are made.

    Returns:
        `Attached`, which takes the law away again (`detach`, or the end of a with block),
        continues it (`state_dict`), and tells the ratio of each step (`log`).

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
    model, inner = hooked(model), innermost(model)
    if isinstance(inner, AttachedCalls) or (isinstance(inner, nn.Module) and inner in _taken):
        raise UserError(f"{type(inner).__name__} has a law already: detach() it first")
    given = {"shares": shares, "ngrams": ngrams}
    options = {name: value for name, value in given.items() if value is not None}
    adapter = _adapter(inner, set_ratio, tokenizer)
    law = laws.parse(law)
    ours = not adapter.own_masks and adapter.takes_masks
    if pattern is None and (ours or (scope == "sample" and not adapter.by_sample)):
        pattern = adapter.usual_pattern
    _check(adapter, law, pattern, scope, {"ladder": ladder, "steps": steps}, eval_ratio)
    adapter.prepare(pattern, options)
    more: dict[str, Any] = {"seed": seed, "steps": steps, "ladder": ladder}
    if isinstance(adapter, FunctionOf):
        return AttachedFunction(inner, adapter, law, scope=scope, pattern=pattern, **more)
    if not isinstance(inner, nn.Module):
        if eval_ratio is not None:
            raise UserError(f"{adapter.name} is not in eval mode: leave eval_ratio out")
        return attach_calls(inner, adapter, law, **more)
    fault = adapter.fault()
    if fault is not None and mend:
        adapter.mend()
    elif fault is not None and adapter.strict:
        raise UserError(f"{fault}: give mend=True to mend it")
    elif fault is not None:
        log.warning("%s: give mend=True to mend it", fault)
    if pattern is None and (note := adapter.note(law.mean())) is not None:
        log.warning(
            "%s", note + "; pattern='scattered' rounds to the nearest" * adapter.takes_masks
        )
    if adapter.recompiles:
        warn_of_compiling(model, law, ladder)
    more |= {"pattern": pattern, "scope": scope, "eval_ratio": eval_ratio}
    return Attached(model, adapter, law, **more)


def _check(
    adapter: Adapter,
    law: Law,
    pattern: str | None,
    scope: Scope,
    counts: dict[str, int | None],
    eval_ratio: float | None,
) -> None:
    """Refuse what cannot work."""
    if pattern is not None:
        masks.parse_pattern(pattern)
        if not adapter.takes_masks:
            what = f"pattern='{pattern}'" if scope == "step" else "scope='sample'"
            raise UserError(f"{adapter.name} makes its masks itself: leave {what} out")
    for name, value in counts.items():
        if value is not None and value < 1:
            raise UserError(f"{name} {value} is below 1: leave it out")
    if eval_ratio is not None and not 0 <= eval_ratio <= 1:
        raise UserError(f"eval_ratio {eval_ratio:g} is outside [0, 1]")
    if counts["ladder"] is not None and scope == "sample":
        raise UserError("a ladder is of the ratios of steps: leave ladder or scope='sample' out")


def _adapter(model: Any, set_ratio: Any, tokenizer: Any) -> Adapter:
    if (found := function(model, set_ratio)) is not None:
        return found
    if isinstance(set_ratio, str):
        return Attributes(model, [set_ratio])
    if callable(set_ratio):
        return Function(model, set_ratio)
    if set_ratio is not None:
        return Attributes(model, list(set_ratio))
    if not isinstance(model, nn.Module):
        return collator(model)
    for each in type(model).__mro__:
        for kind in ADAPTERS:
            if kind.knows(each):
                return kind(model, tokenizer)
    argument = Argument.of(model)
    if argument is None:
        raise unknown(model)
    return Argument(model, argument)
