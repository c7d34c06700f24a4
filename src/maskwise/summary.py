"""What the commands print of a run: its law, how good it is, and where the report is."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from maskwise.report import imputation

Line = tuple[float, float | None, float | None, str]
F1 = ("cells", "tables")  # whose probes are told by their macro-F1


def as_text(run: Any) -> str:
    """Return the law that the loss saw, what was measured, and where the report is."""
    result, law = run.result, run.result["law"]
    lines = [
        f"law {law['name']} (one ratio per {law['scope']}): mean {law['mean']:.3f},"
        f" effective mean {law['effective_mean']:.3f} under {law['reduction']}"
    ]
    found: Iterator[Line] = _accuracies(result)
    form = ".1%"
    if run.config.modality in F1:
        found, form = chain(_scores(result), _imputed(result)), ".3f"
    for value, low, high, what in found:
        between = "" if low is None or high is None else f"[{low:{form}}, {high:{form}}]"
        lines.append(f"{value:7{form}}  {between:<14}  {what}")
    return "\n".join([*lines, f"report: {run.report}"])


def _accuracies(result: dict[str, Any]) -> Iterator[Line]:
    """Give each accuracy of a result with its interval, and what it is of."""
    for probe in result["probes"]:
        yield probe["accuracy"], probe["low"], probe["high"], _probe(probe)
    for pairs in result.get("minimal_pairs", ()):
        what = f"{pairs['name']}: {pairs['num_pairs']:,} minimal pairs"
        yield pairs["accuracy"], pairs["low"], pairs["high"], what
    for tuned in result.get("finetuning", ()):
        found, what = tuned["accuracy"], f"{tuned['task']}: {tuned['model']}, fine-tuned"
        if "mcc" in tuned:
            what += f" (Matthews correlation {tuned['mcc']['mean']:.3f})"
        yield found["mean"], found["low"], found["high"], what


def _scores(result: dict[str, Any]) -> Iterator[Line]:
    """Give macro-F1 by the first probe with all labels and the fewest; the report has all."""
    tasks = list(dict.fromkeys(probe["task"] for probe in result["probes"]))[:2]
    for probe in result["probes"]:
        if probe["task"] in tasks and probe["protocol"] == result["probes"][0]["protocol"]:
            found, what = probe["macro_f1"], f"{probe['task']}: {probe['features']}"
            yield found["value"], found["low"], found["high"], f"macro-F1, {what}"


def _imputed(result: dict[str, Any]) -> Iterator[Line]:
    """Give R² of the values that are imputed at the ratio of the report's headline."""
    for row in imputation.at_headline(result):
        what = f"R² of hidden values at ratio {row['ratio']}: {row['method']}"
        yield row["r2"], row["r2_low"], row["r2_high"], what


def _probe(probe: dict[str, Any]) -> str:
    task = f"{probe['task']}: " if "task" in probe else ""
    return f"{task}{probe['features']:<28} {probe['protocol']}"
