"""The checks of an encoder of one's own, as a user calls them."""

from typing import Any, NamedTuple

import torch

from maskwise.modality import EncoderFactory
from maskwise.settings import flatten
from maskwise.testing.case import case_of
from maskwise.testing.checks import CHECKS


class EncoderReport(NamedTuple):
    """What was found of an encoder that passed."""

    title: str
    """what was checked"""
    passed: tuple[str, ...]
    """what it does"""
    notes: tuple[str, ...]
    """what is allowed, but to be known"""

    def __str__(self) -> str:
        """Return a few lines."""
        lines = [self.title, *(f"  ok: {each}" for each in self.passed)]
        return "\n".join([*lines, *(f"  note: {each}" for each in self.notes)])


def check_encoder(
    factory: EncoderFactory, data: Any = None, *, kind: str | None = None, **settings: Any
) -> EncoderReport:
    """Check an encoder of one's own, as it is given to `pretrain`, in a few seconds on a CPU.

    Its predictions must not depend on what is hidden, on other samples or on earlier calls; its
    weights must follow from the seed, all be trained, and be saved and read; a run that was
    stopped must go on as one that was not; and several devices must find the gradient of one.

    Args:
        factory: makes the module, as ``encoder=`` of `pretrain`.
        data: samples, as for `pretrain`; at least 8 to train on. Default: some that are made up.
        kind: of the data, a modality; default: what the data are, of none given images.
        **settings: as for `pretrain`, nested or dotted. For images, ``mode="replace"`` without a
            class token is tried where the encoder asks for it and nothing else is said.

    Returns:
        What it passed, which prints well.

    Raises:
        AssertionError: what the encoder does wrong, and what to do about it, in one line.
        UserError: settings, data or a module that do not fit each other.

    Example:
        >>> from torch import nn
        >>> report = check_encoder(lambda: nn.Linear(16, 16), model={"width": 16})
        >>> len(report.passed)
        8
    """
    case, notes = case_of(factory, data, kind, flatten(settings))
    for check in CHECKS.values():
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            notes += check(case)
    own = case.own(case.model())
    num = sum(each.numel() for each in own.values())
    title = f"{type(case.module).__name__} in {case.kind.title}, {num:,} weights: all is well"
    return EncoderReport(title, tuple(CHECKS), tuple(notes))
