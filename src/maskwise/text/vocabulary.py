"""A language model that reads other tokens than those it was trained on, or more of them."""

import copy
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.text.model import HFNetwork
from maskwise.text.specials import unknown_of
from maskwise.text.text import PARTIAL, Text, reason_of
from maskwise.textio import few
from maskwise.tokens.model import LanguageModel
from maskwise.tokens.network import SequenceNetwork, TokenNetwork

if TYPE_CHECKING:  # it is an extra
    from tokenizers import Tokenizer

log = logging.getLogger("maskwise")


def extend_vocabulary(model: LanguageModel[Text], text: Text) -> LanguageModel[Text]:
    """Return a copy of a model that reads another tokenizer's tokens, and say what they begin as.

    A token that the model knows keeps its embedding, its output weights and its bias, whatever its
    id; special ones are known by what they are for. Any other begins as the mean of those of the
    pieces that the model's own tokenizer makes of its text; where that knows none, as the mean of
    all. Without more training the new ones say little.

    Args:
        model: of texts.
        text: how texts become tokens from now on.

    Raises:
        UserError: a model of transformers whose embedding cannot be changed.

    Example:
        >>> from maskwise.text.model import TextModelSettings
        >>> from maskwise.text.text import train_tokenizer
        >>> old, new = (train_tokenizer(["the cat sat"] * 9, vocab_size=size, length=8)
        ...             for size in (262, 270))
        >>> model = LanguageModel(old, TextModelSettings(width=16, depth=1, heads=2))
        >>> len(extend_vocabulary(model, new).network.embed.weight) == new.num_tokens
        True
    """
    old = model.tokenizer
    rows, new = begins(old, text)
    network = model.network
    if isinstance(network, HFNetwork):
        made: TokenNetwork = _of_transformers(network, rows, text, old)
    else:
        made = _ours(network, rows)
    nothing = [token for token, number in new.items() if not rows[number]]
    log.warning(
        "%d of %d tokens are new to the model: they begin as the mean of their pieces%s",
        *(len(new), len(text.tokenizer.get_vocab(with_added_tokens=True))),
        f", and {len(nothing)} that have none as the mean of all ({few(nothing)})"
        if nothing
        else "",
    )
    return LanguageModel(text, model.config, network=made).train(model.training)


def begins(old: Text, new: Text) -> tuple[list[list[int]], dict[str, int]]:
    """Return which old tokens each new one begins as the mean of, and those that are not known.

    By the ids of the new tokens, [V] lists of ids of the old; an empty one is of a token that the
    old tokenizer cannot read, or of an id that no token has.
    """
    known = old.tokenizer.get_vocab(with_added_tokens=True)
    vocabulary = new.tokenizer.get_vocab(with_added_tokens=True)
    alike = _decoder(old.tokenizer) == _decoder(new.tokenizer)
    rows: list[list[int]] = [[] for _ in range(new.num_tokens)]
    roles = _roles(old, new)
    unknown: dict[str, int] = {}
    for token, number in vocabulary.items():
        if number in roles:
            rows[number] = [roles[number]]
        elif alike and token in known and known[token] not in old.special:
            rows[number] = [known[token]]
        else:
            unknown[token] = number
    lost = unknown_of(old.tokenizer)
    for token, pieces in zip(unknown, _pieces(old, new, unknown, alike=alike), strict=True):
        rows[unknown[token]] = [each for each in pieces if each != known.get(lost or "")]
    if not alike:  # the same word by another name is no new one
        unknown = {token: each for token, each in unknown.items() if len(rows[each]) != 1}
    return rows, unknown


def _decoder(tokenizer: "Tokenizer") -> object:
    """Return what tells how tokens are spelled: with marks in front of words, or within them."""
    return (json.loads(tokenizer.to_str())["decoder"] or {}).get("type")


def _roles(old: Text, new: Text) -> dict[int, int]:
    """Return the old id of new tokens that are known by what they are for."""
    pairs = [(new.mask, old.mask), (new.pad, old.pad)]
    pairs += [*zip(new.start, old.start, strict=False), *zip(new.stop, old.stop, strict=False)]
    names = [unknown_of(each.tokenizer) for each in (new, old)]
    if all(names):
        texts = zip((new, old), names, strict=True)
        first, second = (each.tokenizer.get_vocab()[str(name)] for each, name in texts)
        pairs.append((first, second))
    return {number: other for number, other in pairs if min(number, other) >= 0}


def _pieces(old: Text, new: Text, tokens: dict[str, int], *, alike: bool) -> list[list[int]]:
    """Return the ids of the old pieces of new tokens."""
    if alike:
        model = old.tokenizer.model
        return [[piece.id for piece in model.tokenize(token)] for token in tokens]
    letter = next(
        number
        for number in new.alphabet.nonzero()[:, 0].tolist()
        if new.spell([number])[0].isalpha()
    )
    texts = [new.spell_next([letter], number) for number in tokens.values()]
    found = old.encode(["" if PARTIAL in each else each.strip() for each in texts])
    return [each.ids.tolist() for each in found]


def _mean(weight: Tensor, rows: Sequence[Sequence[int]]) -> Tensor:
    """Return the mean of rows of weights [V, D], or of numbers [V], for each of some lists."""
    table = weight.detach() if weight.ndim == 2 else weight.detach()[:, None]
    sizes = torch.tensor([0, *map(len, rows)])
    ids = torch.tensor([each for row in rows for each in row], dtype=torch.int64)
    found = F.embedding_bag(ids, table, sizes.cumsum(0)[:-1], mode="mean")
    found[sizes[1:] == 0] = table.mean(0)
    return found if weight.ndim == 2 else found[:, 0]


def _ours(network: TokenNetwork, rows: list[list[int]]) -> SequenceNetwork:
    assert isinstance(network, SequenceNetwork)
    made = copy.deepcopy(network)
    weight = _mean(network.embed.weight, rows)
    made.embed = nn.Embedding.from_pretrained(weight, freeze=False)
    made.bias = nn.Parameter(_mean(network.bias, rows))
    return made


def _of_transformers(
    network: HFNetwork, rows: list[list[int]], text: Text, old: Text
) -> HFNetwork:
    made = copy.deepcopy(network)
    kind = network.config["model_type"]
    if any(first for _, first in network.position_tables().values()) and text.pad != old.pad:
        raise UserError(
            f"a model of type {kind} counts positions from its token of padding, {old.pad}: give a"
            f" tokenizer with the same id of padding, not {text.pad}"
        )
    try:
        with torch.random.fork_rng(devices=[]):
            made.model.resize_token_embeddings(len(rows), mean_resizing=False)
    except Exception as error:  # whatever models raise that cannot
        raise UserError(
            f"a model of type {kind} takes no other tokens ({reason_of(error)})"
        ) from None
    made.model.config.pad_token_id = None if text.pad < 0 else text.pad
    for get in ("get_input_embeddings", "get_output_embeddings"):
        before, after = (getattr(each.model, get)() for each in (network, made))
        for name in ("weight", "bias"):
            value = getattr(before, name, None)
            if isinstance(value, Tensor):
                with torch.no_grad():
                    getattr(after, name).copy_(_mean(value, rows))
    return made
