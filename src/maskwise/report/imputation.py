"""How well hidden values are imputed, by ratio: the methods of one run, or several runs."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from maskwise.report import curves, figures
from maskwise.report.blocks import (
    Cell,
    Fact,
    Figure,
    Section,
    Table,
    duration,
    grouped,
    highest,
    scored,
)
from maskwise.report.folder import Row, RunFolder
from maskwise.report.law import reach

TEXT = (
    "How much of the variance of hidden values is explained: R² against predicting each feature's"
    " training mean, which has 0. Exact is 1."
)
ENTRIES = {"all": "All values", "nonzero": "Values above zero"}
MECHANISMS = {"random": "hidden at random", "intensity": "large ones hidden more often"}
OTHERS = {
    "mae": "mean absolute error",
    "pearson_features": "correlation by feature",
    "pearson_samples": "correlation by sample",
    "accuracy": "accuracy of categories",
}
HEADLINE = 0.5  # the hidden fraction of the number at the top
LEAST = -0.5  # what is worse than this is off the figure
OURS = "model"


def top(run: RunFolder) -> tuple[str, list[Fact]]:
    """Return the R² of the model at one ratio beside the best other method, if it was measured.

    Returns:
        A sentence, and a number for the top of the page.
    """
    ours, other = headline(run)
    if ours is None:
        return "", []
    beside = "" if other is None else f"; {other['method']}: {other['r2']:.3f}"
    cell = scored(_spread(ours), "r2")
    fact = Fact(f"imputation, R² at ratio {HEADLINE}", cell.text, cell.small + beside)
    return f" Imputation at ratio {HEADLINE}: R² {cell.text}{beside}.", [fact]


def headline(run: RunFolder) -> tuple[Row | None, Row | None]:
    """Return the row of the model and of the best other method at the ratio of the headline.

    Of the first kind of values and mechanism listed, where R² is known.
    """
    there = at_headline(run.result)
    ours = next((row for row in there if row["method"] == OURS), None)
    others = [row for row in there if row["method"] != OURS]
    return ours, max(others, key=lambda row: float(row["r2"]), default=None)


def at_headline(result: Row) -> list[Row]:
    """Return the rows, a method each, that the headline is about."""
    same = next(iter(grouped(result.get("imputation", ()), _title).values()), [])
    return [row for row in same if row["ratio"] == HEADLINE and row["r2"] is not None]


def sections(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the section, if imputation was measured: a line for each method, or for each run."""
    alone = len(runs) == 1
    every = [
        {**row, "run": run.name} for run in runs for row in run.result.get("imputation") or ()
    ]
    if not alone:
        every = [row for row in every if row["method"] == OURS and row["r2"] is not None]
    if not every:
        return []
    what = "method" if alone else "run"
    drawn, tables = [], []
    for title, rows in grouped(every, _title).items():
        named = grouped(rows, lambda row: str(row[what]))
        # Categories have no variance.
        if any(row["r2"] is not None for row in rows):
            label = (
                f"{title}: R² by hidden ratio of {runs[0].name if alone else f'{len(named)} runs'}"
            )
            body = _body(label, named, reach(runs[0].law) if alone else None)
            drawn.append(Figure(body, _caption(rows), title))
            tables.append(_table(title, what, named))
        if alone:
            tables.append(_details(title, rows))
    text = TEXT + curves.warning(runs)
    return [Section("imputation", "Imputation", text, figures=tuple(drawn), tables=tuple(tables))]


def _title(row: Row) -> str:
    """Return a title for rows of one kind of values and mechanism."""
    entries, mechanism = row["entries"], row["mechanism"]
    return f"{ENTRIES.get(entries, entries)}, {MECHANISMS.get(mechanism, mechanism)}"


def _body(
    label: str, named: Mapping[str, Sequence[Row]], support: tuple[float, float] | None
) -> Markup:
    """Draw R² by ratio, a line for each name; the feature mean is dashed."""
    lines = {
        name: [
            {"ratio": row["ratio"], **_spread(row)}
            for row in rows
            if row["r2"] is not None and row["r2"] >= LEAST
        ]
        for name, rows in named.items()
    }
    lines = {name: points for name, points in lines.items() if points}
    dashed = {name: lines.pop(name) for name in ("feature mean",) if name in lines}
    plot = figures.by_ratio(list(lines.items()), "r2", "R²", support=support, baselines=dashed)
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
    best = [highest(row["r2"] for row in column if row) for column in columns]
    body = []
    about = ""  # what is said of the model is about all methods
    for place, (name, rows) in enumerate(named.items()):
        notes = "; ".join(dict.fromkeys(row["note"] for row in rows if row.get("note")))
        if rows[0]["method"] == OURS:
            about, notes = notes, ""
        points = [row and _spread(row) for row in (column[place] for column in columns)]
        cells = [scored(point, "r2", top) for point, top in zip(points, best, strict=True)]
        body.append((Cell(name, notes), *cells))
    head = (what, *(f"{ratio:g}" for ratio in ratios))
    caption = "R² by hidden ratio, with 95 % interval; best of each in bold"
    caption += f"; {about}" if about else ""
    return Table(caption, head, tuple(body), title=title)


def _details(title: str, rows: Sequence[Row]) -> Table:
    """Return all that was measured of each method and ratio."""
    keys = [key for key in OTHERS if any(row.get(key) is not None for row in rows)]
    body = tuple(
        (
            Cell(row["method"]),
            Cell(f"{row['ratio']:g}"),
            *(Cell("none" if row.get(k) is None else f"{row[k]:.4g}") for k in keys),
            Cell("none" if row.get("seconds") is None else duration(row["seconds"])),
        )
        for row in rows
    )
    head = ("method", "ratio", *(OTHERS[key] for key in keys), "time")
    return Table(f"Other measures: {title[0].lower()}{title[1:]}", head, body, folded=True)


def _spread(row: Row) -> Row:
    """Return the R² of a row with its interval."""
    return {"r2": row["r2"], "low": row.get("r2_low"), "high": row.get("r2_high")}
