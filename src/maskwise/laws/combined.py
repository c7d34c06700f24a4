"""Laws made of laws, and laws as strings: mixtures, schedules, and `parse`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike

from maskwise.checks import checked_fields
from maskwise.errors import UserError
from maskwise.laws.observed import Observed
from maskwise.laws.plain import (
    Array,
    Beta,
    Choice,
    Cosine,
    Fixed,
    Law,
    LikelihoodUniform,
    TruncatedNormal,
    Uniform,
    normalised,
    pick,
    require,
    text,
)

SHAPES = {
    "linear": lambda progress: progress,
    "cosine": lambda progress: (1 - math.cos(math.pi * progress)) / 2,
    "step": lambda progress: float(progress >= 0.5),
}


@checked_fields
@dataclass(frozen=True)
class Mixture:
    """One of several laws, each with a probability.

    >>> from maskwise.laws import Uniform
    >>> round(Mixture([Fixed(0.15), Uniform(0.1, 0.5)], [0.5, 0.5]).mean(), 6)
    0.225
    """

    laws: Sequence[Law]
    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "laws", tuple(as_law(law) for law in self.laws))
        require(len(self.laws) > 0, "a mixture needs at least one law")
        for law in self.laws:
            require(
                not isinstance(law, (Mixture, Scheduled, LikelihoodUniform)),
                f"a mixture cannot hold '{law}': mix plain laws, and schedule the mixture",
            )
        weights = normalised(self.weights or [1.0] * len(self.laws), len(self.laws))
        object.__setattr__(self, "weights", weights)

    def _parts(self) -> list[tuple[float, Law]]:
        return list(zip(cast(Sequence[float], self.weights), self.laws, strict=True))

    def __str__(self) -> str:
        return "mixture:" + "+".join(f"{text(weight)}*{law}" for weight, law in self._parts())

    def mean(self, progress: float = 0.0) -> float:
        return sum(weight * law.mean() for weight, law in self._parts())

    def support(self, progress: float = 0.0) -> tuple[float, float]:
        lows, highs = zip(*(law.support() for law in self.laws), strict=True)
        return min(lows), max(highs)

    def draw(self, u: ArrayLike, progress: float = 0.0) -> Array:
        index, rest = pick(cast(Sequence[float], self.weights), u)
        return np.select(
            [index == i for i in range(len(self.laws))], [law.draw(rest) for law in self.laws]
        )

    def density(self, ratios: ArrayLike, progress: float = 0.0) -> Array:
        return np.sum([weight * law.density(ratios) for weight, law in self._parts()], axis=0)

    def atoms(self, progress: float = 0.0) -> list[tuple[float, float]]:
        return [(ratio, weight * w) for weight, law in self._parts() for ratio, w in law.atoms()]

    def quadrature(self, k: int = 16, progress: float = 0.0) -> tuple[Array, Array]:
        rules = [(weight, *law.quadrature(k)) for weight, law in self._parts()]
        ratios = np.concatenate([ratios for _, ratios, _ in rules])
        return ratios, np.concatenate([weight * weights for weight, _, weights in rules])


@checked_fields
@dataclass(frozen=True)
class Scheduled:
    """A law whose parameters move from `start` to `end` with training progress.

    Every parameter is (1 - s) start + s end with s = progress (linear),
    (1 - cos(pi progress)) / 2 (cosine), or 0 before and 1 from half-way (step). Ratios are fixed
    laws; laws of one kind move their own parameters, as in the bounds of a uniform law.

    >>> from maskwise.laws import Uniform
    >>> round(Scheduled(0.3, 0.15).mean(progress=0.5), 6)
    0.225
    >>> Scheduled(Uniform(0.1, 0.3), Uniform(0.5, 0.9)).support(progress=1.0)
    (0.5, 0.9)
    """

    start: Law
    end: Law
    shape: Literal["linear", "cosine", "step"] = "linear"

    def __init__(self, start: "Law | float", end: "Law | float", shape: str = "linear") -> None:
        require(shape in SHAPES, f"unknown schedule shape '{shape}'; known: {', '.join(SHAPES)}")
        for name, value in (("start", as_law(start)), ("end", as_law(end)), ("shape", shape)):
            object.__setattr__(self, name, value)
        for law in (self.start, self.end):
            require(
                not isinstance(law, (Scheduled, LikelihoodUniform, Observed)),
                f"a schedule cannot hold '{law}', which has no numbers to move",
            )
        self.at(0.5)

    def __str__(self) -> str:
        ends = (str(law).removeprefix("fixed:") for law in (self.start, self.end))
        return f"scheduled:{self.shape},{'..'.join(ends)}"

    def at(self, progress: float) -> Law:
        """Return the law in force at `progress`."""
        return _between(self.start, self.end, SHAPES[self.shape](min(max(progress, 0.0), 1.0)))

    def mean(self, progress: float = 0.0) -> float:
        return self.at(progress).mean()

    def support(self, progress: float = 0.0) -> tuple[float, float]:
        return self.at(progress).support()

    def draw(self, u: ArrayLike, progress: float = 0.0) -> Array:
        return self.at(progress).draw(u)

    def density(self, ratios: ArrayLike, progress: float = 0.0) -> Array:
        return self.at(progress).density(ratios)

    def atoms(self, progress: float = 0.0) -> list[tuple[float, float]]:
        return self.at(progress).atoms()

    def quadrature(self, k: int = 16, progress: float = 0.0) -> tuple[Array, Array]:
        return self.at(progress).quadrature(k)


def is_resolved(law: Law) -> bool:
    """Say whether a law has numbers throughout, and does not wait for the shares of data."""
    if isinstance(law, Mixture):
        return all(map(is_resolved, law.laws))
    return law != Observed()


def resolved(law: Law, lacking: ArrayLike, length: int) -> Law:
    """Return a law in which the shares of data stand where it says ``observed``.

    Args:
        law: any.
        lacking: how many values each row lacks, int [N].
        length: how many it has.

    >>> str(resolved(parse("observed"), [2, 2, 5], 10))
    'observed:2*0.2,1*0.5'
    """
    if isinstance(law, Mixture):
        return Mixture([resolved(each, lacking, length) for each in law.laws], law.weights)
    return Observed.of(lacking, length) if law == Observed() else law


def as_law(value: Law | float) -> Law:
    """Return a law; a number is a fixed ratio."""
    return Fixed(float(value)) if isinstance(value, (int, float)) else value


def _between(start: Any, end: Any, share: float) -> Any:
    """Interpolate two values of one structure: numbers, sequences of them, or laws of one kind."""
    if isinstance(start, (int, float)) and isinstance(end, (int, float)):
        return (1 - share) * start + share * end
    if isinstance(start, tuple) and isinstance(end, tuple) and len(start) == len(end):
        return tuple(_between(a, b, share) for a, b in zip(start, end, strict=True))
    require(
        isinstance(start, Law) and type(start) is type(end),
        f"a schedule moves the numbers of one kind of law: '{start}' and '{end}' differ",
    )
    return type(start)(
        *(
            _between(getattr(start, field.name), getattr(end, field.name), share)
            for field in fields(start)
        )
    )


def parse(text: str | float | Law) -> Law:
    """Read a law; a bare number is a fixed ratio, and a law is returned as it is.

    Raises:
        UserError: an unknown name, or values that are no law, with the valid forms.

    >>> parse("uniform:0.1,0.8")
    Uniform(low=0.1, high=0.8)
    >>> str(parse("scheduled:linear,uniform:0.1,0.3..uniform:0.5,0.9"))
    'scheduled:linear,uniform:0.1,0.3..uniform:0.5,0.9'
    """
    if isinstance(text, Law):
        return text
    name, _, arguments = str(text).strip().partition(":")
    if not arguments and is_number(name):
        name, arguments = "fixed", name
    if name not in FORMS:
        known = ", ".join(form for form, _ in FORMS.values())
        raise UserError(f"unknown law '{text}'; laws are {known}")
    form, read = FORMS[name]
    try:
        return read(arguments)
    except UserError as error:
        raise UserError(f"law '{text}': {error}; the form is {form}") from None
    except (TypeError, ValueError):
        raise UserError(f"law '{text}' cannot be read; the form is {form}") from None


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def is_number(text: str) -> bool:
    """Say whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _weighted(text: str, separator: str) -> tuple[list[str], list[float] | None]:
    """Split ``w*a,w*b`` into items and weights; all weights or none."""
    parts = [part.split("*", 1) for part in text.split(separator)]
    if all(len(part) == 1 for part in parts):
        return [part[0] for part in parts], None
    weights, items = zip(*((float(weight), item) for weight, item in parts), strict=True)
    return list(items), list(weights)


def _choice(text: str) -> Law:
    items, weights = _weighted(text, ",")
    return Choice([float(item) for item in items], weights)


def _observed(text: str) -> Law:
    if not text:
        return Observed()
    items, counts = _weighted(text, ",")
    return Observed([float(item) for item in items], counts)


def _mixture(text: str) -> Law:
    items, weights = _weighted(text, "+")
    laws = [_parse_inner(item, "a mixture", ("mixture:", "scheduled:")) for item in items]
    if weights is not None and min(weights) > 0 and abs(sum(weights) - 1) > 1e-6:
        raise UserError(f"the weights sum to {sum(weights):g}: they must sum to 1")
    return Mixture(laws, weights)


def _parse_inner(text: str, what: str, nested: tuple[str, ...]) -> Law:
    """Read a law within another; refuse a nest before it is read, however deep it is."""
    if text.strip().startswith(nested):
        raise UserError(f"{what} cannot hold '{text:.40}': mix plain laws, schedule the mixture")
    return parse(text)


def _scheduled(text: str) -> Law:
    shape, _, ends = text.partition(",")
    start, end = ends.split("..")
    read = partial(_parse_inner, what="a schedule", nested=("scheduled:",))
    return Scheduled(read(start), read(end), shape)


def _without_arguments(law: Law) -> Callable[[str], Law]:
    def read(text: str) -> Law:
        if text:
            raise ValueError(text)
        return law

    return read


FORMS: dict[str, tuple[str, Callable[[str], Law]]] = {
    "fixed": ("fixed:RATIO", lambda text: Fixed(float(text))),
    "uniform": ("uniform:LOW,HIGH", lambda text: Uniform(*_numbers(text))),
    "beta": ("beta:A,B", lambda text: Beta(*_numbers(text))),
    "cosine": ("cosine", _without_arguments(Cosine())),
    "truncnormal": (
        "truncnormal:MU,SIGMA[,LOW,HIGH]",
        lambda text: TruncatedNormal(*_numbers(text)),
    ),
    "choice": ("choice:R1,R2,... or choice:W1*R1,W2*R2,...", _choice),
    "observed": ("observed[:N1*R1,N2*R2,...]", _observed),
    "likelihood": ("likelihood", _without_arguments(LikelihoodUniform())),
    "mixture": ("mixture:W1*LAW+W2*LAW", _mixture),
    "scheduled": ("scheduled:linear|cosine|step,LAW..LAW", _scheduled),
}
