"""Our transformer over tokens as files of transformers' ModernBERT."""

from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from maskwise.files import Entries, write_json
from maskwise.tokens.files import FILE
from maskwise.tokens.network import ROTARY_BASE, Block, SequenceNetwork


def write_network(
    network: SequenceNetwork,
    folder: Path,
    *,
    length: int,
    pad: int,
    start: Sequence[int] = (),
    stop: Sequence[int] = (),
) -> None:
    """Write config.json and model.safetensors of a ModernBERT with full attention in all layers.

    Logits are equal up to rounding. transformers 4.48 or later reads it.

    Args:
        network: the tokens that it reads are those that it predicts.
        folder: which exists.
        length: tokens in a row.
        pad: the token of padding, -1 = there is none.
        start: tokens in front of a text.
        stop: tokens behind it.

    Source: Warner et al., ModernBERT (arXiv 2412.13663).
    """
    save_file(_weights(network), folder / "model.safetensors", {"format": "pt"})
    block = network.blocks[0]
    assert isinstance(block, Block)
    first, last = (next(iter(ids), None) for ids in (start, stop))
    rope = {"rope_type": "default", "rope_theta": ROTARY_BASE}
    # In the words of transformers 4.48 and in those of 5.
    values: Entries = {
        "architectures": ["ModernBertForMaskedLM"],
        "model_type": "modernbert",
        "vocab_size": network.embed.num_embeddings,
        "hidden_size": network.width,
        "intermediate_size": block.out.in_features,
        "num_hidden_layers": network.num_layers,
        "num_attention_heads": block.heads,
        "max_position_embeddings": length,
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
        "pad_token_id": None if pad < 0 else pad,
        **dict.fromkeys(("bos_token_id", "cls_token_id"), first),
        **dict.fromkeys(("eos_token_id", "sep_token_id"), last),
        "torch_dtype": "float32",
    }
    write_json(folder / "config.json", values)


def _weights(network: SequenceNetwork) -> dict[str, Tensor]:
    """Name the weights as ModernBERT does; the decoder's are those of the embedding."""
    names = names_of(network.num_layers)
    return {names[n]: value.contiguous().cpu() for n, value in network.state_dict().items()}


def names_of(depth: int) -> dict[str, str]:
    """Return what ModernBERT calls the weights of our transformer; the first layer has no norm1.

    >>> names_of(1)["blocks.0.out.weight"]
    'model.layers.0.mlp.Wo.weight'
    """
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
    for layer in range(depth):
        for part, name in parts.items():
            names[f"blocks.{layer}.{part}.weight"] = f"model.layers.{layer}.{name}.weight"
    return names


LOAD = """\
```python
from transformers import pipeline

fill = pipeline("fill-mask", model=".")
fill({text!r})
```
"""


def write_usage(folder: Path, text: str) -> None:
    """Write how a language model for transformers is loaded, to fill the gap of a text."""
    (folder / "README.md").write_text(LOAD.format(text=text), "utf-8")


def write_tokenizer_json(folder: Path, values: Entries, length: int, special: Entries) -> None:
    """Write the files from which `AutoTokenizer` makes a tokenizer.

    Args:
        folder: which exists.
        values: of tokenizer.json.
        length: tokens in a row.
        special: the special tokens by their names, such as "mask_token".
    """
    write_json(folder / FILE, values)
    write_json(folder / "special_tokens_map.json", special)
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": length,
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
            # transformers 4 would turn it off in tokenizer.json.
            "add_prefix_space": (values["pre_tokenizer"] or {}).get("add_prefix_space", False),
            **special,
        },
    )
