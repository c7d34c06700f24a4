"""What probes, fine-tuning and minimal pairs found, of one run or of several."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from maskwise.report import blocks, figures
from maskwise.report.blocks import Cell, Fact, Figure, Section, Table, compared, number, say, table
from maskwise.report.folder import Row, RunFolder
from maskwise.report.training import reach

# Measures that rows may have beside their accuracy.
MORE = {"macro_f1": "macro-F1", "mcc": "Matthews correlation", "auroc": "AUROC"}


def sections(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the section; data without labels of its own has one only if it was probed."""
    words = runs[0].words.probes
    every = [probe for run in runs for probe in probes_of(run)]
    if not every and not words.labelled:
        return []
    lacking = blocks.unmade(runs, "probes in result.json", lambda run: "probes" in run.result)
    if not every:
        return [Section("probes", "Probes", **{"missing": say("probes", "unlabelled")} | lacking)]
    tasks = blocks.grouped(every, _task)
    text = say("probes", "of one" if len(runs) == 1 else "of several")
    if len(runs) > 1 and any(tasks):
        text += " " + say("probes", "chosen", samples=words.samples)
    tables = [each for task, probes in tasks.items() for each in _tables(runs, probes, task)]
    return [Section("probes", "Probes", text, tables=tables, **lacking)]


def probe_fact(run: RunFolder) -> tuple[str, list[Fact]]:
    """Return what the best features and the best baseline say, as a sentence and a number.

    By macro-F1 where rows have it, else accuracy.
    """
    trained, baseline = headline(probes_of(run))
    if trained is None:
        return "", []
    if trained[ranked_by(trained)]["value"] is None:
        return f" Probes: {trained['note']}.", []
    by_f1, task = "macro_f1" in trained, trained.get("task")
    key, form, kind = ("macro_f1", ".3f", "macro-F1 ") if by_f1 else ("accuracy", "%", "")
    both = [each and each.get(key) for each in (trained, baseline)]
    value, other = (cell.text for cell in compared(both, form=form))
    on = f" on {task}" if task else ""
    said, gain = f" Encoder probed{on} by {trained['protocol']}: {kind}{value}", ""
    if baseline:
        said += f"; best baseline, {baseline['features']}: {kind}{other}"
        gain = f"{baseline['features']}: {other}"
        if not by_f1:
            points = 100 * (trained["accuracy"]["value"] - baseline["accuracy"]["value"])
            gain = f"{points:+.1f} points on {baseline['features']}"
    label = ", ".join(filter(None, ("probe", task, _short(trained["protocol"]))))
    return f"{said}.", [Fact(label, kind + value, gain)]


def probes_of(run: RunFolder) -> list[Row]:
    """Return the probes of a run, with the measures that its kind shows: value, low and high."""
    hidden = set(MORE) - set(run.words.probes.measures)
    found: list[Row] = []
    for row in run.rows("probes"):
        accuracy = {"value": row["accuracy"], "low": row["low"], "high": row["high"]}
        shown = {key: row[key] for key in row if key not in hidden}
        found.append(shown | {"accuracy": accuracy})
    return found


def headline(probes: Sequence[Row]) -> tuple[Row | None, Row | None]:
    """Return the best trained probe and baseline of the first task and protocol listed."""
    if not probes:
        return None, None
    first = next(iter(blocks.grouped(probes, _task).values()))
    same = next(iter(_columns(first).values()))
    return best(same, trained=True), best(same, trained=False)


def best(probes: Sequence[Row], *, trained: bool) -> Row | None:
    """Return the best probe of the trained encoder or of the baselines, by `ranked_by`."""
    kind = [probe for probe in probes if _of_encoder(probe["features"]) is trained]
    return max(kind, key=lambda probe: probe[ranked_by(probe)]["value"] or 0.0, default=None)


def ranked_by(probe: Row) -> str:
    """Return the measure that decides which is best: macro-F1 or Matthews correlation, if any."""
    return next((key for key in ("macro_f1", "mcc") if key in probe), "accuracy")


def _tables(runs: Sequence[RunFolder], every: Sequence[Row], task: str) -> list[Table]:
    """Return a row for each features of one run, or for each of several runs.

    Of these all protocols are in one table, or in one each where rows have more than accuracies.
    """
    alone, columns = len(runs) == 1, _columns(every)
    features = dict.fromkeys(str(probe["features"]) for probe in every)
    names = [Cell(each, "" if _of_encoder(each) else "baseline") for each in features]
    tables = []
    for part in [[name] for name in columns] if _more(every) and not alone else [[*columns]]:
        there = [probe for name in part for probe in columns[name]]
        others = _more(there)
        # A note of all, but for baselines without features, is shown once.
        notes = {str(probe.get("note", "")) for probe in there if probe["protocol"] in part}
        known = notes.pop() if len(notes) == 1 else ""
        made: dict[str, list[Cell]] = {}
        for name in part:
            column = columns[name]
            if alone:
                found = {probe["features"]: probe for probe in column}
                heads = {name: [found.get(each) for each in features]}
            else:
                mine = [[row for row in column if row["run"] == run.name] for run in runs]
                heads = {name: [best(each, trained=True) for each in mine]}
                baselines = [best(each, trained=False) for each in mine]
                heads[f"best baseline, {_short(name)}"] = baselines
            for head, rows in heads.items():
                of_rows = _measures(rows, column, others)
                own, told = "protocol" if alone else "features", ("", name, known)
                accuracies = zip(of_rows.pop("accuracy"), rows, strict=True)
                made[head] = [_noted(cell, row, own, told) for cell, row in accuracies]
                start = _short(head).split(",")[0]
                made |= {f"{start}, {measure}": cells for measure, cells in of_rows.items()}
        caption = _caption(there, others, known, alone)
        first, rows_of = ("features", names) if alone else ("run", [run.name for run in runs])
        tables.append(table(caption, first, rows_of, made, title=task))
    return tables


def _noted(cell: Cell, row: Row | None, own: str, told: Collection[str]) -> Cell:
    """Return a cell that also says what it is of and what is noted, unless told elsewhere."""
    small = (row[own], cell.small, row.get("note", "")) if row else ()
    return replace(cell, small="\n".join(each for each in small if each not in told))


def _caption(rows: Sequence[Row], others: Mapping[str, str], known: str, alone: bool) -> str:
    measures = ", ".join(["Test accuracy", *others.values()])
    if alone:
        sizes = {(probe.get("num_train"), probe.get("num_test")) for probe in rows}
        said = [f"{number(train)} train, {number(test)} test" for train, test in sorted(sizes)]
        size = "; ".join(filter(None, [*said, known]))
        return say("probes", "caption of one", measures=measures, size=size)
    caption = say("probes", "caption of several", measures=measures)
    if others:
        caption += f"; features are those of the best {MORE[ranked_by(rows[0])]}"
    return f"{caption}; {known}" if known else caption


def _measures(
    rows: Sequence[Row | None],
    among: Sequence[Row],
    others: Mapping[str, str],
    value: str = "value",
    bold: Collection[str] = ("accuracy", *MORE),
) -> dict[str, list[Cell]]:
    """Return columns with the accuracy and other measures; the best of some are `bold`."""
    columns = {}
    for key, name in {"accuracy": "accuracy", **others}.items():
        values, pool = ([row and row.get(key) for row in part] for part in (rows, among))
        form, best = "%" if key == "accuracy" else ".3f", max if key in bold else None
        columns[name] = compared(values, value, form, best, pool)
    return columns


def _task(row: Row) -> str:
    return str(row.get("task", ""))  # none: data with labels of its own


def _of_encoder(features: str) -> bool:
    return features.startswith("encoder")  # all others are baselines


def _more(rows: Sequence[Row]) -> dict[str, str]:
    """Return the measures that rows have beside their accuracy, and what they are called."""
    return {key: name for key, name in MORE.items() if any(key in row for row in rows)}


def _columns(probes: Sequence[Row]) -> dict[str, list[Row]]:
    """Return probes by the protocol they stand under: those of trained features, if any.

    A baseline without features, such as a bag of words, has a protocol of its own, and stands in
    the first.
    """
    trained = [probe for probe in probes if _of_encoder(probe["features"])]
    names = list(dict.fromkeys(str(probe["protocol"]) for probe in trained or probes))
    found = blocks.grouped(
        probes, lambda row: row["protocol"] if row["protocol"] in names else names[0]
    )
    return {name: found[name] for name in names}


def _short(protocol: str) -> str:
    return protocol.split(" (")[0]  # without its details


def finetuning(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the section, if models were fine-tuned: a row for each model, or for each run."""
    every = [row for run in runs for row in run.rows("finetuning")]
    if not every:
        return []
    tables = []
    for task, rows in blocks.grouped(every, _task).items():
        if len(runs) == 1:
            tables.append(_models(task, rows))
            continue
        columns: dict[str, list[Cell]] = {}
        for model, mine in blocks.grouped(rows, lambda row: row["model"]).items():
            of_runs = {row["run"]: row for row in mine}
            each = [of_runs.get(run.name) for run in runs]
            found = _measures(each, rows, _more(rows), "mean", ("accuracy",))
            columns |= {f"{model}, {name}": cells for name, cells in found.items()}
        caption = " or ".join(dict.fromkeys(map(_settings, rows)))
        tables.append(table(caption, "run", [run.name for run in runs], columns, title=task))
    seeds = sorted({len(row["seeds"]) for row in every})
    num = "one seed" if seeds == [1] else f"{' or '.join(map(str, seeds))} seeds"
    text = say("finetuning", "intro", seeds=num)
    if seeds != [1]:
        text += " " + say("finetuning", "means", samples=runs[0].words.probes.samples)
    return [Section("finetuning", "Fine-tuning", text, tables=tables)]


def _models(task: str, rows: Sequence[Row]) -> Table:
    """Return a row for each model of a run, and one for what knows the frequencies only."""
    names = []
    for row in rows:
        small = "baseline" * (row["model"] != "encoder"), row.get("note", "")
        names.append(Cell(row["model"], "\n".join(filter(None, small))))
    seeds = [", ".join(f"{100 * each['accuracy']:.1f}" for each in row["seeds"]) for row in rows]
    columns = _measures(rows, rows, _more(rows), "mean", bold=())
    columns["accuracy of each seed"] = list(map(Cell, seeds))
    chance = {
        "accuracy": blocks.written(rows[0]["majority"], "%"),
        MORE["mcc"]: "0",
        MORE["auroc"]: "0.5",
    }
    columns = {name: [*cells, Cell(chance.get(name, ""))] for name, cells in columns.items()}
    names.append(Cell("most frequent class"))
    return table(_settings(rows[0]), "model", names, columns, title=task)


def _settings(row: Row) -> str:
    protocol = f"{row['protocol']}; " if "protocol" in row else ""
    train, test = number(row["num_train"]), number(row["num_test"])
    return protocol + say("finetuning", "settings", row=row, train=train, test=test)


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
    sets = blocks.grouped(every, lambda row: row["name"])
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
    for name in dict.fromkeys(chain(*of_runs.values())):
        each = [paradigms.get(name) for paradigms in of_runs.values()]
        num = next(row["num"] for row in each if row)
        rows.append((Cell(name, f"{number(num)} pairs"), *compared(each, "accuracy", "%", best)))
    caption = f"{found[0]['name']} by paradigm, with 95 % interval"
    return Table(caption, ("paradigm", *of_runs), tuple(rows), folded=True)


def _of_paradigms(run: RunFolder, found: Row) -> Figure:
    rows = found["paradigms"]
    names = [figures.plain(row["name"].replace("_", " ")) for row in rows]
    accuracy, low, high = ([100 * row[key] for row in rows] for key in ("accuracy", "low", "high"))

    def plot(axes: figures.Axes) -> None:
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
        metric=blocks.TEXTS["pairs"].get(found["metric"], found["metric"]),
        ratio=found["hidden_ratio"],
        where="inside" if inside else "outside",
        met=f"{least:g} to {most:g}" if least < most else f"{least:g} alone",
        beware="." if inside else ": the model extrapolates.",
    )
    return Figure(body, caption, found["name"])
