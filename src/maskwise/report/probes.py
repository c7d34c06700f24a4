"""What probes found: a section of one run's page and of a comparison."""

from collections.abc import Sequence

from maskwise.report import tables
from maskwise.report.blocks import Cell, Section, Table, unmade
from maskwise.report.folder import Run, not_evaluated
from maskwise.report.tables import Probe

# Kinds of data that have no labels of their own, and what probes of them read.
SAMPLES = {"text": "texts", "dna": "sequences", "cells": "cells", "tables": "rows"}
UNLABELLED = "No probes: the data has no labels, or only one class."


def sections(run: Run) -> list[Section]:
    """Return the section of one run's page; texts have one if probes were asked for."""
    empty, found = Section("probes", "Probes"), tables.probes_of(run)
    if run.modality in SAMPLES and not found:
        return []
    if "probes" not in run.result:
        return [unmade(empty, "probes in result.json", run.evaluate_command)]
    if not found:
        return [Section("probes", "Probes", missing=UNLABELLED)]
    text = (
        "What a simple classifier reads from the frozen features, beside the same classifier on "
        "baselines. Compare within a column: protocols differ by more than methods do."
    )
    made = tuple(
        tables.probe_table(probes, task) for task, probes in tables.by_task(found).items()
    )
    return [Section("probes", "Probes", text, tables=made)]


def comparison(labels: Sequence[str], runs: Sequence[Run]) -> list[Section]:
    """Return the section of a comparison; texts have one if any run has probes."""
    every = [probe for run in runs for probe in tables.probes_of(run)]
    missing, commands = not_evaluated(runs, "probes")
    if not every:
        if runs[0].modality in SAMPLES:
            return []
        return [Section("probes", "Probes", "", missing or UNLABELLED, commands)]
    text = (
        "The best features of the encoder, beside the best baseline. Overlapping intervals, or "
        "one seed for each law, settle nothing."
    )
    if any(tables.by_task(every)):
        samples = SAMPLES.get(runs[0].modality, "samples")
        text += f" The best layer is chosen on the test {samples}, for every run alike."
    found = tuple(table for task in tables.by_task(every) for table in _tables(labels, runs, task))
    return [Section("probes", "Probes", text, missing, commands, tables=found)]


def _tables(labels: Sequence[str], runs: Sequence[Run], task: str) -> list[Table]:
    """Return a table for all protocols; one for each where rows have more than accuracies."""
    of_runs = [tables.by_task(tables.probes_of(run)).get(task, []) for run in runs]
    every = [probe for probes in of_runs for probe in probes]
    protocols = tables.protocols(every)
    if not tables.more(every):
        return [_table(labels, of_runs, protocols, task)]
    return [
        _table(
            labels,
            [tables.under(probes, protocol, protocols) for probes in of_runs],
            (protocol,),
            task,
        )
        for protocol in protocols
    ]


def _table(
    labels: Sequence[str],
    of_runs: Sequence[Sequence[Probe]],
    protocols: Sequence[str],
    task: str,
) -> Table:
    """One row for each run, its best probe and baseline under each protocol."""
    every = [probe for probes in of_runs for probe in probes]
    others, known = tables.more(every), tables.shared_note(every, protocols)
    rows = []
    for label, probes in zip(labels, of_runs, strict=True):
        row = [Cell(label)]
        for protocol in protocols:
            mine = tables.under(probes, protocol, protocols)
            column = tables.under(every, protocol, protocols)
            for trained in (True, False):
                probe = tables.best(mine, trained=trained)
                won = probe is not None and probe["accuracy"] == tables.top(column, "accuracy")
                row.append(tables.accuracy(probe, best=won, name=_name(probe), known=known))
                row += [tables.measured(probe, key, tables.top(column, key)) for key in others]
        rows.append(tuple(row))
    head = ["run"]
    for protocol in protocols:
        for what in (protocol, f"best baseline, {tables.short(protocol)}"):
            kind = tables.short(what).split(",")[0]
            head += [what, *(f"{kind}, {other}" for other in others.values())]
    what = ", ".join(["Test accuracy", *others.values()])
    caption = f"{what} with its features and 95 % interval; best of each protocol in bold"
    if others:
        caption += f"; features are those of the best {tables.MORE[tables.ranked_by(every[0])]}"
    if known:
        caption += f"; {known}"
    return Table(caption, tuple(head), tuple(rows), title=task)


def _name(probe: Probe | None) -> str:
    return str(probe["features"]) if probe else ""
