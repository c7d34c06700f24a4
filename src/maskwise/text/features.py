"""Features of texts: of whole ones, and of their words; and texts to fine-tune on."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.measure.features import frozen, same_length
from maskwise.measure.finetuning import FineTuneSettings, Samples, tuned_row
from maskwise.modality import Entries, Pool
from maskwise.text.tasks import TextTask
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

    Texts longer than a row of the model are cut; `batch_size` of them are encoded at once.
    """
    pieces, _ = cut_texts(model.tokenizer, texts, model.tokenizer.room())
    found = _by_piece(model, pieces, batch_size, lambda ids: model.encode(ids, pool, layer))
    return np.stack([values.numpy() for values in found])


def _by_piece(
    model: LanguageModel, pieces: Sequence[Encoded], size: int, compute: Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """Return what is computed from the ids of each piece, between special tokens."""
    found = [torch.empty(0)] * len(pieces)
    with frozen(model) as device:
        for index, ids in equal_lengths(model.tokenizer, pieces, size):
            for place, values in zip(index, compute(ids.to(device)).float().cpu(), strict=True):
                found[place] = values
    return found


def cut_texts(text: Text, texts: Sequence[str], room: int) -> tuple[list[Encoded], int]:
    """Return the first `room` tokens of each text, and how many texts were longer."""
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

    They are numbers of pieces, int64 [b], and their ids between special tokens, int64 [b, L].
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
    """Return features of the words of each sentence, joined by spaces, each float32 [words, D].

    A word has the mean of its tokens' features. A word without tokens of its own, because the
    sentence was cut or a token spans several words, has NaN.
    """
    text = model.tokenizer
    pieces, _ = cut_texts(text, [" ".join(words) for words in sentences], text.room())
    found = _by_piece(model, pieces, batch_size, lambda ids: model.features(ids, layer))
    means = []
    for words, tokens, values in zip(sentences, pieces, found, strict=True):
        word = torch.from_numpy(words_of(words, tokens.offsets))
        sums = values.new_zeros(len(words), values.shape[1])
        sums.index_add_(0, word, values[len(text.start) :][: len(word)])
        means.append((sums / torch.bincount(word, minlength=len(words))[:, None]).numpy())
    return means


def words_of(words: Sequence[str], offsets: np.ndarray) -> np.ndarray:
    """Return which of `words`, joined by spaces, each token belongs to, int64 [n].

    `offsets` [n] are the first characters of tokens; they may be the space before a word.

    >>> words_of(["a", "cat"], np.array([0, 1, 3]))
    array([0, 1, 1])
    """
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    return np.searchsorted(ends, offsets, side="right")


def finetune_texts(
    models: Mapping[str, LanguageModel], task: TextTask, config: FineTuneSettings
) -> list[Entries]:
    """Return accuracy and Matthews correlation of fine-tuned models, by name; see `tuned_row`."""
    return [
        tuned_row(name, model, text_samples(model, task), config, ("accuracy", "mcc"))
        for name, model in models.items()
    ]


def text_samples(model: LanguageModel, task: TextTask) -> Samples[LanguageModel]:
    """Return texts as a model takes them; those longer than a row of the model are cut."""
    text = model.tokenizer
    ids = text.tokenize(task.train).ids
    lengths = (ids != text.pad).sum(dim=1)
    return Samples(
        *(task.name, task.train_y, task.test_y, len(task.classes), lengths),
        lambda index, seed, epoch: ids[index, : int(lengths[index].max())],
        lambda tuned: embed_texts(tuned, task.test),
        cut_note(text, [*task.train, *task.test]),
    )
