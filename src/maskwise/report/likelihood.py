"""What likelihoods say: likelihood.json as a section, a picture and text, and minimal pairs."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from maskwise.report import figures
from maskwise.report.blocks import (
    Cell,
    Fact,
    Figure,
    Section,
    Table,
    between,
    cells,
    compared,
    grouped,
    number,
    table,
    written,
)
from maskwise.report.folder import Row, RunFolder
from maskwise.report.training import reach
from maskwise.settings import override
from maskwise.words import GENERIC, LikelihoodWords, Words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

TITLE = "Likelihood"
PAIRS = (
    "How often the grammatical sentence of a pair has the higher pseudo-log-likelihood: the mean "
    "over paradigms, with a 95 % interval of the pairs. Chance is 50 %."
)
METRICS = {
    "within-word-l2r": "each token is predicted with itself and the rest of its word hidden",
    "original": "each token is predicted with itself alone hidden",
}


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
    hidden = f"Log-{words.kind} of a hidden {words.position}"
    plot = _plot({"this model": values}, run.words)
    body = figures.svg(f"{hidden} by hidden ratio of {run.name}", plot, size=figures.WIDE)
    curve = values["curve"]
    names = [Cell(f"{each['ratio']:.3f}", f"{number(each['size'])} hidden") for each in curve]
    scores = {f"nats per {words.position}": compared(curve, "score", ".4g", None)}
    points = table(f"{hidden}, 95 % interval", "hidden ratio", names, scores, folded=True)
    facts, drawn = tuple(_facts(values, words).values()), (Figure(body, caption),)
    return [Section("likelihood", TITLE, text, facts=facts, figures=drawn, tables=(points,))]


def _compared(runs: Sequence[RunFolder]) -> list[Section]:
    """Return a row for each run, a column for each number."""
    said = {run.name: _words(run.likelihood, run.words) for run in runs if run.likelihood}
    found = [_facts(run.likelihood, said[run.name]) if run.likelihood else {} for run in runs]
    words, anchors = (
        next(iter(said.values())),
        dict.fromkeys(each.anchor for each in said.values()),
    )
    heads = {key: fact.label for facts in found for key, fact in facts.items()}
    heads["anchor"] = f"{' or '.join(anchors)}, bits per {words.dimension}"
    columns = {
        head: [facts[key].value if key in facts else None for facts in found]
        for key, head in heads.items()
    }
    caption = f"Any-order lower bound, with its standard error over {words.sample}s"
    areas = table(caption, "run", [run.name for run in runs], columns)
    without = tuple(run.command("likelihood") for run in runs if not run.likelihood)
    missing = "Some runs have no likelihood yet. To measure it:" if without else ""
    return [Section("likelihood", TITLE, "", missing, without, tables=(areas,))]


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
        {name: values["curve"] for name, values in named.items()},
        "score",
        f"nats per hidden {_words(first, words).position}",
        support=(law["low"], law["high"]) if law and len(named) == 1 else None,
        baselines=dashed,
    )


def _facts(values: Row, words: LikelihoodWords) -> dict[str, Fact]:
    area, anchor = values["area"], values["anchor"]
    nats = f"{area['nats']:.1f} ± {area['stderr']:.1f}"
    masks = f"any-order lower bound; ± {area['stderr_masks']:.2g} from masks alone"
    bits = f"{area['bits_per_dim']:.3f} ± {area['bits_stderr']:.3f}"
    dims = f"{number(values['num_dims'])} {words.dimension}s"
    found = {
        "nats": Fact(f"nats per {words.sample}", nats, masks),
        "bits": Fact(f"bits per {words.dimension}", bits, dims),
    }
    if "bits_per_byte" in area:
        note = f"perplexity of a {words.position}: {area['perplexity']:.1f}"
        found["bytes"] = Fact("bits per byte", f"{area['bits_per_byte']:.3f}", note)
    bits, nats = f"{anchor['bits_per_dim']:.3f}", f"{anchor['nats']:.1f} nats"
    return found | {"anchor": Fact(f"bits, {words.anchor}", bits, nats)}


def pair_facts(run: RunFolder) -> list[Fact]:
    """Return the accuracy on each set of minimal pairs."""
    return [
        Fact(
            f"minimal pairs, {found['name']}",
            written(found["accuracy"], "%"),
            f"{between(found, '%')}; chance is 50 %",
        )
        for found in run.rows("minimal_pairs")
    ]


def pairs(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the section, if minimal pairs were measured: with a figure, or a row for each run."""
    sets = grouped(
        (row for run in runs for row in run.rows("minimal_pairs")), lambda row: row["name"]
    )
    tables = [_paradigms(found, len(runs) == 1) for found in sets.values()]
    names = [run.name for run in runs]
    drawn, facts = [], []
    if len(runs) == 1:
        drawn, facts = (
            [_of_paradigms(runs[0], found) for [found] in sets.values()],
            pair_facts(runs[0]),
        )
    elif sets:
        columns = {}
        for name, found in sets.items():
            of_runs = {row["run"]: row for row in found}
            columns[name] = compared([of_runs.get(each) for each in names], "accuracy", "%")
        caption = "Mean accuracy over paradigms; best of each in bold"
        tables.insert(0, table(caption, "run", names, columns))
    section = Section("pairs", "Minimal pairs", PAIRS, facts=facts, figures=drawn, tables=tables)
    return [section] if sets else []


def _paradigms(found: Sequence[Row], alone: bool) -> Table:
    """Return a row for each paradigm, a column for each run that was measured."""
    of_runs = {
        "accuracy" if alone else each["run"]: {row["name"]: row for row in each["paradigms"]}
        for each in found
    }
    best, rows = max if len(found) > 1 else None, []
    for name in dict.fromkeys(name for paradigms in of_runs.values() for name in paradigms):
        each = [paradigms.get(name) for paradigms in of_runs.values()]
        num = next(row["num"] for row in each if row)
        values = compared(each, "accuracy", "%", best)
        rows.append(cells(Cell(name, f"{number(num)} pairs"), *values))
    caption = f"{found[0]['name']} by paradigm, with 95 % interval"
    return Table(caption, ("paradigm", *of_runs), tuple(rows), folded=True)


def _of_paradigms(run: RunFolder, found: Row) -> Figure:
    rows = found["paradigms"]
    names = [figures.plain(row["name"].replace("_", " ")) for row in rows]
    accuracy, low, high = ([100 * row[key] for row in rows] for key in ("accuracy", "low", "high"))

    def plot(axes: "Axes") -> None:
        places = range(len(rows))
        axes.axvline(50, color=figures.INK, linestyle="--", linewidth=1.2)
        axes.hlines(places, low, high, color=figures.BLUE, linewidth=1.8)
        axes.plot(accuracy, places, "o", color=figures.BLUE, markersize=5, clip_on=False)
        axes.set_yticks(places, names, fontsize=8.5)
        axes.set(xlabel="accuracy, %", xlim=(0, 100), ylim=(len(rows) - 0.4, -0.6))

    label = f"Accuracy on {found['name']} by paradigm of {run.name}"
    body = figures.svg(label, plot, size=(6.4, 0.9 + 0.2 * len(rows)))
    least, most = reach(run.law)
    inside = least <= found["hidden_ratio"] <= most
    met = f"{least:g} to {most:g}" if least < most else f"{least:g} alone"
    caption = (
        f"{number(found['num_pairs'])} pairs, {number(found['ties'])} of them ties, which"
        f" count one half; {METRICS.get(found['metric'], found['metric'])}. That hides"
        f" {found['hidden_ratio']:.3g} of a sentence on average,"
        f" {'inside' if inside else 'outside'} the ratios met in training ({met})"
        f"{'.' if inside else ': the model extrapolates.'} Bars are 95 % intervals;"
        " dashed: chance."
    )
    return Figure(body, caption, found["name"])
