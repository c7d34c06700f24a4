"""What samples lack: the gaps that patterns copy."""

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from maskwise import laws, masks
from maskwise.columns.tabular import TabularRows, TabularSplits, measured
from maskwise.errors import UserError
from maskwise.inspection import Problem
from maskwise.measure.features import in_batches
from maskwise.train.config import RunSettings

LOOKED = 100_000  # samples that are looked at for gaps, at most, chosen at random


def observed(splits: TabularSplits) -> Tensor | None:
    """Return what samples to train on lack, bool [M, F]; None: nothing."""
    return gaps_of(splits.train, len(splits.tokenizer.sizes))


def gaps_of(rows: TabularRows, num: int) -> Tensor | None:
    """Return which of `num` features some of the samples lack, bool [M, num]; None: none do."""
    order = np.random.default_rng(0).permutation(len(rows))[:LOOKED]

    def parts() -> Iterator[Tensor]:
        for part in in_batches(order):
            yield ~measured(rows.get(part), num)

    return masks.bank(parts())


def problems_of_gaps(config: RunSettings, splits: TabularSplits) -> list[Problem]:
    """Return what stands in the way of a law or a pattern that asks for gaps."""
    given = laws.parse(config.law), masks.parse_pattern(config.pattern)
    try:
        masks.with_gaps(*given, lambda: observed(splits), splits.name)
    except UserError as error:
        return [Problem.of(error)]
    return []
