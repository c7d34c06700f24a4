"""What was measured of a run, in lines."""

from collections.abc import Iterator
from itertools import chain

from maskwise.report import curves
from maskwise.report.folder import Row
from maskwise.words import Words

Line = tuple[float, float | None, float | None, str, str]


def law_line(result: Row) -> str:
    """Return the law that the loss saw."""
    law = result["law"]
    return (
        f"law {law['name']} (one ratio per {law['scope']}): mean {law['mean']:.3f},"
        f" effective mean {law['effective_mean']:.3f} under {law['reduction']}"
    )


def measured(result: Row, words: Words) -> list[str]:
    """Return each figure of result.json that commands print: value, interval, what it is."""
    by_f1, lines = "macro_f1" in words.probes.measures, []
    probes = _scores(result) if by_f1 else _accuracies(result)
    for value, low, high, form, what in chain(probes, _others(result), _imputed(result)):
        if value is None:
            lines.append(f"{'none':>7}  {what}")
            continue
        between = "" if low is None or high is None else f"[{low:{form}}, {high:{form}}]"
        lines.append(f"{value:7{form}}  {between:<14}  {what}")
    return lines


def losses(result: Row, words: Words) -> list[str]:
    """Return the loss on held-out samples at each ratio that was measured, in lines."""
    found, told = result.get("reconstruction") or {}, words.loss
    axis, form = told.axis.replace("{}", str(found.get("target", ""))), told.form
    return [
        f"{row['error']:7{form}}  [{row['low']:{form}}, {row['high']:{form}}]"
        f"  {axis}, at ratio {row['ratio']:g}"
        for row in found.get("curve", ())
    ]


def _accuracies(result: Row) -> Iterator[Line]:
    """Give the accuracy of each probe with its interval, and what it is of."""
    for probe in result.get("probes", ()):
        task = f"{probe['task']}: " if "task" in probe else ""
        what = f"{task}{probe['features']:<28} {probe['protocol']}"
        yield probe["accuracy"], probe["low"], probe["high"], ".1%", what


def _scores(result: Row) -> Iterator[Line]:
    """Give macro-F1 by the first probe with all labels and the fewest; the report has all."""
    probes = result.get("probes", ())
    tasks = list(dict.fromkeys(probe["task"] for probe in probes))[:2]
    for probe in probes:
        if probe["task"] in tasks and probe["protocol"] == probes[0]["protocol"]:
            found, what = probe["macro_f1"], f"{probe['task']}: {probe['features']}"
            yield found["value"], found["low"], found["high"], ".3f", f"macro-F1, {what}"


def _others(result: Row) -> Iterator[Line]:
    """Give the accuracy on minimal pairs and of fine-tuned models."""
    for pairs in result.get("minimal_pairs", ()):
        what = f"{pairs['name']}: {pairs['num_pairs']:,} minimal pairs"
        yield pairs["accuracy"], pairs["low"], pairs["high"], ".1%", what
    for tuned in result.get("finetuning", ()):
        found, what = tuned["accuracy"], f"{tuned['task']}: {tuned['model']}, fine-tuned"
        if "mcc" in tuned:
            what += f" (Matthews correlation {tuned['mcc']['mean']:.3f})"
        yield found["mean"], found["low"], found["high"], ".1%", what


def _imputed(result: Row) -> Iterator[Line]:
    """Give R² of the values that are imputed at the ratio of the report's headline."""
    for row in curves.at_headline(result):
        what = f"R² of hidden values at ratio {row['ratio']}: {row['method']}"
        yield row["r2"], row["r2_low"], row["r2_high"], ".3f", what
