"""Models of texts that start from a run, or from what one was exported as."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar, cast

from maskwise.errors import UserError, option
from maskwise.files import Entries, read_json
from maskwise.layers.weights import open_weights
from maskwise.modality import Init
from maskwise.text.model import TextModelSettings
from maskwise.text.text import Text, load_tokenizer
from maskwise.tokens.files import FILE
from maskwise.tokens.model import LanguageModel
from maskwise.tokens.modernbert import names_of
from maskwise.tokens.network import ROTARY_BASE, gated_width
from maskwise.train.config import RunSettings
from maskwise.train.rows import Slots, copy_rows, from_runs
from maskwise.train.start import Start, completed

C = TypeVar("C", bound=RunSettings)
KEY = "data.tokenizer"
SAME = {
    "hidden_activation": "gelu",
    "norm_eps": 1e-5,
    **dict.fromkeys(("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"), False),
    "decoder_bias": True,
    "tie_word_embeddings": True,
    "global_attn_every_n_layers": 1,
    "global_rope_theta": ROTARY_BASE,
}
"""what a ModernBERT is by config.json if it is our transformer"""


def token_slots(text: Text, config: TextModelSettings) -> Slots:
    """Return which rows of a model's weights belong to which token."""
    named = {number: token for token, number in text.tokenizer.get_vocab().items()}
    tokens = [named.get(number, number) for number in range(text.num_tokens)]
    return {name: {0: tokens} for name in ("network.embed.weight", "network.bias")}


RUNS = from_runs(
    "text",
    restore=Text.load,
    shape=("width", "depth", "heads", "mlp_ratio"),
    settings=TextModelSettings,
    slots=token_slots,
    data=lambda start: {KEY: str(start.folder / FILE)},
    what="tokens",
)


def _exported(place: Path) -> Start | None:
    """Return the ModernBERT of a folder under our names; None: it is no model of transformers.

    Raises:
        UserError: it is another model, or weights are missing.
    """
    path = place / "config.json"
    told = read_json(path) if path.is_file() else None
    if not isinstance(told, dict) or "model_type" not in told:
        return None
    _require_ours(place, told)
    weights, depth = open_weights(place), told["num_hidden_layers"]
    ours = {theirs: f"network.{name}" for name, theirs in names_of(depth).items()}
    lacking = [
        n for n in ours if n not in weights.shapes and n != "model.layers.0.attn_norm.weight"
    ]
    if lacking:
        raise UserError(f"{place} lacks weights: {', '.join(lacking[:10])}")
    model: Entries = {
        "width": told["hidden_size"],
        "depth": depth,
        "heads": told["num_attention_heads"],
        "mlp_ratio": told["intermediate_size"] * 1.5 / told["hidden_size"],
    }
    renamed = weights.named(lambda name: ours.get(name, name))
    return Start(place, place, {"model": model}, renamed)


def _require_ours(place: Path, told: Entries) -> None:
    """Refuse models of transformers that are not our transformer."""
    full = told.get("rope_parameters", {}).get("full_attention", {})
    seen = {"global_rope_theta": full.get("rope_theta", ROTARY_BASE), **told}
    layers = told.get("layer_types", ["full_attention"])
    other = [key for key, value in SAME.items() if seen.get(key, value) != value]
    other += ["layer_types"] if set(layers) != {"full_attention"} else []
    size, hidden = told.get("hidden_size"), told.get("intermediate_size")
    if isinstance(size, int) and isinstance(hidden, int):
        other += ["intermediate_size"] if gated_width(size, hidden * 1.5 / size) != hidden else []
    if told["model_type"] != "modernbert" or other or not isinstance(size, int):
        what = f"of type {told['model_type']}" + (f" with another {other[0]}" if other else "")
        raise UserError(
            f"{place} is a model of transformers {what}, and not our transformer, a ModernBERT"
            f" with full attention: train it as it is, with {option('model.hf', str(place))}"
            f" {option('model.pretrained', 'true')}"
        )


def settings_for(config: C, place: Path, given: Collection[str]) -> C:
    """Return settings with all that weights decide; see `Init.settings`."""
    start = _exported(place)
    if start is None:
        return cast(C, RUNS.settings(config, place, given))
    told = {f"model.{key}": value for key, value in start.values["model"].items()}
    told |= {KEY: str(place)} if KEY not in given else {}
    return completed(config, told, given, place)


def load_into(model: LanguageModel[Text], place: Path) -> str:
    """Copy weights into a model; see `Init.load`."""
    start = _exported(place)
    if start is None:
        return RUNS.load(model, place)
    config = model.config
    assert isinstance(config, TextModelSettings)
    theirs = load_tokenizer(str(place), model.tokenizer.length)
    mine, there = (token_slots(each, config) for each in (model.tokenizer, theirs))
    return copy_rows(model, start, mine, there, "tokens")


INIT: Init[Any, Any] = Init(settings_for, load_into, frozenset({KEY}))
