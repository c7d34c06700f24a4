"""Clusters of features, and how well they mix batches: a section of a page."""

from collections.abc import Mapping, Sequence
from typing import Any

from maskwise.report.blocks import Cell, Section, Table
from maskwise.report.folder import Run

Row = Mapping[str, Any]


def sections(run: Run) -> list[Section]:
    """Return the section of one run's page, if clusters or batches were measured."""
    return comparison([""], [run])


def comparison(labels: Sequence[str], runs: Sequence[Run]) -> list[Section]:
    """Return the section of a comparison: a row for each kind of features of each run."""
    named = list(zip(labels, runs, strict=True))
    found = {
        key: [(label, row) for label, run in named for row in run.result.get(key) or ()]
        for key in ("clusters", "mixing")
    }
    tables = [
        make(rows)
        for make, rows in ((_agreement, found["clusters"]), (_mixing, found["mixing"]))
        if rows
    ]
    text = "What features say without a label: clusters of them beside the classes of the data"
    text += ", and whether they keep batches apart." if found["mixing"] else "."
    return [Section("clusters", "Clusters", text, tables=tuple(tables))] if tables else []


def _agreement(found: Sequence[tuple[str, Row]]) -> Table:
    head = ("features", "clusters", "adjusted Rand index", "mutual information")
    caption = (
        "k-means with as many clusters as classes, beside the classes: 1 is equal, 0 is chance;"
        " mean and range over seeds; best of each in bold"
    )
    best = [_best(found, key) for key in ("ari", "nmi")]
    rows = tuple(
        (
            _name(label, row),
            Cell(str(row["k"])),
            _cell(row["ari"], best[0]),
            _cell(row["nmi"], best[1]),
        )
        for label, row in found
    )
    return Table(caption, head, rows, title="Clusters and classes")


def _mixing(found: Sequence[tuple[str, Row]]) -> Table:
    head = ("features", "LISI", "apart", "mixed", "silhouette of batches")
    caption = (
        "LISI: how many batches a neighbourhood effectively holds, between batches kept apart and"
        " as mixed as their sizes allow. A silhouette of 0 or less is mixed, 1 is apart."
    )
    best = _best(found, "lisi")
    rows = tuple(
        (
            _name(label, row),
            _cell(row["lisi"], best),
            *(Cell(f"{row[key]:.3f}") for key in ("worst", "best")),
            Cell("none" if row["asw"] is None else f"{row['asw']:.3f}"),
        )
        for label, row in found
    )
    return Table(caption, head, rows, title="Batches")


def _best(found: Sequence[tuple[str, Row]], key: str) -> float:
    return max(float(row[key]["value"]) for _, row in found)


def _name(label: str, row: Row) -> Cell:
    return Cell(f"{label}: {row['features']}" if label else str(row["features"]))


def _cell(found: Mapping[str, float | None], best: float) -> Cell:
    low, high = found["low"], found["high"]
    small = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
    return Cell(f"{found['value']:.3f}", small, found["value"] == best)
