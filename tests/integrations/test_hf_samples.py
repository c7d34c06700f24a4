"""Where words begin, against what tokenizers say of a text."""

import copy
import gc
import multiprocessing
import os
import pickle
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from maskwise.integrations.hf_samples import Sightings, WordMarks

TEXTS = [
    "the cat sat on the mat and the caterpillar saw a combination of cats",
    "unbelievable combinations of caterpillars sat on matted mats",
    "a cat believed that the other cats combined the mats",
] * 3
NEW = "the  unbelieved cats sat on combinations of mats"


def trained(model, trainer, **parts) -> Tokenizer:
    tokenizer = Tokenizer(model)
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def options(**more) -> dict:
    return {"special_tokens": ["[UNK]"], "show_progress": False} | more


MADE = {
    "byte-level": lambda: trained(
        models.BPE(),
        trainers.BpeTrainer(**options(vocab_size=300)),
        pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoder=decoders.ByteLevel(),
    ),
    "wordpiece": lambda: trained(
        models.WordPiece(unk_token="[UNK]"),
        trainers.WordPieceTrainer(**options(vocab_size=70)),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
    ),
    "sentencepiece": lambda: trained(
        models.Unigram(),
        trainers.UnigramTrainer(**options(vocab_size=60, unk_token="[UNK]")),
        pre_tokenizer=pre_tokenizers.Metaspace(),
    ),
    "sentencepiece without pre-tokenizer": lambda: trained(
        models.BPE(unk_token="[UNK]"),
        trainers.BpeTrainer(**options(vocab_size=70)),
        normalizer=normalizers.Sequence([
            normalizers.Prepend("▁"),
            normalizers.Replace(" ", "▁"),
        ]),
        pre_tokenizer=pre_tokenizers.Split("▁", "merged_with_next"),
        decoder=decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()]),
    ),
    "end of word": lambda: trained(
        models.BPE(unk_token="[UNK]", end_of_word_suffix="</w>"),
        trainers.BpeTrainer(**options(vocab_size=80, end_of_word_suffix="</w>")),
        pre_tokenizer=pre_tokenizers.Whitespace(),
    ),
    "continued": lambda: trained(
        models.BPE(unk_token="[UNK]", continuing_subword_prefix="@@"),
        trainers.BpeTrainer(**options(vocab_size=80, continuing_subword_prefix="@@")),
        pre_tokenizer=pre_tokenizers.Whitespace(),
    ),
    "words": lambda: trained(
        models.WordLevel(unk_token="[UNK]"),
        trainers.WordLevelTrainer(**options()),
        pre_tokenizer=pre_tokenizers.Whitespace(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", MADE)
def test_words_are_those_of_the_pre_tokenizer(kind: str) -> None:
    tokenizer = MADE[kind]()
    marks = WordMarks(tokenizer)
    assert marks.known
    pieces = 0
    for text in [*TEXTS[:3], NEW]:
        found = tokenizer.encode(text)
        words = found.word_ids
        expected = [True] + [a != b for a, b in pairwise(words)]
        starts = marks.starts(torch.tensor([found.ids]))[0]
        # What is in front of the first token is for the caller to know.
        assert starts.tolist()[1:] == expected[1:]
        pieces += len(words) - len(set(words))
    assert (pieces == 0) == (kind == "words")


def test_added_tokens_are_words() -> None:
    tokenizer = MADE["byte-level"]()
    tokenizer.add_tokens(["<tag>"])
    found = tokenizer.encode("the <tag>cat")
    marks = WordMarks(tokenizer)
    at = found.tokens.index("<tag>")
    assert marks.starts(torch.tensor([found.ids]))[0, at : at + 2].tolist() == [True, True]


@pytest.mark.parametrize("dropped", [False, True])
def test_tokenizers_that_mark_nothing(dropped: bool) -> None:
    """Words go apart at white space, of which nothing is left."""
    parts = [pre_tokenizers.Whitespace()]
    if dropped:
        parts.append(pre_tokenizers.ByteLevel(add_prefix_space=False))
    alphabet = pre_tokenizers.ByteLevel.alphabet() if dropped else []
    tokenizer = trained(
        models.BPE(unk_token="[UNK]"),
        trainers.BpeTrainer(**options(vocab_size=300, initial_alphabet=alphabet)),
        pre_tokenizer=pre_tokenizers.Sequence(parts),
    )
    assert not WordMarks(tokenizer).known


def count_often(sightings: Sightings, num: int) -> None:
    for _ in range(num):
        sightings.count([1, 2, 2, -(2**63)])


def test_all_processes_count_together() -> None:
    sightings = Sightings()
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=count_often, args=(sightings, 25)) for _ in range(3)]
    for process in processes:
        process.start()
    count_often(sightings, 25)
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert sightings.count([2, 1, -(2**63), 2**63 - 1]) == [200, 100, 100, 0]


def test_the_file_goes_with_its_owner_only() -> None:
    sightings = Sightings()
    folder = Path(sightings._path).parent
    child = os.fork()
    if not child:
        del sightings
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    # Nor with a copy.
    for twin in (copy.deepcopy(sightings), pickle.loads(pickle.dumps(sightings))):
        twin.count([5])
    del twin
    assert sightings.count([5]) == [2]
    del sightings
    assert not folder.exists()
