"""Reports: one self-contained HTML page from one run folder, or one that compares several."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from maskwise.encodings import whole
from maskwise.errors import UserError
from maskwise.files import atomic
from maskwise.progress import track
from maskwise.report import (
    asking,
    blocks,
    curves,
    folder,
    partial,
    probes,
    representation,
    samples,
    training,
)
from maskwise.report.blocks import Cell, Fact, Section, Table, number, say, table
from maskwise.report.figures import CSS_NAMES, run_style
from maskwise.report.folder import Row, RunFolder
from maskwise.settings import flatten

__all__ = ["write"]
HEADLINES = (
    curves.loss_fact,
    curves.imputation_fact,
    probes.probe_fact,
    partial.partial_fact,
)


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
    if len(kinds := {str(run.config.get("modality", "data")) for run in found}) > 1:
        raise UserError(f"runs on {' and '.join(sorted(kinds))} cannot be compared: choose one")
    title, target = found[0].name, found[0].path / "report.html"
    if len(found) > 1:
        title, target = "Comparison", found[0].path.parent / "comparison.html"
    sections = [section for part in track(PARTS, "report") for section in part(found)]
    page = blocks.render(title, summary(found), sections)
    with atomic(Path(out or target)) as temporary:
        temporary.write_text(whole(page), encoding="utf-8")
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
    return text + "".join(said(run)[0] for said in HEADLINES)


def _overview(runs: Sequence[RunFolder]) -> list[Section]:
    if len(runs) > 1:
        return [_runs(runs)]
    [run] = runs
    facts = [fact for said in HEADLINES for fact in said(run)[1]] + probes.pair_facts(run)
    loss = run.metrics.get("loss", np.zeros(0))
    if len(loss):
        mean = np.mean(loss[-max(1, len(loss) // 20) :])
        facts.append(Fact("loss at the end", f"{mean:.4g}", "mean of the last 5 % of steps"))
    note = f"law: {number(float(run.law.mean(0.0)))}"
    note += " at the start" if training.moves(run.law) else ""
    ratio = run.metrics.get("ratio", np.zeros(0))
    if len(ratio):
        facts.append(Fact("mean hidden ratio", f"{np.nanmean(ratio):.3f}", note))
    train = run.result.get("train", {})
    if "seconds" in train:
        facts.append(Fact("training time", blocks.duration(train["seconds"])))
    counted = {"parameters": "num_parameters"} | dict(
        zip(run.words.counted, ("num_samples", "encoder_tokens", "predicted"), strict=False)
    )
    facts += [Fact(name, number(train[key])) for name, key in counted.items() if key in train]
    lacking = blocks.unmade(runs, "result.json", lambda run: run.result)
    return [Section("numbers", "Headline numbers", facts=facts, **lacking)]


def _runs(runs: Sequence[RunFolder]) -> Section:
    trains = [run.result.get("train", {}) for run in runs]
    names = [
        Cell(run.name, color=CSS_NAMES[run_style(index)["color"]])
        for index, run in enumerate(runs)
    ]
    scopes = [f"one per {run.config['train'].get('scope', 'step')}" for run in runs]
    columns: dict[str, list[object]] = {
        "law": [Cell(str(run.config["law"]), of) for run, of in zip(runs, scopes, strict=True)],
        "data": [run.data_name for run in runs],
        "steps": [run.num_steps for run in runs],
    }
    for name, key in zip(runs[0].words.counted[1:], ("encoder_tokens", "predicted"), strict=False):
        columns[name] = [train.get(key) for train in trains]
    columns["training time"] = [blocks.duration(train.get("seconds")) for train in trains]
    columns["final loss"] = [train.get("final_loss") for train in trains]
    caption = "What is compared; the colours are those of the figures"
    return Section("runs", "Runs", tables=(table(caption, "run", names, columns),))


def _more(runs: Sequence[RunFolder]) -> list[Section]:
    """Return how to measure more than can be without labels, if nothing was."""
    run, measured = runs[0], ("probes", "minimal_pairs", "finetuning")
    done = any(run.result.get(key) for key in measured)
    if len(runs) > 1 or not run.words.more or not run.result or done:
        return []
    command = run.command("evaluate") + run.words.more_options
    return [Section("more", "More measures", missing=run.words.more, commands=(command,))]


def _settings(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the settings and the environment of one run, or which settings of several differ."""
    if len(runs) > 1:
        return [_differences(runs)]
    [run] = runs
    groups = {key: each for key, each in run.config.items() if isinstance(each, Mapping)}
    of_run = {key: each for key, each in run.config.items() if key not in groups}
    tables = _values({"run": of_run} | {key: each for key, each in groups.items() if each})
    env = _values({"Software, hardware and command": run.env})
    config = say("page", "configuration")
    return [
        Section("configuration", "Configuration", config, tables=tables, compact=True),
        Section("environment", "Environment", say("page", "environment"), tables=env),
    ]


def _values(groups: Mapping[str, Row]) -> list[Table]:
    """Return tables of keys and plain values, however deep."""
    return [
        table(name, "key", values, {"value": map(_plain, values.values())})
        for name, values in zip(groups, map(flatten, groups.values()), strict=True)
    ]


def _differences(runs: Sequence[RunFolder]) -> Section:
    """Return the settings whose values differ, a column for each run."""
    flat = {run.name: flatten(run.config) for run in runs}
    first = next(iter(flat.values()))
    keys = [
        key
        for key in dict.fromkeys(chain(*flat.values()))
        if any(each.get(key, ...) != first.get(key, ...) for each in flat.values())
    ]
    columns = {
        name: [_plain(each[key]) if key in each else "absent" for key in keys]
        for name, each in flat.items()
    }
    caption = "Configuration keys that differ; all others are equal"
    tables = [table(caption, "key", keys, columns)] if keys else []
    text = "" if keys else "The configurations are equal."
    return Section("configuration", "Configuration differences", text, tables=tables)


def _plain(value: object) -> str:
    """Write a setting as one would give it, without thousands separators."""
    return number(value) if isinstance(value, (bool, list, tuple, type(None))) else str(value)


# Each gives the sections of a list of runs, one or several, in the order of the page.
PARTS = (
    *(_overview, training.sections, samples.sections, curves.losses, curves.likelihood),
    *(curves.imputation, asking.sections, probes.sections, partial.sections),
    *(representation.sections, representation.clusters),
    *(probes.pairs, probes.finetuning, blocks.own_sections, _more, training.law, _settings),
)
