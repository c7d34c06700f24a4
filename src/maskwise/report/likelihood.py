"""What likelihood.json says: as a section of the page, as a picture and as text."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from maskwise.report import figures
from maskwise.report.blocks import Cell, Fact, Figure, Section, Table, number
from maskwise.report.folder import Row, RunFolder
from maskwise.settings import override
from maskwise.words import GENERIC, LikelihoodWords, Words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

TITLE = "Likelihood"

BYTES = "bits per byte"


def sections(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the curve of one run, or the areas of several, if any has a likelihood."""
    if len(runs) > 1:
        return _compared(runs) if any(run.likelihood for run in runs) else []
    [run] = runs
    command, values = run.command("likelihood"), run.likelihood
    if not values:
        what = run.words.likelihood.tested
        missing = f"No likelihood.json yet. Measure the likelihood of {what}:"
        return [Section("likelihood", TITLE, missing=missing, commands=(command,))]
    words = _words(values, run.words)
    text = (
        f"How probable the test {words.sample}s are under the model, predicted {words.position} by"
        f" {words.position} in a random order: the sum of the curve over all numbers of hidden"
        f" {words.position}s. Every order gives a normalised {words.kind}; since a network's"
        " orders need not agree, their mean is a lower bound on the log-likelihood of their"
        f" mixture. {words.compare}{_extrapolation(values)}"
    )
    caption = (
        f"Mean log-{words.kind} of a hidden {words.position} of {number(values['num_samples'])}"
        f" test {words.sample}s, under scattered masks; the band is the 95 % interval. Orange: the"
        " ratios met in training; outside it the model extrapolates."
        f" Dashed: {words.dashed}."
    )
    label = f"Log-{words.kind} of a hidden {words.position} by hidden ratio of {run.name}"
    body = figures.svg(label, _plot({"this model": values}, run.words), size=figures.WIDE)
    figure, table = Figure(body, caption), _curve_table(values, words)
    return [
        Section(
            *("likelihood", TITLE, text),
            facts=_facts(values, words),
            figures=(figure,),
            tables=(table,),
        )
    ]


def _compared(runs: Sequence[RunFolder]) -> list[Section]:
    measured = [run.likelihood for run in runs if run.likelihood]
    words = _words(measured[0], runs[0].words)
    of_bytes = all("bits_per_byte" in values["area"] for values in measured)
    anchors = dict.fromkeys(_words(values, runs[0].words).anchor for values in measured)
    head = [f"nats per {words.sample}", f"bits per {words.dimension}", BYTES]
    head = [*head[: 2 + of_bytes], f"{' or '.join(anchors)}, bits per {words.dimension}"]
    rows = []
    for run in runs:
        cells = [Cell("none")] * len(head)
        if run.likelihood:
            facts = _facts(run.likelihood, _words(run.likelihood, run.words))
            cells = [Cell(fact.value) for fact in facts if of_bytes or fact.label != BYTES]
        rows.append((Cell(run.name), *cells))
    caption = f"Any-order lower bound, with its standard error over {words.sample}s"
    table = Table(caption, ("run", *head), tuple(rows))
    without = tuple(run.command("likelihood") for run in runs if not run.likelihood)
    missing = "Some runs have no likelihood yet. To measure it:" if without else ""
    return [Section("likelihood", TITLE, "", missing, without, tables=(table,))]


def picture(named: Sequence[tuple[str, Row]]) -> "Picture":
    """Draw the curves of runs, given as (name, likelihood.json)."""
    made = figures.draw(_plot(dict(named), GENERIC), figures.WIDE)
    made.set_facecolor("white")
    return made


def as_text(values: Row, words: Words = GENERIC) -> str:
    """Return what the command prints of a run."""
    said = _words(values, words)
    lines = [f"hidden  ratio  nats per {said.position}, 95 % interval"]
    for point in values["curve"]:
        half = (point["high"] - point["low"]) / 2
        lines.append(
            f"{point['size']:6d}  {point['ratio']:5.3f}  {point['score']:.2f} ± {half:.2f}"
        )
    area, anchor = values["area"], values["anchor"]
    lines += [
        f"any-order lower bound: {_both(area, said)}",
        f"its standard error over {number(values['num_samples'])} test {said.sample}s of"
        f" {values['data']}: {area['stderr']:.2g} nats, {area['bits_stderr']:.2g} bits;"
        f" from masks alone ({values['passes']} passes): {area['stderr_masks']:.2g} nats",
    ]
    if "perplexity" in area:
        line = (
            f"per {said.position}: {area['nats'] / values['length']:.3f} nats, perplexity"
            f" {area['perplexity']:.1f}"
        )
        if "bits_per_byte" in area:
            line += f"; per byte of the text: {area['bits_per_byte']:.3f} bits"
        lines.append(line)
    lines.append(f"{said.anchor}: {_both(anchor, said)}")
    if values["law"] is None or values["law"]["sizes_outside"]:
        lines.append(f"warning: {_extrapolation(values)}")
    return "\n".join(lines)


def _words(values: Row, words: Words) -> LikelihoodWords:
    return override(words.likelihood, values.get("words", {}))


def _both(found: Mapping[str, float], words: LikelihoodWords) -> str:
    return (
        f"{found['nats']:.1f} nats per {words.sample},"
        f" {found['bits_per_dim']:.3f} bits per {words.dimension}"
    )


def _extrapolation(values: Row) -> str:
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


def _plot(named: Mapping[str, Row], words: Words) -> Callable[["Axes"], None]:
    first = next(iter(named.values()))
    law, dashed = first["law"], {}
    for name, values in named.items():
        # One line is enough for one value.
        score, label = values["anchor"]["score"], _words(values, words).anchor
        if any(other["anchor"]["score"] != score for other in named.values()):
            label = f"{label}, {name}"
        dashed[label] = [{"ratio": ratio, "score": score} for ratio in (0.0, 1.0)]
    return figures.by_ratio(
        [(name, values["curve"]) for name, values in named.items()],
        "score",
        f"nats per hidden {_words(first, words).position}",
        support=(law["low"], law["high"]) if law and len(named) == 1 else None,
        baselines=dashed,
    )


def _facts(values: Row, words: LikelihoodWords) -> tuple[Fact, ...]:
    area, anchor = values["area"], values["anchor"]
    nats = f"{area['nats']:.1f} ± {area['stderr']:.1f}"
    masks = f"any-order lower bound; ± {area['stderr_masks']:.2g} from masks alone"
    bits = f"{area['bits_per_dim']:.3f} ± {area['bits_stderr']:.3f}"
    dims = f"{number(values['num_dims'])} {words.dimension}s"
    of_anchor = (f"{anchor['bits_per_dim']:.3f}", f"{anchor['nats']:.1f} nats")
    facts = [
        Fact(f"nats per {words.sample}", nats, masks),
        Fact(f"bits per {words.dimension}", bits, dims),
        Fact(f"bits, {words.anchor}", *of_anchor),
    ]
    if "bits_per_byte" in area:
        note = f"perplexity of a {words.position}: {area['perplexity']:.1f}"
        facts.insert(2, Fact(BYTES, f"{area['bits_per_byte']:.3f}", note))
    return tuple(facts)


def _curve_table(values: Row, words: LikelihoodWords) -> Table:
    rows = tuple(
        (
            Cell(f"{point['ratio']:.3f}", f"{number(point['size'])} hidden"),
            Cell(f"{point['score']:.4g}", f"{point['low']:.4g} to {point['high']:.4g}"),
        )
        for point in values["curve"]
    )
    head = ("hidden ratio", f"nats per {words.position}")
    caption = f"Log-{words.kind} of a hidden {words.position}, 95 % interval"
    return Table(caption, head, rows, folded=True)
