"""Filling the gaps of a text with a language model."""

import logging
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from maskwise.encodings import whole_texts
from maskwise.errors import UserError
from maskwise.measure.features import frozen
from maskwise.text.sources import How, read_samples
from maskwise.text.text import Text
from maskwise.textio import few
from maskwise.tokens.model import LanguageModel

log = logging.getLogger("maskwise")

MASKS = ("[MASK]", "<mask>")


class Alternative(NamedTuple):
    """A token that a gap may hold."""

    token: str  # as the tokenizer writes it: often with the space in front of it
    probability: float


class Completion(NamedTuple):
    """A text with its gaps filled."""

    text: str  # as the tokenizer writes it
    alternatives: list[list[Alternative]]  # of each gap, the best first, while all are open


def complete(model: LanguageModel[Text], text: str, num: int = 5) -> Completion:
    """Fill each [MASK] (or <mask>, or the tokenizer's own) of a text with one token.

    Alternatives and their probabilities are those of each gap while all are open. The text is
    filled greedily: the gap whose best token is the most probable is filled first, then the others
    are predicted anew, so that gaps agree with each other. The token of unknown words fills none.

    Args:
        model: its device is used, and its training mode is restored.
        text: any text with at least one gap.
        num: alternatives of each gap.

    Raises:
        UserError: a text without a gap, or longer than the model can take.

    >>> from maskwise.text.text import train_tokenizer
    >>> from maskwise.text.model import TextModelSettings
    >>> words = train_tokenizer(["the cat sat on the mat"] * 9, vocab_size=300, length=8)
    >>> model = LanguageModel(words, TextModelSettings(width=16, depth=1, heads=2))
    >>> [len(gap) for gap in complete(model, "the [MASK] sat", num=3).alternatives]
    [3]
    """
    if num < 1:
        raise UserError(f"num {num} is too small: give the number of alternatives, 1 or more")
    modality = model.tokenizer
    ids, open_ = tokens_with_gaps(modality, text)
    with frozen(model) as device:
        ids, open_ = ids.to(device), open_.to(device)
        first = found = _log_probs(model, ids, open_)
        while True:
            best, tokens = found.max(dim=1)
            gap = int(best.argmax())
            place = open_.nonzero()[gap]
            ids[*place], open_[*place] = tokens[gap], False
            if not open_.any():
                break
            found = _log_probs(model, ids, open_)
    values, tokens = first.exp().topk(min(num, int(found[0].isfinite().sum())))
    decode = modality.tokenizer.decode
    alternatives = [
        [Alternative(decode([token]), value) for value, token in zip(*gap, strict=True)]
        for gap in zip(values.tolist(), tokens.tolist(), strict=True)
    ]
    return Completion(modality.decode(ids[0]), alternatives)


def complete_file(model: LanguageModel[Text], source: str) -> Iterator[tuple[str, str]]:
    """Give the name of each text of a source and the text with its gaps filled, in a line.

    Those that cannot be filled stay as they are, and are counted; a row without a text is empty.

    Args:
        model: a language model.
        source: as for training; in a text file each line that is not blank is a text.

    Raises:
        UserError: the source cannot be read.
    """
    given, names, broken = read_samples(source, How())
    texts, left = iter(given), dict(broken)
    for row, name in enumerate(names or ()):
        text = "" if row in broken else next(texts)
        try:
            text = complete(model, text, 1).text if text else ""
        except UserError as error:
            left[row] = str(error)
        yield name, " ".join(text.split("\n"))
    if left:
        told = few([f"{(names or ())[row]} ({why})" for row, why in sorted(left.items())])
        log.warning("%s: %d texts are not filled: %s", source, len(left), told)


def tokens_with_gaps(text: Text, written: str) -> tuple[Tensor, Tensor]:
    """Return the ids of a text between special tokens, and which are gaps, [1, L] each."""
    [written] = whole_texts([written], "text")
    pieces = _pieces(text, written)
    if len(pieces) < 2:
        raise UserError(f"the text has no {MASKS[0]} to fill: {written[:60]}")
    ids = [*text.start, *_joined(text, pieces), *text.stop]
    longest = text.longest or len(ids)
    if len(ids) > longest:
        raise UserError(f"the text has {len(ids)} tokens, more than {longest}: make it shorter")
    row = torch.tensor([ids])
    return row, row == text.mask


def ids_with_gaps(text: Text, several: Sequence[str]) -> list[list[int]]:
    """Return the ids of texts without special tokens but those of their gaps, if they have any."""
    pieces = [_pieces(text, each) for each in several]
    plain = iter(text.encode([each[0] for each in pieces if len(each) == 1]))
    return [next(plain).ids.tolist() if len(each) == 1 else _joined(text, each) for each in pieces]


def _pieces(text: Text, written: str) -> list[str]:
    names = {*MASKS, str(text.tokenizer.id_to_token(text.mask))}
    return re.split("|".join(map(re.escape, names)), written)


def _joined(text: Text, pieces: Sequence[str]) -> list[int]:
    """Return the ids of pieces of a text with a gap between them."""
    ids: list[int] = []
    for place, piece in enumerate(pieces):
        if place:
            ids.append(text.mask)
        # The space before a gap belongs to the token that fills it.
        piece = piece if place == len(pieces) - 1 else piece.rstrip()
        ids += _encoded(text, piece, attached=place > 0 and not piece[:1].isspace())
    return ids


def _encoded(text: Text, piece: str, attached: bool) -> list[int]:
    """Return the ids of a piece; those of an attached one continue a word, as "." in "[MASK]."."""
    if not piece.strip():
        return []
    [alone] = text.encode([piece])
    if not attached:
        return alone.ids.tolist()
    # Tokenizers put a space in front of a text, or treat its beginning as that of a word: here a
    # digit stands there, which tokens rarely share with what follows.
    [behind] = text.encode([f"0{piece}"])
    rest = behind.ids[behind.offsets > 0]
    return (rest if 1 in behind.offsets else alone.ids).tolist()


def _log_probs(model: LanguageModel[Text], ids: Tensor, hidden: Tensor) -> Tensor:
    """Return the log-probabilities of all tokens in each gap, [gaps, V]; -inf for special ones."""
    found = torch.cat([found for found, _ in model.predictions(ids, hidden, ids)])
    known = model.tokenizer.tokenizer.get_added_tokens_decoder()
    special = [token for token, each in known.items() if each.special]
    return found.index_fill(1, torch.tensor(special, device=found.device), -torch.inf)
