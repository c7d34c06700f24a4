"""The card of a model: what it is, what goes in, how it is loaded, what was measured of it."""

import html
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from maskwise import __version__, laws
from maskwise.encodings import whole
from maskwise.errors import UserError, option
from maskwise.exports.graph import INPUTS
from maskwise.files import Entries, read_json
from maskwise.modality import MaskedModel

CARD = "README.md"
UNKNOWN = "unknown"
HUB = "hf:"
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}", re.IGNORECASE)
_MARKDOWN = re.compile(r"([\\`*_\[\]#|~!])")
LIBRARIES = {"onnx": "onnx", "torch-export": "pytorch", "timm": "timm"}
"""by the format; those of transformers begin with hf-"""
R2MAE = """@article{r2mae,
  title   = {Understanding and Enhancing Mask-Based Pretraining towards Universal Representations},
  journal = {arXiv:2509.21650},
  year    = {2025}
}"""


@dataclass(frozen=True)
class Origin:
    """What is known of a model beside its weights.

    Args:
        name: of its run; "" = it is of none.
        config: of its run, as plain values.
        result: result.json of its run.
        figures: what was measured, in lines.
        license: identifier of a licence.
    """

    name: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    figures: Sequence[str] = ()
    license: str = UNKNOWN

    def __post_init__(self) -> None:
        if not _LICENSE.fullmatch(self.license):
            raise UserError(
                f"{option('license')}: {self.license!r:.40} is no identifier of a licence: give"
                " apache-2.0, mit, cc-by-4.0 or the like, or other"
            )

        object.__setattr__(self, "license", self.license.lower())  # as the hub has them

    @property
    def data(self) -> str:
        """The name of the data that a run learned from, without where they lie; "" = unknown."""
        source = str(self.config.get("data", {}).get("source") or "")
        if source.startswith(HUB):
            return source
        named = self.result.get("data", {}).get("name") or PurePath(source).name
        return whole(str(named))

    def described(self, model: MaskedModel, format: str) -> Entries:
        """Return plain values that say what a model is."""
        num = sum(each.numel() for each in model.parameters())
        told: Entries = {"maskwise": __version__, "kind": model.tokenizer.modality}
        told |= {"format": format, "license": self.license, "parameters": num}
        if self.config:
            train = self.config["train"]
            told |= {key: self.config[key] for key in ("law", "pattern", "seed")}
            told |= {key: train[key] for key in ("scope", "steps", "batch_size")}
            told["data"] = self.data
        return told


def card(folder: Path, origin: Origin, told: Entries) -> str:
    """Return the card of an export, a text of Markdown.

    Args:
        folder: of the export, whose README.md, if it has one, says how it is loaded.
        origin: of the model.
        told: what `Origin.described` says.
    """
    parts = [_front(origin, told), f"# {clean(origin.name or 'A masked model')}", _what(told)]
    rows = {key: value for key, value in told.items() if key not in ("maskwise", "license")}
    lines = [f"| {key.replace('_', ' ')} | {clean(value)} |" for key, value in rows.items()]
    parts.append("\n".join(["| | |", "|---|---|", *lines]))
    if (folder / INPUTS).is_file():
        inputs = read_json(folder / INPUTS)["inputs"]
        goes = [
            f"- `{each['name']}`, {each['dtype']} ({clean(each['shape'])}): {clean(each['what'])}"
            for each in inputs
        ]
        goes.append(
            f"\nWhat comes out are features of whole samples, as `Run.embed` of maskwise gives"
            f" them by default. `{INPUTS}` says all this to programs."
        )
        parts += ["## What goes in", "\n".join(goes)]
    if (folder / CARD).is_file():
        parts += ["## Load it", (folder / CARD).read_text("utf-8").strip()]
    if origin.figures:
        evaluate = f"maskwise evaluate {shlex.quote(whole(origin.name))}"
        parts += ["## Figures", "On held-out samples, with intervals of 95 %, from"]
        parts += [_code(evaluate), _code("\n".join(origin.figures))]
    parts += ["## Licence", _licence(origin.license)]
    if "law" in told and _is_random(told["law"]):
        cite = "A mask ratio that is drawn anew in each step is due to R²MAE:"
        parts += ["## Cite", cite, _code(R2MAE, "bibtex")]
    return "\n\n".join(parts) + "\n"


def clean(value: object) -> str:
    r"""Return a value as a text of one line that is neither Markdown nor HTML.

    >>> print(clean("a\n# *b* <img> `c`"))
    a \# \*b\* &lt;img&gt; \`c\`
    """
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    text = " ".join(whole(text).split())
    text = "".join(letter for letter in text if letter.isprintable())[:300]
    return html.escape(_MARKDOWN.sub(r"\\\1", text), quote=False)


def _code(text: str, language: str = "") -> str:
    """Return a block of code, which no text within it can end."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _front(origin: Origin, told: Entries) -> str:
    """Return what the hub reads: JSON is YAML, and quotes all that comes from outside."""
    format = told["format"]
    library = "transformers" if format.startswith("hf-") else LIBRARIES.get(format, "maskwise")
    values: Entries = {"license": origin.license, "library_name": library}
    values["tags"] = ["maskwise", "masked-pretraining", told["kind"], format]
    if origin.data.startswith(HUB):
        values["datasets"] = [origin.data.removeprefix(HUB).partition(":")[0]]
    lines = [f"{key}: {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(["---", *lines, "---"])


def _what(told: Entries) -> str:
    trained = ", pretrained with the mask ratio as a law" if "law" in told else ""
    return f"A masked model of {told['kind']}{trained}, written by maskwise {told['maskwise']}."


def _licence(name: str) -> str:
    if name == UNKNOWN:
        return "Unknown: say one with `--license`."
    return f"`{name}`."


def _is_random(text: str) -> bool:
    """Return whether ratios are drawn, not given."""
    low, high = laws.parse(text).support()
    return low < high
