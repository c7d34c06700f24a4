"""Tables of a page: probes, error by ratio, configuration, environment."""

from collections.abc import Mapping, Sequence
from typing import Any

from maskwise.report.blocks import Cell, Table, number, percent
from maskwise.settings import flatten

Probe = Mapping[str, Any]


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
    """Return the most accurate probe of the trained encoder or of the baselines."""
    kind = [probe for probe in probes if is_trained(probe) is trained]
    return max(kind, key=lambda probe: probe["accuracy"], default=None)


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
    known = shared_note(probes, names)
    rows = []
    for features in dict.fromkeys(str(probe["features"]) for probe in probes):
        row = [Cell(features, "" if is_trained({"features": features}) else "baseline")]
        for name, column in columns.items():
            probe = column.get(features)
            top = max(probe["accuracy"] for probe in column.values())
            own = "" if probe is None or probe["protocol"] == name else str(probe["protocol"])
            won = probe is not None and probe["accuracy"] == top
            row.append(accuracy(probe, best=won, name=own, known=known))
        rows.append(tuple(row))
    sizes = {(probe.get("num_train"), probe.get("num_test")) for probe in probes}
    size = "; ".join(
        [f"{number(train)} train, {number(test)} test" for train, test in sorted(sizes)]
        + [known] * bool(known)
    )
    caption = f"Test accuracy with 95 % interval ({size}); best of each protocol in bold"
    return Table(caption, ("features", *names), tuple(rows), title=title)


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
