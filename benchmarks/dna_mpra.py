"""Compare the scores of variants by models of DNA with effects measured by saturation mutagenesis.

    python -m benchmarks.dna_mpra elements.tsv.gz RUN [RUN ...] --out DIR       # resumable

The table (Kircher et al. 2019, Nature Communications 10, 3583) has the columns Chrom, Pos, Ref,
Alt, Barcodes, Coefficient, Element and Release. Each element's reference is put together from Pos
and Ref: models see nothing beyond an element, whatever their window. Effects of fewer than 10
barcodes are left out. An element that was measured in several cells counts as several.

Runs of a law are seeds, whose 95 % t-intervals are shown; the others are bootstraps of positions.
"""

import argparse
import csv
import gzip
import json
import logging
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compare_laws import interval
from maskwise.api import load
from maskwise.dna.fasta import Genome, open_genome
from maskwise.dna.variant_tables import MEAN, effects_of_file, score_file
from maskwise.files import write_json
from maskwise.run import untrained

RELEASE = "GRCh38"
FEWEST_BARCODES = 10
UNTRAINED = "untrained"
MEASURES = ("spearman", "auroc")
COLUMNS = ("chrom", "pos", "ref", "alt", "effect", "element")


def prepare(table: Path, out: Path, release: str = RELEASE) -> str:
    """Write elements.fa and variants.tsv; return what there is and what was left out, in words.

    A record is an element; its positions that have no variant are N.
    """
    letters: dict[str, dict[int, str]] = defaultdict(dict)
    rows: list[tuple[str, int, str, str, str]] = []
    nowhere, few = 0, 0
    with gzip.open(table, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["Release"] != release:
                continue
            if not row["Pos"].isdecimal():
                nowhere += 1
                continue
            element, pos, ref = row["Element"], int(row["Pos"]), row["Ref"]
            if letters[element].setdefault(pos, ref) != ref:
                raise ValueError(f"{element}: position {pos} has several references")
            if int(row["Barcodes"]) < FEWEST_BARCODES:
                few += 1
            else:
                rows.append((element, pos, ref, row["Alt"], row["Coefficient"]))
    out.mkdir(parents=True, exist_ok=True)
    first = {element: min(places) for element, places in letters.items()}
    with (out / "elements.fa").open("w") as file:
        for element, places in letters.items():
            whole = range(first[element], max(places) + 1)
            sequence = "".join(places.get(pos, "N") for pos in whole)
            file.write(f">{element}\n{sequence}\n")
    with (out / "variants.tsv").open("w") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(
            [element, pos - first[element] + 1, *cells, element] for element, pos, *cells in rows
        )
    return (
        f"{len(letters)} elements, {len(rows):,} variants; left out: {few:,} of fewer than"
        f" {FEWEST_BARCODES} barcodes, {nowhere} without a position"
    )


def law_of(run: Path) -> tuple[str, int]:
    """Return the law and the seed of a run."""
    for name in ("summary.json", "config.json"):
        if (run / name).exists():
            values = json.loads((run / name).read_text("utf-8"))
            if "law" in values and "seed" in values:
                return values["law"], values["seed"]
    raise FileNotFoundError(f"{run} does not say its law: no summary.json or config.json")


def measure(model: Any, genome: Genome, out: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of `variant_effects` of a model, from the file where they are kept."""
    kept = out / f"{name}.json"
    if not kept.exists():
        scores = out / f"{name}.tsv.gz"
        score_file(model, genome, out / "variants.tsv", scores)
        rows = effects_of_file(scores, genome, model.tokenizer.window, "effect", "element")
        write_json(kept, rows)
    return json.loads(kept.read_text("utf-8"))


def measure_all(runs: list[Path], out: Path) -> dict[str, list[list[dict[str, Any]]]]:
    """Return the rows of each run by law, and of the models that were not trained."""
    genome = open_genome(out / "elements.fa")
    found: dict[str, list[list[dict[str, Any]]]] = defaultdict(list)
    seen = set()
    for run in runs:
        law, seed = law_of(run)
        model: Any = load(run / "model")
        name = str(run).strip("/").replace("/", "-")
        found[law].append(measure(model, genome, out, name))
        # Runs that differ in their law only begin with the same weights.
        shape = f"{model.config} {model.tokenizer.window} {model.tokenizer.tokens} {seed}"
        if shape not in seen:
            seen.add(shape)
            twin = untrained(model, seed)
            found[UNTRAINED].append(measure(twin, genome, out, f"{name}-untrained"))
        print(f"{name}: {[round(found[law][-1][0][each], 3) for each in MEASURES]}", flush=True)
    return found


def table_of(found: dict[str, list[list[dict[str, Any]]]]) -> str:
    """Return the means over elements as Markdown: a row for each law and each baseline."""
    lines = [
        "| model | runs | Spearman, score and effect | AUROC, size of score, large effects |",
        "|---|---|---|---|",
    ]
    for law, runs in found.items():
        cells = []
        for what in MEASURES:
            mean, half = interval(np.array([_mean_row(rows, "score")[what] for rows in runs]))
            cells.append(f"{mean:.3f}" if np.isnan(half) else f"{mean:.3f} ± {half:.3f}")
        name = law if law == UNTRAINED else f"`{law}`"
        lines.append(f"| {name} | {len(runs)} | {' | '.join(cells)} |")
    [rows, *_] = next(iter(found.values()))
    for name in dict.fromkeys(row["predictor"] for row in rows[:4] if row["predictor"] != "score"):
        row = _mean_row(rows, name)
        cells = [
            f"{row[what]:.3f} [{row[f'{what}_low']:.3f}, {row[f'{what}_high']:.3f}]"
            for what in MEASURES
        ]
        lines.append(f"| {name} |  | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean_row(rows: list[dict[str, Any]], predictor: str) -> dict[str, Any]:
    [row] = [row for row in rows if (row["group"], row["predictor"]) == (MEAN, predictor)]
    return row


def elements_table(found: dict[str, list[list[dict[str, Any]]]]) -> str:
    """Return Spearman's correlation in each element, the mean of a law's runs, as Markdown."""
    [first, *_] = next(iter(found.values()))
    elements = list(dict.fromkeys(row["group"] for row in first if row["group"] != MEAN))
    lines = [f"| element | {' | '.join(f'`{law}`' for law in found)} |"]
    lines += ["|---" * (len(found) + 1) + "|"]
    for element in elements:
        cells = [
            np.mean(
                [
                    row["spearman"]
                    for rows in runs
                    for row in rows
                    if (row["group"], row["predictor"]) == (element, "score")
                ]
            )
            for runs in found.values()
        ]
        lines.append(f"| {element} | {' | '.join(f'{cell:.3f}' for cell in cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, help="the measured effects, .tsv.gz")
    parser.add_argument("runs", type=Path, nargs="+", help="runs on DNA")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--elements", action="store_true", help="also a table by element")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    print(prepare(arguments.table, arguments.out))
    found = measure_all(arguments.runs, arguments.out)
    print(f"\n{table_of(found)}")
    if arguments.elements:
        print(f"\n{elements_table(found)}")


if __name__ == "__main__":
    main()
