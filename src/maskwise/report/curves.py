"""Values by hidden ratio: the error or the loss, the likelihood, how well values are imputed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from maskwise.report import blocks, figures
from maskwise.report.blocks import Cell, Fact, Figure, Section, Table, compared, number, say, table
from maskwise.report.folder import Row, RunFolder
from maskwise.report.training import reach
from maskwise.settings import override
from maskwise.words import GENERIC, LikelihoodWords, LossWords, Words

NAMES, OTHERS = blocks.TEXTS["imputation"]["names"], blocks.TEXTS["imputation"]["others"]
HEADLINE = 0.5  # the hidden fraction of the number at the top
LEAST = -0.5  # what is worse than this is off the figure
OURS = "model"


def target_of(run: RunFolder) -> str:
    """Return "normalised" or "raw", from the result or else from the configuration."""
    found = run.result.get("reconstruction") or run.config.get("data") or {}
    return str(found.get("target", "normalised"))


def at(curve: Sequence[Row], ratio: float) -> Row | None:
    """Return the point of a curve at a ratio, if it was measured."""
    return next((point for point in curve if point["ratio"] == ratio), None)


def loss_fact(run: RunFolder) -> tuple[str, list[Fact]]:
    """Return the loss at one ratio beside those of baselines, as a sentence and a number.

    Only if the words of the run name a ratio.
    """
    words, found = run.words.loss, run.result.get("reconstruction")
    if words.headline is None or not found or not (loss := at(found["curve"], words.headline)):
        return "", []
    form, beside = f".{words.digits}f", ""
    for name, curve in found.get("baselines", {}).items():
        if point := at(curve, words.headline):
            beside += f"; {name}: {point['error']:{form}}"
    where = f"at ratio {words.headline}"
    note = f"{words.axis}, {blocks.between(loss, form)}{beside}"
    fact = Fact(f"{words.name.lower()} {where}", f"{loss['error']:.3f}", note)
    return f" {words.name} {where}: {loss['error']:{form}} {words.axis}{beside}.", [fact]


def losses(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the curve of one run with all its numbers, or those of several side by side."""
    words, alone = runs[0].words.loss, len(runs) == 1
    found = {run.name: each for run in runs if (each := run.result.get("reconstruction"))}
    what = "reconstruction errors in result.json"
    lacking = blocks.unmade(runs, what, lambda run: run.name in found)
    if not found:
        return [Section("errors", words.title, **lacking)]
    first, target = next(iter(found.values())), target_of(runs[0])
    baselines = first.get("baselines", {})
    plot = figures.by_ratio(
        {"this model" if alone else name: values["curve"] for name, values in found.items()},
        "error",
        words.axis.replace("{}", " and ".join(dict.fromkeys(map(target_of, runs)))),
        support=reach(runs[0].law) if alone else None,
        baselines=baselines if alone or words.tabled else {},
    )
    of, text = runs[0].name if alone else f"{len(found)} runs", ""
    body = figures.svg(f"{words.name} by hidden ratio of {of}", plot, size=figures.WIDE)
    tables = [_side_by_side(words, found)] if words.tabled else []
    caption = say("losses", "of several", words=words) + warning(runs)
    if alone:
        detail, samples = words.detail.replace("{}", target), number(first["num_samples"])
        caption = say("losses", "of one", words=words, num=samples, detail=detail, found=first)
        if known := [text for name, text in words.known.items() if name in baselines]:
            caption += f" Dashed: {'; '.join(known)}."
        tables = [_numbers(words, first, baselines if words.tabled else {})]
        if mean := first.get("mean"):
            [cell] = compared([mean], "error", words.form)
            text = say("losses", "mean", mean=mean, words=words, cell=cell)
    drawn = (Figure(body, caption),)
    return [Section("errors", words.title, text, figures=drawn, tables=tables, **lacking)]


def _numbers(words: LossWords, found: Row, baselines: Mapping[str, Sequence[Row]]) -> Table:
    """Return the numbers behind the figure: a row for each ratio."""
    columns = {words.head or words.axis: found["curve"], **baselines}
    title = words.table or words.axis.capitalize()
    return table(
        f"{title}, with 95 % interval".replace("{}", found.get("target", "normalised")),
        "hidden ratio",
        [f"{point.get('realised', point['ratio']):.3f}" for point in found["curve"]],
        {name: compared(each, "error", words.form, None) for name, each in columns.items()},
        folded=True,
    )


def _side_by_side(words: LossWords, found: Mapping[str, Row]) -> Table:
    """Return a row for each run, a column for the mean and each ratio."""
    means, how = [values.get("mean") for values in found.values()], ("error", words.form, min)
    columns = {"mean": compared(means, *how)} if any(means) else {}
    columns |= _at_ratios([values["curve"] for values in found.values()], *how)
    caption = f"{words.axis.capitalize()} by ratio, with 95 % interval; least of each in bold"
    return table(caption, "run", found, columns)


def _at_ratios(curves: Collection[Sequence[Row]], key: str, *how: Any) -> dict[str, list[Cell]]:
    """Return a column for each ratio at which any of the curves was measured."""
    ratios = sorted({point["ratio"] for curve in curves for point in curve})
    return {f"{x:g}": compared([at(curve, x) for curve in curves], key, *how) for x in ratios}


def warning(runs: Sequence[RunFolder]) -> str:
    """Return a sentence if the values of runs cannot be compared."""
    words, kinds = runs[0].words.loss, set()
    for run in runs:
        pattern = words.pattern and run.result.get("reconstruction", {}).get("pattern")
        settings = [str(run.config["data"].get(key)) for key in words.between]
        kinds.add((run.data_name, target_of(run), pattern, *settings))
    return " " + say("losses", "differ", words=words) if len(kinds) > 1 else ""


def imputation_fact(run: RunFolder) -> tuple[str, list[Fact]]:
    """Return the R² at one ratio beside the best other method, as a sentence and a number."""
    there = at_headline(run.result)
    ours = next((row for row in there if row["method"] == OURS), None)
    if ours is None:
        return "", []
    others = [row for row in there if row["method"] != OURS]
    best = max(others, key=lambda row: float(row["r2"]), default=None)
    beside = f"; {best['method']}: {best['r2']:.3f}" if best else ""
    [cell] = compared([_spread(ours)], "r2")
    fact = Fact(f"imputation, R² at ratio {HEADLINE}", cell.text, cell.small + beside)
    return f" Imputation at ratio {HEADLINE}: R² {cell.text}{beside}.", [fact]


def at_headline(result: Row) -> list[Row]:
    """Return the rows, a method each, that the headline is about: of the first kind listed."""
    same = next(iter(blocks.grouped(result.get("imputation", ()), _title).values()), [])
    return [row for row in same if row["ratio"] == HEADLINE and row["r2"] is not None]


def imputation(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the section, if imputation was measured: a line for each method, or for each run."""
    alone = len(runs) == 1
    every = [_spread(row) for run in runs for row in run.rows("imputation")]
    if not alone:
        every = [row for row in every if row["method"] == OURS and row["r2"] is not None]
    if not every:
        return []
    what, drawn, tables = "method" if alone else "run", [], []
    for title, rows in blocks.grouped(every, _title).items():
        named = blocks.grouped(rows, lambda row: str(row[what]))
        # Categories have no variance.
        if any(row["r2"] is not None for row in rows):
            of = runs[0].name if alone else f"{len(named)} runs"
            support = reach(runs[0].law) if alone else None
            drawn.append(_drawn(title, of, named, support))
            tables.append(_imputed(title, what, named))
        if alone:
            tables.append(_details(title, rows))
    text = say("imputation", "intro") + warning(runs)
    return [Section("imputation", "Imputation", text, figures=drawn, tables=tables)]


def _title(row: Row) -> str:
    return ", ".join(NAMES.get(row[key], row[key]) for key in ("entries", "mechanism"))


def _drawn(
    title: str, of: str, named: Mapping[str, Sequence[Row]], support: tuple[float, float] | None
) -> Figure:
    """Draw R² by ratio, a line for each name; the feature mean is dashed."""
    lines, off = {}, False
    for name, rows in named.items():
        known = [row for row in rows if row["r2"] is not None]
        shown = [point for point in known if point["r2"] >= LEAST]
        off |= len(shown) < len(known)
        if shown:
            lines[name] = shown
    dashed = {name: lines.pop(name) for name in ("feature mean",) if name in lines}
    plot = figures.by_ratio(lines, "r2", "R²", support=support, baselines=dashed)
    caption = "Bands are 95 % intervals."
    caption += " Orange: the ratios met in training." if support else ""
    caption += f" What is below {LEAST} is not drawn." if off else ""
    body = figures.svg(f"{title}: R² by hidden ratio of {of}", plot, size=(5.0, 3.3))
    return Figure(body, caption, title)


def _imputed(title: str, what: str, named: Mapping[str, Sequence[Row]]) -> Table:
    """Return a row for each name, a column for each ratio, the best of each in bold."""
    about, names = "", []  # what is said of the model is about all methods
    for name, rows in named.items():
        notes = "; ".join(dict.fromkeys(row["note"] for row in rows if row.get("note")))
        ours = rows[0]["method"] == OURS
        names.append(Cell(name, "" if ours else notes))
        about = f"; {notes}" if ours and notes else about
    columns = _at_ratios(named.values(), "r2")
    caption = f"R² by hidden ratio, with 95 % interval; best of each in bold{about}"
    return table(caption, what, names, columns, title=title)


def _details(title: str, rows: Sequence[Row]) -> Table:
    """Return all that was measured of each method and ratio."""
    columns: dict[str, list[object]] = {"ratio": [f"{row['ratio']:g}" for row in rows]}
    for key, name in OTHERS.items():
        if any(row.get(key) is not None for row in rows):
            columns[name] = [row.get(key) for row in rows]
    columns["time"] = [blocks.duration(row.get("seconds")) for row in rows]
    caption = f"Other measures: {title[0].lower()}{title[1:]}"
    return table(caption, "method", [row["method"] for row in rows], columns, folded=True)


def _spread(row: Row) -> Row:
    return {**row, "low": row.get("r2_low"), "high": row.get("r2_high")}


def likelihood(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the curve of one run, or the areas of several, if any has a likelihood."""
    tested = runs[0].words.likelihood.tested
    lacking = blocks.unmade(runs, tested, lambda run: run.likelihood, "likelihood")
    section = Section("likelihood", "Likelihood", **lacking)
    if len(runs) > 1:
        areas = _areas(runs)
        return [replace(section, tables=areas)] if areas else []
    [run] = runs
    values = run.likelihood
    if not values:
        return [section]
    words = _words(values, run.words)
    text = say("likelihood", "intro", words=words, extrapolation=_extrapolation(values))
    caption = say("likelihood", "caption", words=words, num=number(values["num_samples"]))
    hidden = f"Log-{words.kind} of a hidden {words.position}"
    plot = _scores({"this model": values}, run.words)
    body = figures.svg(f"{hidden} by hidden ratio of {run.name}", plot, size=figures.WIDE)
    curve = values["curve"]
    names = [Cell(f"{each['ratio']:.3f}", f"{number(each['size'])} hidden") for each in curve]
    scores = {f"nats per {words.position}": compared(curve, "score", ".4g", None)}
    points = table(f"{hidden}, 95 % interval", "hidden ratio", names, scores, folded=True)
    facts, drawn = tuple(_facts(run).values()), (Figure(body, caption),)
    return [replace(section, text=text, facts=facts, figures=drawn, tables=(points,))]


def _areas(runs: Sequence[RunFolder]) -> list[Table]:
    """Return a row for each run, a column for each number, if there is any."""
    said = [_words(run.likelihood, run.words) for run in runs if run.likelihood]
    if not said:
        return []
    found = [_facts(run) if run.likelihood else {} for run in runs]
    heads = {key: fact.label for facts in found for key, fact in facts.items()}
    anchors = " or ".join(dict.fromkeys(each.anchor for each in said))
    heads["anchor"] = f"{anchors}, bits per {said[0].dimension}"
    columns = {
        head: [facts[key].value if key in facts else None for facts in found]
        for key, head in heads.items()
    }
    caption = f"Any-order lower bound, with its standard error over {said[0].sample}s"
    return [table(caption, "run", [run.name for run in runs], columns)]


def likelihood_picture(named: Sequence[tuple[str, Row]]) -> figures.Picture:
    """Draw the curves of runs, given as (name, likelihood.json)."""
    made = figures.draw(_scores(dict(named), GENERIC), figures.WIDE)
    made.set_facecolor("white")
    return made


def likelihood_text(values: Row, words: Words = GENERIC) -> str:
    """Return what the command prints of a run."""
    said = _words(values, words)
    lines = [f"hidden  ratio  nats per {said.position}, 95 % interval"]
    for each in values["curve"]:
        half = (each["high"] - each["low"]) / 2
        lines.append(f"{each['size']:6d}  {each['ratio']:5.3f}  {each['score']:.2f} ± {half:.2f}")
    area, num = values["area"], number(values["num_samples"])
    lines.append(f"any-order lower bound: {_both(area, said)}")
    lines.append(say("likelihood", "errors", num=num, words=said, values=values))
    if "perplexity" in area:
        nats = area["nats"] / values["length"]
        line = f"per {said.position}: {nats:.3f} nats, perplexity {area['perplexity']:.1f}"
        if "bits_per_byte" in area:
            line += f"; per byte of the text: {area['bits_per_byte']:.3f} bits"
        lines.append(line)
    lines.append(f"{said.anchor}: {_both(values['anchor'], said)}")
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


def _scores(named: Mapping[str, Row], words: Words) -> figures.Plot:
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


def _facts(run: RunFolder) -> dict[str, Fact]:
    """Return the numbers of a run by what they are, whatever its words call them."""
    dims = number(run.likelihood["num_dims"])
    known = {**run.likelihood, "dims": dims, "words": _words(run.likelihood, run.words)}
    return {
        key: Fact(*(text.format(**known) for text in texts))
        for key, texts in blocks.TEXTS["likelihood"]["facts"].items()
        if key != "bytes" or "bits_per_byte" in known["area"]
    }
