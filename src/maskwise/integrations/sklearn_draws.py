"""Inside the imputer: several completed tables, which differ as much as is not known."""

from collections.abc import Iterator

import numpy as np

from maskwise.integrations import sklearn_closed as closed
from maskwise.integrations import sklearn_network as network
from maskwise.integrations.sklearn_network import Given, State


def drawn(
    state: State, given: Given, m: int, seed: int, of_network: bool, *, round: bool, clip: bool
) -> Iterator[list[np.ndarray]]:
    """Give m times all columns of a table without gaps, as `complete` does.

    Source: Rubin, Multiple imputation for nonresponse in surveys (1987), section 4.4; Honaker and
    King, What to do about missing values in time-series cross-section data (American Journal of
    Political Science 54, 2010), for EM on a bootstrap sample in the place of a draw of parameters.
    """
    for number in range(m):
        rng = np.random.default_rng([seed, number])
        own = int(rng.integers(2**31))
        if of_network:
            yield network.complete(state, given, own, round=round, clip=clip)
        else:
            again = closed.resampled(state, rng)
            yield closed.complete(again, given, own, round=round, clip=clip)
