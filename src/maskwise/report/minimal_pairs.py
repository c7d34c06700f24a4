"""Minimal pairs: a section of one run's page and of a comparison."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from maskwise.report import figures, law_figures
from maskwise.report.blocks import Cell, Fact, Figure, Section, Table, number, percent
from maskwise.report.folder import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Minimal pairs"
TEXT = (
    "How often the grammatical sentence of a pair has the higher pseudo-log-likelihood: the mean "
    "over paradigms, with a 95 % interval of the pairs. Chance is 50 %."
)
METRICS = {
    "within-word-l2r": "each token is predicted with itself and the rest of its word hidden",
    "original": "each token is predicted with itself alone hidden",
}
Values = Mapping[str, Any]


def facts(run: Run) -> tuple[Fact, ...]:
    """Return the accuracy on each set of pairs."""
    return tuple(
        Fact(
            f"minimal pairs, {found['name']}",
            percent(found["accuracy"]),
            f"{_interval(found)}; chance is 50 %",
        )
        for found in run.result.get("minimal_pairs", ())
    )


def sections(run: Run) -> list[Section]:
    """Return the section of one run's page, if pairs were measured."""
    every = run.result.get("minimal_pairs")
    if not every:
        return []
    drawn = []
    for found in every:
        label = f"Accuracy on {found['name']} by paradigm of {run.name}"
        rows = found["paradigms"]
        body = figures.svg(label, _dots(rows), size=(6.4, 0.9 + 0.2 * len(rows)))
        metric = METRICS.get(found["metric"], found["metric"])
        caption = (
            f"{number(found['num_pairs'])} pairs, {number(found['ties'])} of them ties, which"
            f" count one half; {metric}. {_extrapolation(run, found['hidden_ratio'])} Bars are"
            " 95 % intervals; dashed: chance."
        )
        drawn.append(Figure(body, caption, found["name"]))
    tables = tuple(_paradigms([("accuracy", found)]) for found in every)
    return [Section("pairs", TITLE, TEXT, facts=facts(run), figures=tuple(drawn), tables=tables)]


def comparison(labels: Sequence[str], runs: Sequence[Run]) -> list[Section]:
    """Return the section of a comparison, if pairs were measured."""
    of_runs = [
        {found["name"]: found for found in run.result.get("minimal_pairs", ())} for run in runs
    ]
    names = tuple(dict.fromkeys(name for found in of_runs for name in found))
    if not names:
        return []
    columns = [[found.get(name) for found in of_runs] for name in names]
    rows = tuple(
        (Cell(label), *(_cell(column[place], column) for column in columns))
        for place, label in enumerate(labels)
    )
    table = Table("Mean accuracy over paradigms; best of each in bold", ("run", *names), rows)
    by_paradigm = tuple(
        _paradigms([(label, each) for label, each in zip(labels, column, strict=True) if each])
        for column in columns
    )
    return [Section("pairs", TITLE, TEXT, tables=(table, *by_paradigm))]


def _paradigms(of_runs: Sequence[tuple[str, Values]]) -> Table:
    """One row for each paradigm, one column for each run."""
    columns = [{row["name"]: row for row in found["paradigms"]} for _, found in of_runs]
    rows = []
    for name in dict.fromkeys(name for column in columns for name in column):
        each = [column.get(name) for column in columns]
        pairs = next(row["num"] for row in each if row)
        best = len(each) > 1
        cells = [_cell(row, each if best else ()) for row in each]
        rows.append((Cell(name, f"{number(pairs)} pairs"), *cells))
    caption = f"{of_runs[0][1]['name']} by paradigm, with 95 % interval"
    head = ("paradigm", *(label for label, _ in of_runs))
    return Table(caption, head, tuple(rows), folded=True)


def _cell(row: Values | None, others: Sequence[Values | None]) -> Cell:
    if row is None:
        return Cell("none")
    top = max((other["accuracy"] for other in others if other), default=None)
    return Cell(percent(row["accuracy"]), _interval(row), row["accuracy"] == top)


def _interval(row: Values) -> str:
    return f"{100 * row['low']:.1f} to {100 * row['high']:.1f}"


def _extrapolation(run: Run, hidden: float) -> str:
    low, high = law_figures.reach(run.law)
    where = "inside" if low <= hidden <= high else "outside"
    met = f"{low:g} to {high:g}" if low < high else f"{low:g} alone"
    text = f"That hides {hidden:.3g} of a sentence on average, {where} the ratios met in training"
    return f"{text} ({met})" + ("." if where == "inside" else ": the model extrapolates.")


def _dots(rows: Sequence[Values]) -> Any:
    names = [figures.plain(row["name"].replace("_", " ")) for row in rows]
    accuracy, low, high = ([100 * row[key] for row in rows] for key in ("accuracy", "low", "high"))

    def plot(axes: "Axes") -> None:
        places = range(len(rows))
        axes.axvline(50, color=figures.INK, linestyle="--", linewidth=1.2)
        axes.hlines(places, low, high, color=figures.BLUE, linewidth=1.8)
        axes.plot(accuracy, places, "o", color=figures.BLUE, markersize=5, clip_on=False)
        axes.set_yticks(places, names, fontsize=8.5)
        axes.set(xlabel="accuracy, %", xlim=(0, 100), ylim=(len(rows) - 0.4, -0.6))

    return plot
