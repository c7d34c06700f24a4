"""What each position of a sample did to an answer: Shapley values, by the model's conditionals."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING, Literal

import numpy as np

from maskwise.errors import UserError
from maskwise.predict.asked import Asked
from maskwise.predict.asking import asked_of
from maskwise.predict.heads import ClassHead, Head
from maskwise.ties import descending

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXACT = 12  # positions of which all subsets are asked for, at most
ROWS = 256  # masked samples that are asked for at once
FEWEST = 8  # pairs of orders before their standard errors are believed
CLIP = 1e-12  # of probabilities whose log-odds are asked for
log = logging.getLogger("maskwise")

Of = Literal["probability", "logit"]
Value = Callable[[np.ndarray], np.ndarray]
"""hidden positions of some masks, bool [m, L] -> the answers to all samples, [m, N, C]"""


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each position of samples did to the answer to them.

    With v(S) the answer where the positions S alone are visible,

        sum over j of values_j = v(all) - v(none).

    Args:
        names: of positions, L of them.
        classes: of what is answered, C of them; a number has one.
        values: Shapley values, [N, L, C]; 0 of what is missing.
        stderr: their standard errors, from the orders drawn, [N, L, C]; 0 = they are exact.
        base: v(none), [N, C].
        answer: v(all), [N, C].
        of: whether these are probabilities, their log-odds, or a number that is expected.
        permutations: how many orders were drawn; 0 = they are exact.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    values: np.ndarray
    stderr: np.ndarray
    base: np.ndarray
    answer: np.ndarray
    of: str
    permutations: int

    def ranked(self, row: int = 0, of: int | None = None) -> list[str]:
        """Return the names of a sample's positions, those that moved the answer most first.

        Args:
            row: which sample.
            of: which class; default: the one that is answered.
        """
        return [self.names[each] for each in self._order(row, self._of(row, of))]

    def __str__(self) -> str:
        return "\n\n".join(self._table(row) for row in range(min(len(self.values), 3)))

    def figure(self, row: int = 0, of: int | None = None, most: int = 12) -> "Figure":
        """Draw the positions that moved the answer to a sample most, as bars.

        Args:
            row: which sample.
            of: which class; default: the one that is answered.
            most: bars.
        """
        from matplotlib.figure import Figure

        which = self._of(row, of)
        order = self._order(row, which)[:most]
        values, errors = self.values[row, order, which], self.stderr[row, order, which]
        figure = Figure(figsize=(6.0, 1.0 + 0.28 * len(order)), layout="constrained")
        axes = figure.subplots()
        colors = ["#0072b2" if value >= 0 else "#d55e00" for value in values]
        bars = {"xerr": errors} if errors.any() else {}
        axes.barh(range(len(order)), values, color=colors, **bars)
        axes.set_yticks(
            range(len(order)), [self.names[each].replace("$", r"\$") for each in order]
        )
        axes.invert_yaxis()
        axes.axvline(0, color="#1d1f24", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel(self._title(row, which).replace("$", r"\$"))
        return figure

    def _of(self, row: int, of: int | None) -> int:
        if of is not None and not 0 <= of < len(self.classes):
            raise UserError(f"of={of}: there are classes 0 to {len(self.classes) - 1}")
        return int(self.answer[row].argmax()) if of is None else of

    def _order(self, row: int, of: int) -> np.ndarray:
        return descending(np.abs(self.values[row, :, of]))

    def _title(self, row: int, of: int) -> str:
        what = f"{self.of} of {self.classes[of]}" if self.of != "number" else self.classes[of]
        start, end = self.base[row, of], self.answer[row, of]
        return f"{what}: {start:.3g} with nothing visible, {end:.3g} with what is there"

    def _table(self, row: int) -> str:
        of = self._of(row, None)
        order = self._order(row, of)[:10]
        width = max(len(self.names[each]) for each in order)
        title = f"sample {row + 1}: " if len(self.values) > 1 else ""
        lines = [title + self._title(row, of)]
        for each in order:
            error = f" ± {self.stderr[row, each, of]:.2g}" if self.permutations else ""
            lines.append(f"{self.names[each]:<{width}} {self.values[row, each, of]:+9.3g}{error}")
        if len(self.names) > len(order):
            lines.append(f"... and {len(self.names) - len(order)} more")
        return "\n".join(lines)


def attribute(
    asked: Asked,
    head: Head,
    *,
    hidden: np.ndarray | None = None,
    of: Of = "probability",
    names: tuple[str, ...] | None = None,
    classes: tuple[str, ...] | None = None,
    se: float = 0.02,
    max_permutations: int = 2000,
    seed: int = 0,
) -> Attribution:
    """Return the Shapley value of each position for the answer to samples.

        phi_j = sum over S without j of |S|! (d - |S| - 1)! / d! (v(S + j) - v(S)),

    where v(S) is what the head says with the positions S alone visible: everything else is hidden,
    as in training, and replaced by nothing. Of up to 12 positions all subsets are asked for; of
    more, orders of the positions are drawn in pairs of opposites, the same for all samples, until
    the largest standard error is at most `se` times the mean of |v(all) - v(none)| over samples,
    of the class where that is largest.

    Args:
        asked: samples, N of them.
        head: what answers.
        hidden: what is hidden beside what is missing, bool [N, L]; positions of no sample that is
            there take no part.
        of: classes are answered by a probability, or by its log-odds.
        names: of positions; default: those of `asked`, or their numbers.
        classes: what these are called; default: their numbers.
        se: the standard error that ends the drawing.
        max_permutations: orders at most, whatever the error; if they end it, that is said.
        seed: of the orders.

    Raises:
        UserError: nothing is visible, or a number that makes no sense.
    """
    if se <= 0 or max_permutations < 2:
        raise UserError(
            f"se={se:g}, max_permutations={max_permutations}: give an error above 0, and 2 or more"
        )
    num, length = asked.there.shape
    blank = np.zeros((num, length), bool) if hidden is None else hidden
    players = np.flatnonzero((asked.there & ~blank).any(axis=0))
    if not len(players):
        raise UserError("nothing is visible, so there is nothing that an answer could be due to")

    def value(masks: np.ndarray) -> np.ndarray:
        every = np.ones((len(masks), length), bool)
        every[:, players] = masks
        rows = np.tile(np.arange(num), len(masks))
        said = asked_of(
            head, asked, rows, np.repeat(every, num, axis=0) | np.tile(blank, (len(masks), 1))
        )
        if of == "logit" and isinstance(head, ClassHead):
            said = said.clip(CLIP, 1 - CLIP)
            said = np.log(said / (1 - said))
        return said.reshape(len(masks), num, -1)

    at_once = max(ROWS // max(num, 1), 1)
    base, answer = value(np.array([[True], [False]]).repeat(len(players), axis=1))
    if len(players) <= EXACT:
        found = exact(value, len(players), at_once)
        error, drawn = np.zeros_like(found), 0
    else:
        found, error, drawn = sampled(
            *(value, len(players), base, answer, at_once), se, max_permutations, seed
        )
    values = np.zeros((num, length, base.shape[1]))
    stderr = values.copy()
    values[:, players], stderr[:, players] = found, error
    named = names or getattr(asked, "names", None) or tuple(map(str, range(1, length + 1)))
    known = classes or tuple(map(str, range(base.shape[1])))
    what = of if isinstance(head, ClassHead) else "number"
    return Attribution(tuple(named), tuple(known), values, stderr, base, answer, what, drawn)


def exact(value: Value, num: int, at_once: int = 64) -> np.ndarray:
    """Return Shapley values from the answers to all 2^num subsets, [N, num, C].

    >>> exact(lambda hidden: (~hidden).prod(axis=1)[:, None, None] * 6.0, 2).ravel().tolist()
    [3.0, 3.0]
    """
    subsets = np.arange(2**num)[:, None] >> np.arange(num) & 1 == 1  # [2^num, num], what is seen
    parts = np.split(~subsets, range(at_once, len(subsets), at_once))
    said = np.concatenate([value(part) for part in parts])
    size = subsets.sum(axis=1)
    # Of v(S): 1 / (|S| C(num, |S|)) for those in S, and as much less for those that are not.
    inside = np.array([0.0, *(1 / (n * comb(num, n)) for n in range(1, num + 1))])
    outside = np.array([*(1 / ((num - n) * comb(num, n)) for n in range(num)), 0.0])
    weights = np.where(subsets, inside[size][:, None], -outside[size][:, None])
    return np.einsum("sj,snc->njc", weights, said)


def sampled(
    value: Value,
    num: int,
    base: np.ndarray,
    answer: np.ndarray,
    at_once: int,
    se: float,
    most: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return unbiased estimates of Shapley values [N, num, C], their errors, and how many orders.

    Each order gives what every position adds to those before it. A number of visible positions
    that is uniform, and then positions at random: masks of the law `likelihood`.

    Source: Castro, Gómez and Tejada, Polynomial calculation of the Shapley value (2009); Mitchell
    et al., Sampling permutations for Shapley value estimation (JMLR 2022), on opposites.
    """
    rng = np.random.default_rng([seed, 5])
    limit = se * np.abs(answer - base).mean(axis=0).max()
    mean, square, pairs = np.zeros(()), np.zeros(()), 0
    error = np.full((*base.shape[:1], num, base.shape[1]), np.inf)
    while pairs < FEWEST or error.max() > limit:
        if 2 * (pairs + 1) > most:
            reached = error.max() / max(limit, 1e-300) * se
            log.warning(
                "Shapley values of %d orders have a standard error of up to %.2g of the answer,"
                " and %.2g was asked for: raise max_permutations",
                *(2 * pairs, reached, se),
            )
            break
        order = rng.permutation(num)
        found = (_added(value, each, base, answer, at_once) for each in (order, order[::-1]))
        one = sum(found) / 2
        pairs += 1
        step = one - mean
        mean = mean + step / pairs
        square = square + step * (one - mean)
        if pairs > 1:
            error = np.sqrt(square / (pairs * (pairs - 1)))
    return mean, error, 2 * pairs


def _added(
    value: Value, order: np.ndarray, base: np.ndarray, answer: np.ndarray, at_once: int
) -> np.ndarray:
    """Return what each position adds to those before it in an order, [N, num, C]."""
    place = np.argsort(order)
    masks = place[None] >= np.arange(1, len(order))[:, None]  # the first 1, 2, ... are seen
    parts = np.split(masks, range(at_once, len(masks), at_once))
    said = np.concatenate([base[None], *(value(part) for part in parts), answer[None]])
    return np.diff(said, axis=0)[place].transpose(1, 0, 2)
