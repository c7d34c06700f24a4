"""The special tokens of a tokenizer: which they are, by their names, and those it lacks, added."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from maskwise.errors import UserError, require
from maskwise.modality import Entries

if TYPE_CHECKING:  # it is an extra
    from tokenizers import Tokenizer

PAD, UNKNOWN, START, STOP, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# What the families of BERT, of RoBERTa and of ESM call them.
_NAMES = {
    "mask": (MASK, "<mask>"),
    "pad": (PAD, "<pad>"),
    "start": (START, "<s>", "<cls>"),
    "stop": (STOP, "</s>", "<eos>"),
}
UNKNOWN_NAMES = (UNKNOWN, "<unk>")
# Bytes that text in UTF-8 never has.
_NEVER = 13
_PLAIN = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)


def find_special(tokenizer: "Tokenizer") -> dict[str, str]:
    """Return the names of the tokens "mask", "pad", "start" and "stop" that a tokenizer has.

    They are usual ones; mask and padding may also be special tokens with other brackets.

    Raises:
        UserError: there is no mask token.
    """
    known = tokenizer.get_vocab(with_added_tokens=True)
    added = tokenizer.get_added_tokens_decoder().values()
    special = [str(token.content) for token in added if token.special]
    found: dict[str, str] = {}
    for role, names in _NAMES.items():
        usual = [name for name in names if name in known]
        if role in ("mask", "pad"):
            similar = re.compile(rf"[\W_]*{role}[\W_]*", re.IGNORECASE)
            usual += filter(similar.fullmatch, special)
        if usual:
            found[role] = usual[0]
    if "mask" not in found:
        wanted = " or ".join(_NAMES["mask"])
        raise UserError(f"there is no mask token ({wanted}) among its special tokens")
    return found


def unknown_of(tokenizer: "Tokenizer") -> str | None:
    """Return the token that stands for what has no token; None: there is none."""
    model = json.loads(tokenizer.to_str())["model"]
    if model["type"] == "Unigram":
        return None if model["unk_id"] is None else model["vocab"][model["unk_id"]][0]
    name = model["unk_token"]
    return name if name in model["vocab"] else None


def missing_tokens(tokenizer: "Tokenizer", like: str, *, pad: bool) -> dict[str, str]:
    """Return what a tokenizer needs and lacks: the names of tokens to add, by what they are.

    Args:
        tokenizer: any.
        like: its mask token, whose brackets the names have.
        pad: whether it has a padding token.
    """
    angular = like.startswith("<")
    found = {} if pad else {"padding": "<pad>" if angular else PAD}
    values = json.loads(tokenizer.to_str())
    if unknown_of(tokenizer) is None and not _reads_bytes(values):
        given = values["model"].get("unk_token")
        found["unknown words"] = given or ("<unk>" if angular else UNKNOWN)
    return found


def _reads_bytes(values: Entries) -> bool:
    """Say whether any text has tokens, since its bytes have."""
    model = values["model"]
    if model["type"] != "BPE":
        return False
    if model["byte_fallback"]:
        return all(f"<0x{number:02X}>" in model["vocab"] for number in range(256))
    steps = json.dumps([values["normalizer"], values["pre_tokenizer"]])
    alphabet = require("tokenizers", "text", "text").pre_tokenizers.ByteLevel.alphabet()
    known = sum(letter in model["vocab"] for letter in alphabet)
    return '"ByteLevel"' in steps and known >= 256 - _NEVER


def extended(tokenizer: "Tokenizer", names: Sequence[str], unknown: str | None) -> "Tokenizer":
    """Return a tokenizer in which some names are special tokens; ids that it has stay.

    Args:
        tokenizer: is left as it is.
        names: tokens, new ones too.
        unknown: which of them stands for what has no token; None: as before.

    Raises:
        UserError: its ids cannot be kept.
    """
    tokenizers = require("tokenizers", "text", "text")
    values = json.loads(tokenizer.to_str())
    ids: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    for name in names:
        ids.setdefault(name, max(ids.values(), default=-1) + 1)
    # The library numbers anew what only stands among the added tokens.
    _extend(values["model"], ids, unknown)
    before = [token for token in values["added_tokens"] if token["content"] not in names]
    added = [{"id": ids[name], "content": name, **_PLAIN, "special": True} for name in names]
    values["added_tokens"] = sorted([*before, *added], key=lambda token: token["id"])
    made: Tokenizer = tokenizers.Tokenizer.from_str(json.dumps(values))
    if made.get_vocab(with_added_tokens=True) != ids:
        raise UserError(f"no token can be added to it: give it {', '.join(names)}")
    return made


def _extend(model: Entries, ids: Mapping[str, int], unknown: str | None) -> None:
    if model["type"] == "Unigram":
        pieces = {piece for piece, _ in model["vocab"]}
        new = sorted((number, name) for name, number in ids.items() if name not in pieces)
        model["vocab"] += [[name, 0.0] for _, name in new]
    else:
        model["vocab"] = dict(ids)
    if unknown is not None:
        key = {"Unigram": "unk_id"}.get(model["type"], "unk_token")
        model[key] = ids[unknown] if key == "unk_id" else unknown
