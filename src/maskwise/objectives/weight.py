"""Weights of a term in the loss, which may move with training."""

import functools
import re
from dataclasses import dataclass

from maskwise.errors import UserError
from maskwise.laws.combined import SHAPES

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_FORM = re.compile(rf"({'|'.join(SHAPES)}):({_NUMBER})\.\.({_NUMBER})(?:@({_NUMBER}))?", re.I)


@dataclass(frozen=True)
class Weight:
    """A weight that moves from `start` to `end` over the first share `until` of training.

        w(t) = (1 - s) start + s end,  s = shape(min(t / until, 1))

    >>> Weight.parse("linear:0..0.01@0.5").at(0.25)
    0.005
    """

    start: float
    end: float
    shape: str = "linear"
    until: float = 1.0

    @classmethod
    @functools.cache
    def parse(cls, text: str) -> "Weight":
        """Read a number, or SHAPE:FROM..TO or SHAPE:FROM..TO@SHARE.

        Raises:
            UserError: another form, a weight below 0, or a share outside (0, 1].
        """
        found = _FORM.fullmatch(text.strip())
        try:
            if found is None:
                weight = cls(float(text), float(text))
            else:
                shape, start, end, until = found.groups()
                weight = cls(float(start), float(end), shape.lower(), float(until or 1))
        except ValueError:
            raise UserError(
                f"weight '{text}' cannot be read: give a number, or {'|'.join(SHAPES)}:FROM..TO,"
                " with @SHARE if it arrives before the end of training"
            ) from None
        if not (0 <= weight.start < float("inf") and 0 <= weight.end < float("inf")):
            raise UserError(f"weight '{text}' must be 0 or more, and finite")
        if not 0 < weight.until <= 1:
            raise UserError(f"weight '{text}' arrives at {weight.until:g}: give a share in (0, 1]")
        return weight

    def at(self, progress: float) -> float:
        """Return the weight at a share of training in [0, 1]."""
        share = SHAPES[self.shape](min(progress / self.until, 1.0))
        return (1 - share) * self.start + share * self.end

    @property
    def is_zero(self) -> bool:
        """Whether it is 0 all the time."""
        return self.start == self.end == 0
