"""Completed tables beside what was observed: figures by column, and a picture."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from maskwise.errors import UserError
from maskwise.files import Entries
from maskwise.tables.frames import columns_of, is_missing
from maskwise.tables.missingness import missingness

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SHOWN = 12  # columns of the picture, those with most gaps


@dataclass(frozen=True, eq=False)
class ColumnDraws:
    """What was drawn for the gaps of a column, beside what was observed.

    Args:
        name: of the column.
        num_missing: gaps, of each table.
        observed: of numbers mean, sd and quantiles; of categories the share of each.
        drawn: the same of what was drawn, over all tables.
        distance: of numbers the Kolmogorov-Smirnov distance of the two, of categories the total
            variation: 0 = alike, 1 = apart.
        outside: share of what was drawn that is beyond all that was observed.
        between: sd over the tables of the mean of a whole column; of categories of the share of
            the commonest.
        auroc: how well gaps are told from the other columns, see `maskwise.missingness`.
        told: whether that is more than chance.
    """

    name: str
    num_missing: int
    observed: Entries
    drawn: Entries
    distance: float
    outside: float
    between: float
    auroc: float | None
    told: bool


@dataclass(frozen=True, eq=False)
class DrawCheck:
    """What was drawn beside what was observed, by column; see `check_draws`."""

    columns: Sequence[ColumnDraws]
    values: dict[str, tuple[np.ndarray, list[np.ndarray]]]
    """of each column what was observed, and what each table has in its gaps"""

    def to_dict(self) -> Entries:
        """Return plain values."""
        return {each.name: asdict(each) for each in self.columns}

    def text(self) -> str:
        """Return a table of it, in lines, and why columns may differ."""
        width = max((len(each.name) for each in self.columns), default=6)
        lines = [f"{'column':{width}}  missing  observed         drawn            distance"]
        for each in self.columns:
            parts = [_brief(of) for of in (each.observed, each.drawn)]
            lines.append(
                f"{each.name:{width}}  {each.num_missing:7,}  {parts[0]:15}  {parts[1]:15}"
                f"  {each.distance:8.2f}"
            )
        for each in self.columns:
            if each.told:
                lines.append(
                    f"{each.name}: gaps depend on other columns (AUROC {each.auroc:.2f}), so what"
                    " is missing differs from what was observed, and draws should too"
                )
            if each.outside > 0.01:
                lines.append(
                    f"{each.name}: {each.outside:.0%} of the draws are beyond all that was"
                    " observed: where that cannot be, min_value and max_value set bounds"
                )
        return "\n".join(lines)

    def figure(self) -> Any:
        """Return a figure of matplotlib: distributions observed (dark) and of each table."""
        import matplotlib
        from matplotlib.figure import Figure

        from maskwise.report.figures import BLUE, ORANGE, RC

        shown = sorted(self.columns, key=lambda each: -each.num_missing)[:SHOWN]
        if not shown:
            raise UserError("nothing was missing, so there is nothing to draw")
        across = min(4, len(shown))
        down = -(-len(shown) // across)
        with matplotlib.rc_context(RC | {"figure.facecolor": "white"}):
            figure = Figure(figsize=(2.6 * across, 2.2 * down + 0.4), layout="constrained")
            places = figure.subplots(down, across, squeeze=False).ravel()
            for place in places[len(shown) :]:
                place.set_axis_off()
            for place, each in zip(places, shown, strict=False):
                seen, draws = self.values[each.name]
                if seen.dtype.kind == "O":
                    names = list(each.observed)
                    at = np.arange(len(names))
                    place.barh(at + 0.2, [each.observed[k] for k in names], 0.4, color=BLUE)
                    place.barh(at - 0.2, [each.drawn[k] for k in names], 0.4, color=ORANGE)
                    place.set_yticks(at, [name[:12] for name in names])
                else:
                    for draw in draws:
                        place.ecdf(draw, color=ORANGE, lw=0.6, alpha=0.6)
                    place.ecdf(seen, color=BLUE)
                place.set_title(f"{each.name}: {each.num_missing:,} missing", fontsize=9)
            figure.suptitle("Observed (blue) and drawn (orange)")
        return figure


def check_draws(table: Any, draws: Sequence[Any]) -> DrawCheck:
    """Compare what was drawn for gaps with what was observed, column by column.

    A distance is no fault by itself: where gaps depend on other columns, what is missing differs
    from what was observed, and draws that know these columns should differ too. One that nothing
    explains, or many draws beyond all that was observed, says that the model of the column is
    wrong. Draws are independent given a fitted optimum, and no chain, so there is no convergence
    to look at.

    Args:
        table: with gaps: a pandas or polars frame, or an array [N, F].
        draws: completed tables of the same rows and columns, as `MaskedImputer.draws` returns.

    Raises:
        UserError: no draws, or of other rows or columns.

    Example:
        >>> import maskwise as mw
        >>> from maskwise.integrations.sklearn import MaskedImputer
        >>> x = np.random.default_rng(0).normal(size=(200, 1)) + [[0.0, 5.0]]
        >>> x[:40, 1] = np.nan
        >>> draws = MaskedImputer(random_state=0).fit(x).draws(x, m=2)
        >>> [(each.name, each.num_missing) for each in mw.check_draws(x, draws).columns]
        [('x1', 40)]
    """
    given = columns_of(table)
    every = [columns_of(each) for each in draws]
    if not every:
        raise UserError("no draws: give one completed table or more")
    for number, each in enumerate(every, start=1):
        lacking = [name for name in given if name not in each]
        if lacking or len(next(iter(each.values()))) != len(next(iter(given.values()))):
            what = f"lacks column '{lacking[0]}'" if lacking else "has other rows"
            raise UserError(
                f"draw {number} {what}: give draws of this table, with keep_empty_features=True"
                " and without add_indicator"
            )
    found = missingness(table)
    known = {each.name: each for each in found.columns}
    told = {each.name for each in found.told}
    columns, values = [], {}
    for name, column in given.items():
        gaps = is_missing(column)
        parts = [each[name][gaps] for each in every]
        if not gaps.any() or gaps.all() or any(is_missing(part).any() for part in parts):
            continue
        if column.dtype.kind not in "fiubO":
            continue  # times have no mean to compare
        is_number = column.dtype.kind in "fiu"
        seen = column[~gaps].astype(np.float64 if is_number else object)
        parts = [part.astype(seen.dtype) for part in parts]
        compare = _numbers if is_number else _categories
        auroc = known[name].auroc
        columns.append(
            ColumnDraws(name, int(gaps.sum()), *compare(seen, parts), auroc, name in told)
        )
        values[name] = seen, parts
    return DrawCheck(columns, values)


def _numbers(
    seen: np.ndarray, parts: list[np.ndarray]
) -> tuple[Entries, Entries, float, float, float]:
    """Return figures of numbers observed and drawn, their distance, and what is outside."""
    from scipy.stats import ks_2samp

    every = np.concatenate(parts)
    distance = float(ks_2samp(seen, every, method="asymp").statistic)
    outside = float(((every < seen.min()) | (every > seen.max())).mean())
    means = [np.concatenate([seen, part]).mean() for part in parts]
    return _figures(seen), _figures(every), distance, outside, _sd(means)


def _figures(values: np.ndarray) -> Entries:
    found = {"mean": float(values.mean()), "sd": float(values.std())}
    levels = zip(QUANTILES, np.quantile(values, QUANTILES).tolist(), strict=True)
    return found | {f"{level:.0%}": value for level, value in levels}


def _categories(
    seen: np.ndarray, parts: list[np.ndarray]
) -> tuple[Entries, Entries, float, float, float]:
    """Return shares of categories observed and drawn, their distance, and what is outside."""
    every = np.concatenate(parts)
    names = sorted({str(value) for value in [*seen, *every]})
    both = [_shares(each, names) for each in (seen, every)]
    distance = sum(abs(both[0][name] - both[1][name]) for name in names) / 2
    outside = sum(both[1][name] for name in names if not both[0][name])
    commonest = max(names, key=lambda name: both[0][name])
    each = [_shares(np.concatenate([seen, part]), names)[commonest] for part in parts]
    return both[0], both[1], distance, float(outside), _sd(each)


def _shares(values: np.ndarray, names: list[str]) -> dict[str, float]:
    texts = [str(value) for value in values]
    return {name: texts.count(name) / len(texts) for name in names}


def _sd(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _brief(figures: Entries) -> str:
    """Return mean and deviation, or the commonest category, in a few characters."""
    if "sd" in figures and "50%" in figures:
        return f"{figures['mean']:.3g} ± {figures['sd']:.2g}"
    name = max(figures, key=lambda each: figures[each])
    return f"{name[:9]} {figures[name]:.0%}"
