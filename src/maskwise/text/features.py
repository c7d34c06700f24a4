"""Frozen features of texts: of whole texts, and of their words."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.measure.features import frozen, same_length
from maskwise.modality import Pool
from maskwise.text.text import Encoded, Text
from maskwise.tokens.model import LanguageModel


def embed_texts(
    model: LanguageModel,
    texts: Sequence[str],
    pool: Pool = "mean",
    layer: int = -1,
    batch_size: int = 128,
) -> np.ndarray:
    """Return features of texts, float32 [N, D]; nothing is hidden, lengths are not normalised.

    Texts longer than a row of the model are cut.

    Args:
        model: its device is used, and its training mode is restored.
        texts: documents.
        pool: "mean" of the tokens, the "class" token, or "both" side by side.
        layer: which layer, -1 = the last.
        batch_size: texts encoded at once.

    Raises:
        UserError: no texts, a text without a token, or a layer or pool that the model lacks.
    """
    pieces, _ = cut_texts(model.tokenizer, texts, model.tokenizer.room())
    found: list[np.ndarray] = [np.empty(0)] * len(pieces)
    with frozen(model) as device:
        for index, ids in equal_lengths(model.tokenizer, pieces, batch_size):
            encoded = model.encode(ids.to(device), pool, layer).float().cpu().numpy()
            for place, values in zip(index, encoded, strict=True):
                found[place] = values
    return np.stack(found)


def cut_texts(text: Text, texts: Sequence[str], room: int) -> tuple[list[Encoded], int]:
    """Return the first `room` tokens of each text, and how many texts were longer.

    Raises:
        UserError: no texts, or a text without a token.
    """
    if not len(texts):
        raise UserError("no texts: give at least one")
    found = text.encode(texts)
    for place, each in enumerate(found):
        if not len(each.ids):
            raise UserError(f"text {place} ('{texts[place][:40]}') has no token: leave it out")
    num_cut = sum(len(each.ids) > room for each in found)
    return [Encoded(*(values[:room] for values in each)) for each in found], num_cut


def cut_note(text: Text, texts: Sequence[str]) -> str:
    """Return how many texts are longer than a row, in words; nothing if none is."""
    _, num = cut_texts(text, texts, text.room())
    return f"{num} texts cut at {text.room()} tokens" if num else ""


def equal_lengths(
    text: Text, pieces: Sequence[Encoded], batch_size: int
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Give batches of pieces with equally many tokens, so that nothing is padded.

    Yields:
        Which pieces, int64 [b], and their ids between special tokens, int64 [b, L].
    """
    for batch in same_length([len(piece.ids) for piece in pieces], batch_size):
        rows = [[*text.start, *pieces[place].ids, *text.stop] for place in batch]
        yield batch, torch.from_numpy(np.array(rows, dtype=np.int64))


def word_features(
    model: LanguageModel,
    sentences: Sequence[Sequence[str]],
    layer: int = -1,
    batch_size: int = 128,
) -> list[np.ndarray]:
    """Return features of the words of each sentence, each float32 [words, D].

    A word has the mean of its tokens' features. A word without tokens of its own, because the
    sentence was cut or a token spans several words, has NaN.

    Args:
        model: its device is used, and its training mode is restored.
        sentences: words, which are joined by spaces.
        layer: which layer, -1 = the last.
        batch_size: sentences encoded at once.
    """
    text = model.tokenizer
    pieces, _ = cut_texts(text, [" ".join(words) for words in sentences], text.room())
    found: list[np.ndarray] = [np.empty(0)] * len(pieces)
    with frozen(model) as device:
        for index, ids in equal_lengths(text, pieces, batch_size):
            features = model.features(ids.to(device), layer).float().cpu()
            for place, values in zip(index, features[:, len(text.start) :], strict=True):
                num_words, tokens = len(sentences[place]), pieces[place]
                word = torch.from_numpy(words_of(sentences[place], tokens.offsets))
                sums = values.new_zeros(num_words, values.shape[1])
                sums.index_add_(0, word, values[: len(word)])
                counts = torch.bincount(word, minlength=num_words)[:, None]
                found[place] = (sums / counts).numpy()
    return found


def words_of(words: Sequence[str], offsets: np.ndarray) -> np.ndarray:
    """Return which of `words`, joined by spaces, each token belongs to, int64 [n].

    Args:
        words: the words.
        offsets: the first character of each token, [n]; it may be the space before a word.

    >>> words_of(["a", "cat"], np.array([0, 1, 3]))
    array([0, 1, 1])
    """
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    return np.searchsorted(ends, offsets, side="right")
