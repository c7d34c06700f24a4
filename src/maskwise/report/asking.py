"""One held-out sample: what was there, what the model said, and what it would ask for next."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from maskwise.report.blocks import Fact, Figure, Section, say, written
from maskwise.report.figures import BLUE, CYCLE, INK, Axes, legend, plain, svg
from maskwise.report.folder import Row, RunFolder

MOST_CLASSES = 5  # whose probabilities are drawn: those that are likeliest at any time
LONG = 28  # letters of a name in a figure


def sections(runs: Sequence[RunFolder]) -> list[Section]:
    """Return the section of one run's page, if its evaluation asked for something."""
    if len(runs) > 1 or not runs[0].asking:
        return []
    found = runs[0].asking
    visible = "; ".join(f"{each['name']} = {each['value']}" for each in found["visible"])
    counts = {"num": found["num_visible"], "features": found["num_features"]}
    more = ", ..." if found["num_visible"] > len(found["visible"]) else ""
    text = say("asking", "intro", **counts, looked=found["looked"], visible=visible + more)
    if not found["visible"]:
        text = say("asking", "nothing", looked=found["looked"], features=found["num_features"])
    figures = [Figure(_wanted(found), say("asking", "asked"), "What it would ask for")]
    if found["answers"]:
        figures.append(Figure(_said(found), say("asking", "said"), "What it says"))
    return [Section("asking", "What to ask for next", text, facts=_facts(found), figures=figures)]


def _facts(found: Row) -> list[Fact]:
    """Return the answer before and after the questions, and the truth."""
    facts = []
    first, last = found["said"][0], found["said"][-1]
    num = len(found["answers"])
    when = {"with what was there": first}
    if num:
        when[f"after {num} answer{'s' * (num > 1)}"] = last
    for name, said in when.items():
        best = int(np.argmax(said))
        facts.append(Fact(name, str(found["classes"][best]), written(said[best], "%")))
    return [*facts, Fact("true", str(found["classes"][found["label"]]))]


def _wanted(found: Row) -> Markup:
    """Draw what the features that would tell most would tell."""
    asked = found["asked"]
    names = [plain(_short(each["name"])) for each in asked]

    def plot(axes: Axes) -> None:
        nats, errors = ([each[key] for each in asked] for key in ("nats", "stderr"))
        look: dict[str, Any] = {"ecolor": INK, "linewidth": 1}
        style: dict[str, Any] = {"xerr": errors, "error_kw": look} if any(errors) else {}
        axes.barh(range(len(asked)), nats, color=BLUE, **style)
        axes.set_yticks(range(len(asked)), names)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.locator_params(axis="x", nbins=5)
        axes.set(xlabel="expected information on the class, nats", xlim=(0, None))

    label = "expected information of hidden features: " + ", ".join(
        f"{each['name']} {each['nats']:.3g}" for each in asked[:3]
    )
    return svg(label, plot, size=(5.6, 0.8 + 0.28 * len(asked)))


def _said(found: Row) -> Markup:
    """Draw the probabilities of classes, as answers come in."""
    said, answers = np.array(found["said"], float), found["answers"]
    order = np.sort(np.argsort(-said.max(axis=0), kind="stable")[:MOST_CLASSES])
    ticks = [
        "what is there",
        *(f"+ {_short(each['name'])}\n= {each['value']}" for each in answers),
    ]

    def plot(axes: Axes) -> None:
        for place, each in enumerate(order):
            name = plain(_short(str(found["classes"][each])))
            true = each == found["label"]
            [line] = axes.plot(range(len(said)), said[:, each], "o-" if true else "o--")
            line.set(color=CYCLE[place], markersize=3.5, label=f"{name} (true)" if true else name)
        axes.set_xticks(range(len(said)), [plain(each) for each in ticks], rotation=30, ha="right")
        axes.set(ylabel="probability", ylim=(0, 1.02))
        legend(axes, len(order), 3)

    label = "probabilities of classes after each answer: " + ", ".join(
        f"{found['classes'][each]} {said[0, each]:.2f} to {said[-1, each]:.2f}" for each in order
    )
    return svg(label, plot, size=(5.6, 3.6))


def _short(name: str) -> str:
    """Cut a name that would leave no room for the figure."""
    return name if len(name) <= LONG else f"{name[: LONG - 1]}…"
