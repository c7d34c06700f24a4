"""What the exact models share: reading their arguments, and how many rows go in one piece."""

from collections.abc import Callable

import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.likelihood.contract import Values, samples
from maskwise.rng import Keys, Stream

# Numbers in one temporary array, 4 MB of them: larger ones are slower, as they leave the caches.
_PIECE = 2**19


def parameter(value: Values, name: str, axes: str) -> Tensor:
    """Return a parameter as it is given, when it is one: what casts it keeps its gradient.

    Its `axes` are a letter each: "DK" for [D, K], "" for a number, "..." for one or more.

    Raises:
        UserError: no numbers, another number of axes, an axis of length 0, NaN or infinity.

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
    """Return a positive number as a tensor, as it is given when it is one.

    Raises:
        UserError: not one number, or not positive and finite.
    """
    found = value if isinstance(value, Tensor) else _numbers(value, name)
    if found.numel() != 1:
        raise UserError(f"{name} has shape {list(found.shape)}: give one number")
    if not 0 < float(found.detach()) < torch.inf:
        raise UserError(f"{name} is {float(found.detach()):g}: give a finite number above 0")
    return found


def rows(x: Values, like: Tensor) -> Tensor:
    """Return samples [B, D] in float64, on the device of the model, which `like` [D] is on.

    Raises:
        UserError: no numbers, or not the number of positions that the model has.
    """
    x = samples(_numbers(x, "x")).to(like.device)
    if x.ndim != 2 or x.shape[1] != len(like):
        raise UserError(f"samples have shape {list(x.shape)}: the model takes [B, {len(like)}]")
    return x


def hidden_of(hidden: Values, x: Tensor) -> Tensor:
    """Return which positions are hidden, bool [B, D].

    Raises:
        UserError: another type, or not the shape of the samples.
    """
    found = torch.as_tensor(hidden, device=x.device)
    if found.dtype != torch.bool or found.shape != x.shape:
        raise UserError(
            f"hidden is {found.dtype} {list(found.shape)}: give bool {list(x.shape)}, as samples"
        )
    return found


def refuse(bad: Tensor, x: Tensor, advice: str) -> None:
    """Raise for the first value of `x` where `bad` is true, if any.

    Raises:
        UserError: its place, the value, and the advice.
    """
    if bad.any():
        row, position = bad.nonzero()[0].tolist()
        raise UserError(f"x[{row}, {position}] is {float(x[row, position]):g}: {advice}")


def uniforms(keys: Keys, x: Tensor) -> Tensor:
    """Return one uniform number on (0, 1) per position, keyed by row.

    Raises:
        UserError: there are not as many keys as rows.
    """
    if len(keys.sample_ids) != len(x):
        raise UserError(f"{len(keys.sample_ids)} sample ids for {len(x)} samples: give one each")
    return keys.open_uniform(Stream.SAMPLE, x.shape[1]).to(x.device)


def own_keys(num: int, seed: int) -> Keys:
    """Return the keys of `num` samples that a model draws by itself.

    No loop counts to their epoch, so that what is drawn later given a sample is independent of
    the sample, also with the same seed.

    Raises:
        UserError: `num` is less than 1.
    """
    if num < 1:
        raise UserError(f"num {num} is no number of samples: give at least 1")
    return Keys(seed, epoch=-1, sample_ids=torch.arange(num))


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
