"""Tables of a page: probes, error by ratio, configuration, environment."""

from collections.abc import Mapping, Sequence
from typing import Any

from maskwise.report.blocks import Cell, Table, number, percent
from maskwise.settings import flatten

Probe = Mapping[str, Any]


def is_trained(probe: Probe) -> bool:
    """Say whether a probe reads the trained encoder; every other one is a baseline."""
    return str(probe["features"]).startswith("encoder")


def headline(probes: Sequence[Probe]) -> tuple[Probe | None, Probe | None]:
    """Return the best trained probe and the best baseline of the first protocol listed."""
    protocol = probes[0]["protocol"] if probes else None
    same = [probe for probe in probes if probe["protocol"] == protocol]
    return best(same, trained=True), best(same, trained=False)


def best(probes: Sequence[Probe], *, trained: bool) -> Probe | None:
    """Return the most accurate probe of the trained encoder or of the baselines."""
    kind = [probe for probe in probes if is_trained(probe) is trained]
    return max(kind, key=lambda probe: probe["accuracy"], default=None)


def accuracy(probe: Probe | None, *, best: bool = False, name: str = "") -> Cell:
    """Return a cell with an accuracy over its interval."""
    if probe is None:
        return Cell("none")
    interval = f"{100 * probe['low']:.1f} to {100 * probe['high']:.1f}"
    small = "\n".join(filter(None, (name, interval, probe.get("note"))))
    return Cell(percent(probe["accuracy"]), small, best)


def protocols(probes: Sequence[Probe]) -> tuple[str, ...]:
    """Return the protocol names in their order of appearance."""
    return tuple(dict.fromkeys(str(probe["protocol"]) for probe in probes))


def short(protocol: str) -> str:
    """Return a protocol's name without its details.

    >>> short("knn (k=20)")
    'knn'
    """
    return protocol.split(" (")[0]


def probe_table(probes: Sequence[Probe]) -> Table:
    """One row for each kind of features, one column for each protocol, the best of each bold."""
    names = protocols(probes)
    cells = {(str(probe["features"]), str(probe["protocol"])): probe for probe in probes}
    top = {
        name: max(probe["accuracy"] for probe in probes if probe["protocol"] == name)
        for name in names
    }
    rows = []
    for features in dict.fromkeys(str(probe["features"]) for probe in probes):
        row = [Cell(features, "" if is_trained({"features": features}) else "baseline")]
        for name in names:
            probe = cells.get((features, name))
            row.append(accuracy(probe, best=probe is not None and probe["accuracy"] == top[name]))
        rows.append(tuple(row))
    sizes = {(probe.get("num_train"), probe.get("num_test")) for probe in probes}
    size = "; ".join(
        f"{number(train)} train, {number(test)} test" for train, test in sorted(sizes)
    )
    return Table(
        f"Test accuracy with 95 % interval ({size}); best of each protocol in bold",
        ("features", *names),
        tuple(rows),
    )


def error_table(curve: Sequence[Mapping[str, float]], target: str) -> Table:
    """Return the numbers behind the error-by-ratio figure."""
    rows = tuple(
        (
            Cell(f"{point.get('realised', point['ratio']):.3f}"),
            Cell(f"{point['error']:.4g}", f"{point['low']:.4g} to {point['high']:.4g}"),
        )
        for point in curve
    )
    head = ("hidden ratio", "error")
    return Table(f"Error on the {target} target, with 95 % interval", head, rows, folded=True)


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
