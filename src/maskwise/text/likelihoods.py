"""The likelihood of texts under a masked language model, and of the sentences of minimal pairs."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.measure.features import ends, frozen, random_subset, resampled, spread
from maskwise.measure.losses import Held
from maskwise.modality import Entries
from maskwise.rows import json_rows
from maskwise.text.data import TextSplits
from maskwise.text.sources import How, read_parts
from maskwise.text.tasks import cut_texts, equal_lengths
from maskwise.text.text import Text
from maskwise.textio import kind_of, read_lines, user_path
from maskwise.tokens.evaluation import held_tokens, measured
from maskwise.tokens.files import files_of
from maskwise.tokens.model import LanguageModel

# Enough for some thousand windows; more would only take longer to cut into tokens.
MOST_CHARACTERS = 2**20
BATCH = 256  # masked inputs in one call of the model, at least
Metric = Literal["within-word-l2r", "original"]

KINDS = (".jsonl", ".json", ".ndjson", ".txt")


def read_text(path: Path) -> tuple[str, str]:
    """Return the documents of a file, or the beginning of many, and what to call them.

    Those of rows are in the column `text`, with a line break between.
    """
    if not path.is_file():
        raise UserError(f"cannot read {path}: {os.strerror(errno.ENOENT)}")
    text, how = "", How()
    for part in read_parts(str(path), how):
        text += "\n" * (part.first and bool(text)) + part.text
        if len(text) > MOST_CHARACTERS:
            name = f"the first {MOST_CHARACTERS:,} characters of {path.name}"
            return text[:MOST_CHARACTERS], name
    return text, path.name


def measure_text(
    model: LanguageModel[Text],
    text: str,
    name: str = "text",
    *,
    length: int | None = None,
    **options: int | None,
) -> Entries:
    """Return what `measure` does, of windows of running text without their special tokens.

    Bits per byte count the bytes of the text that the tokens stand for, whatever the tokenizer
    made of them. Windows have `length` tokens, by default those of the model's rows.
    """
    ids, _, num_bytes = model.tokenizer.windows(text, length)

    def held(index: np.ndarray) -> Held:
        chosen = torch.from_numpy(index)
        return _held(model, ids[chosen], "window", int(num_bytes[chosen].sum()))

    return measured(model, held, len(ids), name, None, **options)


def text_likelihood(
    model: LanguageModel[Text], splits: TextSplits, law: str, **options: int | None
) -> Entries:
    """Return what likelihood.json holds, for rows of the test part; see `measure`."""

    def held(index: np.ndarray) -> Held:
        ids = splits.test.get(index)
        num_bytes = sum(len(model.tokenizer.decode(row).encode()) for row in ids)
        return _held(model, ids, "row", num_bytes)

    return measured(model, held, len(splits.test), splits.name, law, **options)


def _held(model: LanguageModel[Text], ids: Tensor, sample: str, num_bytes: int) -> Held:
    words = {"sample": sample, "position": "token", "dimension": "token"}
    return held_tokens(model, ids, words)._replace(num_bytes=num_bytes)


class Pair(NamedTuple):
    """A sentence that is grammatical, and one that is not."""

    good: str
    bad: str


def read_pairs(path: Path) -> dict[str, list[Pair]]:
    """Read minimal pairs by paradigm: a file (.gz and .xz too), or a folder of them.

    - .jsonl with `sentence_good`, `sentence_bad` and `UID`, the paradigm (BLiMP; without `UID` the
      name of the file);
    - .txt with the bad sentence and then the good one, in turn (Zorro); the paradigm is the name.
    """
    path = user_path(path)
    files = files_of(path, KINDS, "minimal pairs") if path.is_dir() else [path]
    paradigms: dict[str, list[Pair]] = {}
    for file in files:
        for paradigm, pair in _read(file, file.name.split(".")[0]):
            paradigms.setdefault(paradigm, []).append(pair)
    if not paradigms:
        raise UserError(f"{path} holds no minimal pairs")
    return paradigms


def _read(path: Path, name: str) -> list[tuple[str, Pair]]:
    if kind_of(path) == ".txt":
        found = [line.strip() for line in read_lines(path)]
        while found and not found[-1]:
            found.pop()
        if len(found) % 2 or "" in found:
            raise UserError(f"{path}: give a bad and then a good sentence, in turn, without gaps")
        return [(name, Pair(good, bad)) for bad, good in zip(*[iter(found)] * 2, strict=True)]
    pairs = []
    for where, row in json_rows(path):
        good, bad = row.get("sentence_good"), row.get("sentence_bad")
        if not isinstance(good, str) or not isinstance(bad, str):
            raise UserError(f"{path}: {where} has no sentence_good and sentence_bad: {row!s:.40}")
        pairs.append((str(row.get("UID", name)), Pair(good.strip(), bad.strip())))
    return pairs


def pseudo_log_likelihoods(
    model: LanguageModel[Text], sentences: Sequence[str], metric: Metric = "within-word-l2r"
) -> tuple[np.ndarray, float]:
    """Return PLL(x) = sum_t log p(x_t | tokens that are visible) of each sentence, in nats.

    "original" hides the token t alone (Salazar et al., arXiv 1910.14659). "within-word-l2r" also
    hides the later tokens of its word, which would give it away (Kauf and Ivanova, arXiv
    2305.10588): the original favours rare words of several tokens.

    All tokens of a sentence count, punctuation too. Also returned is the mean hidden fraction of
    the inputs: a model that has never been trained at so small a ratio extrapolates.
    """
    longest = model.tokenizer.longest
    room = 10**6 if longest is None else model.tokenizer.room(longest)
    pieces, num_cut = cut_texts(model.tokenizer, sentences, room)
    if num_cut:
        place = next(i for i, piece in enumerate(pieces) if len(piece.ids) == room)
        raise UserError(f"a sentence is longer than {room} tokens: {sentences[place][:40]}...")
    values, ratios = np.zeros((2, len(sentences)))
    first = len(model.tokenizer.start)
    with frozen(model) as device:
        for index, ids in equal_lengths(model.tokenizer, pieces, BATCH):
            begins = torch.from_numpy(np.stack([pieces[place].starts for place in index]))
            hidden = _hidden(begins, metric)
            ratios[index] = hidden.float().mean(dim=(1, 2))
            length = hidden.shape[1]
            # Sentences at once, so that there are about as many inputs whatever their length.
            for part in torch.arange(len(index)).split(max(1, BATCH // length)):
                rows = ids[part].repeat_interleave(length, dim=0)
                where = torch.zeros((2, *rows.shape), dtype=torch.bool)
                where[0, :, first : first + length] = hidden[part].flatten(0, 1)
                where[1, :, first : first + length] = torch.eye(length).bool().repeat(len(part), 1)
                rows, (seen, wanted) = rows.to(device), where.to(device)
                logits = model.possible_logits(rows, Mask(seen), Mask(wanted))
                costs = F.cross_entropy(logits, rows[wanted], reduction="none").double()
                values[index[part]] = -costs.view(len(part), length).sum(dim=1).cpu()
    return values, float(ratios.mean())


def _hidden(begins: Tensor, metric: str) -> Tensor:
    """Return what is hidden to predict each token, bool [b, n, n], from where words begin [b, n].

    >>> _hidden(torch.tensor([[True, True, False]]), "within-word-l2r").int().tolist()
    [[[1, 0, 0], [0, 1, 1], [0, 0, 1]]]
    """
    if metric == "original":
        return torch.eye(begins.shape[1], dtype=torch.bool).expand(len(begins), -1, -1)
    word = begins.long().cumsum(dim=1)
    return (word[:, :, None] == word[:, None, :]).triu()


def measure_pairs(
    model: LanguageModel[Text], path: Path, *, num_pairs: int | None = None, seed: int = 0
) -> Entries:
    """Return how often the good sentence of minimal pairs has the higher pseudo-log-likelihood.

    The accuracy is the mean over paradigms; a tie counts one half. The interval is a bootstrap of
    the pairs within each paradigm, the same ones whatever the model.
    """
    paradigms = read_pairs(path)
    for name, pairs in paradigms.items():
        index = random_subset(len(pairs), num_pairs or len(pairs), seed)
        paradigms[name] = [pairs[place] for place in index]
    sentences = [each for pairs in paradigms.values() for pair in pairs for each in pair]
    values, ratio = pseudo_log_likelihoods(model, sentences)
    good, bad = values.reshape(-1, 2).T
    # Equal sentences give sums that differ in rounding only.
    tied = np.isclose(good, bad, rtol=1e-6, atol=0)
    right = np.where(tied, 0.5, good > bad)
    ends_of = np.cumsum([len(pairs) for pairs in paradigms.values()])[:-1]
    rows: list[Entries] = []
    means = []
    for place, (name, each) in enumerate(zip(paradigms, np.split(right, ends_of), strict=True)):
        means.append(resampled(each, [seed, place]))
        found = spread((float(each.mean()), *ends(means[-1])), "accuracy")
        rows.append({"name": name, "num": len(each)} | found)
    accuracy = float(np.mean([row["accuracy"] for row in rows]))
    return {
        "name": path.name.split(".")[0],
        "metric": "within-word-l2r",
        "num_pairs": len(right),
        **spread((accuracy, *ends(np.mean(means, axis=0))), "accuracy"),
        "ties": int(tied.sum()),
        "hidden_ratio": ratio,
        "paradigms": rows,
    }
