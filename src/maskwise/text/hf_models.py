"""Language models from transformers, and as folders that transformers loads."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from maskwise.errors import UserError, require
from maskwise.files import new_folder, write_json
from maskwise.modality import Entries
from maskwise.text.model import HFNetwork, TextModelSettings, load_pretrained
from maskwise.text.text import MOST, Text, of_transformers
from maskwise.tokens.files import FILE
from maskwise.tokens.model import LanguageModel
from maskwise.tokens.network import ROTARY_BASE, Block, SequenceNetwork

DEFAULT_LENGTH = 128


def load(
    name: str | Path, device: str | torch.device | None = None, length: int | None = None
) -> LanguageModel[Text]:
    """Load a masked language model to evaluate: weights of safetensors only, no code of anyone's.

    Args:
        name: a folder, or a name on the Hugging Face hub.
        device: where it computes; default: a GPU if there is one.
        length: tokens in a row, special ones included; default: 128, or what the model can take.

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

    Our transformer is a ModernBERT with full attention in all layers (arXiv 2412.13663): logits
    are equal up to rounding. transformers 4.48 or later reads it.
    """
    if isinstance(network := model.network, HFNetwork):
        network.save(folder)
    elif not isinstance(network, SequenceNetwork):
        raise UserError("a model with an encoder of your own has no form in transformers")
    else:
        save_file(_weights(network), folder / "model.safetensors", {"format": "pt"})
        write_json(folder / "config.json", _config(network, model.tokenizer))
    _write_tokenizer(model.tokenizer, folder)


def _weights(network: SequenceNetwork) -> dict[str, Tensor]:
    """Name the weights as ModernBERT does; the decoder's are those of the embedding."""
    ours = network.state_dict()
    names = {
        "embed.weight": "model.embeddings.tok_embeddings.weight",
        "embed_norm.weight": "model.embeddings.norm.weight",
        "norm.weight": "model.final_norm.weight",
        "head.weight": "head.dense.weight",
        "head_norm.weight": "head.norm.weight",
        "bias": "decoder.bias",
    }
    parts = {"norm1": "attn_norm", "qkv": "attn.Wqkv", "project": "attn.Wo"}
    parts |= {"norm2": "mlp_norm", "gated": "mlp.Wi", "out": "mlp.Wo"}
    for layer in range(network.num_layers):
        for part, name in parts.items():
            names[f"blocks.{layer}.{part}.weight"] = f"model.layers.{layer}.{name}.weight"
    return {names[name]: value.contiguous().cpu() for name, value in ours.items()}


def _config(network: SequenceNetwork, text: Text) -> Entries:
    """Describe the model in the words of transformers 4.48 and in those of 5."""
    block = network.blocks[0]
    assert isinstance(block, Block)
    rope = {"rope_type": "default", "rope_theta": ROTARY_BASE}
    start, stop = (next(iter(ids), None) for ids in (text.start, text.stop))
    return {
        "architectures": ["ModernBertForMaskedLM"],
        "model_type": "modernbert",
        "vocab_size": text.num_tokens,
        "hidden_size": network.width,
        "intermediate_size": block.out.in_features,
        "num_hidden_layers": network.num_layers,
        "num_attention_heads": block.heads,
        "max_position_embeddings": text.length,
        "hidden_activation": "gelu",
        "classifier_activation": "gelu",
        "norm_eps": block.norm2.eps,
        **dict.fromkeys(("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"), False),
        **dict.fromkeys(("embedding_dropout", "attention_dropout", "mlp_dropout"), 0.0),
        "decoder_bias": True,
        "tie_word_embeddings": True,
        "layer_types": ["full_attention"] * network.num_layers,
        "rope_parameters": {"full_attention": rope, "sliding_attention": rope},
        "global_attn_every_n_layers": 1,
        "global_rope_theta": ROTARY_BASE,
        "local_rope_theta": ROTARY_BASE,
        "pad_token_id": None if text.pad < 0 else text.pad,
        **dict.fromkeys(("bos_token_id", "cls_token_id"), start),
        **dict.fromkeys(("eos_token_id", "sep_token_id"), stop),
        "torch_dtype": "float32",
    }


def _write_tokenizer(text: Text, folder: Path) -> None:
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
    values = _framing(text)
    write_json(folder / FILE, values)
    write_json(folder / "special_tokens_map.json", special)
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": text.length,
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
            # transformers 4 would turn it off in tokenizer.json.
            "add_prefix_space": (values["pre_tokenizer"] or {}).get("add_prefix_space", False),
            **special,
        },
    )


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
