"""What probes found: all features of one run, or the best of several beside each other."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from maskwise.report.blocks import (
    Cell,
    Fact,
    Section,
    Table,
    grouped,
    highest,
    number,
    scored,
    unmade,
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
        return [replace(empty, text=text, tables=tuple(tables))]
    text = (
        "The best features of the encoder, beside the best baseline. Overlapping intervals, or "
        "one seed for each law, settle nothing."
    )
    if any(tasks):
        text += f" The best layer is chosen on the test {words.samples}, for every run alike."
    tables = [table for task in tasks for table in _compared(runs, task)]
    return [replace(empty, text=text, tables=tuple(tables))]


def top(run: RunFolder) -> tuple[str, list[Fact]]:
    """Return what was read from the best features beside the best baseline, if they were probed.

    By macro-F1 where rows have it, else accuracy.

    Returns:
        A sentence, and a number for the top of the page.
    """
    trained, baseline = headline(probes_of(run))
    if trained is None:
        return "", []
    by_f1, task = "macro_f1" in trained, trained.get("task")
    value, of_baseline = (
        scored(probe["macro_f1"], "value").text
        if probe and by_f1
        else scored(probe, "accuracy", share=True).text
        for probe in (trained, baseline)
    )
    kind = "macro-F1 " * by_f1
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
    found = run.result.get("probes") or ()
    return [{key: row[key] for key in row if key not in hidden} for row in found]


def headline(probes: Sequence[Row]) -> tuple[Row | None, Row | None]:
    """Return the best trained probe and baseline of the first task and protocol listed."""
    if not probes:
        return None, None
    first = next(iter(grouped(probes, _task).values()))
    names = _protocols(first)
    same = _under(first, names[0], names)
    return best(same, trained=True), best(same, trained=False)


def best(probes: Sequence[Row], *, trained: bool) -> Row | None:
    """Return the best probe of the trained encoder or of the baselines.

    By what `ranked_by` says.
    """
    kind = [probe for probe in probes if _is_trained(probe) is trained]
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
    """One row for each kind of features, one column for each protocol, the best of each bold."""
    names = _protocols(probes)
    columns = {name: {_features(p): p for p in _under(probes, name, names)} for name in names}
    known, others = _shared_note(probes, names), _more(probes)
    rows = []
    for features in dict.fromkeys(map(_features, probes)):
        row = [Cell(features, "" if _is_trained({"features": features}) else "baseline")]
        for name, column in columns.items():
            probe = column.get(features)
            own = "" if probe is None or probe["protocol"] == name else str(probe["protocol"])
            row += _measures(probe, column.values(), others, own, known)
        rows.append(tuple(row))
    sizes = {(probe.get("num_train"), probe.get("num_test")) for probe in probes}
    size = "; ".join(
        [f"{number(train)} train, {number(test)} test" for train, test in sorted(sizes)]
        + [known] * bool(known)
    )
    caption = f"{_named(others)} with 95 % interval ({size}); best of each protocol in bold"
    return Table(caption, ("features", *_head(names, others)), tuple(rows), title=task)


def _compared(runs: Sequence[RunFolder], task: str) -> list[Table]:
    """Return a table for all protocols; one for each where rows have more than accuracies."""
    of_runs = {run.name: [p for p in probes_of(run) if _task(p) == task] for run in runs}
    every = [probe for probes in of_runs.values() for probe in probes]
    names = _protocols(every)
    if not _more(every):
        return [_by_run(of_runs, names, task)]
    return [
        _by_run({run: _under(of_runs[run], name, names) for run in of_runs}, (name,), task)
        for name in names
    ]


def _by_run(of_runs: dict[str, list[Row]], names: Sequence[str], task: str) -> Table:
    """One row for each run, its best probe and baseline under each protocol."""
    every = [probe for probes in of_runs.values() for probe in probes]
    others, known = _more(every), _shared_note(every, names)
    rows = []
    for run, probes in of_runs.items():
        row = [Cell(run)]
        for name in names:
            mine, column = _under(probes, name, names), _under(every, name, names)
            for trained in (True, False):
                probe = best(mine, trained=trained)
                row += _measures(probe, column, others, _features(probe) if probe else "", known)
        rows.append(tuple(row))
    columns = [what for name in names for what in (name, f"best baseline, {_short(name)}")]
    caption = (
        f"{_named(others)} with its features and 95 % interval; best of each protocol in bold"
    )
    if others:
        caption += f"; features are those of the best {MORE[ranked_by(every[0])]}"
    if known:
        caption += f"; {known}"
    return Table(caption, ("run", *_head(columns, others)), tuple(rows), title=task)


def _named(others: dict[str, str]) -> str:
    return ", ".join(["Test accuracy", *others.values()])


def _head(columns: Iterable[str], others: dict[str, str]) -> Iterator[str]:
    for column in columns:
        yield column
        yield from (f"{_short(column).split(',')[0]}, {other}" for other in others.values())


def _measures(
    probe: Row | None, column: Iterable[Row], others: Iterable[str], name: str, known: str
) -> list[Cell]:
    """Return cells with all measures of a probe over their intervals, the highest in bold.

    Args:
        probe: None if there is none.
        column: probes among which the best is bold.
        others: measures beside the accuracy.
        name: what else is said of the accuracy.
        known: a note that is said elsewhere.
    """
    probes = list(column)
    first = scored(probe, "accuracy", _top(probes, "accuracy"), share=True, name=name)
    if probe and (note := probe.get("note", "")) != known:
        first = replace(first, small="\n".join(filter(None, (first.small, note))))
    found = probe or {}
    return [first, *(scored(found.get(key), "value", _top(probes, key)) for key in others)]


def _top(probes: Iterable[Row], key: str) -> float | None:
    return highest(value_of(probe, key) for probe in probes)


def _features(probe: Row) -> str:
    return str(probe["features"])


def _task(probe: Row) -> str:
    """Return the task; data with labels of its own is the task ""."""
    return str(probe.get("task", ""))


def _is_trained(probe: Row) -> bool:
    """Say whether a probe reads the trained encoder; every other one is a baseline."""
    return _features(probe).startswith("encoder")


def _more(probes: Sequence[Row]) -> dict[str, str]:
    """Return the measures that rows have beside their accuracy, and what they are called."""
    return {key: name for key, name in MORE.items() if any(key in probe for probe in probes)}


def _protocols(probes: Sequence[Row]) -> tuple[str, ...]:
    """Return the protocol names in their order of appearance: those of trained features, if any.

    A baseline without features, such as a bag of words, has a protocol of its own.
    """
    trained = [probe for probe in probes if _is_trained(probe)]
    return tuple(dict.fromkeys(str(probe["protocol"]) for probe in trained or probes))


def _under(probes: Sequence[Row], protocol: str, names: Sequence[str]) -> list[Row]:
    """Return the probes of a column; those whose protocol has none stand in the first."""
    return [
        probe
        for probe in probes
        if (probe["protocol"] if probe["protocol"] in names else names[0]) == protocol
    ]


def _shared_note(probes: Sequence[Row], names: Sequence[str]) -> str:
    """Return the note that all probes under these protocols have: it is shown once."""
    notes = {str(probe.get("note", "")) for probe in probes if probe["protocol"] in names}
    return notes.pop() if len(notes) == 1 else ""


def _short(protocol: str) -> str:
    """Return a protocol's name without its details.

    >>> _short("knn (k=20)")
    'knn'
    """
    return protocol.split(" (")[0]
