"""Masked language models of transformers as models of ours."""

from pathlib import Path

import torch

from maskwise.errors import UserError
from maskwise.text import hf_load
from maskwise.text.hf_network import HFNetwork
from maskwise.text.model import TextModelSettings
from maskwise.text.tokenizer import of_transformers
from maskwise.tokens.model import LanguageModel

DEFAULT_LENGTH = 128


def load(
    name: str | Path, device: str | torch.device | None = None, length: int | None = None
) -> LanguageModel:
    """Load a masked language model: safetensors weights only, and no code of anyone's.

    Args:
        name: a folder, or a name on the Hugging Face hub.
        device: where it computes; default: a GPU if there is one.
        length: tokens in a row, special ones included; default: 128, or what the model can take.

    Returns:
        The model in evaluation mode.

    Raises:
        UserError: transformers is missing, there is no such model, it predicts no masked tokens,
            or its tokenizer does not fit.

    Example:
        >>> from maskwise.likelihood import log_likelihood
        >>> model = load("bert-base-uncased")  # doctest: +SKIP
        >>> text = model.tokenizer.tokenize(["A sentence.", "A longer one."])  # doctest: +SKIP
        >>> log_likelihood(model, text.ids).perplexity  # doctest: +SKIP
    """
    network, tokenizer = hf_load.load(str(name))
    longest = getattr(network.config, "max_position_embeddings", None) or 10**6
    longest = min(tokenizer.model_max_length, longest)
    try:
        text = of_transformers(tokenizer, min(DEFAULT_LENGTH, longest), longest)
        if text.num_tokens > network.config.vocab_size:
            raise UserError(
                f"the tokenizer has {text.num_tokens:,} tokens, but the model"
                f" {network.config.vocab_size:,}: give the model's own tokenizer"
            )
        if length is not None:
            text = text.with_length(length)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    model = LanguageModel(text, TextModelSettings(), network=HFNetwork(network))
    return model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()
