"""Language models from transformers, and as folders that transformers loads."""

import json
from pathlib import Path

import torch

from maskwise.errors import UserError, require
from maskwise.files import new_folder
from maskwise.modality import Entries
from maskwise.text.lengths import extend_positions
from maskwise.text.model import HFNetwork, TextModelSettings, load_pretrained
from maskwise.text.text import MOST, Text, of_transformers
from maskwise.tokens.model import LanguageModel
from maskwise.tokens.modernbert import write_network, write_tokenizer_json, write_usage
from maskwise.tokens.network import SequenceNetwork

DEFAULT_LENGTH = 128


def load(
    name: str | Path, device: str | torch.device | None = None, length: int | None = None
) -> LanguageModel[Text]:
    """Load a masked language model to evaluate: weights of safetensors only, no code of anyone's.

    Args:
        name: a folder, or a name on the Hugging Face hub.
        device: where it computes; default: a GPU if there is one.
        length: tokens in a row, special ones included; default: 128, or what the model can take.
            For more than that its positions are interpolated, which is said.

    Raises:
        UserError: transformers is missing, there is no such model, it predicts no masked tokens,
            or its tokenizer does not fit.

    Example:
        >>> from maskwise.likelihood import log_likelihood
        >>> model = load("bert-base-uncased")  # doctest: +SKIP
        >>> text = model.tokenizer.tokenize(["A sentence.", "A longer one."])  # doctest: +SKIP
        >>> log_likelihood(model, text.ids).perplexity  # doctest: +SKIP
    """
    pretrained, tokenizer = load_pretrained(str(name))
    network = HFNetwork(pretrained)
    longest = min(tokenizer.model_max_length, network.longest or MOST)
    if length is not None and network.longest is not None and length > network.longest:
        network, longest = extend_positions(network, length), length
    try:
        text = of_transformers(tokenizer, min(DEFAULT_LENGTH, longest), longest)
        if text.num_tokens > network.num_tokens:
            raise UserError(
                f"the tokenizer has {text.num_tokens:,} tokens, but the model"
                f" {network.num_tokens:,}: give the model's own tokenizer"
            )
        if length is not None:
            text = text.with_length(length)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    model = LanguageModel(text, TextModelSettings(), network=network)
    return model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()


def export(model: LanguageModel[Text], folder: str | Path) -> Path:
    """Write a model so that `AutoModelForMaskedLM` and `AutoTokenizer` load it; see `write`.

    Args:
        model: ours, or one of transformers.
        folder: which is new, or empty; it appears when all is written.

    Raises:
        UserError: another kind of model, or a folder that holds something or cannot be written.
    """
    folder = Path(folder)
    if not isinstance(model.tokenizer, Text):
        kind = "DNA" if isinstance(model, LanguageModel) else "images"
        raise UserError(
            f"only language models are exported to transformers: this one is of {kind}"
        )
    with new_folder(folder) as work:
        write(model, work)
    return folder


def write(model: LanguageModel[Text], folder: Path) -> None:
    """Fill a folder so that `AutoModelForMaskedLM` and `AutoTokenizer` load it.

    Our transformer becomes a ModernBERT, see `write_network`.
    """
    if isinstance(network := model.network, HFNetwork):
        network.save(folder)
    elif not isinstance(network, SequenceNetwork):
        raise UserError("a model with an encoder of your own has no form in transformers")
    else:
        text = model.tokenizer
        frame = {"start": text.start, "stop": text.stop}
        write_network(network, folder, length=text.length, pad=text.pad, **frame)
    write_tokenizer_files(model.tokenizer, folder)
    write_usage(folder, f"a {model.tokenizer.tokenizer.id_to_token(model.tokenizer.mask)}")


def write_tokenizer_files(text: Text, folder: Path) -> None:
    """Write the files from which `AutoTokenizer` makes the tokenizer of a model."""
    added = text.tokenizer.get_added_tokens_decoder().items()
    ids = {
        "mask_token": [text.mask],
        "pad_token": [text.pad],
        "cls_token": text.start[:1],
        "sep_token": text.stop[:1],
        # What a text can hold although it is special: the token of unknown words.
        "unk_token": [i for i, token in added if token.special and i not in text.special][-1:],
    }
    special = {key: text.tokenizer.id_to_token(i) for key, of in ids.items() for i in of if i >= 0}
    write_tokenizer_json(folder, _framing(text), text.length, special)


def _framing(text: Text) -> Entries:
    """Return the values of a tokenizer.json that puts special tokens around texts."""
    tokenizers = require("tokenizers", "export", "text")
    tokenizer = tokenizers.Tokenizer.from_str(text.tokenizer.to_str())
    start, stop = (
        [(tokenizer.id_to_token(i), i) for i in frame] for frame in (text.start, text.stop)
    )
    plain = tokenizer.encode("a", add_special_tokens=False).ids
    if tokenizer.encode("a").ids != [*text.start, *plain, *text.stop]:
        first, last = (" ".join(token for token, _ in frame) for frame in (start, stop))
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
            single=f"{first} $A {last}",
            pair=f"{first} $A {last} $B {last}",
            special_tokens=[*start, *stop],
        )
    values = json.loads(tokenizer.to_str())
    for token in values["added_tokens"]:
        # The space in front of a mask token belongs to the word that is sought.
        token["lstrip"] |= token["id"] == text.mask
    return values
