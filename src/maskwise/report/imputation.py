"""How well hidden values are imputed: a section of one run's page and of a comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

from maskwise.report import curves, figures, law_figures
from maskwise.report.blocks import Cell, Fact, Figure, Section, Table, duration
from maskwise.report.folder import Run

TITLE = "Imputation"
TEXT = (
    "How much of the variance of hidden values is explained: R² against predicting each feature's"
    " training mean, which has 0. Exact is 1."
)
ENTRIES = {"all": "All values", "nonzero": "Values above zero"}
MECHANISMS = {"random": "hidden at random", "intensity": "large ones hidden more often"}
HEADLINE = 0.5  # the hidden fraction of the number at the top
LEAST = -0.5  # what is worse than this is off the figure
OURS = "model"
Row = Mapping[str, Any]


def facts(run: Run) -> tuple[Fact, ...]:
    """Return the R² of the model at the ratio of the headline, beside the best other method."""
    ours, other = headline(run)
    if ours is None:
        return ()
    note = _interval(ours, "r2_low", "r2_high")
    if other is not None:
        note += f"; {other['method']}: {other['r2']:.3f}"
    return (Fact(f"imputation, R² at ratio {HEADLINE}", f"{ours['r2']:.3f}", note),)


def summary(run: Run) -> str:
    """Return a sentence with the same, or nothing."""
    ours, other = headline(run)
    if ours is None:
        return ""
    text = f" Imputation at ratio {HEADLINE}: R² {ours['r2']:.3f}"
    return f"{text}." if other is None else f"{text}; {other['method']}: {other['r2']:.3f}."


def headline(run: Run) -> tuple[Row | None, Row | None]:
    """Return the row of the model and of the best other method at the ratio of the headline.

    Of the first kind of values and mechanism listed, where R² is known.
    """
    there = at_headline(run.result)
    ours = next((row for row in there if row["method"] == OURS), None)
    others = [row for row in there if row["method"] != OURS]
    return ours, max(others, key=lambda row: float(row["r2"]), default=None)


def at_headline(result: Mapping[str, Any]) -> list[Row]:
    """Return the rows, a method each, that the headline is about."""
    same = next(iter(_by_kind(result.get("imputation", ())).values()), [])
    return [row for row in same if row["ratio"] == HEADLINE and row["r2"] is not None]


def sections(run: Run) -> list[Section]:
    """Return the section of one run's page, if imputation was measured."""
    found = run.result.get("imputation")
    if not found:
        return []
    reach = law_figures.reach(run.law)
    drawn, tables = [], []
    for title, rows in _by_kind(found).items():
        by_method = _by(rows, "method")
        # Categories have no variance.
        if any(row["r2"] is not None for row in rows):
            label = f"{title}: R² by hidden ratio of {run.name}"
            drawn.append(Figure(_body(label, by_method, reach), _caption(rows), title))
            tables.append(_table(title, "method", by_method))
        tables.append(_details(title, rows))
    return [Section("imputation", TITLE, TEXT, figures=tuple(drawn), tables=tuple(tables))]


def comparison(labels: Sequence[str], runs: Sequence[Run]) -> list[Section]:
    """Return the section of a comparison, if imputation was measured."""
    every = [
        {**row, "run": label}
        for label, run in zip(labels, runs, strict=True)
        for row in run.result.get("imputation", ())
        if row["method"] == OURS and row["r2"] is not None
    ]
    if not every:
        return []
    drawn, tables = [], []
    for title, rows in _by_kind(every).items():
        by_run = _by(rows, "run")
        label = f"{title}: R² by hidden ratio of {len(by_run)} runs"
        drawn.append(Figure(_body(label, by_run), _caption(rows), title))
        tables.append(_table(title, "run", by_run))
    text = TEXT + curves.warning(runs)
    return [Section("imputation", TITLE, text, figures=tuple(drawn), tables=tuple(tables))]


def _by_kind(found: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows of each kind of values and mechanism, by a title."""
    kinds: dict[str, list[Row]] = {}
    for row in found:
        entries, mechanism = row["entries"], row["mechanism"]
        title = f"{ENTRIES.get(entries, entries)}, {MECHANISMS.get(mechanism, mechanism)}"
        kinds.setdefault(title, []).append(row)
    return kinds


def _by(rows: Sequence[Row], key: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(str(row[key]), []).append(row)
    return found


def _body(
    label: str, named: Mapping[str, Sequence[Row]], reach: tuple[float, float] | None = None
) -> Any:
    """Draw R² by ratio, a line for each name; the feature mean is dashed."""
    lines = {
        name: [
            {"ratio": row["ratio"], "r2": row["r2"], "low": row["r2_low"], "high": row["r2_high"]}
            for row in rows
            if row["r2"] is not None and row["r2"] >= LEAST
        ]
        for name, rows in named.items()
    }
    lines = {name: points for name, points in lines.items() if points}
    dashed = {name: lines.pop(name) for name in ("feature mean",) if name in lines}
    plot = figures.by_ratio(list(lines.items()), "r2", "R²", support=reach, baselines=dashed)
    return figures.svg(label, plot, size=(5.0, 3.3))


def _caption(rows: Sequence[Row]) -> str:
    caption = "Bands are 95 % intervals."
    if any(row["method"] != OURS for row in rows):
        caption += " Orange: the ratios met in training."
    if any(row["r2"] is not None and row["r2"] < LEAST for row in rows):
        caption += f" What is below {LEAST} is not drawn."
    return caption


def _table(title: str, what: str, named: Mapping[str, Sequence[Row]]) -> Table:
    """One row for each name, one column for each ratio, the best of each in bold."""
    ratios = sorted({row["ratio"] for rows in named.values() for row in rows})
    columns = [[curves.at(rows, ratio) for rows in named.values()] for ratio in ratios]
    best = [
        max((row["r2"] for row in column if row and row["r2"] is not None), default=None)
        for column in columns
    ]
    body = []
    about = ""  # what is said of the model is about all methods
    for place, (name, rows) in enumerate(named.items()):
        notes = "; ".join(dict.fromkeys(row["note"] for row in rows if row.get("note")))
        if rows[0]["method"] == OURS:
            about, notes = notes, ""
        cells = [
            _cell(column[place], "r2", top) for column, top in zip(columns, best, strict=True)
        ]
        body.append((Cell(name, notes), *cells))
    head = (what, *(f"{ratio:g}" for ratio in ratios))
    caption = "R² by hidden ratio, with 95 % interval; best of each in bold"
    caption += f"; {about}" if about else ""
    return Table(caption, head, tuple(body), title=title)


def _details(title: str, rows: Sequence[Row]) -> Table:
    """Return all that was measured of each method and ratio."""
    keys = {
        "mae": "mean absolute error",
        "pearson_features": "correlation by feature",
        "pearson_samples": "correlation by sample",
        "accuracy": "accuracy of categories",
    }
    keys = {
        key: name for key, name in keys.items() if any(row.get(key) is not None for row in rows)
    }
    body = tuple(
        (
            Cell(row["method"]),
            Cell(f"{row['ratio']:g}"),
            *(Cell("none" if row.get(k) is None else f"{row[k]:.4g}") for k in keys),
            Cell("none" if row.get("seconds") is None else duration(row["seconds"])),
        )
        for row in rows
    )
    head = ("method", "ratio", *keys.values(), "time")
    return Table(f"Other measures: {title[0].lower()}{title[1:]}", head, body, folded=True)


def _cell(row: Row | None, key: str, best: float | None) -> Cell:
    if row is None or row[key] is None:
        return Cell("none")
    return Cell(f"{row[key]:.3f}", _interval(row, f"{key}_low", f"{key}_high"), row[key] == best)


def _interval(row: Row, low: str, high: str) -> str:
    if row.get(low) is None or row.get(high) is None:
        return ""
    return f"{row[low]:.3f} to {row[high]:.3f}"
