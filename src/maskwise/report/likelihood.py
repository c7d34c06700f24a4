"""What likelihood.json says: as a section of the page, as a picture and as text."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from maskwise.report import figures
from maskwise.report.blocks import Cell, Fact, Figure, Section, Table, number
from maskwise.report.folder import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

ANCHOR = "independent normals"
# What things are called where likelihood.json does not say.
IMAGES = {"sample": "image", "position": "position", "dimension": "dimension", "anchor": ANCHOR}
# What else there is to say, by the kind of data.
PROSE = {
    "images": {
        "kind": "density",
        "compare": "It is a density of raw values, normal for each, so it can be compared between "
        "models of the same images, whatever their patch. ",
        "dashed": f"{ANCHOR} with each pixel's mean and deviation in training images, which look "
        "at nothing of the image",
    },
    "text": {
        "kind": "probability",
        "compare": "Bits per byte can be compared between tokenizers, the other values cannot. ",
        "dashed": "equal probabilities for all tokens",
    },
    "dna": {
        "kind": "probability",
        "compare": "Bits per base can be compared between kinds of tokens, the other values "
        "cannot. ",
        "dashed": "equal probabilities for all tokens",
    },
    "cells": {
        "kind": "likelihood",
        "compare": "Counts have probabilities and normalised values have densities: compare models"
        " of one loss and of the same genes only. ",
        "dashed": "each gene as it is distributed in training cells, whatever is visible",
    },
    "tables": {
        "kind": "likelihood",
        "compare": "Numbers have densities in the units of the table and categories have"
        " probabilities: compare models of the same columns only. ",
        "dashed": "each column as it is distributed in training rows, whatever is visible",
    },
}
TESTED = {
    "images": "test images",
    "text": "held-out texts",
    "dna": "held-out windows",
    "cells": "held-out cells",
    "tables": "held-out rows",
}
Values = Mapping[str, Any]


def section(run: Run) -> Section:
    """Return the section of one run's page."""
    title, values = "Likelihood", run.likelihood
    if not values:
        what = TESTED[run.modality]
        missing = f"No likelihood.json yet. Measure the likelihood of {what}:"
        return Section("likelihood", title, missing=missing, commands=(run.likelihood_command,))
    words, prose = _words(values), PROSE[run.modality]
    sample, position, kind = words["sample"], words["position"], prose["kind"]
    text = (
        f"How probable the test {sample}s are under the model, predicted {position} by {position} "
        f"in a random order: the sum of the curve over all numbers of hidden {position}s. Every "
        f"order gives a normalised {kind}; since a network's orders need not agree, their mean is "
        "a lower bound on the log-likelihood of their mixture. "
    )
    caption = (
        f"Mean log-{kind} of a hidden {position} of {number(values['num_samples'])} test {sample}s"
        ", under scattered masks; the band is the 95 % interval. Orange: the ratios met in "
        f"training; outside it the model extrapolates. Dashed: {prose['dashed']}."
    )
    label = f"Log-{kind} of a hidden {position} by hidden ratio of {run.name}"
    body = figures.svg(label, _plot([("this model", values)]), size=figures.WIDE)
    return Section(
        "likelihood",
        title,
        text + prose["compare"] + _extrapolation(values),
        facts=_facts(values),
        figures=(Figure(body, caption),),
        tables=(_curve_table(values, kind),),
    )


def comparison(labels: Sequence[str], runs: Sequence[Run]) -> list[Section]:
    """Return the section of a comparison, if any run has a likelihood."""
    if not any(run.likelihood for run in runs):
        return []
    measured = [run.likelihood for run in runs if run.likelihood]
    words = _words(measured[0])
    of_bytes = all("bits_per_byte" in values["area"] for values in measured)
    anchors = dict.fromkeys(_words(values)["anchor"] for values in measured)
    head = [
        *("run", f"nats per {words['sample']}", f"bits per {words['dimension']}"),
        *(["bits per byte"] if of_bytes else []),
        f"{' or '.join(anchors)}, bits per {words['dimension']}",
    ]
    rows = []
    for label, run in zip(labels, runs, strict=True):
        cells = [Cell("none")] * (len(head) - 1)
        if values := run.likelihood:
            cells = [Cell(_nats(values)), Cell(_bits(values))]
            cells += [Cell(f"{values['area']['bits_per_byte']:.3f}")] if of_bytes else []
            cells += [Cell(f"{values['anchor']['bits_per_dim']:.3f}")]
        rows.append((Cell(label), *cells))
    caption = f"Any-order lower bound, with its standard error over {words['sample']}s"
    table = Table(caption, tuple(head), tuple(rows))
    without = tuple(run.likelihood_command for run in runs if not run.likelihood)
    missing = "Some runs have no likelihood yet. To measure it:" if without else ""
    return [Section("likelihood", "Likelihood", "", missing, without, tables=(table,))]


def picture(named: Sequence[tuple[str, Values]]) -> "Picture":
    """Draw the curves of runs, given as (name, likelihood.json)."""
    made = figures.draw(_plot(named), figures.WIDE)
    made.set_facecolor("white")
    return made


def as_text(values: Values) -> str:
    """Return what the command prints of a run."""
    words = _words(values)
    lines = [f"hidden  ratio  nats per {words['position']}, 95 % interval"]
    for point in values["curve"]:
        half = (point["high"] - point["low"]) / 2
        lines.append(
            f"{point['size']:6d}  {point['ratio']:5.3f}  {point['score']:.2f} ± {half:.2f}"
        )
    area, anchor = values["area"], values["anchor"]
    lines += [
        f"any-order lower bound: {_both(area, words)}",
        f"its standard error over {number(values['num_samples'])} test {words['sample']}s of"
        f" {values['data']}: {area['stderr']:.2g} nats, {area['bits_stderr']:.2g} bits;"
        f" from masks alone ({values['passes']} passes): {area['stderr_masks']:.2g} nats",
    ]
    if "perplexity" in area:
        line = (
            f"per {words['position']}: {area['nats'] / values['length']:.3f} nats, perplexity"
            f" {area['perplexity']:.1f}"
        )
        if "bits_per_byte" in area:
            line += f"; per byte of the text: {area['bits_per_byte']:.3f} bits"
        lines.append(line)
    lines.append(f"{words['anchor']}: {_both(anchor, words)}")
    if values["law"] is None or values["law"]["sizes_outside"]:
        lines.append(f"warning: {_extrapolation(values)}")
    return "\n".join(lines)


def _words(values: Values) -> Mapping[str, str]:
    return values.get("words", IMAGES)


def _both(found: Mapping[str, float], words: Mapping[str, str]) -> str:
    return (
        f"{found['nats']:.1f} nats per {words['sample']},"
        f" {found['bits_per_dim']:.3f} bits per {words['dimension']}"
    )


def _extrapolation(values: Values) -> str:
    law, area = values["law"], values["area"]["nats"]
    if law is None:
        return (
            "which ratios the training hid is not known; models like BERT hid 0.15, and far from"
            " there the curve, and with it most of the area, is extrapolation"
        )
    if not law["sizes_outside"]:
        return f"Training with {law['name']} has met all ratios."
    num = round(values["length"])  # a mean, where samples have different lengths
    return (
        f"{law['sizes_outside']} of {num} sizes were never hidden in training with"
        f" {law['name']}; there the model extrapolates, and they make"
        f" {law['nats_outside']:.1f} of the {area:.1f} nats."
    )


def _plot(named: Sequence[tuple[str, Values]]) -> Any:
    law, words = named[0][1]["law"], _words(named[0][1])
    dashed = {}
    for name, values in named:
        # One line is enough for one value.
        score, label = values["anchor"]["score"], _words(values)["anchor"]
        if any(other["anchor"]["score"] != score for _, other in named):
            label = f"{label}, {name}"
        dashed[label] = [{"ratio": ratio, "score": score} for ratio in (0.0, 1.0)]
    return figures.by_ratio(
        [(name, values["curve"]) for name, values in named],
        "score",
        f"nats per hidden {words['position']}",
        support=(law["low"], law["high"]) if law and len(named) == 1 else None,
        baselines=dashed,
    )


def _facts(values: Values) -> tuple[Fact, ...]:
    area, anchor, words = values["area"], values["anchor"], _words(values)
    masks = f"any-order lower bound; ± {area['stderr_masks']:.2g} from masks alone"
    nats = f"{anchor['nats']:.1f} nats"
    facts = [
        Fact(f"nats per {words['sample']}", _nats(values), masks),
        Fact(
            f"bits per {words['dimension']}",
            _bits(values),
            f"{number(values['num_dims'])} {words['dimension']}s",
        ),
        Fact(f"bits, {words['anchor']}", f"{anchor['bits_per_dim']:.3f}", nats),
    ]
    if "bits_per_byte" in area:
        note = f"perplexity of a {words['position']}: {area['perplexity']:.1f}"
        facts.insert(2, Fact("bits per byte", f"{area['bits_per_byte']:.3f}", note))
    return tuple(facts)


def _curve_table(values: Values, kind: str) -> Table:
    position = _words(values)["position"]
    rows = tuple(
        (
            Cell(f"{point['ratio']:.3f}", f"{number(point['size'])} hidden"),
            Cell(f"{point['score']:.4g}", f"{point['low']:.4g} to {point['high']:.4g}"),
        )
        for point in values["curve"]
    )
    head = ("hidden ratio", f"nats per {position}")
    caption = f"Log-{kind} of a hidden {position}, 95 % interval"
    return Table(caption, head, rows, folded=True)


def _nats(values: Values) -> str:
    return f"{values['area']['nats']:.1f} ± {values['area']['stderr']:.1f}"


def _bits(values: Values) -> str:
    return f"{values['area']['bits_per_dim']:.3f} ± {values['area']['bits_stderr']:.3f}"
