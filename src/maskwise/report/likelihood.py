"""What likelihoods say: likelihood.json as a section, a picture and text, and minimal pairs."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from maskwise.report import figures
from maskwise.report.blocks import (
    TEXTS,
    Cell,
    Fact,
    Figure,
    Section,
    Table,
    compared,
    grouped,
    number,
    say,
    table,
)
from maskwise.report.folder import Row, RunFolder
from maskwise.report.training import reach
from maskwise.settings import override
from maskwise.words import GENERIC, LikelihoodWords, Words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

TITLE = "Likelihood"


def sections(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the curve of one run, or the areas of several, if any has a likelihood."""
    if len(runs) > 1:
        return _compared(runs) if any(run.likelihood for run in runs) else []
    [run] = runs
    values = run.likelihood
    if not values:
        missing = say("likelihood", "unmade", what=run.words.likelihood.tested)
        return [Section("likelihood", TITLE, "", missing, (run.command("likelihood"),))]
    words = _words(values, run.words)
    text = say("likelihood", "intro", words=words, extrapolation=_extrapolation(values))
    caption = say("likelihood", "caption", words=words, num=number(values["num_samples"]))
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
    said = [_words(run.likelihood, run.words) for run in runs if run.likelihood]
    found = [
        _facts(run.likelihood, _words(run.likelihood, run.words)) if run.likelihood else {}
        for run in runs
    ]
    heads = {key: fact.label for facts in found for key, fact in facts.items()}
    anchors = " or ".join(dict.fromkeys(each.anchor for each in said))
    heads["anchor"] = f"{anchors}, bits per {said[0].dimension}"
    columns = {
        head: [facts[key].value if key in facts else None for facts in found]
        for key, head in heads.items()
    }
    caption = f"Any-order lower bound, with its standard error over {said[0].sample}s"
    areas = table(caption, "run", [run.name for run in runs], columns)
    without = tuple(run.command("likelihood") for run in runs if not run.likelihood)
    missing = say("likelihood", "some unmade") if without else ""
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
        say("likelihood", "errors", num=number(values["num_samples"]), words=said, values=values),
    ]
    if "perplexity" in area:
        nats = area["nats"] / values["length"]
        line = f"per {said.position}: {nats:.3f} nats, perplexity {area['perplexity']:.1f}"
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
    bits = f"{found['bits_per_dim']:.3f} bits per {words.dimension}"
    return f"{found['nats']:.1f} nats per {words.sample}, {bits}"


def _extrapolation(values: Row) -> str:
    law = values["law"]
    if law is None:
        return say("likelihood", "unknown law")
    # The length is a mean, where samples have different ones.
    num, name = round(values["length"]), "outside" if law["sizes_outside"] else "inside"
    return say("likelihood", name, law=law, num=num, area=values["area"])


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
    """Return the numbers of a run by what they are, whatever its words call them."""
    known = {"area": values["area"], "anchor": values["anchor"], "words": words}
    dims = number(values["num_dims"])
    return {
        key: Fact(*(text.format(**known, dims=dims) for text in texts))
        for key, texts in TEXTS["likelihood"]["facts"].items()
        if key != "bytes" or "bits_per_byte" in values["area"]
    }


def pair_facts(run: RunFolder) -> list[Fact]:
    """Return the accuracy on each set of minimal pairs."""
    facts = []
    for found in run.rows("minimal_pairs"):
        [cell] = compared([found], "accuracy", "%")
        facts.append(
            Fact(f"minimal pairs, {found['name']}", cell.text, f"{cell.small}; chance is 50 %")
        )
    return facts


def pairs(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the section, if minimal pairs were measured: with a figure, or a row for each run."""
    every = [row for run in runs for row in run.rows("minimal_pairs")]
    sets = grouped(every, lambda row: row["name"])
    if not sets:
        return []
    alone, names = len(runs) == 1, [run.name for run in runs]
    tables = [_paradigms(found, alone) for found in sets.values()]
    if not alone:
        columns = {}
        for name, found in sets.items():
            of_runs = {row["run"]: row for row in found}
            columns[name] = compared([of_runs.get(each) for each in names], "accuracy", "%")
        tables.insert(0, table(say("pairs", "means"), "run", names, columns))
    drawn = [_of_paradigms(runs[0], row) for row in every] if alone else []
    facts, text = pair_facts(runs[0]) if alone else [], say("pairs", "intro")
    return [Section("pairs", "Minimal pairs", text, facts=facts, figures=drawn, tables=tables)]


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
        rows.append((Cell(name, f"{number(num)} pairs"), *compared(each, "accuracy", "%", best)))
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
    caption = say(
        *("pairs", "caption"),
        num=number(found["num_pairs"]),
        ties=number(found["ties"]),
        metric=TEXTS["pairs"].get(found["metric"], found["metric"]),
        ratio=found["hidden_ratio"],
        where="inside" if inside else "outside",
        met=f"{least:g} to {most:g}" if least < most else f"{least:g} alone",
        beware="." if inside else ": the model extrapolates.",
    )
    return Figure(body, caption, found["name"])
