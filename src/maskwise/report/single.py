"""The sections of one run's page."""

from typing import Any

import numpy as np

from maskwise.laws import effective
from maskwise.report import (
    clusters,
    curves,
    figures,
    finetuning,
    imputation,
    law_figures,
    likelihood,
    minimal_pairs,
    probes,
    representation,
    rows,
    samples,
    tables,
    texts,
)
from maskwise.report.blocks import Fact, Figure, Section, duration, number, percent, unmade
from maskwise.report.folder import Run

SAMPLES = {
    "images": samples.section,
    "text": texts.section,
    "dna": texts.section,
    "cells": rows.section,
    "tables": rows.section,
}
ALWAYS = 0.15  # the ratio at which the loss of tokens is always measured
DIGITS = {"text": 2, "dna": 3}  # of that loss
# What is counted, where samples are not images.
COUNTED = {
    "text": ("rows seen", "encoder tokens", "predicted tokens"),
    "dna": ("windows seen", "encoder tokens", "predicted tokens"),
    "cells": ("cells seen", "values read", "predicted values"),
    "tables": ("rows seen", "values read", "predicted values"),
}


def summary(run: Run) -> str:
    """Return the one line that says what the run was and what came of it."""
    text = f"{run.config['law']} on {run.data_name}, {number(num_steps(run))} steps."
    loss, floor = _losses(run)
    if loss is not None:
        error = _nats(run, loss["error"])
        text += f" Loss at ratio {ALWAYS}: {error} nats per hidden token{floor}."
    text += imputation.summary(run)
    trained, baseline = tables.headline(tables.probes_of(run))
    if trained is None:
        return text
    task = f" on {trained['task']}" if "task" in trained else ""
    text += f" Encoder probed{task} by {trained['protocol']}: {_score(trained)}"
    if baseline is None:
        return f"{text}."
    return f"{text}; best baseline, {baseline['features']}: {_score(baseline)}."


def _score(probe: tables.Probe) -> str:
    """Write what decides which probe is best: macro-F1 where rows have it, else accuracy."""
    if "macro_f1" in probe:
        return f"macro-F1 {tables.value_of(probe, 'macro_f1'):.3f}"
    return percent(probe["accuracy"])


def num_steps(run: Run) -> int:
    """Return the number of steps done: the last one logged."""
    steps = run.metrics.get("step", np.zeros(0))
    return int(steps[-1]) if len(steps) else 0


def sections(run: Run) -> list[Section]:
    """Return the page's sections in order."""
    return [
        _numbers(run),
        _training(run),
        SAMPLES[run.modality](run),
        curves.section(run),
        likelihood.section(run),
        *imputation.sections(run),
        *probes.sections(run),
        *representation.sections(run),
        *clusters.sections(run),
        *minimal_pairs.sections(run),
        *finetuning.sections(run),
        *_more(run),
        _law(run),
        Section(
            "configuration",
            "Configuration",
            "Resolved and complete: config.json in the run folder.",
            tables=tables.config_tables(run.config),
            compact=True,
        ),
        Section(
            "environment",
            "Environment",
            "Where and how the run was made: env.json in the run folder.",
            tables=(tables.values_table("Software, hardware and command", run.env),),
        ),
    ]


def _numbers(run: Run) -> Section:
    facts = [*_loss_fact(run), *imputation.facts(run), *_probe_fact(run)]
    facts += minimal_pairs.facts(run)
    loss = run.metrics.get("loss", np.zeros(0))
    if len(loss):
        tail = loss[-max(1, len(loss) // 20) :]
        facts.append(
            Fact("loss at the end", f"{np.mean(tail):.4g}", "mean of the last 5 % of steps")
        )
    mean = number(float(run.law.mean(0.0)))
    note = f"law: {mean} at the start" if law_figures.moves(run.law) else f"law: {mean}"
    ratio = run.metrics.get("ratio", np.zeros(0))
    if len(ratio):
        facts.append(Fact("mean hidden ratio", f"{np.nanmean(ratio):.3f}", note))
    train = run.result.get("train", {})
    kinds: list[tuple[str, str, Any]] = [
        ("training time", "seconds", duration),
        ("parameters", "num_parameters", number),
        ("samples seen", "num_samples", number),
        ("encoder tokens", "encoder_tokens", number),
    ]
    if run.modality in COUNTED:
        keys = ("num_samples", "encoder_tokens", "predicted")
        names = COUNTED[run.modality]
        kinds[2:] = [(name, key, number) for name, key in zip(names, keys, strict=True)]
    facts += [Fact(label, show(train[key])) for label, key, show in kinds if key in train]
    section = Section("numbers", "Headline numbers", facts=tuple(facts))
    return section if run.result else unmade(section, "result.json", run.evaluate_command)


def _losses(run: Run) -> tuple[Any, str]:
    """Return the loss of tokens at the ratio that is always measured, and those of baselines."""
    found = run.result.get("reconstruction", {})
    if run.modality not in DIGITS or not found:
        return None, ""
    told = ""
    for name, curve in found["baselines"].items():
        if point := curves.at(curve, ALWAYS):
            told += f"; {name}: {_nats(run, point['error'])}"
    return curves.at(found["curve"], ALWAYS), told


def _nats(run: Run, value: float) -> str:
    return f"{value:.{DIGITS[run.modality]}f}"


def _loss_fact(run: Run) -> list[Fact]:
    loss, floor = _losses(run)
    if loss is None:
        return []
    low, high = _nats(run, loss["low"]), _nats(run, loss["high"])
    note = f"nats per hidden token, {low} to {high}{floor}"
    return [Fact(f"loss at ratio {ALWAYS}", f"{loss['error']:.3f}", note)]


def _probe_fact(run: Run) -> list[Fact]:
    trained, baseline = tables.headline(tables.probes_of(run))
    if trained is None:
        return []
    gain = ""
    if baseline and "macro_f1" in trained:
        gain = f"{baseline['features']}: {tables.value_of(baseline, 'macro_f1'):.3f}"
    elif baseline:
        points = 100 * (trained["accuracy"] - baseline["accuracy"])
        gain = f"{points:+.1f} points on {baseline['features']}"
    parts = ("probe", trained.get("task"), tables.short(trained["protocol"]))
    return [Fact(", ".join(filter(None, parts)), _score(trained), gain)]


MORE = {
    "text": (
        "Only the loss was measured. Probes, minimal pairs and fine-tuning need files:",
        " --evaluate.probes TRAIN:TEST --evaluate.token_probes TRAIN:TEST"
        " --evaluate.pairs FILE --evaluate.finetune.tasks TRAIN:TEST",
    ),
    "dna": (
        "Only the loss was measured. Probes and fine-tuning need files of labelled sequences:",
        " --evaluate.probes FILE --evaluate.finetune.tasks FILE",
    ),
    "cells": (
        "Probes and clusters need the types of cells, a column of obs:",
        " --data.labels COLUMN",
    ),
}


def _more(run: Run) -> list[Section]:
    """Return how to measure more than can be without labels, if nothing was."""
    measured = ("probes", "minimal_pairs", "finetuning")
    done = any(run.result.get(key) for key in measured)
    if run.modality not in MORE or not run.result or done:
        return []
    missing, options = MORE[run.modality]
    command = run.evaluate_command + options
    return [Section("more", "More measures", missing=missing, commands=(command,))]


def _training(run: Run) -> Section:
    if not num_steps(run):
        text = "metrics.jsonl holds no step yet."
        return Section("training", "Training", missing=text)
    metrics, name = run.metrics, run.name
    drawn: list[Figure] = []
    if "loss" in metrics:
        body = figures.metric_curve(f"Loss by step of {name}", metrics, "loss", smoothed=True)
        drawn.append(Figure(body, "Step by step (pale) and its running mean.", "Loss"))
    if "ratio" in metrics:
        bounds = [run.law.support(progress) for progress in law_figures.PROGRESS]
        body = figures.ratio_curve(f"Hidden ratio by step of {name}", metrics, bounds)
        text = (
            "Realised ratio, averaged over the steps between two lines; shaded: the law's support."
        )
        drawn.append(Figure(body, text, "Drawn ratio"))
    if "lr" in metrics:
        body = figures.metric_curve(f"Learning rate by step of {name}", metrics, "lr")
        drawn.append(Figure(body, "Warm-up, then decay.", "Learning rate"))
    if "grad_norm" in metrics:
        label = f"Gradient norm by step of {name}"
        body = figures.metric_curve(label, metrics, "grad_norm", smoothed=True)
        drawn.append(Figure(body, "Before clipping. Spikes mark unstable steps.", "Gradient norm"))
    text = (
        "A higher ratio is a harder task, so under a random law the loss moves with the ratio "
        "drawn: read the running mean."
    )
    return Section("training", "Training", text, figures=tuple(drawn))


def _law(run: Run) -> Section:
    law, train = run.law, run.config["train"]
    scope, reduction = train.get("scope", "step"), train.get("reduction", "sample_mean")
    moving = law_figures.moves(law)
    made = []
    for progress in (0.0, 0.5, 1.0) if moving else (0.0,):
        when = f"at {progress:.0%} of training" if moving else ""
        body = law_figures.density(f"Law {law} {when}".strip(), law, reduction, scope, progress)
        low, high = law.support(progress)
        caption = f"From {low:g} to {high:g}, {law.mean(progress):.3g} on average."
        ratios, weights = effective(law, reduction, scope, progress)
        if not np.isclose(seen := float(ratios @ weights), law.mean(progress), atol=1e-3):
            caption += f" The loss sees {seen:.3g} on average."
        caption = f"Always {low:g}." if low == high else caption
        made.append(Figure(body, caption, when.capitalize()))
    if moving:
        body = law_figures.movement(f"Mean and support of {law} by training progress", law)
        made.append(Figure(body, "Mean (line) and support (shaded).", "Through training"))
    text = f"{law}: one ratio per {scope}, loss reduced by {reduction}. "
    _, factor = law_figures.tilt(law, reduction, scope, 0.0)
    if np.allclose(factor, 1):
        text += "The loss sees the law as it is drawn."
    else:
        text += "A sample's weight grows with its ratio: the loss sees another law (dashed)."
    return Section("law", "The law", text, figures=tuple(made))
