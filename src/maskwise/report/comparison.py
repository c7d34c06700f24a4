"""The sections of a page that compares several runs."""

from collections.abc import Sequence

import numpy as np

from maskwise.report import figures, likelihood, tables
from maskwise.report.blocks import Cell, Figure, Section, Table, duration, number
from maskwise.report.folder import Run
from maskwise.report.single import num_steps, target_of


def names(runs: Sequence[Run]) -> list[str]:
    """Return a name for each run: its folder's, with the parent's where folders share a name.

    Two paths of the same two last parts are told apart by a count.
    """
    short = [run.name for run in runs]
    long = [
        f"{run.path.resolve().parent.name}/{run.name}" if short.count(run.name) > 1 else run.name
        for run in runs
    ]
    return [
        f"{name} ({long[:index].count(name) + 1})" if long.count(name) > 1 else name
        for index, name in enumerate(long)
    ]


def summary(runs: Sequence[Run]) -> str:
    """Return one line on what is compared."""
    laws = dict.fromkeys(str(run.config["law"]) for run in runs)
    data = dict.fromkeys(run.data_name for run in runs)
    return f"{len(runs)} runs on {', '.join(data)}: {'; '.join(laws)}."


def sections(runs: Sequence[Run]) -> list[Section]:
    """Return the page's sections in order."""
    labels = names(runs)
    return [
        Section("runs", "Runs", tables=(_runs_table(labels, runs),)),
        _loss(labels, runs),
        _errors(labels, runs),
        *likelihood.comparison(labels, runs),
        _probes(labels, runs),
        _differences(labels, runs),
    ]


def _runs_table(labels: Sequence[str], runs: Sequence[Run]) -> Table:
    rows = []
    for index, (label, run) in enumerate(zip(labels, runs, strict=True)):
        train = run.result.get("train", {})
        law = Cell(str(run.config["law"]), f"one per {run.config['train'].get('scope', 'step')}")
        seconds = train.get("seconds")
        rows.append(
            (
                Cell(label, color=figures.CSS_NAMES[figures.run_style(index)["color"]]),
                law,
                Cell(run.data_name),
                Cell(number(num_steps(run))),
                Cell(number(train.get("encoder_tokens"))),
                Cell("none" if seconds is None else duration(seconds)),
                Cell(number(train.get("final_loss"))),
            )
        )
    head = ("run", "law", "data", "steps", "encoder tokens", "training time", "final loss")
    return Table("What is compared; the colours are those of the figures", head, tuple(rows))


def _loss(labels: Sequence[str], runs: Sequence[Run]) -> Section:
    logged = [(label, run) for label, run in zip(labels, runs, strict=True) if num_steps(run)]
    if not logged or any("loss" not in run.metrics for _, run in logged):
        return Section("loss", "Loss", missing="metrics.jsonl holds no step yet.")
    tokens = [encoder_tokens(run) for _, run in logged]
    if all(count is not None for count in tokens):
        x, xlabel = [count for count in tokens if count is not None], "encoder tokens"
    else:
        x, xlabel = [run.metrics["step"] for _, run in logged], "step"
    curves = [(label, at, run.metrics["loss"]) for (label, run), at in zip(logged, x, strict=True)]
    body = figures.loss_curves(f"Loss of {len(curves)} runs by {xlabel}", curves, xlabel)
    caption = (
        f"Running means by {xlabel}. Losses under different laws measure different tasks: a lower "
        "curve need not be a better model. Compare the errors below, which use equal masks."
    )
    return Section("loss", "Loss", figures=(Figure(body, caption),))


def encoder_tokens(run: Run) -> np.ndarray | None:
    """Return the tokens the encoder has seen by each logged step, or None when not recorded.

    A step's share of the recorded total is in proportion to its visible fraction.
    """
    total = run.result.get("train", {}).get("encoder_tokens")
    if not total or "ratio" not in run.metrics:
        return None
    visible = 1 - np.nan_to_num(run.metrics["ratio"])
    seen = np.cumsum(visible * np.diff(run.metrics["step"], prepend=0.0))
    return seen / seen[-1] * float(total)


def _errors(labels: Sequence[str], runs: Sequence[Run]) -> Section:
    title = "Reconstruction error by ratio"
    found = [
        (label, run.result["reconstruction"])
        for label, run in zip(labels, runs, strict=True)
        if run.result.get("reconstruction")
    ]
    missing, commands = _not_evaluated(runs, "reconstruction")
    if not found:
        return Section("errors", title, "", missing, commands)
    targets = " and ".join(dict.fromkeys(target_of(run) for run in runs))
    curves = [(label, values["curve"]) for label, values in found]
    body = figures.svg(
        f"Reconstruction error by hidden ratio of {len(found)} runs",
        figures.by_ratio(curves, "error", f"error ({targets} target)"),
        size=figures.WIDE,
    )
    caption = (
        "Mean squared error at hidden positions of test images, at fixed masks; bands are 95 % "
        "intervals. Read where the curves cross."
    )
    kinds = {(run.data_name, target_of(run)) for run in runs}
    if len(kinds) > 1:
        caption += " The runs differ in data or target: these errors cannot be compared."
    return Section("errors", title, "", missing, commands, figures=(Figure(body, caption),))


def _probes(labels: Sequence[str], runs: Sequence[Run]) -> Section:
    every = [probe for run in runs for probe in run.result.get("probes", ())]
    missing, commands = _not_evaluated(runs, "probes")
    if not every:
        missing = missing or "No probes: the data has no labels, or only one class."
        return Section("probes", "Probes", "", missing, commands)
    protocols = tables.protocols(every)
    rows = []
    for label, run in zip(labels, runs, strict=True):
        row = [Cell(label)]
        for protocol in protocols:
            mine = [p for p in run.result.get("probes", ()) if p["protocol"] == protocol]
            trained, baseline = (tables.best(mine, trained=flag) for flag in (True, False))
            top = max(p["accuracy"] for p in every if p["protocol"] == protocol)
            for probe in (trained, baseline):
                won = probe is not None and probe["accuracy"] == top
                row.append(
                    tables.accuracy(probe, best=won, name=str(probe["features"]) if probe else "")
                )
        rows.append(tuple(row))
    head = ["run"]
    for protocol in protocols:
        head += [protocol, f"best baseline, {tables.short(protocol)}"]
    caption = "Test accuracy with its features and 95 % interval; best of each protocol in bold"
    text = (
        "The best features of the encoder, beside the best baseline. Overlapping intervals, or "
        "one seed for each law, settle nothing."
    )
    table = Table(caption, tuple(head), tuple(rows))
    return Section("probes", "Probes", text, missing, commands, tables=(table,))


def _not_evaluated(runs: Sequence[Run], key: str) -> tuple[str, tuple[str, ...]]:
    commands = tuple(run.evaluate_command for run in runs if key not in run.result)
    return ("Some runs are not evaluated yet. To evaluate them:" if commands else ""), commands


def _differences(labels: Sequence[str], runs: Sequence[Run]) -> Section:
    table = tables.difference_table(labels, [run.config for run in runs])
    title = "Configuration differences"
    if table is None:
        return Section("configuration", title, "The configurations are equal.")
    return Section("configuration", title, tables=(table,))
