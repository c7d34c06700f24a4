"""A masked language model of transformers as the network of a `LanguageModel`."""

from collections.abc import Iterator, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.layers.transformer import gather
from maskwise.masks import Mask
from maskwise.text import hf_load
from maskwise.tokens.network import Said, TokenNetwork


class HFNetwork(TokenNetwork):
    """Any `AutoModelForMaskedLM`; its head computes logits at hidden positions only.

    Weights that a model shares, such as those of embedding and head, are saved once.

    Args:
        model: the model of transformers.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.register_state_dict_post_hook(_drop_aliases)
        self.register_load_state_dict_pre_hook(_add_aliases)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return a model with random weights.

        Args:
            config: what `config` gave, or the values of a config.json.

        Raises:
            UserError: transformers is missing, or this is no masked language model.
        """
        return cls(hf_load.from_config(config))

    @property
    def config(self) -> dict[str, Any]:
        """The configuration of the model, as plain values."""
        return hf_load.to_dict(self.model.config)

    @property
    def num_layers(self) -> int:
        """Layers."""
        return self.model.config.num_hidden_layers

    @property
    def width(self) -> int:
        """Features of a token."""
        return self.model.config.hidden_size

    def outputs(
        self,
        ids: Tensor,
        documents: Tensor | None,
        layers: Sequence[int],
        wanted: Tensor | None = None,
    ) -> list[Tensor]:
        """Return tokens after some layers, [B, N, D] each.

        Raises:
            UserError: more than one document in a row.
        """
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

    def at(
        self, ids: Tensor, documents: Tensor | None, where: Mask, layers: Sequence[int] = ()
    ) -> Said:
        """Return what the network says at the hidden positions of `where`, logits at once.

        Raises:
            UserError: more than one document in a row.
        """
        states: list[Tensor] = []
        features: list[Tensor] = []

        def keep_hidden(module: nn.Module, inputs: Any, output: Any) -> Any:
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
        return Said(states[0], (found.logits[0],), features)


def _inputs(ids: Tensor, documents: Tensor | None) -> dict[str, Tensor]:
    if documents is None:
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if bool((documents > 1).any()):
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


def _drop_aliases(module: nn.Module, values: dict[str, Any], prefix: str, _: Any) -> None:
    for name, _first in _aliases(module):
        del values[prefix + name]


def _add_aliases(module: nn.Module, values: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, first in _aliases(module):
        if prefix + first in values:
            values.setdefault(prefix + name, values[prefix + first])


def named(name: str, pretrained: bool) -> HFNetwork:
    """Return a network of transformers, with the weights it comes with or with random ones."""
    if pretrained:
        return HFNetwork(hf_load.load(name)[0])
    return HFNetwork.from_config(hf_load.read_config(name))
