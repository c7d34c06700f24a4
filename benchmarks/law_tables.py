"""Scores of ratio laws over seeds, as tables in Markdown."""

from collections.abc import Mapping

import numpy as np

from benchmarks.compare_laws import interval

Values = Mapping[str, Mapping[str, np.ndarray]]  # law -> score -> one value for each seed


def lower_is_better(key: str) -> bool:
    """Tell losses from other scores."""
    return key.startswith("loss")


def scores_table(values: Values, more: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """Return mean and half of the 95 % t-interval of each score by law.

    Args:
        values: the scores.
        more: by law, what to put in columns in front.
    """
    more = more or {law: {} for law in values}
    keys = list(next(iter(values.values())))
    front = list(next(iter(more.values())))
    lines = [f"| {' | '.join(['law', *front, *keys])} |", "|---" * (len(front + keys) + 1) + "|"]
    for law, found in values.items():
        cells = ["{:.4g} ± {:.2g}".format(*interval(found[key])) for key in keys]
        lines.append(f"| {' | '.join([f'`{law}`', *more[law].values(), *cells])} |")
    return "\n".join(lines)


def differences_table(values: Values) -> str:
    """Return the differences from the best fixed ratio, paired by seed, with 95 % t-intervals.

    The best fixed ratio of each score is chosen by that score, which favours it.
    """
    fixed = [law for law in values if law.startswith("fixed")]
    others = [law for law in values if law not in fixed]
    lines = [f"| score | best fixed | {' | '.join(f'`{law}`' for law in others)} |"]
    lines += ["|---" * (len(others) + 2) + "|"]
    for key in next(iter(values.values())):
        choose = min if lower_is_better(key) else max
        best = choose(fixed, key=lambda law: float(values[law][key].mean()))
        row = [key, f"`{best}`"]
        for law in others:
            mean, half = interval(values[law][key] - values[best][key])
            row.append(f"{mean:+.3g} [{mean - half:+.2g}, {mean + half:+.2g}]")
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)
