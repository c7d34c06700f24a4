"""Tables of a page: probes, error by ratio, configuration, environment."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from maskwise.report.blocks import Cell, Table, number, percent
from maskwise.report.folder import Run
from maskwise.settings import flatten

Probe = Mapping[str, Any]
# Measures that rows may have beside their accuracy.
MORE = {"macro_f1": "macro-F1", "mcc": "Matthews correlation", "auroc": "AUROC"}
# Which of them are shown, by the kind of data: those that its literature reports.
SHOWN = {"cells": ("macro_f1",), "tables": ("macro_f1",)}


def probes_of(run: Run) -> list[Probe]:
    """Return the probes of a run, each with the measures that are shown of its kind of data."""
    hidden = set(MORE) - set(SHOWN.get(run.modality, ("mcc", "auroc")))
    found = run.result.get("probes", ())
    return [{key: row[key] for key in row if key not in hidden} for row in found]


def is_trained(probe: Probe) -> bool:
    """Say whether a probe reads the trained encoder; every other one is a baseline."""
    return str(probe["features"]).startswith("encoder")


def by_task(probes: Sequence[Probe]) -> dict[str, list[Probe]]:
    """Return the probes of each task, in order; data with labels of its own is the task ""."""
    found: dict[str, list[Probe]] = {}
    for probe in probes:
        found.setdefault(str(probe.get("task", "")), []).append(probe)
    return found


def headline(probes: Sequence[Probe]) -> tuple[Probe | None, Probe | None]:
    """Return the best trained probe and baseline of the first task and protocol listed."""
    if not probes:
        return None, None
    first = next(iter(by_task(probes).values()))
    names = protocols(first)
    same = under(first, names[0], names)
    return best(same, trained=True), best(same, trained=False)


def best(probes: Sequence[Probe], *, trained: bool) -> Probe | None:
    """Return the best probe of the trained encoder or of the baselines.

    By what `ranked_by` says.
    """
    kind = [probe for probe in probes if is_trained(probe) is trained]
    return max(kind, key=lambda probe: value_of(probe, ranked_by(probe)) or 0.0, default=None)


def ranked_by(probe: Probe) -> str:
    """Return the measure that decides which is best: macro-F1 or Matthews correlation, if any.

    >>> ranked_by({"accuracy": 0.9}), ranked_by({"accuracy": 0.9, "mcc": {"value": 0.8}})
    ('accuracy', 'mcc')
    """
    return next((key for key in ("macro_f1", "mcc") if key in probe), "accuracy")


def more(probes: Sequence[Probe]) -> dict[str, str]:
    """Return the measures that rows have beside their accuracy, and what they are called."""
    return {key: name for key, name in MORE.items() if any(key in probe for probe in probes)}


def value_of(probe: Probe | None, key: str) -> float | None:
    """Return a measure of a probe, if it has one."""
    if probe is None:
        return None
    return probe["accuracy"] if key == "accuracy" else probe.get(key, {}).get("value")


def top(probes: Iterable[Probe], key: str) -> float | None:
    """Return the highest value of a measure."""
    return max((v for probe in probes if (v := value_of(probe, key)) is not None), default=None)


def measured(probe: Probe | None, key: str, highest: float | None) -> Cell:
    """Return a cell with a measure over its interval, bold where it is the highest."""
    value = value_of(probe, key)
    if probe is None or value is None:
        return Cell("none")
    found = probe[key]
    return Cell(f"{value:.3f}", f"{found['low']:.3f} to {found['high']:.3f}", value == highest)


def accuracy(probe: Probe | None, *, best: bool = False, name: str = "", known: str = "") -> Cell:
    """Return a cell with an accuracy over its interval, and its note unless that is `known`."""
    if probe is None:
        return Cell("none")
    interval = f"{100 * probe['low']:.1f} to {100 * probe['high']:.1f}"
    note = probe.get("note", "")
    small = "\n".join(filter(None, (name, interval, "" if note == known else note)))
    return Cell(percent(probe["accuracy"]), small, best)


def protocols(probes: Sequence[Probe]) -> tuple[str, ...]:
    """Return the protocol names in their order of appearance: those of trained features, if any.

    A baseline without features, such as a bag of words, has a protocol of its own.
    """
    trained = [probe for probe in probes if is_trained(probe)]
    return tuple(dict.fromkeys(str(probe["protocol"]) for probe in trained or probes))


def under(probes: Sequence[Probe], protocol: str, names: Sequence[str]) -> list[Probe]:
    """Return the probes of a column; those whose protocol has none stand in the first."""
    return [
        probe
        for probe in probes
        if (probe["protocol"] if probe["protocol"] in names else names[0]) == protocol
    ]


def shared_note(probes: Sequence[Probe], names: Sequence[str]) -> str:
    """Return the note that all probes under these protocols have: it is shown once."""
    notes = {str(probe.get("note", "")) for probe in probes if probe["protocol"] in names}
    return notes.pop() if len(notes) == 1 else ""


def short(protocol: str) -> str:
    """Return a protocol's name without its details.

    >>> short("knn (k=20)")
    'knn'
    """
    return protocol.split(" (")[0]


def probe_table(probes: Sequence[Probe], title: str = "") -> Table:
    """One row for each kind of features, one column for each protocol, the best of each bold."""
    names = protocols(probes)
    columns = {
        name: {str(probe["features"]): probe for probe in under(probes, name, names)}
        for name in names
    }
    known, others = shared_note(probes, names), more(probes)
    rows = []
    for features in dict.fromkeys(str(probe["features"]) for probe in probes):
        row = [Cell(features, "" if is_trained({"features": features}) else "baseline")]
        for name, column in columns.items():
            probe = column.get(features)
            own = "" if probe is None or probe["protocol"] == name else str(probe["protocol"])
            won = probe is not None and probe["accuracy"] == top(column.values(), "accuracy")
            row.append(accuracy(probe, best=won, name=own, known=known))
            row += [measured(probe, key, top(column.values(), key)) for key in others]
        rows.append(tuple(row))
    sizes = {(probe.get("num_train"), probe.get("num_test")) for probe in probes}
    size = "; ".join(
        [f"{number(train)} train, {number(test)} test" for train, test in sorted(sizes)]
        + [known] * bool(known)
    )
    what = ", ".join(["Test accuracy", *others.values()])
    caption = f"{what} with 95 % interval ({size}); best of each protocol in bold"
    head = ["features"]
    for name in names:
        head += [name, *(f"{short(name)}, {other}" for other in others.values())]
    return Table(caption, tuple(head), tuple(rows), title=title)


def config_tables(config: Mapping[str, Any]) -> tuple[Table, ...]:
    """Return one table for each group of the configuration, loose values first."""
    loose = {key: value for key, value in config.items() if not isinstance(value, Mapping)}
    groups = {key: value for key, value in config.items() if isinstance(value, Mapping) and value}
    return tuple(values_table(name, group) for name, group in ({"run": loose} | groups).items())


def values_table(caption: str, values: Mapping[str, Any]) -> Table:
    """Return a two-column table of plain nested values."""
    rows = tuple((Cell(key), Cell(_plain(value))) for key, value in flatten(values).items())
    return Table(caption, ("key", "value"), rows)


def difference_table(names: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> Table | None:
    """Return the configuration keys whose values differ between runs, a column for each run."""
    flat = [flatten(config) for config in configs]
    keys = dict.fromkeys(key for values in flat for key in values)
    absent = "absent"
    rows = tuple(
        (Cell(key), *(Cell(_plain(values[key]) if key in values else absent) for values in flat))
        for key in keys
        if any(key not in values or values[key] != flat[0].get(key) for values in flat)
    )
    caption = "Configuration keys that differ; all others are equal"
    return Table(caption, ("key", *names), rows) if rows else None


def _plain(value: Any) -> str:
    """Write a setting as one would give it, without thousands separators."""
    if isinstance(value, bool) or value is None or isinstance(value, (list, tuple)):
        return number(value)
    return str(value)
