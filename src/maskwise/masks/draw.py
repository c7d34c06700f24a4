"""Draw a mask: a law says how many positions to hide, a pattern says which."""

import math
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maskwise import laws
from maskwise.checks import checked
from maskwise.errors import UserError
from maskwise.laws import Law, Scope
from maskwise.masks.mask import Mask
from maskwise.masks.observed import Copied, Proportional
from maskwise.masks.patterns import (
    Block,
    Columns,
    InverseBlock,
    Pattern,
    Request,
    Scattered,
    Shared,
    Spans,
    Tubes,
    Units,
    Words,
)
from maskwise.rng import Keys, Stream, uniforms

Sampling = Literal["independent", "stratified", "antithetic"]


# Form and constructor; the constructor takes the integer after the colon, if there is one.
PATTERNS: dict[str, tuple[str, Callable[..., Pattern]]] = {
    "scattered": ("scattered", Scattered),
    "shared": ("shared", Shared),
    "units": ("units[:SIZE]", Units),
    "block": ("block", Block),
    "inverse-block": ("inverse-block", InverseBlock),
    "columns": ("columns[:AXIS]", Columns),
    "tubes": ("tubes[:AXIS]", Tubes),
    "words": ("words", Words),
    "ngrams": ("ngrams", Words),
    "spans": ("spans[:LENGTH]", Spans),
    "copied": ("copied", Copied),
    "proportional": ("proportional", Proportional),
}


@checked()
def parse_pattern(text: str) -> Pattern:
    """Read a pattern's name, as in ``units:2``.

    Raises:
        UserError: an unknown pattern or argument, with the valid forms.

    >>> parse_pattern("units:2")
    Units(size=2)
    """
    name, _, argument = text.partition(":")
    if name not in PATTERNS:
        forms = ", ".join(form for form, _ in PATTERNS.values())
        raise UserError(f"unknown pattern '{text}'; patterns are {forms}")
    form, make = PATTERNS[name]
    try:
        return make(int(argument)) if argument else make()
    except UserError:
        raise
    except (TypeError, ValueError):
        raise UserError(f"pattern '{text}' cannot be read; the form is {form}") from None


@checked()
def draw(
    law: Law | str | float,
    grid: tuple[int, ...],
    *,
    sample_ids: Tensor,
    seed: int,
    epoch: int = 0,
    step: int = 0,
    progress: float = 0.0,
    pattern: Pattern | str = "scattered",
    scope: Scope = "step",
    sampling: Sampling = "independent",
    peers: Tensor | None = None,
    eligible: Tensor | None = None,
    units: Tensor | None = None,
    scores: Tensor | None = None,
    observed: Tensor | None = None,
    device: torch.device | str | None = None,
) -> Mask:
    """Draw the masks of a batch.

    The ratio depends on (seed, step) with scope "step" and on (seed, epoch, sample) with scope
    "sample"; the positions depend on (seed, epoch, sample), with pattern "shared" on (seed, step).
    Nothing depends on the batch, except what stratified and antithetic sampling ask for.

    Args:
        law: a ratio law, or its string.
        grid: positions along each axis, any number of axes; their product is L.
        sample_ids: int64 [B], which samples.
        seed: any integer.
        epoch: which pass over the data.
        step: which training step (scope "step", pattern "shared").
        progress: share of training done, in [0, 1], for scheduled laws.
        pattern: a pattern, or its string: "scattered", "shared", "units[:SIZE]", "block",
            "inverse-block", "columns[:AXIS]", "tubes[:AXIS]", "words", "ngrams",
            "spans[:LENGTH]", "copied" or "proportional".
        scope: one ratio per "step" or per "sample".
        sampling: with scope "sample", how uniforms spread over a batch: "independent";
            "stratified" (one in each of B equal intervals); "antithetic" (pairs u, 1 - u).
        peers: int64, the samples over which ratios are spread, a superset of `sample_ids`;
            default: those. A data-parallel rank passes the ids of the whole batch.
        eligible: bool [L] or [B, L], the positions that may be hidden; default: all.
        units: int64 [B, L], the unit of each position, for "words", "ngrams" and "spans": numbers
            never fall along a row; those of ineligible positions play no part.
        scores: [B, L], for a pattern that needs them; what they mean is up to it.
        observed: bool [M, L], what each of some rows of the data lacks, for patterns "copied" and
            "proportional" and the law "observed"; see `masks.bank`.
        device: where the mask is made; default: that of `sample_ids`.

    Raises:
        UserError: an unknown law, pattern, scope or sampling, or shapes that do not fit.

    >>> mask = draw("fixed:0.75", (4, 4), sample_ids=torch.arange(2), seed=0)
    >>> mask.hidden.shape, mask.hidden_idx.shape, mask.ratio.tolist()
    (torch.Size([2, 16]), torch.Size([2, 12]), [0.75, 0.75])
    """
    if not isinstance(law, Law):
        law = laws.parse(law)
    if isinstance(pattern, str):
        pattern = parse_pattern(pattern)
    if not grid or min(grid) < 1:
        raise UserError(f"grid {grid} is empty: every side needs at least one position")
    if sample_ids.dim() != 1 or sample_ids.is_floating_point():
        shape = tuple(sample_ids.shape)
        raise UserError(f"sample_ids of shape {shape}, {sample_ids.dtype}: they must be int64 [B]")
    device = _device(device) if device is not None else sample_ids.device
    length = math.prod(grid)
    if observed is not None:
        observed = _observed(observed, length)
        if not laws.is_resolved(law):
            law = laws.resolved(law, observed.sum(dim=1).cpu().numpy(), length)
    open_ = _eligible(eligible, len(sample_ids), length, device)
    num_eligible = (
        np.full(len(sample_ids), length) if eligible is None else open_.sum(dim=1).cpu().numpy()
    )
    u = _uniforms(scope, sampling, seed, epoch, step, sample_ids, peers)
    counts = torch.from_numpy(laws.num_hidden(law, u, num_eligible, progress)).to(device)
    keys = Keys(seed, epoch, sample_ids.to(device))
    of_step = Keys(seed, 0, torch.tensor([step], device=device))
    if units is not None:
        units = _units(units, open_)
    if pattern.needs_scores:
        scores = _scores(scores, open_, pattern)
    if pattern.needs_observed:
        if observed is None:
            name = type(pattern).__name__.lower()
            raise UserError(
                f"pattern {name} is made of what rows of data lack, which is unknown here: choose"
                " another pattern, or give observed="
            )
        observed = observed.to(device)
    ask = Request(counts, tuple(grid), keys, of_step, open_, units, scores, observed)
    return Mask(pattern.hide(ask), None if eligible is None else open_)


def _eligible(eligible: Tensor | None, batch: int, length: int, device: torch.device) -> Tensor:
    if eligible is None:
        return torch.ones((batch, length), dtype=torch.bool, device=device)
    if eligible.dtype != torch.bool or eligible.shape not in ((length,), (batch, length)):
        shape = f"{eligible.dtype} {tuple(eligible.shape)}"
        raise UserError(f"eligible is {shape}: give bool [{length}] or [{batch}, {length}]")
    return eligible.to(device).expand(batch, length)


def _units(units: Tensor, eligible: Tensor) -> Tensor:
    if units.dtype != torch.int64 or units.shape != eligible.shape:
        given = f"{units.dtype} {tuple(units.shape)}"
        raise UserError(f"units are {given}: give int64 {list(eligible.shape)}")
    return units.to(eligible.device)


def _observed(observed: Tensor, length: int) -> Tensor:
    if observed.dtype != torch.bool or observed.dim() != 2 or observed.shape[1] != length:
        given = f"{observed.dtype} {list(observed.shape)}"
        raise UserError(f"observed is {given}: give bool [M, {length}], True = missing")
    if not bool(observed.any()):
        raise UserError(f"observed: none of {len(observed)} rows lacks a value: give some that do")
    return observed


def _scores(scores: Tensor | None, eligible: Tensor, pattern: Pattern) -> Tensor:
    if scores is None:
        raise UserError(f"pattern {pattern} needs scores of the positions: give scores=")
    if scores.shape != eligible.shape:
        raise UserError(f"scores are {list(scores.shape)}: give {list(eligible.shape)}")
    return scores.to(eligible.device)


def _uniforms(
    scope: str,
    sampling: str,
    seed: int,
    epoch: int,
    step: int,
    sample_ids: Tensor,
    peers: Tensor | None,
) -> NDArray[np.float64]:
    """Return the uniforms that the law turns into ratios, [1] or [B]."""
    if scope not in get_args(Scope):
        raise UserError(f"unknown scope '{scope}'; scopes are {', '.join(get_args(Scope))}")
    if sampling not in get_args(Sampling):
        known = ", ".join(get_args(Sampling))
        raise UserError(f"unknown sampling '{sampling}'; known: {known}")
    if scope == "step":
        return uniforms(seed, Stream.RATIO, sample_ids=torch.tensor([step])).numpy()
    if sampling == "independent":
        return uniforms(seed, Stream.RATIO, epoch=epoch, sample_ids=sample_ids).numpy()
    ids = (sample_ids if peers is None else peers).cpu()
    place = uniforms(seed, Stream.STRATUM, epoch=epoch, sample_ids=ids).argsort(stable=True)
    u = uniforms(seed, Stream.RATIO, epoch=epoch, sample_ids=ids)
    spread = torch.empty_like(u)
    if sampling == "stratified":
        spread[place] = (torch.arange(len(ids)) + u[place]) / len(ids)
    else:
        half = len(ids) // 2
        spread[place] = u[place]
        spread[place[half : 2 * half]] = 1 - u[place[:half]]
    if peers is None:
        return spread.numpy()
    row = {sample: index for index, sample in enumerate(ids.tolist())}
    missing = [sample for sample in sample_ids.tolist() if sample not in row]
    if missing:
        raise UserError(f"sample {missing[0]} is not among the peers, a superset of sample_ids")
    return spread[[row[sample] for sample in sample_ids.tolist()]].numpy()


def _device(name: torch.device | str) -> torch.device:
    try:
        return torch.device(name)
    except RuntimeError:
        raise UserError(f"device {name!r} is none that torch knows, such as cpu or cuda") from None
