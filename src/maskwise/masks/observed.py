"""Patterns made of real gaps: what some rows of the data lack is hidden in others."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from maskwise import laws
from maskwise.errors import UserError, option
from maskwise.laws import Law
from maskwise.masks.mask import hide_lowest
from maskwise.masks.patterns import Pattern, Request
from maskwise.rng import Stream

ROWS, VALUES = 4096, 2**21  # most rows that are kept, and values of them together
PART = 512  # of which a sample looks at so many: it takes less than a step of a small network


@dataclass(frozen=True)
class Copied(Pattern):
    """What is missing in one row of the data is hidden in another.

    A row of the data is drawn, alike among those of 512 that lack exactly as many of the eligible
    positions as are to be hidden: the mask is its copy. Where there is none, it is a random part
    of what one lacks that lacks more, the fewest more; and where none lacks so many, all that a
    random row lacks, and others at random. So for a given number masks are distributed as real
    gaps are, and under the law `observed` their numbers are too. Masks of different ratios are not
    nested. Inclusion probability: the share of such rows that lack the position.

    Source: Gorla et al., CACTI: leveraging copy masking and contextual information to improve
    tabular data imputation (ICML 2025), for the idea.
    """

    needs_observed: ClassVar[bool] = True

    def hide(self, ask: Request) -> Tensor:
        assert ask.observed is not None
        gaps = ask.observed
        u = ask.keys.open_uniform(Stream.DONOR, 2)
        parts = gaps.tensor_split(-(-len(gaps) // PART))
        part_of = (u[:, 0] * len(parts)).long()
        first = torch.zeros_like(ask.eligible)
        for number, part in enumerate(parts):
            rows = (part_of == number).nonzero()[:, 0]
            donors = _donors(part, ask.eligible[rows], ask.counts[rows], u[rows, 1])
            first[rows] = part[donors]
        scores = ask.keys.bits(Stream.SCORE, gaps.shape[1])
        return hide_lowest(scores + (~first).long() * 2**32, ask.counts, ask.eligible)


def _donors(gaps: Tensor, eligible: Tensor, counts: Tensor, u: Tensor) -> Tensor:
    """Return which row of gaps [M, L] each sample copies, int64 [B], for uniforms [B]."""
    # How much of what may be hidden each row lacks, less what is asked: small whole numbers.
    more = eligible.float() @ gaps.float().T - counts[:, None]
    able = more == 0
    others = (~able.any(dim=1)).nonzero()[:, 0]
    if len(others):
        able[others] = _nearest(more[others], counts[others])
    num = able.sum(dim=1)
    return able.nonzero()[:, 1][num.cumsum(dim=0) - num + (u * num).long()]


def _nearest(more: Tensor, counts: Tensor) -> Tensor:
    """Return which rows come next, bool [B, M]: those that lack the fewest more, or else any."""
    over = more.masked_fill(more < 0, torch.inf)
    least = over.amin(dim=1, keepdim=True)
    able = torch.where(least < torch.inf, over == least, more > -counts[:, None])
    return able | ~able.any(dim=1, keepdim=True)  # nothing in common: any, of which none is copied


@dataclass(frozen=True)
class Proportional(Pattern):
    """Positions that rows of the data lack more often are hidden more often; masks are nested.

    Positions are drawn one after the other, without replacement, each with a probability in
    proportion to how many rows lack it, and half a row more, so that none is left out for ever.
    That is the inclusion probability where one is hidden; where more are, it is less uneven.

    Source: Efraimidis and Spirakis, Weighted random sampling with a reservoir (Information
    Processing Letters 97, 2006).
    """

    needs_observed: ClassVar[bool] = True

    def hide(self, ask: Request) -> Tensor:
        assert ask.observed is not None
        weights = ask.observed.sum(dim=0) + 0.5
        waits = -ask.keys.open_uniform(Stream.SCORE, len(weights)).log() / weights
        return hide_lowest(waits, ask.counts, ask.eligible)


def bank(parts: Iterable[Tensor]) -> Tensor | None:
    """Return the rows with gaps among those that `parts` give, bool [n, L] each: bool [M, L].

    Rows that lack everything tell nothing. The first 4,096 are kept, or fewer of wide rows: give
    them in a random order. None: no row has a gap.

    >>> bank([torch.tensor([[False, False], [True, False], [True, True]])])
    tensor([[ True, False]])
    """
    kept: list[Tensor] = []
    num = 0
    for gaps in parts:
        most = min(ROWS, max(VALUES // gaps.shape[1], 1))
        kept.append(gaps[gaps.any(dim=1) & ~gaps.all(dim=1)][: most - num])
        num += len(kept[-1])
        if num == most:
            break
    return torch.cat(kept) if num else None


def with_gaps(
    law: Law, pattern: Pattern, find: Callable[[], Tensor | None] | None, name: str
) -> tuple[Law, Tensor | None]:
    """Return a law that knows how much rows of the data lack, and what; None: nobody asks.

    Args:
        law: of the ratio.
        pattern: of the masks.
        find: returns what rows lack, as `bank` does; None: there are no such data.
        name: of the data.

    Raises:
        UserError: law or pattern ask for gaps, and there are none; its settings do without.
    """
    asked, mended = [], {}
    if pattern.needs_observed:
        asked, mended = [f"pattern {type(pattern).__name__.lower()}"], {"pattern": "scattered"}
    if not laws.is_resolved(law):
        asked.append(f"law {law}")
        mended["law"] = "uniform:0.1,0.9"
    if not asked:
        return law, None
    observed = None if find is None else find()
    if observed is None:
        ways = " and ".join(option(*each) for each in mended.items())
        raise UserError(
            f"{name}: no row lacks a value, so that {' and '.join(asked)} have no gaps to copy:"
            f" give {ways}",
            mended,
        )
    return laws.resolved(law, observed.sum(dim=1).numpy(), observed.shape[1]), observed
