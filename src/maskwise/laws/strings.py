"""Laws as strings, for command lines and configurations: `parse`, the inverse of `str`."""

from collections.abc import Callable

from maskwise.errors import UserError
from maskwise.laws.base import Law
from maskwise.laws.combined import Mixture, Scheduled
from maskwise.laws.plain import (
    Beta,
    Choice,
    Cosine,
    Fixed,
    LikelihoodUniform,
    TruncatedNormal,
    Uniform,
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


def _mixture(text: str) -> Law:
    items, weights = _weighted(text, "+")
    return Mixture([parse(item) for item in items], weights)


def _scheduled(text: str) -> Law:
    shape, _, ends = text.partition(",")
    start, end = ends.split("..")
    return Scheduled(parse(start), parse(end), shape)


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
    "likelihood": ("likelihood", _without_arguments(LikelihoodUniform())),
    "mixture": ("mixture:W1*LAW+W2*LAW", _mixture),
    "scheduled": ("scheduled:linear|cosine|step,LAW..LAW", _scheduled),
}
