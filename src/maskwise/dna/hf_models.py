"""Models of DNA as folders that transformers loads, where it has such networks and tokens."""

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING

from maskwise.dna.tokens import DNA, Kmers, Pieces
from maskwise.errors import UserError, require
from maskwise.tokens.model import LanguageModel
from maskwise.tokens.modernbert import write_network, write_tokenizer_json, write_usage
from maskwise.tokens.network import SequenceNetwork

if TYPE_CHECKING:  # it is an extra
    from tokenizers import Tokenizer

UNKNOWN, PAD, MASK = "[UNK]", "[PAD]", "[MASK]"


def write(model: LanguageModel[DNA], folder: Path) -> None:
    """Fill a folder so that `AutoModelForMaskedLM` and `AutoTokenizer` load it.

    Raises:
        UserError: a network, or tokens, that transformers does not have.
    """
    dna, network = model.tokenizer, model.network
    if not isinstance(network, SequenceNetwork) or dna.kind.num_inputs != len(dna.alphabet):
        raise UserError(
            "transformers has no such network: models of DNA are exported as hf-mlm that are"
            " transformers (model.kind) of bases, k-mers or pieces (data.tokens), and read one"
            " strand (no model.equivariant); export this one as onnx or torch-export"
        )
    length = dna.kind.positions(dna.window)
    write_network(network, folder, length=length, pad=dna.kind.nothing)
    values = json.loads(_tokenizer(dna.kind).to_str())
    special = {"mask_token": MASK, "pad_token": PAD}
    if not isinstance(dna.kind, Pieces):
        special["unk_token"] = UNKNOWN
    write_tokenizer_json(folder, values, length, special)
    write_usage(folder, "ACGTAC" + MASK + "GTACGT")


def _tokenizer(kind: Kmers) -> "Tokenizer":
    """Return what makes the same tokens of letters: U is T, and what is no base is unknown."""
    tokenizers = require("tokenizers", "--format hf-mlm", "text")
    found: Tokenizer
    if isinstance(kind, Pieces):
        found = tokenizers.Tokenizer.from_str(kind.tokenizer.to_str())
        others = [("[^ACGT]", "N")]
    else:
        words = ("".join(each) for each in itertools.product("ACGT", repeat=kind.k))
        vocab = {word: number for number, word in enumerate([*words, UNKNOWN, PAD, MASK])}
        found = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocab, unk_token=UNKNOWN))
        # What is left over at the end is no token.
        parts = tokenizers.Regex(f".{{{kind.k}}}")
        found.pre_tokenizer = tokenizers.pre_tokenizers.Split(parts, "removed", invert=True)
        found.decoder = tokenizers.decoders.Fuse()
        others = []
    letters = [(low, high) for low, high in zip("acgtu", "ACGTT", strict=True)] + [("U", "T")]
    found.normalizer = tokenizers.normalizers.Sequence(
        [
            tokenizers.normalizers.Replace(tokenizers.Regex(old), new)
            for old, new in [*letters, *others]
        ]
    )
    # Of pieces these are new, in this order the next numbers.
    found.add_special_tokens([PAD, MASK] if isinstance(kind, Pieces) else [UNKNOWN, PAD, MASK])
    return found
