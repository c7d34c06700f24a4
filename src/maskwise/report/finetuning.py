"""Fine-tuning: a section of one run's page and of a comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

from maskwise.report.blocks import Cell, Section, Table, number, percent
from maskwise.report.folder import Run
from maskwise.report.probes import SAMPLES
from maskwise.report.tables import MORE

TITLE = "Fine-tuning"
Values = Mapping[str, Any]


def sections(run: Run) -> list[Section]:
    """Return the section of one run's page, if models were fine-tuned."""
    found = run.result.get("finetuning")
    if not found:
        return []
    tables = tuple(
        Table(
            _settings(rows[0]),
            ("model", *_measures(rows), "accuracy of each seed"),
            (*map(_row, rows), (Cell("most frequent class"), *_majority(rows[0]))),
            title=task,
        )
        for task, rows in _by_task(found).items()
    )
    return [Section("finetuning", TITLE, _text(run, found), tables=tables)]


def comparison(labels: Sequence[str], runs: Sequence[Run]) -> list[Section]:
    """Return the section of a comparison, if models were fine-tuned."""
    every = [row for run in runs for row in run.result.get("finetuning", ())]
    if not every:
        return []
    tables = []
    for task, rows in _by_task(every).items():
        models = tuple(dict.fromkeys(row["model"] for row in rows))
        measures = _measures(rows)
        top = max(row["accuracy"]["mean"] for row in rows)
        of_runs = [
            {row["model"]: row for row in run.result.get("finetuning", ()) if row["task"] == task}
            for run in runs
        ]
        body = []
        for label, found in zip(labels, of_runs, strict=True):
            cells = [Cell(label)]
            for model in models:
                none = [Cell("none")] * len(measures)
                cells += _scores(found[model], top) if model in found else none
            body.append(tuple(cells))
        settings = " or ".join(dict.fromkeys(map(_settings, rows)))
        head = ["run"]
        for model in models:
            head += [f"{model}, {measure}" for measure in measures]
        tables.append(Table(settings, tuple(head), tuple(body), title=task))
    return [Section("finetuning", TITLE, _text(runs[0], every), tables=tuple(tables))]


def _measures(rows: Sequence[Values]) -> list[str]:
    return ["accuracy", *(name for key, name in MORE.items() if key in rows[0])]


def _text(run: Run, rows: Sequence[Values]) -> str:
    samples = SAMPLES.get(run.modality, "samples")
    seeds = sorted({len(row["seeds"]) for row in rows})
    each = "one seed" if seeds == [1] else f"{' or '.join(map(str, seeds))} seeds"
    text = f"The whole model is trained on with a linear classifier, for {each}."
    if seeds != [1]:
        text += (
            f" Means over seeds with 95 % intervals (Student's t), which cover the order of the "
            f"{samples} and the classifier's first weights, not the choice of test {samples}."
        )
    return text


def _settings(row: Values) -> str:
    protocol = f"{row['protocol']}; " if "protocol" in row else ""
    return (
        f"{protocol}{number(row['num_train'])} train, {number(row['num_test'])} test;"
        f" epochs: {row['epochs']}, batches of {row['batch_size']}, learning rate {row['lr']:g}"
    )


def _by_task(rows: Sequence[Values]) -> dict[str, list[Values]]:
    found: dict[str, list[Values]] = {}
    for row in rows:
        found.setdefault(row["task"], []).append(row)
    return found


def _row(row: Values) -> tuple[Cell, ...]:
    baseline = "" if row["model"] == "encoder" else "baseline"
    seeds = ", ".join(f"{100 * each['accuracy']:.1f}" for each in row["seeds"])
    small = "\n".join(filter(None, (baseline, row.get("note"))))
    return (Cell(row["model"], small), *_scores(row), Cell(seeds))


def _majority(row: Values) -> tuple[Cell, ...]:
    chance = [Cell(text) for key, text in (("mcc", "0"), ("auroc", "0.5")) if key in row]
    return (Cell(percent(row["majority"])), *chance, Cell(""))


def _scores(row: Values, top: float | None = None) -> tuple[Cell, ...]:
    accuracy, others = row["accuracy"], [row[key] for key in MORE if key in row]
    return (
        Cell(percent(accuracy["mean"]), _interval(accuracy, 100, 1), accuracy["mean"] == top),
        *(Cell(f"{other['mean']:.3f}", _interval(other, 1, 3)) for other in others),
    )


def _interval(value: Mapping[str, float | None], times: int, digits: int) -> str:
    low, high = value["low"], value["high"]
    if low is None or high is None:
        return ""
    return f"{times * low:.{digits}f} to {times * high:.{digits}f}"
