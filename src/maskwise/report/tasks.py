"""Fine-tuning, minimal pairs and clusters: of one run, and of several beside each other."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from maskwise.report import figures
from maskwise.report.blocks import (
    Cell,
    Fact,
    Figure,
    Section,
    Table,
    between,
    grouped,
    highest,
    number,
    percent,
    scored,
)
from maskwise.report.folder import Row, RunFolder
from maskwise.report.law import reach
from maskwise.report.probes import MORE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAIRS = (
    "How often the grammatical sentence of a pair has the higher pseudo-log-likelihood: the mean "
    "over paradigms, with a 95 % interval of the pairs. Chance is 50 %."
)
METRICS = {
    "within-word-l2r": "each token is predicted with itself and the rest of its word hidden",
    "original": "each token is predicted with itself alone hidden",
}


def finetuning(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the section, if models were fine-tuned: a row for each model, or for each run."""
    of_runs = {run.name: run.result.get("finetuning") or () for run in runs}
    every = [row for rows in of_runs.values() for row in rows]
    make = _models if len(runs) == 1 else _tuned_runs
    tables = [
        make(
            task,
            rows,
            {run: [row for row in rows if row["task"] == task] for run, rows in of_runs.items()},
        )
        for task, rows in grouped(every, lambda row: row["task"]).items()
    ]
    if not tables:
        return []
    text = _tuning(runs[0].words.probes.samples, every)
    return [Section("finetuning", "Fine-tuning", text, tables=tuple(tables))]


def _models(task: str, rows: Sequence[Row], of_runs: Mapping[str, Sequence[Row]]) -> Table:
    head = ("model", *_measures(rows), "accuracy of each seed")
    body = []
    for row in rows:
        baseline = "" if row["model"] == "encoder" else "baseline"
        seeds = ", ".join(f"{100 * each['accuracy']:.1f}" for each in row["seeds"])
        small = "\n".join(filter(None, (baseline, row.get("note"))))
        body.append((Cell(row["model"], small), *_scores(row), Cell(seeds)))
    chance = [Cell(text) for key, text in (("mcc", "0"), ("auroc", "0.5")) if key in rows[0]]
    majority = (Cell("most frequent class"), Cell(percent(rows[0]["majority"])), *chance, Cell(""))
    return Table(_settings(rows[0]), head, (*body, majority), title=task)


def _tuned_runs(task: str, rows: Sequence[Row], of_runs: Mapping[str, Sequence[Row]]) -> Table:
    models, measures = dict.fromkeys(row["model"] for row in rows), _measures(rows)
    top = highest(row["accuracy"]["mean"] for row in rows)
    body = []
    for run, mine in of_runs.items():
        found = {row["model"]: row for row in mine}
        none = [Cell("none")] * len(measures)
        cells = [
            cell
            for model in models
            for cell in (_scores(found[model], top) if model in found else none)
        ]
        body.append((Cell(run), *cells))
    head = ("run", *(f"{model}, {measure}" for model in models for measure in measures))
    return Table(" or ".join(dict.fromkeys(map(_settings, rows))), head, tuple(body), title=task)


def _measures(rows: Sequence[Row]) -> list[str]:
    return ["accuracy", *(name for key, name in MORE.items() if key in rows[0])]


def _tuning(samples: str, rows: Sequence[Row]) -> str:
    seeds = sorted({len(row["seeds"]) for row in rows})
    each = "one seed" if seeds == [1] else f"{' or '.join(map(str, seeds))} seeds"
    text = f"The whole model is trained on with a linear classifier, for {each}."
    if seeds != [1]:
        text += (
            f" Means over seeds with 95 % intervals (Student's t), which cover the order of the "
            f"{samples} and the classifier's first weights, not the choice of test {samples}."
        )
    return text


def _settings(row: Row) -> str:
    protocol = f"{row['protocol']}; " if "protocol" in row else ""
    return (
        f"{protocol}{number(row['num_train'])} train, {number(row['num_test'])} test;"
        f" epochs: {row['epochs']}, batches of {row['batch_size']}, learning rate {row['lr']:g}"
    )


def _scores(row: Row, top: float | None = None) -> tuple[Cell, ...]:
    others = (scored(row[key], "mean") for key in MORE if key in row)
    return (scored(row["accuracy"], "mean", top, share=True), *others)


def pair_facts(run: RunFolder) -> list[Fact]:
    """Return the accuracy on each set of minimal pairs."""
    return [
        Fact(
            f"minimal pairs, {found['name']}",
            percent(found["accuracy"]),
            f"{between(found, share=True)}; chance is 50 %",
        )
        for found in run.result.get("minimal_pairs") or ()
    ]


def pairs(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the section, if minimal pairs were measured: with a figure, or a row for each run."""
    of_runs = {
        run.name: {found["name"]: found for found in run.result.get("minimal_pairs") or ()}
        for run in runs
    }
    names = tuple(dict.fromkeys(name for found in of_runs.values() for name in found))
    if not names:
        return []
    alone = len(runs) == 1
    columns = [{run: found.get(name) for run, found in of_runs.items()} for name in names]
    tables = [
        _paradigms({"accuracy" if alone else run: c for run, c in column.items() if c})
        for column in columns
    ]
    if alone:
        drawn = tuple(_of_paradigms(runs[0], found) for found in of_runs[runs[0].name].values())
        return [
            Section(
                *("pairs", "Minimal pairs", PAIRS),
                facts=tuple(pair_facts(runs[0])),
                figures=drawn,
                tables=tuple(tables),
            )
        ]
    rows = tuple(
        (Cell(run), *(_accuracy(column[run], column.values()) for column in columns))
        for run in of_runs
    )
    table = Table("Mean accuracy over paradigms; best of each in bold", ("run", *names), rows)
    return [Section("pairs", "Minimal pairs", PAIRS, tables=(table, *tables))]


def _paradigms(of_runs: Mapping[str, Row]) -> Table:
    """One row for each paradigm, one column for each run."""
    columns = [{row["name"]: row for row in found["paradigms"]} for found in of_runs.values()]
    rows = []
    for name in dict.fromkeys(name for column in columns for name in column):
        each = [column.get(name) for column in columns]
        num = next(row["num"] for row in each if row)
        cells = [_accuracy(row, each if len(each) > 1 else ()) for row in each]
        rows.append((Cell(name, f"{number(num)} pairs"), *cells))
    caption = f"{next(iter(of_runs.values()))['name']} by paradigm, with 95 % interval"
    return Table(caption, ("paradigm", *of_runs), tuple(rows), folded=True)


def _accuracy(row: Row | None, others: Iterable[Row | None]) -> Cell:
    top = highest(other["accuracy"] for other in others if other)
    return scored(row, "accuracy", top, share=True)


def _of_paradigms(run: RunFolder, found: Row) -> Figure:
    label = f"Accuracy on {found['name']} by paradigm of {run.name}"
    rows = found["paradigms"]
    body = figures.svg(label, _dots(rows), size=(6.4, 0.9 + 0.2 * len(rows)))
    low, high = reach(run.law)
    inside = low <= found["hidden_ratio"] <= high
    met = f"{low:g} to {high:g}" if low < high else f"{low:g} alone"
    caption = (
        f"{number(found['num_pairs'])} pairs, {number(found['ties'])} of them ties, which"
        f" count one half; {METRICS.get(found['metric'], found['metric'])}. That hides"
        f" {found['hidden_ratio']:.3g} of a sentence on average,"
        f" {'inside' if inside else 'outside'} the ratios met in training ({met})"
        f"{'.' if inside else ': the model extrapolates.'} Bars are 95 % intervals;"
        " dashed: chance."
    )
    return Figure(body, caption, found["name"])


def _dots(rows: Sequence[Row]) -> Callable[["Axes"], None]:
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


def clusters(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the section, if clusters or batches were measured: a row for each features."""
    found = {
        key: [
            {**row, "name": f"{run.name}: {row['features']}" if len(runs) > 1 else row["features"]}
            for run in runs
            for row in run.result.get(key) or ()
        ]
        for key in ("clusters", "mixing")
    }
    tables = [
        make(found[key])
        for make, key in ((_agreement, "clusters"), (_mixing, "mixing"))
        if found[key]
    ]
    text = "What features say without a label: clusters of them beside the classes of the data"
    text += ", and whether they keep batches apart." if found["mixing"] else "."
    return [Section("clusters", "Clusters", text, tables=tuple(tables))] if tables else []


def _agreement(rows: Sequence[Row]) -> Table:
    head = ("features", "clusters", "adjusted Rand index", "mutual information")
    caption = (
        "k-means with as many clusters as classes, beside the classes: 1 is equal, 0 is chance;"
        " mean and range over seeds; best of each in bold"
    )
    columns = [_marked(rows, key) for key in ("ari", "nmi")]
    body = tuple(
        (Cell(row["name"]), Cell(str(row["k"])), *cells)
        for row, *cells in zip(rows, *columns, strict=True)
    )
    return Table(caption, head, body, title="Clusters and classes")


def _mixing(rows: Sequence[Row]) -> Table:
    head = ("features", "LISI", "apart", "mixed", "silhouette of batches")
    caption = (
        "LISI: how many batches a neighbourhood effectively holds, between batches kept apart and"
        " as mixed as their sizes allow. A silhouette of 0 or less is mixed, 1 is apart."
    )
    body = tuple(
        (
            *(Cell(row["name"]), lisi),
            *(Cell(f"{row[key]:.3f}") for key in ("worst", "best")),
            Cell("none" if row["asw"] is None else f"{row['asw']:.3f}"),
        )
        for row, lisi in zip(rows, _marked(rows, "lisi"), strict=True)
    )
    return Table(caption, head, body, title="Batches")


def _marked(rows: Sequence[Row], key: str) -> list[Cell]:
    """Return a column of values over their intervals, the highest in bold."""
    top = highest(row[key]["value"] for row in rows)
    return [scored(row[key], "value", top) for row in rows]
