"""Write the page of one run, or of several compared: read the folders, ask each part."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from maskwise.errors import UserError
from maskwise.files import atomic
from maskwise.report import (
    curves,
    figures,
    folder,
    imputation,
    law,
    likelihood,
    own,
    probes,
    representation,
    samples,
    tasks,
    training,
)
from maskwise.report.blocks import Cell, Fact, Section, Table, duration, number, render, unmade
from maskwise.report.folder import Row, RunFolder
from maskwise.settings import flatten


def write(runs: Sequence[Path], out: Path | None = None) -> Path:
    """Write the report of one run, or of several compared, as one self-contained HTML file.

    Args:
        runs: run folders.
        out: the file to write; by default report.html in the only run's folder, or
            comparison.html beside the first of several.

    Returns:
        The file written.

    Raises:
        UserError: a folder is not a run folder or is damaged, runs on different kinds of data, or
            the file cannot be written.
    """
    if not runs:
        raise UserError("no run folder given; name at least one, as in: maskwise report runs/NAME")
    found = named([folder.read(Path(run)) for run in runs])
    if len(kinds := {run.modality for run in found}) > 1:
        raise UserError(f"runs on {' and '.join(sorted(kinds))} cannot be compared: choose one")
    title, target = found[0].name, found[0].path / "report.html"
    if len(found) > 1:
        title, target = "Comparison", found[0].path.parent / "comparison.html"
    page = render(title, summary(found), [each for part in PARTS for each in part(found)])
    with atomic(Path(out or target)) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(out or target)


def named(runs: Sequence[RunFolder]) -> list[RunFolder]:
    """Return the runs with names that differ: with the parent's where folders share a name.

    Two paths of the same two last parts are told apart by a count.
    """
    short = [run.name for run in runs]
    long = [
        f"{run.path.resolve().parent.name}/{run.name}" if short.count(run.name) > 1 else run.name
        for run in runs
    ]
    names = [
        f"{name} ({long[:index].count(name) + 1})" if long.count(name) > 1 else name
        for index, name in enumerate(long)
    ]
    return [replace(run, name=name) for run, name in zip(runs, names, strict=True)]


def summary(runs: Sequence[RunFolder]) -> str:
    """Return the one line that says what was run and what came of it, or what is compared."""
    run = runs[0]
    if len(runs) > 1:
        laws = dict.fromkeys(str(run.config["law"]) for run in runs)
        data = dict.fromkeys(run.data_name for run in runs)
        return f"{len(runs)} runs on {', '.join(data)}: {'; '.join(laws)}."
    text = f"{run.config['law']} on {run.data_name}, {number(run.num_steps)} steps."
    return text + "".join(part.top(run)[0] for part in (curves, imputation, probes))


def _overview(runs: Sequence[RunFolder]) -> list[Section]:
    if len(runs) > 1:
        return [Section("runs", "Runs", tables=(_runs_table(runs),))]
    [run] = runs
    facts = [fact for part in (curves, imputation, probes) for fact in part.top(run)[1]]
    facts += tasks.pair_facts(run)
    loss = run.metrics.get("loss", np.zeros(0))
    if len(loss):
        tail = loss[-max(1, len(loss) // 20) :]
        facts.append(
            Fact("loss at the end", f"{np.mean(tail):.4g}", "mean of the last 5 % of steps")
        )
    mean = number(float(run.law.mean(0.0)))
    note = f"law: {mean} at the start" if law.moves(run.law) else f"law: {mean}"
    ratio = run.metrics.get("ratio", np.zeros(0))
    if len(ratio):
        facts.append(Fact("mean hidden ratio", f"{np.nanmean(ratio):.3f}", note))
    train = run.result.get("train", {})
    if "seconds" in train:
        facts.append(Fact("training time", duration(train["seconds"])))
    counted = {"parameters": "num_parameters"} | dict(
        zip(run.words.counted, ("num_samples", "encoder_tokens", "predicted"), strict=False)
    )
    facts += [Fact(name, number(train[key])) for name, key in counted.items() if key in train]
    section = Section("numbers", "Headline numbers", facts=tuple(facts))
    return [unmade(section, runs, "result.json", lambda run: run.result)]


def _runs_table(runs: Sequence[RunFolder]) -> Table:
    counted = dict(zip(runs[0].words.counted[1:], ("encoder_tokens", "predicted"), strict=False))
    rows = []
    for index, run in enumerate(runs):
        train = run.result.get("train", {})
        scope = f"one per {run.config['train'].get('scope', 'step')}"
        seconds = train.get("seconds")
        rows.append(
            (
                Cell(run.name, color=figures.CSS_NAMES[figures.run_style(index)["color"]]),
                Cell(str(run.config["law"]), scope),
                Cell(run.data_name),
                Cell(number(run.num_steps)),
                *(Cell(number(train.get(key))) for key in counted.values()),
                Cell("none" if seconds is None else duration(seconds)),
                Cell(number(train.get("final_loss"))),
            )
        )
    head = ("run", "law", "data", "steps", *counted, "training time", "final loss")
    return Table("What is compared; the colours are those of the figures", head, tuple(rows))


def _more(runs: Sequence[RunFolder]) -> list[Section]:
    """Return how to measure more than can be without labels, if nothing was."""
    run, measured = runs[0], ("probes", "minimal_pairs", "finetuning")
    done = any(run.result.get(key) for key in measured)
    if len(runs) > 1 or not run.words.more or not run.result or done:
        return []
    command = run.command("evaluate") + run.words.more_options
    return [Section("more", "More measures", missing=run.words.more, commands=(command,))]


def _settings(runs: Sequence[RunFolder]) -> list[Section]:
    if len(runs) > 1:
        title = "Configuration differences"
        table = _differences([run.name for run in runs], [run.config for run in runs])
        if table is None:
            return [Section("configuration", title, "The configurations are equal.")]
        return [Section("configuration", title, tables=(table,))]
    [run] = runs
    loose = {key: value for key, value in run.config.items() if not isinstance(value, Mapping)}
    groups = {
        key: value for key, value in run.config.items() if isinstance(value, Mapping) and value
    }
    return [
        Section(
            "configuration",
            "Configuration",
            "Resolved and complete: config.json in the run folder.",
            tables=tuple(_values(name, each) for name, each in ({"run": loose} | groups).items()),
            compact=True,
        ),
        Section(
            "environment",
            "Environment",
            "Where and how the run was made: env.json in the run folder.",
            tables=(_values("Software, hardware and command", run.env),),
        ),
    ]


def _values(caption: str, values: Row) -> Table:
    """Return a two-column table of plain nested values."""
    rows = tuple((Cell(key), Cell(_plain(value))) for key, value in flatten(values).items())
    return Table(caption, ("key", "value"), rows)


def _differences(names: Sequence[str], configs: Sequence[Row]) -> Table | None:
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


def _plain(value: object) -> str:
    """Write a setting as one would give it, without thousands separators."""
    if isinstance(value, bool) or value is None or isinstance(value, (list, tuple)):
        return number(value)
    return str(value)


# Each gives the sections of a list of runs, one or several, in the order of the page.
PARTS = (
    *(_overview, training.sections, samples.sections, curves.sections, likelihood.sections),
    *(imputation.sections, probes.sections, representation.sections, tasks.clusters),
    *(tasks.pairs, tasks.finetuning, own.sections, _more, law.sections, _settings),
)
