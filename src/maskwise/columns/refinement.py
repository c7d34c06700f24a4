"""What is added to the closed form where held-out values say that it helps."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from maskwise.columns.closed_form import ClosedForm, weights_of
from maskwise.columns.forest import Forest
from maskwise.columns.kernel import Kernel
from maskwise.columns.left_over import LeftOver
from maskwise.columns.residual_network import ResidualNetwork, train

GAIN = 0.004  # share of the squared error that must be saved
ROWS, VALUES = 8000, 120_000  # that kernel and trees learn from, at most
FEWEST = 20  # known values of a column that is corrected
LARGE, LONG = 300_000, 4000  # values, and rows, of tables from which a network learns
Part = Kernel | Forest | ResidualNetwork
FORMS: dict[str, type[Part]] = {"kernel": Kernel, "forest": Forest, "network": ResidualNetwork}


@dataclass(frozen=True)
class Refinement:
    """Corrections of filled columns, summed up.

    Args:
        parts: what says them.
        strength: what the corrections of each part and column are multiplied by, [P, D].
        spread: root of the share of the squared error that is left of each column, [D].
    """

    parts: dict[str, Part]
    strength: np.ndarray
    spread: np.ndarray

    def correct(self, filled: np.ndarray, holes: np.ndarray) -> np.ndarray:
        """Return what to add to filled columns [N, D] with holes, bool [N, D]; float64 [N, D]."""
        said = [part.predict(filled, holes) for part in self.parts.values()]
        return np.asarray(sum(each * by for each, by in zip(said, self.strength, strict=True)))


def refine(closed: ClosedForm, samples: np.ndarray, *, seed: int = 0) -> Refinement | None:
    """Return what corrects the closed form of samples [N, F]; None if little is gained.

    Smooth functions of what is filled in cost little, and show whether a table is curved at all.
    Where it is, a network joins them in large tables and trees in others.
    """
    rng = np.random.default_rng([seed, 2])  # no stream that masks are likely to be drawn from
    if len(samples) < FEWEST or len(closed.mean) < 2:
        return None
    most = min(ROWS, max(VALUES // len(closed.mean), FEWEST))
    over = LeftOver.of(closed, samples[rng.permutation(len(samples))[:most]], rng)
    weights = weights_of(closed.sizes, closed.std)
    kernel, smooth = Kernel.fit(over, rng)
    found = _weighed({"kernel": kernel}, [smooth], over.left, weights)
    if found is None:
        return None
    if len(samples) >= LONG and samples.size >= LARGE:
        network, said, left = train(closed, samples, rng)
        return _weighed({"network": network}, [said], left, weights) or found
    forest, jumps = Forest.fit(over, smooth * found.strength[0], rng)
    both: dict[str, Part] = {"kernel": kernel, "forest": forest}
    return _weighed(both, [smooth, jumps], over.left, weights) if len(forest.value) else found


def _weighed(
    parts: dict[str, Part],
    said: list[np.ndarray],
    left: np.ndarray,
    weights: np.ndarray,
) -> Refinement | None:
    """Return parts with strengths that suit what they say of what is left, [N, D] each.

    None if that saves little of the squared error, in which columns have weights [D].
    """
    strength = np.zeros((len(parts), left.shape[1]))
    before = np.nansum(np.square(left), axis=0)
    after = before.copy()
    for column in range(left.shape[1]):
        rows = np.flatnonzero(~np.isnan(left[:, column]))
        if len(rows) >= FEWEST:
            told = np.column_stack([each[rows, column] for each in said])
            strength[:, column], norm = nnls(told, left[rows, column])
            after[column] = norm**2
    if not weights @ after < (1 - GAIN) * (weights @ before):
        return None
    spread = np.sqrt(np.divide(after, before, out=np.ones_like(before), where=before > 0))
    return Refinement(parts, strength, spread)
