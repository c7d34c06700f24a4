"""The sections of a page that compares several runs."""

from collections.abc import Sequence

from maskwise.errors import UserError
from maskwise.report import (
    clusters,
    curves,
    figures,
    finetuning,
    imputation,
    likelihood,
    minimal_pairs,
    probes,
    representation,
    tables,
)
from maskwise.report.blocks import Cell, Figure, Section, Table, duration, number
from maskwise.report.folder import Run
from maskwise.report.single import COUNTED, num_steps


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
    """Return the page's sections in order.

    Raises:
        UserError: runs on different kinds of data.
    """
    if len(kinds := {run.modality for run in runs}) > 1:
        raise UserError(f"runs on {' and '.join(sorted(kinds))} cannot be compared: choose one")
    labels = names(runs)
    return [
        Section("runs", "Runs", tables=(_runs_table(labels, runs),)),
        _loss(labels, runs),
        curves.comparison(labels, runs),
        *likelihood.comparison(labels, runs),
        *imputation.comparison(labels, runs),
        *probes.comparison(labels, runs),
        *representation.comparison(labels, runs),
        *clusters.comparison(labels, runs),
        *minimal_pairs.comparison(labels, runs),
        *finetuning.comparison(labels, runs),
        _differences(labels, runs),
    ]


def _runs_table(labels: Sequence[str], runs: Sequence[Run]) -> Table:
    counted = {"encoder tokens": "encoder_tokens"}
    if runs[0].modality in COUNTED:
        _, read, predicted = COUNTED[runs[0].modality]
        counted = {read: "encoder_tokens", predicted: "predicted"}
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
                *(Cell(number(train.get(key))) for key in counted.values()),
                Cell("none" if seconds is None else duration(seconds)),
                Cell(number(train.get("final_loss"))),
            )
        )
    head = ("run", "law", "data", "steps", *counted, "training time", "final loss")
    return Table("What is compared; the colours are those of the figures", head, tuple(rows))


def _loss(labels: Sequence[str], runs: Sequence[Run]) -> Section:
    logged = [(label, run) for label, run in zip(labels, runs, strict=True) if num_steps(run)]
    if not logged or any("loss" not in run.metrics for _, run in logged):
        return Section("loss", "Loss", missing="metrics.jsonl holds no step yet.")
    counted = all("encoder_tokens" in run.metrics for _, run in logged)
    _, read, _ = COUNTED.get(runs[0].modality, ("", "encoder tokens", ""))
    key, xlabel = ("encoder_tokens", read) if counted else ("step", "step")
    lines = [(label, run.metrics[key], run.metrics["loss"]) for label, run in logged]
    body = figures.loss_curves(f"Loss of {len(lines)} runs by {xlabel}", lines, xlabel)
    caption = (
        f"Running means by {xlabel}. Losses under different laws measure different tasks: a lower "
        "curve need not be a better model. Compare the values by ratio below, of equal masks."
    )
    return Section("loss", "Loss", figures=(Figure(body, caption),))


def _differences(labels: Sequence[str], runs: Sequence[Run]) -> Section:
    table = tables.difference_table(labels, [run.config for run in runs])
    title = "Configuration differences"
    if table is None:
        return Section("configuration", title, "The configurations are equal.")
    return Section("configuration", title, tables=(table,))
