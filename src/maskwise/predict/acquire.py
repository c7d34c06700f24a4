"""What to measure next: what each position that is not there would tell, for what it costs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import rel_entr

from maskwise.errors import UserError, option
from maskwise.predict.asked import Asked, visible_shares
from maskwise.predict.asking import About, Asking, Says, SaysClasses, answers, asked_of
from maskwise.predict.choosing import Costs, costs_of, greedy, require_choice
from maskwise.predict.heads import NumberHead
from maskwise.ties import descending

SHOWN = 10  # positions of a sample that are printed
MOST = 0.999  # share of a number's variance that one position explains at most


@dataclass(frozen=True, eq=False)
class Acquisition:
    """What each position that is not there would tell, and which to ask for.

    Args:
        names: of positions, L of them.
        about: what they tell of.
        gain: what is expected, nats [N, L]; NaN where nothing can be asked for.
        stderr: its standard error, from draws, [N, L]; 0 = it is exact.
        cost: of each position, [N, L] or [L].
        chosen: positions to ask for together, the first first, for each sample.
        joint: what those tell together, nats [N].
        joint_stderr: its standard error, [N].
    """

    names: tuple[str, ...]
    about: About
    gain: np.ndarray
    stderr: np.ndarray
    cost: np.ndarray
    chosen: tuple[np.ndarray, ...]
    joint: np.ndarray
    joint_stderr: np.ndarray

    @property
    def per_cost(self) -> np.ndarray:
        """Nats for a unit of cost, [N, L]."""
        return np.asarray(self.gain / self.cost)

    @property
    def best(self) -> list[str | None]:
        """What to ask for next, of each sample by name; None where there is nothing."""
        return [self.names[each[0]] if len(each) else None for each in self.chosen]

    def ranked(self, row: int = 0) -> list[str]:
        """Return the names of what a sample could be asked for, most nats for the cost first."""
        known = ~np.isnan(self.gain[row])
        return [self.names[each] for each in descending(self.per_cost[row])[: known.sum()]]

    def __str__(self) -> str:
        return "\n\n".join(self._table(row) for row in range(min(len(self.gain), 3)))

    def _table(self, row: int) -> str:
        """Return what is known of one sample as a table."""
        at = [self.names.index(name) for name in self.ranked(row)]
        of = f"sample {row + 1}: " if len(self.gain) > 1 else ""
        if not at:
            return f"{of}nothing is hidden"
        width = max(len("ask for"), *(len(self.names[each]) for each in at[:SHOWN]))
        lines = [f"{of}nats of {self.about}"]
        lines.append(f"{'ask for':<{width}} {'nats':>8} {'±':>7} {'cost':>7} {'nats/cost':>9}")
        for each in at[:SHOWN]:
            gain, error = f"{self.gain[row, each]:.3g}", f"{self.stderr[row, each]:.2g}"
            cost = f"{self.cost[each]:.3g}"
            sign = " *" if each in self.chosen[row] else ""
            ratio = f"{self.per_cost[row, each]:.3g}"
            lines.append(
                f"{self.names[each]:<{width}} {gain:>8} {error:>7} {cost:>7} {ratio:>9}{sign}"
            )
        if len(at) > SHOWN:
            lines.append(f"... and {len(at) - SHOWN} more")
        if len(self.chosen[row]) > 1:
            names = ", ".join(self.names[each] for each in self.chosen[row])
            total = f"{self.joint[row]:.3g} ± {self.joint_stderr[row]:.2g}"
            lines.append(f"* together {total} nats: {names}")
        return "\n".join(lines)


def acquire(
    asking: Asking,
    head: Says | None = None,
    *,
    about: About = "label",
    hidden: np.ndarray | None = None,
    cost: Costs = None,
    batch: int | None = None,
    budget: float | None = None,
    draws: int = 32,
    seed: int = 0,
) -> Acquisition:
    """Say what each position that is not there is expected to tell, and which to ask for.

    Of the label y, for classes and for a number of variance v,

        I(y ; x_j | x_V) = H(E p(y | x_V, x_j)) - E H(p(y | x_V, x_j)),
        or -log(1 - Var E[y | x_V, x_j] / v) / 2,

    over what the model expects of x_j. The first term is H(p(y | x_V)) where a head is consistent;
    where it is not quite, this is still an information and never below 0. Of everything it is
    I(x_j ; all else that is not there | x_V). One position is chosen, or the best set: greedily,
    each for what it adds to those before, for its cost.

    Args:
        asking: samples, N of them.
        head: what says their labels.
        about: whether gains are of the label or of all that is not there.
        hidden: what is hidden beside what is missing, bool [N, L] or [L].
        cost: of positions, above 0.
        batch: how many positions are asked for together; default: 1, or what a budget allows.
        budget: what they may cost together.
        draws: of what hidden positions may be, where no closed form says it.
        seed: of these.

    Raises:
        UserError: a cost that is not above 0, a budget that buys nothing, nothing that is hidden,
            or no head to say a label.

    >>> from maskwise.columns.asking import ClosedAsking
    >>> from maskwise.columns.closed_form import ClosedForm
    >>> a, b = np.random.default_rng(0).normal(size=(2, 500))
    >>> closed = ClosedForm.learn(np.stack([a, a + 0.1 * b, b], axis=1), (0, 0, 0))
    >>> asking = ClosedAsking(closed, np.full((1, 3), np.nan), ["a", "copy of a", "b"])
    >>> acquire(asking, about="everything").best
    ['copy of a']
    """
    if about == "label" and head is None:
        raise UserError(
            "what would tell of the label needs a head that says it: give one, or"
            f" {option('about', 'everything')}"
        )
    if batch is not None and batch < 1:
        raise UserError(f"batch {batch}: ask for at least 1 position together")
    num, length = asking.there.shape
    extra = (
        np.zeros((num, length), bool) if hidden is None else np.broadcast_to(hidden, (num, length))
    )
    blank, costs = asking.missing | (extra & asking.there), costs_of(cost, asking.names)
    require_choice(blank, costs, asking.names, budget)
    limit = batch or (1 if budget is None else length)
    gain, error = np.full((2, num, length), np.nan)
    chosen, joint = [], np.zeros((2, num))
    for row in range(num):
        if not (blank[row] & np.isfinite(costs)).any():
            chosen.append(np.zeros(0, np.int64))
            continue
        at = np.flatnonzero(blank[row] & np.isfinite(costs))
        one = _Sample(asking, head if about == "label" else None, row, extra[row], draws, seed)
        gain[row, at], error[row, at] = one.gains(at)
        first = dict(zip(at.tolist(), gain[row, at].tolist(), strict=True))
        order = greedy(one.adds, first, costs, limit, np.inf if budget is None else budget)
        chosen.append(np.array(order, dtype=np.int64))
        if len(order) == 1:
            joint[:, row] = gain[row, order[0]], error[row, order[0]]
        elif order:
            joint[:, row] = one.together(order)
    return Acquisition(tuple(asking.names), about, gain, error, costs, tuple(chosen), *joint)


class _Sample:
    """One sample, of which some is hidden: what its positions tell, alone and together."""

    def __init__(
        self,
        asking: Asking,
        head: Says | None,
        row: int,
        hidden: np.ndarray,
        draws: int,
        seed: int,
    ) -> None:
        self.asking, self.head, self.row, self.hidden = asking, head, row, hidden
        self.draws, self.seed = draws, seed
        self.blank = asking.missing[row] | hidden
        self.known: dict[frozenset[int], tuple[float, float]] = {frozenset(): (0.0, 0.0)}
        self.copies: Asked | None = None
        if head is not None:
            self.share = float(visible_shares(asking, np.array([row]), hidden[None])[0])

    def gains(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what each position tells by itself, and the standard errors."""
        if self.head is None:
            return self._told(positions, ())
        how = self.row, self.hidden, positions, self.draws, self.seed
        found = self.asking.possible(*how)
        share = self.share + 1 / max(self.asking.whole[self.row], 1)
        flat = found.features.reshape(-1, found.features.shape[2])
        said = answers(self.head, flat, np.full(len(flat), share))
        said = said.reshape(*found.weights.shape, -1)
        return self._of_answers(said, found.weights, found.exact)

    def adds(self, taken: Sequence[int], position: int) -> float:
        """Return what a position adds to what some tell together, nats."""
        if self.head is None:
            return float(self._told(np.array([position]), tuple(taken))[0][0])
        return self.together([*taken, position])[0] - self.together(taken)[0]

    def together(self, positions: Sequence[int]) -> tuple[float, float]:
        """Return what positions tell together, nats, and its standard error."""
        key = frozenset(positions)
        if key in self.known:
            return self.known[key]
        if self.head is None:
            each = [
                self._told(np.array([position]), tuple(positions[:place]))
                for place, position in enumerate(positions)
            ]
            gain, error = np.array(each)[:, :, 0].sum(axis=0)  # the error is that at most:
            return float(gain), float(error)  # all are of the same draws
        if self.copies is None:  # the same for all sets, so that these can be compared
            self.copies = self.asking.drawn(self.row, self.hidden, self.draws, self.seed)
        blank = self.blank.copy()
        blank[list(positions)] = False
        rows = np.arange(self.draws)
        said = asked_of(self.head, self.copies, rows, np.tile(blank, (self.draws, 1)))
        weights = np.full((1, self.draws), 1 / self.draws)
        gain, error = self._of_answers(said[None], weights, False)
        self.known[key] = float(gain[0]), float(error[0])
        return self.known[key]

    def _told(
        self, positions: np.ndarray, taken: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        return self.asking.told(self.row, self.hidden, positions, taken, self.draws, self.seed)

    def _of_answers(
        self, said: np.ndarray, weights: np.ndarray, exact: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what is learned, nats, and its standard error, [J] each.

        Args:
            said: the answer once the k-th values are known, [J, K, C].
            weights: how probable these are, [J, K].
            exact: whether they are all there are, or the nodes of a rule.
        """
        num = said.shape[1]
        if not isinstance(self.head, SaysClasses):
            mean = (weights * said[..., 0]).sum(axis=1)
            off = said[..., 0] - mean[:, None]
            explained = (weights * np.square(off)).sum(axis=1)
            total = variance_of(self.head, self.share)
            part = np.minimum(explained / total, MOST)
            error: np.ndarray = part * np.sqrt(2 / max(num - 1, 1)) / (2 * (1 - part))
            return -np.log1p(-part) / 2, error * (not exact)
        mean = (weights[..., None] * said).sum(axis=1, keepdims=True)
        told = rel_entr(said, mean).sum(axis=2)
        error = told.std(axis=1, ddof=min(1, num - 1)) / np.sqrt(num)
        return (weights * told).sum(axis=1), error * (not exact)


def variance_of(head: object, share: float) -> float:
    """Return how far off a head of numbers is at a visible share, mean and squared."""
    if not isinstance(head, NumberHead):
        return float(getattr(head, "variance", 1.0))
    found = head.calibration
    part = int(np.searchsorted(found.edges, share, side="right"))
    scores = found.scores[found.starts[part] : found.starts[part + 1]]
    return float(np.square(scores if len(scores) else found.scores).mean())
