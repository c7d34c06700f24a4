"""What probes and fine-tuning found: of one run, or of several beside each other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from maskwise.report.blocks import (
    Cell,
    Fact,
    Section,
    Table,
    compared,
    grouped,
    lines,
    number,
    table,
    unmade,
    written,
)
from maskwise.report.folder import Row, RunFolder

# Measures that rows may have beside their accuracy.
MORE = {"macro_f1": "macro-F1", "mcc": "Matthews correlation", "auroc": "AUROC"}
UNLABELLED = "No probes: the data has no labels, or only one class."


def sections(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the section; data without labels of its own has one only if it was probed."""
    words, alone = runs[0].words.probes, len(runs) == 1
    every = [probe for run in runs for probe in probes_of(run)]
    if not every and not words.labelled:
        return []
    empty = unmade(
        *(Section("probes", "Probes"), runs, "probes in result.json"),
        lambda run: "probes" in run.result,
    )
    if not every:
        return [replace(empty, missing=empty.missing or UNLABELLED)]
    tasks = grouped(every, _task)
    if alone:
        text = (
            "What a simple classifier reads from the frozen features, beside the same classifier"
            " on baselines. Compare within a column: protocols differ by more than methods do."
        )
        tables = [_by_features(probes, task) for task, probes in tasks.items()]
        return [replace(empty, text=text, tables=tables)]
    text = (
        "The best features of the encoder, beside the best baseline. Overlapping intervals, or "
        "one seed for each law, settle nothing."
    )
    if any(tasks):
        text += f" The best layer is chosen on the test {words.samples}, for every run alike."
    tables = [each for task, probes in tasks.items() for each in _by_run(runs, probes, task)]
    return [replace(empty, text=text, tables=tables)]


def probe_fact(run: RunFolder) -> tuple[str, list[Fact]]:
    """Return what was read from the best features beside the best baseline, if they were probed.

    By macro-F1 where rows have it, else accuracy.

    Returns:
        A sentence, and a number for the top of the page.
    """
    trained, baseline = headline(probes_of(run))
    if trained is None:
        return "", []
    by_f1, task = "macro_f1" in trained, trained.get("task")
    key, form, kind = ("macro_f1", ".3f", "macro-F1 ") if by_f1 else ("accuracy", "%", "")
    value, of_baseline = (
        "none" if each is None or (found := value_of(each, key)) is None else written(found, form)
        for each in (trained, baseline)
    )
    said = (
        f" Encoder probed{f' on {task}' if task else ''} by {trained['protocol']}: {kind}{value}"
    )
    gain = ""
    if baseline:
        said += f"; best baseline, {baseline['features']}: {kind}{of_baseline}"
        points = f"{100 * (trained['accuracy'] - baseline['accuracy']):+.1f} points on "
        gain = f"{baseline['features']}: {of_baseline}" if by_f1 else points + baseline["features"]
    label = ", ".join(filter(None, ("probe", task, _short(trained["protocol"]))))
    return f"{said}.", [Fact(label, kind + value, gain)]


def probes_of(run: RunFolder) -> list[Row]:
    """Return the probes of a run, each with the measures that are shown of its kind of data."""
    hidden = set(MORE) - set(run.words.probes.measures)
    return [{key: row[key] for key in row if key not in hidden} for row in run.rows("probes")]


def headline(probes: Sequence[Row]) -> tuple[Row | None, Row | None]:
    """Return the best trained probe and baseline of the first task and protocol listed."""
    if not probes:
        return None, None
    first = next(iter(grouped(probes, _task).values()))
    same = next(iter(_columns(first).values()))
    return best(same, trained=True), best(same, trained=False)


def best(probes: Sequence[Row], *, trained: bool) -> Row | None:
    """Return the best probe of the trained encoder or of the baselines, by `ranked_by`."""
    kind = [probe for probe in probes if _of_encoder(probe["features"]) is trained]
    return max(kind, key=lambda probe: value_of(probe, ranked_by(probe)) or 0.0, default=None)


def ranked_by(probe: Row) -> str:
    """Return the measure that decides which is best: macro-F1 or Matthews correlation, if any.

    >>> ranked_by({"accuracy": 0.9}), ranked_by({"accuracy": 0.9, "mcc": {"value": 0.8}})
    ('accuracy', 'mcc')
    """
    return next((key for key in ("macro_f1", "mcc") if key in probe), "accuracy")


def value_of(probe: Row, key: str) -> float | None:
    """Return a measure of a probe, if it has one."""
    return probe["accuracy"] if key == "accuracy" else probe.get(key, {}).get("value")


def _by_features(probes: Sequence[Row], task: str) -> Table:
    """Return a row for each kind of features, columns for each protocol, the best of each bold."""
    others, known = _more(probes), _shared_note(probes)
    cells: dict[str, list[Cell]] = {}
    features = dict.fromkeys(str(probe["features"]) for probe in probes)
    for name, column in _columns(probes).items():
        found = {probe["features"]: probe for probe in column}
        rows = [found.get(each) for each in features]
        own = ["" if row is None or row["protocol"] == name else row["protocol"] for row in rows]
        cells |= _measures(name, rows, own, known, others, rows)
    sizes = {(probe.get("num_train"), probe.get("num_test")) for probe in probes}
    said = [f"{number(train)} train, {number(test)} test" for train, test in sorted(sizes)]
    size = "; ".join([*said, known] if known else said)
    caption = f"{_named(others)} with 95 % interval ({size}); best of each protocol in bold"
    kinds = [Cell(name, "" if _of_encoder(name) else "baseline") for name in features]
    return table(caption, "features", kinds, cells, title=task)


def _by_run(runs: Sequence[RunFolder], every: Sequence[Row], task: str) -> list[Table]:
    """Return a row for each run, its best probe and baseline under each protocol.

    All protocols in one table, or in one each where rows have more than accuracies.
    """
    columns, tables = _columns(every), []
    for part in [[name] for name in columns] if _more(every) else [[*columns]]:
        there = [probe for name in part for probe in columns[name]]
        others, known = _more(there), _shared_note(there)
        cells: dict[str, list[Cell]] = {}
        for name in part:
            mine = [[row for row in columns[name] if row["run"] == run.name] for run in runs]
            for trained, head in ((True, name), (False, f"best baseline, {_short(name)}")):
                rows = [best(probes, trained=trained) for probes in mine]
                said = ["" if row is None else row["features"] for row in rows]
                cells |= _measures(head, rows, said, known, others, columns[name])
        caption = f"{_named(others)} with its features and 95 % interval"
        caption += "; best of each protocol in bold"
        if others:
            caption += f"; features are those of the best {MORE[ranked_by(there[0])]}"
        caption += f"; {known}" if known else ""
        tables.append(table(caption, "run", [run.name for run in runs], cells, title=task))
    return tables


def _named(others: Mapping[str, str]) -> str:
    return ", ".join(["Test accuracy", *others.values()])


def _measures(
    head: str,
    rows: Sequence[Row | None],
    said: Sequence[str],
    known: str,
    others: Mapping[str, str],
    among: Sequence[Row | None],
) -> dict[str, list[Cell]]:
    """Return columns with all measures of probes over their intervals, the highest in bold.

    Args:
        head: what is above the accuracies.
        rows: None where there is no probe.
        said: what else is said of each accuracy, first.
        known: a note that is said elsewhere.
        others: measures beside the accuracy, and what they are called.
        among: probes of which the best is bold.
    """
    first = compared(rows, "accuracy", "%", among=among)
    for place, row in enumerate(rows):
        if row is not None:
            note = row.get("note", "")
            small = lines(said[place], first[place].small, "" if note == known else note)
            first[place] = replace(first[place], small=small)
    columns, start = {head: first}, _short(head).split(",")[0]
    for key, name in others.items():
        values, pool = ([row and row.get(key) for row in part] for part in (rows, among))
        columns[f"{start}, {name}"] = compared(values, among=pool)
    return columns


def _task(row: Row) -> str:
    """Return the task; data with labels of its own is the task ""."""
    return str(row.get("task", ""))


def _of_encoder(features: str) -> bool:
    """Say whether features are of the trained encoder; all others are baselines."""
    return features.startswith("encoder")


def _more(rows: Sequence[Row]) -> dict[str, str]:
    """Return the measures that rows have beside their accuracy, and what they are called."""
    return {key: name for key, name in MORE.items() if any(key in row for row in rows)}


def _columns(probes: Sequence[Row]) -> dict[str, list[Row]]:
    """Return probes by the protocol they stand under: those of trained features, if any.

    A baseline without features, such as a bag of words, has a protocol of its own, and stands in
    the first.
    """
    trained = [probe for probe in probes if _of_encoder(probe["features"])]
    names = [str(probe["protocol"]) for probe in trained or probes]
    found = grouped(probes, lambda row: row["protocol"] if row["protocol"] in names else names[0])
    return {name: found[name] for name in dict.fromkeys(names)}


def _shared_note(probes: Sequence[Row]) -> str:
    """Return the note of all probes, but for baselines without features: it is shown once."""
    names = _columns(probes)
    notes = {str(probe.get("note", "")) for probe in probes if probe["protocol"] in names}
    return notes.pop() if len(notes) == 1 else ""


def _short(protocol: str) -> str:
    """Return a protocol's name without its details.

    >>> _short("knn (k=20)")
    'knn'
    """
    return protocol.split(" (")[0]


def finetuning(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the section, if models were fine-tuned: a row for each model, or for each run."""
    every = [row for run in runs for row in run.rows("finetuning")]
    if not every:
        return []
    tables = []
    for task, rows in grouped(every, _task).items():
        if len(runs) == 1:
            tables.append(_models(task, rows))
            continue
        columns: dict[str, list[Cell]] = {}
        for model, mine in grouped(rows, lambda row: row["model"]).items():
            of_runs = {row["run"]: row for row in mine}
            found = _tuned([of_runs.get(run.name) for run in runs], rows, max)
            columns |= {f"{model}, {name}": cells for name, cells in found.items()}
        caption = " or ".join(dict.fromkeys(map(_settings, rows)))
        tables.append(table(caption, "run", [run.name for run in runs], columns, title=task))
    samples, seeds = runs[0].words.probes.samples, sorted({len(row["seeds"]) for row in every})
    each = "one seed" if seeds == [1] else f"{' or '.join(map(str, seeds))} seeds"
    text = f"The whole model is trained on with a linear classifier, for {each}."
    if seeds != [1]:
        text += (
            f" Means over seeds with 95 % intervals (Student's t), which cover the order of the "
            f"{samples} and the classifier's first weights, not the choice of test {samples}."
        )
    return [Section("finetuning", "Fine-tuning", text, tables=tables)]


def _models(task: str, rows: Sequence[Row]) -> Table:
    """Return a row for each model of a run, and one for what knows the frequencies only."""
    names = [
        Cell(row["model"], lines("baseline" * (row["model"] != "encoder"), row.get("note", "")))
        for row in rows
    ]
    seeds = [", ".join(f"{100 * each['accuracy']:.1f}" for each in row["seeds"]) for row in rows]
    chance = {"accuracy": written(rows[0]["majority"], "%")}
    chance |= {MORE["mcc"]: "0", MORE["auroc"]: "0.5"}
    found = _tuned(rows, rows, None) | {"accuracy of each seed": list(map(Cell, seeds))}
    columns = {name: [*cells, chance.get(name, "")] for name, cells in found.items()}
    names.append(Cell("most frequent class"))
    return table(_settings(rows[0]), "model", names, columns, title=task)


def _tuned(
    rows: Sequence[Row | None], among: Sequence[Row], best: Callable[..., float] | None
) -> dict[str, list[Cell]]:
    """Return columns with all measures; the best accuracy among rows may be bold."""
    tops = [row["accuracy"] for row in among]
    first = [row and row["accuracy"] for row in rows]
    return {"accuracy": compared(first, "mean", "%", best, tops)} | {
        name: compared([row and row[key] for row in rows], "mean", best=None)
        for key, name in _more(among).items()
    }


def _settings(row: Row) -> str:
    protocol = f"{row['protocol']}; " if "protocol" in row else ""
    return (
        f"{protocol}{number(row['num_train'])} train, {number(row['num_test'])} test;"
        f" epochs: {row['epochs']}, batches of {row['batch_size']}, learning rate {row['lr']:g}"
    )
