"""Where a tokenizer comes from: trained on the texts, a tokenizer.json, or transformers."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from maskwise.errors import UserError, require
from maskwise.text.text import Text
from maskwise.tokens.tokenizer_files import read_tokenizer

if TYPE_CHECKING:  # they are extras
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

PAD, UNKNOWN, START, STOP, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# What the families of BERT and of RoBERTa call them.
_NAMES = {"mask": ("[MASK]", "<mask>"), "pad": ("[PAD]", "<pad>"), "unk": ("[UNK]", "<unk>")}
_FRAMES = {"start": ("[CLS]", "<s>"), "stop": ("[SEP]", "</s>")}


def train_tokenizer(
    texts: Iterable[str], *, vocab_size: int, length: int, lowercase: bool = False
) -> Text:
    """Train a byte-level BPE tokenizer: any text in any language, no unknown words.

    Args:
        texts: what it is trained on; read once.
        vocab_size: tokens at most, special ones and the 256 bytes included.
        length: tokens in a row.
        lowercase: make everything lower-case.

    Raises:
        UserError: a vocabulary too small for bytes and special tokens.
    """
    tokenizers = require("tokenizers", "text", "text")
    least = 256 + len(SPECIAL)
    if vocab_size < least:
        raise UserError(f"vocab_size {vocab_size} is too small: bytes and specials are {least}")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=UNKNOWN))
    lower = [tokenizers.normalizers.Lowercase()] if lowercase else []
    tokenizer.normalizer = tokenizers.normalizers.Sequence([tokenizers.normalizers.NFC(), *lower])
    # A word is the same token in front of a text and within it.
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _described(tokenizer, length)


def load_tokenizer(name: str, length: int) -> Text:
    """Load a tokenizer.json, or the tokenizer of a folder or hub name of transformers.

    Raises:
        UserError: there is no such tokenizer, or it has no mask token.
    """
    path = Path(name).expanduser()
    try:
        if path.is_file() or path.suffix == ".json":
            return _described(read_tokenizer(path), length)
        found = _from_transformers(name)
        # Tokenizers that know no limit name a huge one.
        longest = found.model_max_length if found.model_max_length < 10**6 else None
        return of_transformers(found, length, longest)
    except UserError as error:
        raise UserError(f"tokenizer {name}: {error}") from None


def of_transformers(
    tokenizer: "PreTrainedTokenizerFast", length: int, longest: int | None = None
) -> Text:
    """Return the tokens of a fast tokenizer of transformers, `longest` as `Text` has it.

    Raises:
        UserError: a slow tokenizer, or one without mask token.
    """
    if tokenizer.mask_token_id is None:
        raise UserError("the tokenizer has no mask token: it is not of a masked model")
    if not tokenizer.is_fast:
        raise UserError("the tokenizer is a slow one: give a fast one (tokenizer.json)")
    tokenizers = require("tokenizers", "text", "text")
    framed = tokenizer("a", return_special_tokens_mask=True)
    flags, ids = framed["special_tokens_mask"], framed["input_ids"]
    if 0 not in flags:
        raise UserError("the tokenizer has special tokens only: its files are missing")
    first, behind = flags.index(0), len(flags) - flags[::-1].index(0)
    added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    special = (added | set(tokenizer.all_special_ids)) - {tokenizer.unk_token_id}
    return Text(
        tokenizers.Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()),
        length=length,
        mask=tokenizer.mask_token_id,
        pad=-1 if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
        start=tuple(ids[:first]),
        stop=tuple(ids[behind:]),
        special=tuple(sorted(special)),
        longest=longest,
    )


def _described(tokenizer: "Tokenizer", length: int) -> Text:
    """Find the special tokens of a bare tokenizer by their usual names."""
    known = {
        str(t.content): i for i, t in tokenizer.get_added_tokens_decoder().items() if t.special
    }
    found = {
        key: next((known[name] for name in names if name in known), None)
        for key, names in (_NAMES | _FRAMES).items()
    }
    if found["mask"] is None:
        names = " or ".join(_NAMES["mask"])
        raise UserError(f"there is no mask token ({names}) among its special tokens")
    start, stop = (tuple(i for i in [found[key]] if i is not None) for key in _FRAMES)
    special = tuple(sorted(set(known.values()) - {found["unk"]}))
    pad = -1 if found["pad"] is None else found["pad"]
    return Text(tokenizer, length, found["mask"], pad, start, stop, special)


def _from_transformers(name: str) -> "PreTrainedTokenizerFast":
    transformers = require("transformers", "it", "text")
    options = {"local_files_only": Path(name).expanduser().is_dir(), "trust_remote_code": False}
    try:
        return transformers.AutoTokenizer.from_pretrained(name, **options)
    except Exception as error:  # whatever hub, network, cache and file formats raise
        reason = (str(error) or type(error).__name__).split("\n")[0]
        raise UserError(f"it cannot be loaded: {reason}") from error
