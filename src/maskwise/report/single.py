"""The sections of one run's page."""

from dataclasses import replace
from typing import Any

import numpy as np

from maskwise.laws import effective
from maskwise.report import figures, law_figures, likelihood, samples, tables
from maskwise.report.blocks import Fact, Figure, Section, duration, number, percent
from maskwise.report.folder import Run


def summary(run: Run) -> str:
    """Return the one line that says what the run was and what came of it."""
    text = f"{run.config['law']} on {run.data_name}, {number(num_steps(run))} steps."
    trained, baseline = tables.headline(run.result.get("probes", ()))
    if trained is None:
        return text
    text += f" Encoder probed by {trained['protocol']}: {percent(trained['accuracy'])}"
    if baseline is None:
        return f"{text}."
    return f"{text}; best baseline, {baseline['features']}: {percent(baseline['accuracy'])}."


def num_steps(run: Run) -> int:
    """Return the number of steps done: the last one logged."""
    steps = run.metrics.get("step", np.zeros(0))
    return int(steps[-1]) if len(steps) else 0


def sections(run: Run) -> list[Section]:
    """Return the page's sections in order."""
    return [
        _numbers(run),
        _training(run),
        _samples(run),
        _errors(run),
        likelihood.section(run),
        _probes(run),
        _law(run),
        Section(
            "configuration",
            "Configuration",
            "Resolved and complete: config.json in the run folder.",
            tables=tables.config_tables(run.config),
        ),
        Section(
            "environment",
            "Environment",
            "Where and how the run was made: env.json in the run folder.",
            tables=(tables.values_table("Software, hardware and command", run.env),),
        ),
    ]


def _numbers(run: Run) -> Section:
    facts: list[Fact] = []
    trained, baseline = tables.headline(run.result.get("probes", ()))
    if trained:
        gain = ""
        if baseline:
            points = 100 * (trained["accuracy"] - baseline["accuracy"])
            gain = f"{points:+.1f} points on {baseline['features']}"
        label = f"probe, {tables.short(trained['protocol'])}"
        facts.append(Fact(label, percent(trained["accuracy"]), gain))
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
    kinds: tuple[tuple[str, str, Any], ...] = (
        ("training time", "seconds", duration),
        ("parameters", "num_parameters", number),
        ("samples seen", "num_samples", number),
        ("encoder tokens", "encoder_tokens", number),
    )
    facts += [Fact(label, show(train[key])) for label, key, show in kinds if key in train]
    section = Section("numbers", "Headline numbers", facts=tuple(facts))
    return section if run.result else _unevaluated(run, section, "result.json")


def _unevaluated(run: Run, section: Section, what: str) -> Section:
    return replace(
        section,
        missing=f"No {what} yet. Evaluate the run to make it:",
        commands=(run.evaluate_command,),
    )


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


def _samples(run: Run) -> Section:
    title = "Masks and reconstructions"
    if not run.samples:
        return _unevaluated(run, Section("samples", title), "samples.npz")
    target = target_of(run)
    text = f"The model predicts {target} pixel values of each hidden patch."
    if target == "normalised":
        text += (
            " To show them, a patch's mean and spread must come from somewhere: from its visible "
            "neighbours (third row, honest), or from the true patch (last row), which "
            "shows the predicted shape alone."
        )
    channels = run.samples["images"].shape[-1]
    if channels not in (1, 3):
        text += (
            f" The images have {channels} channels; {'3 are' if channels > 3 else '1 is'} shown."
        )
    return Section("samples", title, text, figures=samples.figures(run.samples, target))


def target_of(run: Run) -> str:
    """Return "normalised" or "raw", from the result or else from the configuration."""
    found = run.result.get("reconstruction") or run.config.get("data") or {}
    return str(found.get("target", "normalised"))


def _errors(run: Run) -> Section:
    title = "Reconstruction error by ratio"
    found = run.result.get("reconstruction")
    if not found:
        return _unevaluated(run, Section("errors", title), "reconstruction errors in result.json")
    bounds = np.array([run.law.support(progress) for progress in law_figures.PROGRESS])
    plot = figures.by_ratio(
        [("this model", found["curve"])],
        "error",
        f"error ({found['target']} target)",
        support=(float(bounds[:, 0].min()), float(bounds[:, 1].max())),
        baselines=found.get("baselines"),
    )
    label = f"Reconstruction error by hidden ratio of {run.name}"
    body = figures.svg(label, plot, size=figures.WIDE)
    caption = (
        f"Mean squared error at hidden positions of {number(found['num_samples'])} test images "
        f"({found['target']} target, {found['pattern']} pattern, fixed masks); the band is the "
        "95 % interval. Orange: the ratios met in training; outside it the model extrapolates."
    )
    table = tables.error_table(found["curve"], found["target"])
    return Section("errors", title, figures=(Figure(body, caption),), tables=(table,))


def _probes(run: Run) -> Section:
    title = "Probes"
    if "probes" not in run.result:
        return _unevaluated(run, Section("probes", title), "probes in result.json")
    if not run.result["probes"]:
        return Section(
            "probes", title, missing="No probes: the data has no labels, or only one class."
        )
    text = (
        "What a simple classifier reads from the frozen features, beside the same classifier on "
        "baselines. Compare within a column: protocols differ by more than methods do."
    )
    return Section("probes", title, text, tables=(tables.probe_table(run.result["probes"]),))


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
