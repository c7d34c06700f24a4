"""What a model must offer to be given a likelihood, what is checked of it, and its loss.

And how the exact models read their arguments, and how many rows they take in one piece.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias, TypedDict

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from maskwise.checks import checked
from maskwise.errors import UserError
from maskwise.laws import Reduction
from maskwise.masks import Mask
from maskwise.masks.mask import hide_lowest, sample_weights
from maskwise.rng import Keys, Stream

Values: TypeAlias = ArrayLike | Tensor
"""an array, a list or a tensor"""

# Numbers in one temporary array, 4 MB of them: larger ones are slower, as they leave the caches.
_PIECE = 2**19


class ConditionalModel(Protocol):
    """A model of one hidden position given the visible ones.

    Samples are [B, D, ...] with positions along axis 1. A model whose samples look otherwise has
    two more members: `length`, its number of positions, and `mix(x, other, hidden)`, which returns
    `x` with the hidden positions taken from `other`. One with positions that must never be hidden,
    such as padding, has `eligible(x)`, bool [B, D].
    """

    def conditional_log_prob(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Return log p(x_t | x_R) for every hidden t, in nats, [B, D].

        R are the visible positions; all other hidden positions are integrated out. What is at
        visible positions of the result is not used, what `x` holds at hidden ones may be used
        only to say which value's probability is asked for.

        Args:
            x: samples.
            hidden: bool [B, D].
        """
        ...


class GenerativeModel(ConditionalModel, Protocol):
    """A model that can also draw."""

    def conditional_sample(self, x: Tensor, hidden: Tensor, keys: Keys) -> Tensor:
        """Return `x` with each hidden position drawn from p(x_t | x_R), for itself."""
        ...

    def empty(self, num: int) -> Tensor:
        """Return `num` samples that hold nothing yet."""
        ...


def length_of(model: ConditionalModel, x: Tensor) -> int:
    """Return D, the number of positions of a sample."""
    return int(getattr(model, "length", None) or x.shape[1])


def mix(model: ConditionalModel, x: Tensor, other: Tensor, hidden: Tensor) -> Tensor:
    """Return `x` with the hidden positions taken from `other`."""
    if hasattr(model, "mix"):
        return model.mix(x, other, hidden)
    return torch.where(hidden.view(*hidden.shape, *[1] * (x.ndim - 2)), other, x)


def samples(x: Values) -> Tensor:
    """Return samples given as a tensor or an array."""
    x = torch.as_tensor(x)
    if x.ndim < 2 or not len(x):
        raise UserError(f"samples have shape {list(x.shape)}; give [B, D], one row per sample")
    return x


def ids_of(x: Tensor, sample_ids: Values | None) -> Tensor:
    """Return which samples these are, int64 [B]; by default 0..B-1."""
    count = torch.arange(len(x), device=x.device)
    ids = count if sample_ids is None else torch.as_tensor(sample_ids, device=x.device)
    if ids.shape != count.shape:
        raise UserError(f"sample_ids have shape {list(ids.shape)}: give one for each of {len(x)}")
    return ids


def which(model: ConditionalModel, x: Tensor, given: Values, name: str) -> Tensor:
    """Return positions that the user named, bool [B, D]."""
    shape = (len(x), length_of(model, x))
    found = torch.as_tensor(given, device=x.device)
    if found.dtype != torch.bool or found.shape not in (shape, shape[1:]):
        what = f"{found.dtype} {list(found.shape)}"
        raise UserError(f"{name} is {what}: give bool {list(shape[1:])} or {list(shape)}")
    return found.expand(shape)


def eligible_of(model: ConditionalModel, x: Tensor, eligible: Values | None = None) -> Tensor:
    """Return which positions may be hidden, bool [B, D]; default: what the model says, or all."""
    if eligible is None and hasattr(model, "eligible"):
        eligible = model.eligible(x)
    if eligible is None:
        return torch.ones(len(x), length_of(model, x), dtype=torch.bool, device=x.device)
    found = which(model, x, eligible, "eligible")
    empty = (~found.any(dim=1)).nonzero().flatten().tolist()
    if empty:
        raise UserError(f"sample {empty[0]} has no eligible position: leave it out")
    return found


class Job(NamedTuple):
    """Some samples and how they are evaluated."""

    model: ConditionalModel
    x: Tensor
    eligible: Tensor
    ids: Tensor
    seed: int
    batch_size: int

    @property
    def lengths(self) -> Tensor:
        """How many positions of each sample are eligible, [B]."""
        return self.eligible.sum(dim=1)

    def rows(self, rows: slice | Tensor) -> "Job":
        """Return some of the samples."""
        x, eligible, ids = (each[rows] for each in (self.x, self.eligible, self.ids))
        return self._replace(x=x, eligible=eligible, ids=ids)


class Options(TypedDict, total=False):
    """What all estimates may be told; see `log_likelihood`."""

    eligible: Values | None
    seed: int
    batch_size: int


@checked(batch_size=1)
def job_of(
    model: ConditionalModel,
    x: Values,
    *,
    eligible: Values | None = None,
    seed: int = 0,
    batch_size: int = 1024,
    sample_ids: Values | None = None,
) -> Job:
    """Return what a user asks for as a job."""
    x = samples(x)
    return Job(model, x, eligible_of(model, x, eligible), ids_of(x, sample_ids), seed, batch_size)


def refuse_training(model: ConditionalModel) -> None:
    """Refuse a network whose dropout or batch statistics make it another model at each call."""
    if getattr(model, "training", False):
        raise UserError("the model is in training mode: call model.eval() first")


def log_probs(
    model: ConditionalModel, x: Tensor, hidden: Tensor, rows: Tensor | None = None
) -> Tensor:
    """Return the model's log-probabilities, float64 [B, D], 0 at visible positions.

    `rows` are what errors call the samples; default: 0..B-1.
    """
    found = model.conditional_log_prob(x, hidden)
    if found.shape != hidden.shape:
        raise UserError(
            f"conditional_log_prob returned shape {list(found.shape)}: it must be"
            f" {list(hidden.shape)}, one number per position"
        )
    found = found.to(torch.float64)
    bad = hidden & (found.isnan() | (found == torch.inf))
    if bad.any():
        row, position = bad.nonzero()[0].tolist()
        value = float(found[row, position].detach())
        name = row if rows is None else int(rows[row])
        raise UserError(
            f"the log-probability of position {position} in sample {name} is {value}:"
            " look at that sample, or at the model's weights"
        )
    return torch.where(hidden, found, 0.0)


@checked()
def check_leak(
    model: ConditionalModel,
    x: Values,
    *,
    eligible: Values | None = None,
    seed: int = 0,
    num: int = 4,
) -> None:
    """Refuse a model whose answers depend on what is hidden.

    log p(x_t | x_R) is asked for some hidden positions while the others are given the values of
    another sample: nothing may change, since they are integrated out. Half of the eligible
    positions of the first `num` samples are hidden, half of those are asked for.

    A model that looks at nothing hidden but the very position it predicts is not found out.

    Raises:
        UserError: the model leaks, with the position and the size of the change.

    Example:
        >>> from maskwise.likelihood import PPCA
        >>> model = PPCA(loadings=torch.ones(5, 1), noise=0.2)
        >>> check_leak(model, model.sample(4))
    """
    x = samples(x)
    open_ = eligible_of(model, x, eligible)[:num]
    # Values of the neighbour are plausible ones, whatever kind of data this is.
    other = (x.roll(1, dims=0) if len(x) > 1 else x.flip(-1))[:num]
    x = x[:num]
    scores = Keys(seed, 0, torch.arange(len(x), device=x.device)).bits(
        Stream.SCORE, open_.shape[1]
    )
    counts = (open_.sum(dim=1) + 1) // 2
    hidden, asked = (hide_lowest(scores, n, open_) for n in (counts.clamp(min=2), counts // 2))
    before = log_probs(model, x, hidden)
    after = log_probs(model, mix(model, x, other, hidden & ~asked), hidden)
    change = torch.where(asked, (before - after).abs(), 0.0).nan_to_num(nan=0.0)
    # Rounding may differ between two passes of a network; a leak moves much more.
    leaks = change > 1e-4 * (1 + before.abs())
    if leaks.any():
        row, position = leaks.nonzero()[0].tolist()
        raise UserError(
            f"the model leaks: log p of position {position} given the visible ones changes by"
            f" {float(change[row, position].detach()):.3g} when other hidden positions change;"
            " it must read visible positions only"
        )


@checked()
def loss(
    model: ConditionalModel, x: Tensor, mask: Mask, reduction: Reduction = "sample_mean"
) -> Tensor:
    """Return minus the mean log-probability of hidden positions, in nats, differentiable.

        loss = -sum_i w_i S_i / sum_i w_i,  S_i = mean_{t hidden in i} log p(x_it | x_iR)

    What it estimates is decided by the law that drew the mask, and by the reduction's weights:

    - law "likelihood": -log p(x) / D, unbiased (the cumulative loss, and masked diffusion's with
      weight 1 / ratio); scope "step" takes one size at a time, scope "sample" with stratified
      sampling spreads them over the batch;
    - "fixed:R": -S at one size, a composite likelihood, biased as an estimate of -log p(x) / D;
    - any other law: the mean of S under it.

    Example:
        >>> from maskwise import masks
        >>> from maskwise.likelihood import PPCA
        >>> model = PPCA(loadings=torch.zeros(4, 1), noise=1.0)  # independent positions
        >>> x = torch.zeros(8, 4)
        >>> ids = torch.arange(8)
        >>> mask = masks.draw("likelihood", (4,), sample_ids=ids, seed=0, scope="sample")
        >>> round(4 * float(loss(model, x, mask)), 4), round(-float(model.log_prob(x)[0]), 4)
        (3.6758, 3.6758)

    Source: arXiv 2306.00520.
    """
    weights = sample_weights(mask, reduction)
    scores = log_probs(model, x, mask.hidden).sum(dim=1) / mask.num_hidden.clamp(min=1)
    return -(weights * scores).sum() / weights.sum()


def parameter(value: Values, name: str, axes: str) -> Tensor:
    """Return a parameter as it is given, when it is one: what casts it keeps its gradient.

    Its `axes` are a letter each: "DK" for [D, K], "" for a number, "..." for one or more.

    >>> parameter([[1, 2]], "loadings", "DK").shape
    torch.Size([1, 2])
    """
    found = value if isinstance(value, Tensor) else _numbers(value, name)
    fits = found.ndim > 0 if axes == "..." else found.ndim == len(axes)
    if not fits or not found.numel():
        wanted = f"[{', '.join(axes)}]" if axes else "one number"
        raise UserError(f"{name} has shape {list(found.shape)}: give {wanted}")
    if not found.isfinite().all():
        raise UserError(f"{name} has values that are not finite: look at how it was computed")
    return found


def positive(value: Values, name: str) -> Tensor:
    """Return a positive number as a tensor, as it is given when it is one."""
    found = value if isinstance(value, Tensor) else _numbers(value, name)
    if found.numel() != 1:
        raise UserError(f"{name} has shape {list(found.shape)}: give one number")
    if not 0 < float(found.detach()) < torch.inf:
        raise UserError(f"{name} is {float(found.detach()):g}: give a finite number above 0")
    return found


def rows(x: Values, like: Tensor) -> Tensor:
    """Return samples [B, D] in float64, on the device of the model, which `like` [D] is on."""
    x = samples(_numbers(x, "x")).to(like.device)
    if x.ndim != 2 or x.shape[1] != len(like):
        raise UserError(f"samples have shape {list(x.shape)}: the model takes [B, {len(like)}]")
    return x


def hidden_of(hidden: Values, x: Tensor) -> Tensor:
    """Return which positions are hidden, bool [B, D]."""
    found = torch.as_tensor(hidden, device=x.device)
    if found.dtype != torch.bool or found.shape != x.shape:
        raise UserError(
            f"hidden is {found.dtype} {list(found.shape)}: give bool {list(x.shape)}, as samples"
        )
    return found


def refuse(bad: Tensor, x: Tensor, advice: str) -> None:
    """Raise for the first value of `x` where `bad` is true, if any."""
    if bad.any():
        row, position = bad.nonzero()[0].tolist()
        raise UserError(f"x[{row}, {position}] is {float(x[row, position]):g}: {advice}")


def uniforms(keys: Keys, x: Tensor) -> Tensor:
    """Return one uniform number on (0, 1) per position, keyed by row."""
    if len(keys.sample_ids) != len(x):
        raise UserError(f"{len(keys.sample_ids)} sample ids for {len(x)} samples: give one each")
    return keys.open_uniform(Stream.SAMPLE, x.shape[1]).to(x.device)


def own_uniforms(num: int, width: int, seed: int) -> Tensor:
    """Return uniform numbers on (0, 1) for samples that a model draws by itself, [num, width].

    No loop counts to their epoch, so that what is drawn later given a sample is independent of
    the sample, also with the same seed.
    """
    if num < 1:
        raise UserError(f"num {num} is no number of samples: give at least 1")
    keys = Keys(seed, epoch=-1, sample_ids=torch.arange(num))
    return keys.open_uniform(Stream.SAMPLE, width)


def in_pieces(function: Callable[..., Tensor], size: int, *arguments: Tensor) -> Tensor:
    """Return `function` of a few rows of the arguments at a time, so that memory stays bounded.

    It gives [..., rows, D] and keeps `size` numbers per row.
    """
    pieces = zip(*(argument.split(max(1, _PIECE // size)) for argument in arguments), strict=True)
    return torch.cat([function(*piece) for piece in pieces], dim=-2)


def _numbers(value: Values, name: str) -> Tensor:
    try:
        return torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise UserError(f"{name} is {type(value).__name__}, not an array of numbers") from None
