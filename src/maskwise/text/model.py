"""Masked language models of texts: the shape of ours, or one of transformers, loaded quietly.

Dropout is off: masks vary the input enough, and only then is a resumed training the same training.
"""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from maskwise.errors import UserError, option, require
from maskwise.layers.outline import outline, require_memory, require_same, shapes_of
from maskwise.layers.transformer import Attention, gather
from maskwise.masks import Mask
from maskwise.modality import Entries
from maskwise.objectives.cross_entropy import Shares, check_shares
from maskwise.settings import settings
from maskwise.text.text import Text, named_tokenizer, read_named, reason_of
from maskwise.textio import user_path
from maskwise.tokens.network import Layers, Said, SequenceNetwork, TokenNetwork
from maskwise.tokens.own import OwnNetwork

log = logging.getLogger("maskwise")

DEEPEST = 1000  # layers of a model that anybody trains

if TYPE_CHECKING:  # it is an extra
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast


class HFNetwork(TokenNetwork):
    """Any `AutoModelForMaskedLM`; its head computes logits at hidden positions only.

    Weights that a model shares, such as those of embedding and head, are saved once.
    """

    def __init__(self, model: "PreTrainedModel") -> None:
        super().__init__()
        self.model = model
        self.register_state_dict_post_hook(_drop_aliases)
        self.register_load_state_dict_pre_hook(_add_aliases)

    @classmethod
    def from_config(cls, config: Entries) -> Self:
        """Return a model with random weights of what `config`, or a config.json, says."""
        transformers = require("transformers", "a model of transformers", "text")
        if not isinstance(config, dict):
            raise UserError(f"{config!r:.40} is no configuration of a model of transformers")
        values = dict(config)
        kind = values.pop("model_type", None)
        try:
            with _quiet():
                made = _no_dropout(transformers.AutoConfig.for_model(kind, **values))
                auto = transformers.AutoModelForMaskedLM
                model = auto.from_config(made, trust_remote_code=False)
        except Exception as error:  # whatever a configuration that does not fit raises
            reason = reason_of(error)
            raise UserError(f"no masked language model of type {kind}: {reason}") from None
        return cls(model.float())

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors."""
        with _quiet():
            self.model.save_pretrained(folder)

    def widen(self, num_tokens: int, name: str) -> None:
        """Make the embedding of the model called `name` large enough, and say so."""
        num = self.num_tokens
        if num_tokens <= num:
            return
        try:
            with _quiet():
                self.model.resize_token_embeddings(num_tokens)
        except Exception as error:  # whatever models raise that cannot
            raise UserError(
                f"the tokenizer has {num_tokens:,} tokens, {name} takes {num:,} and cannot be"
                f" made to take more ({reason_of(error)}): give its own tokenizer"
            ) from None
        log.warning(
            "the tokenizer has %s tokens and the embedding of %s has %s: %s were added to it",
            *(f"{num_tokens:,}", name, f"{num:,}", f"{num_tokens - num:,}"),
        )

    @property
    def config(self) -> Entries:
        return _to_dict(self.model.config)

    @property
    def num_tokens(self) -> int:
        """Rows of the embedding."""
        weight = self.model.get_input_embeddings().weight
        assert isinstance(weight, Tensor)
        return len(weight)

    @property
    def longest(self) -> int | None:
        """Tokens in a row at most; None: any number."""
        limits = [getattr(self.model.config, "max_position_embeddings", None) or 0]
        limits += [len(weight) - first for weight, first in self.position_tables().values()]
        return min((limit for limit in limits if limit > 0), default=None)

    def position_tables(self) -> dict[str, tuple[Tensor, int]]:
        """Return learned positions [n, D] by the name of their weight, and the first in use."""
        found = {}
        for name, module in self.model.named_modules():
            weight = getattr(module, "weight", None)
            if name.endswith(".position_embeddings") and isinstance(weight, Tensor):
                # RoBERTa and its kind count positions from behind that of padding.
                first = getattr(module, "padding_idx", None)
                found[f"{name}.weight"] = weight, 0 if first is None else first + 1
        return found

    @property
    def num_layers(self) -> int:
        return self.model.config.num_hidden_layers

    @property
    def width(self) -> int:
        return self.model.config.hidden_size

    def outputs(
        self, ids: Tensor, documents: Tensor | None, layers: Layers, wanted: Tensor | None = None
    ) -> list[Tensor]:
        inner = any(range(self.num_layers)[layer] != self.num_layers - 1 for layer in layers)
        inputs = _inputs(ids, documents)
        found = self.model.base_model(**inputs, output_hidden_states=inner, return_dict=True)
        tokens = [self._after(found, layer) for layer in layers]
        return tokens if wanted is None else [gather(each, wanted) for each in tokens]

    def _after(self, found: Any, layer: int) -> Tensor:
        """Return the tokens after a layer, out of what the model without its head returned."""
        index = range(self.num_layers)[layer]
        if index == self.num_layers - 1:
            return found.last_hidden_state
        # ModernBERT normalises behind its last layer only.
        norm = getattr(self.model.base_model, "final_norm", nn.Identity())
        return norm(found.hidden_states[index + 1])

    def at(self, ids: Tensor, documents: Tensor | None, where: Mask, layers: Layers = ()) -> Said:
        """Return what the network says at the hidden positions of `where`, logits at once."""
        states: list[Tensor] = []
        features: list[Tensor] = []

        def keep_hidden(module: nn.Module, inputs: object, output: Any) -> Any:
            features.extend(self._after(output, layer) for layer in layers)
            states.append(output.last_hidden_state[where.hidden])
            output.last_hidden_state = states[0][None]
            return output

        # For this call only, so that copies of the model and other calls know nothing of it.
        hook = self.model.base_model.register_forward_hook(keep_hidden)
        inputs = _inputs(ids, documents)
        try:
            found = self.model(**inputs, output_hidden_states=bool(layers), return_dict=True)
        finally:
            hook.remove()
        return states[0], (found.logits[0],), features


def _inputs(ids: Tensor, documents: Tensor | None) -> dict[str, Tensor]:
    if documents is None:
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if not torch.compiler.is_exporting() and bool((documents > 1).any()):
        raise UserError("a model of transformers takes one document in each row, not several")
    # Padding without a token of its own is -1.
    return {"input_ids": ids.clamp(min=0), "attention_mask": documents}


def _aliases(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Give the further names of each parameter that has several, with the first of them."""
    names: dict[nn.Parameter, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if parameter in names:
            yield name, names[parameter]
        else:
            names[parameter] = name


def _drop_aliases(module: nn.Module, values: Entries, prefix: str, _: object) -> None:
    for name, _first in _aliases(module):
        del values[prefix + name]


def _add_aliases(module: nn.Module, values: Entries, prefix: str, *_: object) -> None:
    for name, first in _aliases(module):
        if prefix + first in values:
            values.setdefault(prefix + name, values[prefix + first])


def load_pretrained(name: str) -> "tuple[PreTrainedModel, PreTrainedTokenizerFast]":
    """Return the model, in float32 on the CPU, and the tokenizer of a folder or a hub name."""
    transformers = require("transformers", name, "text")
    more = {"use_safetensors": True, "output_loading_info": True}
    with _quiet(), torch.random.fork_rng(devices=[]):
        config = _no_dropout(_config(name))
        _checked(name, config, user_path(name) / "model.safetensors")
        tokenizer = named_tokenizer(name)
        model, info = read_named(name, transformers.AutoModelForMaskedLM, config=config, **more)
    if missing := info["missing_keys"]:
        raise UserError(f"{name} has no weights {min(missing)}: it is not a masked language model")
    return model.float(), tokenizer


def config_of(name: str) -> Entries:
    """Return the configuration of a folder or a hub name, without dropout."""
    require("transformers", name, "text")
    with _quiet():
        return _checked(name, _config(name))


def longest_of(name: str) -> int | None:
    """Return how many tokens a row of a model of transformers may have; None: any number.

    Raises:
        UserError: no such model.
    """
    with torch.device("meta"):  # where weights have shapes only
        return HFNetwork.from_config(config_of(name)).longest


def fitted(tokenizer: Text, name: str) -> Text:
    """Return a tokenizer that knows how long rows of a model of transformers may be.

    Raises:
        UserError: its own are longer.
    """
    longest = longest_of(name)
    if longest is None:
        return tokenizer
    if tokenizer.length > longest:
        raise UserError(
            f"data.length {tokenizer.length} is more than {name} can take, {longest} tokens with"
            f" special ones: lower {option('data.length')}"
        )
    return replace(tokenizer, longest=min(longest, tokenizer.longest or longest))


def _say_others(name: str, own: Mapping[str, int], given: Mapping[str, int]) -> None:
    """Say how many tokens have an id that is another token's in the model's own tokenizer."""
    ids = set(own.values())
    others = sum(number in ids and own.get(token) != number for token, number in given.items())
    if others:
        log.warning(
            "%s of %s tokens have the id of another token in the tokenizer of %s, so that its"
            " embedding says little of them",
            *(f"{others:,}", f"{len(given):,}", name),
        )


def _to_dict(config: "PretrainedConfig") -> Entries:
    """Return a configuration as plain values, without where it came from."""
    values = json.loads(config.to_json_string(use_diff=False))
    elsewhere = ("_name_or_path", "auto_map", "transformers_version")
    return {key: value for key, value in values.items() if key not in elsewhere}


def _no_dropout(config: "PretrainedConfig") -> "PretrainedConfig":
    for key, value in config.to_dict().items():
        if "dropout" in key and isinstance(value, float):
            setattr(config, key, 0.0)
    return config


def _config(name: str) -> "PretrainedConfig":
    import transformers

    config = read_named(name, transformers.AutoConfig)
    if type(config) not in transformers.MODEL_FOR_MASKED_LM_MAPPING:
        raise UserError(f"{name} is a {config.model_type} model, not a masked language model")
    for key, value in config.to_dict().items():
        if "layer" in key and type(value) is int and value > DEEPEST:
            raise UserError(f"{name} cannot be made: {key} {value} is more than {DEEPEST}")
    return config


def _checked(name: str, config: "PretrainedConfig", weights: Path | None = None) -> Entries:
    """Return a configuration as plain values, of a model that has room here.

    Raises:
        UserError: it has not, or a file of weights has other shapes.
    """
    values = _to_dict(_no_dropout(config))
    try:
        wanted = outline(lambda: HFNetwork.from_config(values).model) or {}
        require_memory(wanted)
        if weights is not None and weights.is_file():
            require_same(wanted, shapes_of(weights))
    except UserError as error:
        raise UserError(f"{name} cannot be loaded: {error}") from None
    return values


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers and the hub: what goes wrong becomes an error of one line."""
    from transformers.utils import logging as progress

    disabled, bar = logging.root.manager.disable, progress.is_progress_bar_enabled()
    logging.disable()
    progress.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        if bar:
            progress.enable_progress_bar()


@settings
class TextModelSettings:
    """The shape of a masked language model."""

    width: int = 256
    """width of the tokens"""
    depth: int = 6
    """blocks"""
    heads: int = 4
    """attention heads"""
    mlp_ratio: float = 4.0
    """size of the gated MLPs, as the ratio of a plain MLP with as many weights"""
    corruption: Shares = (1.0, 0.0, 0.0)
    """shares of the hidden tokens that become the mask token, become a random token and stay
    (BERT: 0.8,0.1,0.1)"""
    predict_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """share of the hidden tokens that training predicts"""
    hf: str | None = None
    """train this masked language model of transformers instead (a folder or hub name), with its
    tokenizer; width, depth, heads and mlp_ratio are not used"""
    pretrained: bool = False
    """go on from the weights of `hf`; else they are random"""
    init: str | None = None
    """a run to start from, its model's folder, or what `maskwise export` wrote of one, whose shape
    and tokenizer the model then has"""

    def __post_init__(self) -> None:
        for name in ("width", "depth", "heads"):
            if getattr(self, name) < 1:
                raise UserError(f"model.{name} must be at least 1, not {getattr(self, name)}")
        check_shares(self.corruption)
        if self.pretrained and self.hf is None:
            raise UserError(
                f"model.pretrained needs {option('model.hf')}, which says whose weights"
            )
        if self.init is not None and self.hf is not None:
            raise UserError(
                f"{option('model.init')} is for models of our own: take {option('model.hf')} alone"
                f" with {option('model.pretrained', 'true')}"
            )
        if self.mlp_ratio <= 0:
            raise UserError(f"model.mlp_ratio must be above 0, not {self.mlp_ratio:g}")

    def network(
        self, tokenizer: Text, attention: Attention, own: nn.Module | None = None
    ) -> TokenNetwork:
        if own is not None:
            if self.hf is not None:
                raise UserError(f"{option('encoder')} and model.hf {self.hf}: give one of them")
            return OwnNetwork(tokenizer.num_tokens, own, self.width, tokenizer.length)
        if self.hf is None:
            shape = self.width, self.depth, self.heads, self.mlp_ratio
            return SequenceNetwork(tokenizer.num_tokens, *shape, attention)
        if self.pretrained:
            model, theirs = load_pretrained(self.hf)
            network = HFNetwork(model)
            _say_others(self.hf, theirs.get_vocab(), tokenizer.tokenizer.get_vocab())
        else:
            network = HFNetwork.from_config(config_of(self.hf))
        network.widen(tokenizer.num_tokens, self.hf)
        return network
