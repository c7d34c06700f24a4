"""Score against ratio for masked language models on text: trained under several laws, and not.

    python -m benchmarks.likelihood_text --text TEXT --out runs/likelihood-text

trains small models over letters, on nine tenths of the file, and measures them on the rest: the
curve, its area (the any-order bound, in bits per letter), and how far orders disagree. An
untrained model and the uniform predictor, -ln V, stand beside them. Finished runs are kept in the
folder, so that a second call draws only. With --model DIR a masked language model of Hugging
Face's transformers is measured instead, on the last tenth of the file, beside the same model with
random weights.
"""

import argparse
import itertools
import json
import lzma
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.compare_laws import interval
from benchmarks.likelihood_ppca import panels
from benchmarks.likelihood_text_model import build, train
from benchmarks.networks_data import SYMBOLS, text
from maskwise.files import read_json_lines
from maskwise.integrations import hf
from maskwise.likelihood import log_likelihood, order_spread, score_curve
from maskwise.report.figures import CYCLE, INK

WINDOW = 48
LAWS = ("fixed:0.15", "fixed:0.3", "fixed:0.5", "uniform:0.1,0.8", "likelihood")
SHOWN = (0.15, 0.5, 0.9, 1.0)
RATIOS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


def measure(model: Any, x: Tensor, seed: int = 0) -> dict[str, Any]:
    """Return the curve and the area of a model on samples."""
    curve = score_curve(model, x, ratios=RATIOS, num_masks=2, seed=seed)
    area = log_likelihood(model, x, passes=64, seed=seed)
    return {
        "ratios": list(RATIOS),
        "scores": curve.scores.tolist(),
        "bits": area.bits_per_dim,
        "bits_stderr_masks": area.stderr / area.num_dims / math.log(2),
        "spread": float(order_spread(model, x[:16], num_orders=4).mean()),
    }


def run(
    path: Path, laws: tuple[str, ...], seeds: int, steps: int, out: Path
) -> list[dict[str, Any]]:
    """Train and measure what is not yet in `out`, seed by seed; return all rows."""
    data = text(path, WINDOW)
    test = data.test[:: max(1, len(data.test) // 256)][:256]
    rows = read_json_lines(out) if out.exists() else []
    done = {(row["law"], row["seed"]) for row in rows}
    for seed, law in itertools.product(range(seeds), ("untrained", *laws)):
        if (law, seed) in done:
            continue
        start = time.perf_counter()
        model = build(WINDOW, seed)
        if law != "untrained":
            train(model, data.pool, law, steps, seed)
        row = {"law": law, "seed": seed, "steps": steps, **measure(model, test)}
        row["seconds"] = round(time.perf_counter() - start, 1)
        with out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        rows.append(row)
        print(f"{law} seed {seed}: {row['bits']:.3f} bits per letter, {row['seconds']} s")
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return areas and scores with intervals over seeds, each beside the best fixed ratio."""
    laws = list(dict.fromkeys(row["law"] for row in rows))
    of = {law: [row for row in rows if row["law"] == law] for law in laws}
    lines = [
        "| law | bits per letter | spread of orders, nats | "
        + " | ".join(f"S({ratio:g})" for ratio in SHOWN)
        + " |",
        "|---" * (3 + len(SHOWN)) + "|",
    ]
    for law, found in of.items():
        columns = [[row["bits"] for row in found], [row["spread"] for row in found]]
        columns += [[row["scores"][RATIOS.index(ratio)] for row in found] for ratio in SHOWN]
        cells = ["{:.3f} ± {:.3f}".format(*interval(np.array(column))) for column in columns]
        lines.append(f"| `{law}` | {' | '.join(cells)} |")
    uniform = math.log2(len(SYMBOLS))
    lines.append(
        f"| uniform predictor | {uniform:.3f} | 0 |{f' {-uniform * math.log(2):.3f} |' * 4}"
    )
    fixed = [law for law in laws if law.startswith("fixed")]
    if not fixed:
        return "\n".join(lines)
    bits = {law: np.array([row["bits"] for row in of[law]]) for law in laws}
    best = min(fixed, key=lambda law: bits[law].mean())
    lines += ["", f"Bits per letter, difference from the best fixed ratio (`{best}`), paired:", ""]
    for law in laws:
        if law not in (best, "untrained"):
            mean, half = interval(bits[law] - bits[best])
            lines.append(f"- `{law}`: {mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]")
    return "\n".join(lines)


def of_transformers(name: str, path: Path) -> tuple[list[dict[str, Any]], int]:
    """Measure a model of transformers and its untrained twin; return rows and the alphabet's size.

    Windows have the default length of `hf.load`.
    """
    raw = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
    text = raw.decode("utf-8")
    held_out = text[len(text) * 9 // 10 :][: 2**20]
    trained = hf.load(name)
    ids, eligible, num_bytes = (
        part[:: max(1, len(part) // 64)][:64] for part in trained.tokenizer.windows(held_out)
    )
    rows = []
    for label, model in (("trained", trained), ("untrained", hf.untrained(trained))):
        row = measure(model, ids)
        bits = row["bits"] * int(eligible.sum()) / int(num_bytes.sum())
        rows.append({"law": label, **row, "bits_per_byte": bits})
    return rows, int(trained.tokenizer.alphabet.sum())


def table_of_models(rows: list[dict[str, Any]], num_values: int) -> str:
    """Return the areas and scores of models over tokens, and of the uniform predictor."""
    heads = " | ".join(f"S({ratio:g})" for ratio in SHOWN)
    lines = [
        f"| model | bits per token | bits per byte | spread of orders, nats | {heads} |",
        "|---" * (4 + len(SHOWN)) + "|",
    ]
    for row in rows:
        numbers = [row["bits"], row["bits_per_byte"], row["spread"]]
        numbers += [row["scores"][RATIOS.index(ratio)] for ratio in SHOWN]
        lines.append(f"| {row['law']} | " + " | ".join(f"{n:.3f}" for n in numbers) + " |")
    bits = math.log2(num_values)
    per_byte = bits * rows[0]["bits_per_byte"] / rows[0]["bits"]
    scores = f" {-bits * math.log(2):.3f} |" * len(SHOWN)
    lines.append(f"| uniform predictor | {bits:.3f} | {per_byte:.3f} | 0 |{scores}")
    return "\n".join(lines)


def draw(rows: list[dict[str, Any]], path: Path, num_values: int, symbol: str) -> None:
    """Write the curves, means over seeds, beside the uniform predictor."""

    def plot(axes: Any, _: str) -> None:
        for place, law in enumerate(dict.fromkeys(row["law"] for row in rows)):
            found = np.mean([row["scores"] for row in rows if row["law"] == law], axis=0)
            axes.plot(RATIOS, found, marker=".", color=CYCLE[place % len(CYCLE)], label=law)
        uniform = -math.log(num_values)
        axes.axhline(uniform, color=INK, linestyle=":", label="uniform, -ln V")
        axes.set(xlabel="hidden ratio", ylabel=f"score S, nats per hidden {symbol}", xlim=(0, 1))
        axes.set_ylim(bottom=1.4 * uniform)

    panels(path, ["curves"], plot, size=(7.2, 4.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, required=True, help="a text file, .xz or plain")
    parser.add_argument("--out", type=Path, required=True, help="a folder for results and figure")
    parser.add_argument("--model", help="a model of transformers, to measure instead")
    parser.add_argument("--laws", nargs="+", default=LAWS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1500)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.model:
        found, num_values = of_transformers(arguments.model, arguments.text)
        print(table_of_models(found, num_values))
        draw(found, arguments.out / "model.png", num_values, "token")
        return
    results = arguments.out / "results.jsonl"
    rows = run(arguments.text, tuple(arguments.laws), arguments.seeds, arguments.steps, results)
    print(table(rows))
    draw(rows, arguments.out / "curves.png", len(SYMBOLS), "letter")


if __name__ == "__main__":
    main()
