"""What each position of a sample did to an answer: Shapley values, by the model's conditionals."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np

from maskwise.errors import UserError
from maskwise.predict.asked import Asked
from maskwise.predict.asking import Says, SaysClasses, answers, asked_of
from maskwise.predict.shapley import exact, sampled
from maskwise.ties import descending

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXACT = 12  # positions of which all subsets are asked for, at most
ROWS = 256  # masked samples that are asked for at once
CLIP = 1e-12  # of probabilities whose log-odds are asked for

Of = Literal["probability", "logit"]


@runtime_checkable
class Along(Protocol):
    """Samples that can be asked with more and more visible at once."""

    def along(self, order: np.ndarray, hidden: np.ndarray) -> np.ndarray | None:
        """Return features with the first 1, 2, ... of m positions visible, [m - 1, N, D].

        Args:
            order: which positions, in the order in which they are seen.
            hidden: what else is hidden, bool [N, L].

        None where that is not possible for these samples.
        """


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
    head: Says,
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

    game = _Game(asked, head, blank, players, of)
    base, answer = game(np.array([[True], [False]]).repeat(len(players), axis=1))
    if len(players) <= EXACT:
        found = exact(game, len(players))
        error, drawn = np.zeros_like(found), 0
    else:
        found, error, drawn = sampled(
            game.along, base, answer, len(players), se, max_permutations, seed
        )
    values = np.zeros((num, length, base.shape[1]))
    stderr = values.copy()
    values[:, players], stderr[:, players] = found, error
    values[~asked.there | blank], stderr[~asked.there | blank] = 0, 0  # not just up to rounding
    named = names or getattr(asked, "names", None) or tuple(map(str, range(1, length + 1)))
    known = classes or tuple(map(str, range(base.shape[1])))
    what = of if isinstance(head, SaysClasses) else "number"
    return Attribution(tuple(named), tuple(known), values, stderr, base, answer, what, drawn)


class _Game:
    """Answers to samples of which some positions are visible."""

    def __init__(
        self, asked: Asked, head: Says, blank: np.ndarray, players: np.ndarray, of: Of
    ) -> None:
        self.asked, self.head, self.blank, self.players = asked, head, blank, players
        self.logit = of == "logit" and isinstance(head, SaysClasses)
        self.at_once = max(ROWS // max(len(blank), 1), 1)

    def __call__(self, masks: np.ndarray) -> np.ndarray:
        """Return the answers under masks of the positions that take part, [m, N, C]."""
        parts = np.split(masks, range(self.at_once, len(masks), self.at_once))
        return np.concatenate([self._answers(part) for part in parts])

    def along(self, order: np.ndarray) -> np.ndarray:
        """Return the answers with the first 1, 2, ... but not all of an order visible."""
        if isinstance(self.asked, Along):
            found = self.asked.along(self.players[order], self.blank)
            if found is not None:
                seen = np.arange(1, len(order))[:, None]
                shares = seen / np.maximum(self.asked.whole, 1)
                said = answers(self.head, found.reshape(-1, found.shape[2]), shares.ravel())
                return self._said(said)
        place = np.argsort(order)
        return self(place[None] >= np.arange(1, len(order))[:, None])

    def _answers(self, masks: np.ndarray) -> np.ndarray:
        num, length = self.blank.shape
        hidden = np.ones((len(masks), length), bool)
        hidden[:, self.players] = masks
        rows = np.tile(np.arange(num), len(masks))
        every = np.repeat(hidden, num, axis=0) | np.tile(self.blank, (len(masks), 1))
        return self._said(asked_of(self.head, self.asked, rows, every))

    def _said(self, said: np.ndarray) -> np.ndarray:
        if self.logit:
            said = said.clip(CLIP, 1 - CLIP)
            said = np.log(said / (1 - said))
        return said.reshape(-1, len(self.blank), said.shape[1])
