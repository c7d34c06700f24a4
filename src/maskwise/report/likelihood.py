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
Values = Mapping[str, Any]


def section(run: Run) -> Section:
    """Return the section of one run's page."""
    title, values = "Likelihood", run.likelihood
    if not values:
        missing = "No likelihood.json yet. Measure the likelihood of test images:"
        return Section("likelihood", title, missing=missing, commands=(run.likelihood_command,))
    text = (
        "How probable the test images are under the model, predicted position by position in a "
        "random order: the sum of the curve over all numbers of hidden positions. Every order is "
        "a normalised density; since a network's orders need not agree, their mean is a lower "
        "bound on the log-likelihood of their mixture. It is a density of raw values, normal for "
        "each, so it can be compared between models of the same images, whatever their "
        "patch. " + _extrapolation(values)
    )
    caption = (
        f"Mean log-density of a hidden position of {number(values['num_samples'])} test images, "
        "under scattered masks; the band is the 95 % interval. Orange: the ratios met in "
        "training; outside it the model extrapolates. Dashed: independent normals with each "
        "pixel's mean and deviation in training images, which look at nothing of the image."
    )
    label = f"Log-density of a hidden position by hidden ratio of {run.name}"
    body = figures.svg(label, _plot([("this model", values)]), size=figures.WIDE)
    return Section(
        "likelihood",
        title,
        text,
        facts=_facts(values),
        figures=(Figure(body, caption),),
        tables=(_curve_table(values),),
    )


def comparison(labels: Sequence[str], runs: Sequence[Run]) -> list[Section]:
    """Return the section of a comparison, if any run has a likelihood."""
    if not any(run.likelihood for run in runs):
        return []
    rows = tuple(
        (
            Cell(label),
            Cell(_nats(run.likelihood)),
            Cell(_bits(run.likelihood)),
            Cell(f"{run.likelihood['anchor']['bits_per_dim']:.3f}"),
        )
        if run.likelihood
        else (Cell(label), *[Cell("none")] * 3)
        for label, run in zip(labels, runs, strict=True)
    )
    head = ("run", "nats per image", "bits per dimension", f"{ANCHOR}, bits per dimension")
    table = Table("Any-order lower bound, with its standard error over images", head, rows)
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
        lines.append(
            f"per {words['position']}: {area['nats'] / values['length']:.3f} nats, perplexity"
            f" {area['perplexity']:.1f}; per byte of the text: {area['bits_per_byte']:.3f} bits"
        )
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
    return (
        f"{law['sizes_outside']} of {values['length']} sizes were never hidden in training with"
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
    area, anchor = values["area"], values["anchor"]
    masks = f"any-order lower bound; ± {area['stderr_masks']:.2g} from masks alone"
    return (
        Fact("nats per image", _nats(values), masks),
        Fact("bits per dimension", _bits(values), f"{number(values['num_dims'])} dimensions"),
        Fact(f"bits, {ANCHOR}", f"{anchor['bits_per_dim']:.3f}", f"{anchor['nats']:.1f} nats"),
    )


def _curve_table(values: Values) -> Table:
    rows = tuple(
        (
            Cell(f"{point['ratio']:.3f}", f"{number(point['size'])} hidden"),
            Cell(f"{point['score']:.4g}", f"{point['low']:.4g} to {point['high']:.4g}"),
        )
        for point in values["curve"]
    )
    head = ("hidden ratio", "nats per position")
    return Table("Log-density of a hidden position, 95 % interval", head, rows, folded=True)


def _nats(values: Values) -> str:
    return f"{values['area']['nats']:.1f} ± {values['area']['stderr']:.1f}"


def _bits(values: Values) -> str:
    return f"{values['area']['bits_per_dim']:.3f} ± {values['area']['bits_stderr']:.3f}"
