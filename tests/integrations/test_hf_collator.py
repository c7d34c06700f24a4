"""The collator: what it returns, and what its masks depend on."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats
from torch.utils.data import DataLoader

from maskwise import UserError, laws
from maskwise.text.ngrams import Ngrams

MASK, UNK = 4, 1


def originals(batch):
    """Token ids before anything was hidden."""
    hidden = batch["labels"] != -100
    return torch.where(hidden, batch["labels"], batch["input_ids"])


def masks_of(batches):
    """{tokens of a sample: its hidden positions}, without padding."""
    found = {}
    for batch in batches:
        for ids, attention, labels in zip(
            originals(batch), batch["attention_mask"], batch["labels"], strict=True
        ):
            inside = attention == 1
            found[tuple(ids[inside].tolist())] = tuple((labels != -100)[inside].tolist())
    return found


def test_a_batch(make_collator, samples):
    batch = make_collator()(samples)
    lengths = [len(sample["input_ids"]) for sample in samples]
    assert list(batch) == ["input_ids", "attention_mask", "labels"]
    for rows in batch.values():
        assert rows.shape == (len(samples), max(lengths))
        assert rows.dtype == torch.int64
    ids = originals(batch)
    hidden = batch["labels"] != -100
    for row, sample in enumerate(samples):
        assert ids[row, : lengths[row]].tolist() == sample["input_ids"]
        assert batch["attention_mask"][row].tolist() == [
            int(place < lengths[row]) for place in range(max(lengths))
        ]
        assert not hidden[row, 0]
        assert not hidden[row, lengths[row] - 1 :].any()
        assert 1 <= int(hidden[row].sum()) < lengths[row] - 2
    assert (batch["input_ids"][hidden] == MASK).all()
    assert (ids[batch["attention_mask"] == 0] == 0).all()


@pytest.mark.parametrize("pattern", ["scattered", "spans", "spans:2"])
def test_counts_are_those_of_the_law(make_collator, samples, pattern):
    if pattern == "scattered":
        hidden = make_collator(law=0.3, pattern=pattern)(samples)["labels"] != -100
        eligible = [len(sample["input_ids"]) - 2 for sample in samples]
        asked = laws.num_hidden(laws.Fixed(0.3), 0.5, eligible)
        assert hidden.sum(1).tolist() == asked.tolist()
    ratios = []
    collator = make_collator(law="uniform:0.2,0.6", pattern=pattern)
    for _ in range(12):
        hidden = collator(samples)["labels"] != -100
        ratios += [
            float(row.sum()) / (len(sample["input_ids"]) - 2)
            for row, sample in zip(hidden, samples, strict=True)
        ]
    # Ratios are rounded to whole tokens, so only their mean is nearly that of the law.
    assert np.mean(ratios) == pytest.approx(0.4, abs=0.03)
    assert np.std(ratios) == pytest.approx(0.4 / 12**0.5, abs=0.04)


@pytest.mark.parametrize("pattern", ["scattered", "words", "spans"])
def test_masks_do_not_depend_on_the_batch_or_on_padding(make_collator, samples, pattern):
    whole = masks_of([make_collator(pattern=pattern)(samples)])
    assert len(whole) == len(samples)
    collator = make_collator(pattern=pattern, pad_to_multiple_of=8)
    parts = [collator(samples[place : place + 5]) for place in range(0, len(samples), 5)]
    assert {batch["labels"].shape[1] % 8 for batch in parts} == {0}
    assert masks_of(parts) == whole
    # Nor on padding that was there before, or on the form of a sample.
    padded = [
        {
            "input_ids": torch.tensor(sample["input_ids"] + [0] * 9),
            "attention_mask": np.array([1] * len(sample["input_ids"]) + [0] * 9),
        }
        for sample in reversed(samples)
    ]
    assert masks_of([make_collator(pattern=pattern)(padded)]) == whole
    for sample in padded:
        del sample["attention_mask"]
    batch = make_collator(pattern=pattern)(padded)
    assert masks_of([batch]) == whole
    assert batch["labels"].shape[1] == max(len(sample["input_ids"]) for sample in padded)


@pytest.mark.parametrize("pattern", ["scattered", "words", "spans"])
def test_padding_on_the_left(make_collator, tokenizer, samples, pattern):
    left = copy.deepcopy(tokenizer)
    left.padding_side = "left"
    batch = make_collator(tokenizer=left, pattern=pattern)(samples)
    assert masks_of([batch]) == masks_of([make_collator(pattern=pattern)(samples)])
    assert batch["attention_mask"][:, -1].all()
    short = min(range(len(samples)), key=lambda row: len(samples[row]["input_ids"]))
    assert batch["input_ids"][short, 0] == 0
    assert batch["labels"][short, 0] == -100


def loaders():
    yield {"batch_size": 8}
    yield {"batch_size": 5, "num_workers": 2}
    yield {"batch_size": 8, "num_workers": 2, "persistent_workers": True}


def epochs_of(collator, samples, num=3, **options):
    loader = DataLoader(samples, collate_fn=collator, **options)
    return [masks_of(loader) for _ in range(num)]


@pytest.mark.slow  # processes
def test_masks_are_new_in_every_epoch_and_the_same_for_all_loaders(make_collator, samples):
    expected = epochs_of(make_collator(), samples, batch_size=8)
    for epoch, other in ((0, 1), (1, 2), (0, 2)):
        same = [expected[epoch][ids] == expected[other][ids] for ids in expected[0]]
        assert np.mean(same) < 0.2
    for options in loaders():
        assert epochs_of(make_collator(), samples, **options) == expected, options
    # In new processes too, and where the kind of loader changes.
    collator = make_collator()
    assert epochs_of(collator, samples, 1, batch_size=8) == expected[:1]
    spawned = {"batch_size": 9, "num_workers": 1, "multiprocessing_context": "spawn"}
    assert epochs_of(collator, samples, 1, **spawned) == expected[1:2]
    # In any order of the samples.
    shuffled = {"shuffle": True, "generator": torch.Generator().manual_seed(3), "num_workers": 2}
    assert epochs_of(make_collator(), samples, batch_size=8, **shuffled) == expected
    assert epochs_of(make_collator(seed=1), samples, 1, batch_size=8) != expected[:1]


def test_where_the_collator_of_transformers_fails(tokenizer, samples):
    """The defects that made this one: `seed=` with workers gives one mask for all epochs."""
    from transformers import DataCollatorForLanguageModeling

    def theirs(**options):
        collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.3, seed=1)
        return epochs_of(collator, samples, 2, **options)

    first, second = theirs(batch_size=8, num_workers=2)
    assert first == second
    assert theirs(batch_size=16)[0] != theirs(batch_size=8)[0]


def test_copies_have_masks_of_their_own(make_collator, samples):
    batch = make_collator(law=0.5)([samples[-1]] * 20)
    assert len({tuple(row) for row in batch["labels"].tolist()}) > 15


def test_ranks_have_masks_of_their_own(make_collator, samples, monkeypatch):
    alone = masks_of([make_collator()(samples)])
    monkeypatch.setenv("RANK", "0")
    assert masks_of([make_collator()(samples)]) == alone
    monkeypatch.setenv("RANK", "1")
    other = make_collator()
    assert np.mean([mask == alone[ids] for ids, mask in masks_of([other(samples)]).items()]) < 0.2
    # With an epoch it does not matter where a sample is.
    other.set_epoch(0)
    assert masks_of([other(samples)]) == alone


@pytest.mark.parametrize("options", list(loaders()))
def test_set_epoch(make_collator, samples, options):
    counted = epochs_of(make_collator(), samples, batch_size=8)
    collator = make_collator()
    loader = DataLoader(samples, collate_fn=collator, **options)
    for epoch in (2, 0, 0, 1):
        collator.set_epoch(epoch)
        assert masks_of(loader) == counted[epoch]


def test_moving_laws_need_to_know_where_training_is(make_collator, samples):
    collator = make_collator(law="scheduled:linear,0.2..0.8")
    with pytest.raises(UserError, match=r"collator\.callback\(\) to the callbacks"):
        collator(samples)
    for progress in (0.0, 0.5, 1.0):
        collator.set_epoch(0, progress)
        batch = collator(samples)
        share = int((batch["labels"] != -100).sum()) / int((batch["input_ids"] > 3).sum())
        assert share == pytest.approx(0.2 + 0.6 * progress, abs=0.03)


def test_what_may_be_hidden(make_collator, tokenizer):
    ids = tokenizer("the cat", "ω slept")["input_ids"]
    assert UNK in ids
    special = {0, 2, 3, MASK}
    sample = {
        "input_ids": [*ids, MASK, *ids],
        "special_tokens_mask": [int(i in special or i == UNK) for i in [*ids, MASK]] + [1] * 9,
    }
    sample["special_tokens_mask"] = sample["special_tokens_mask"][: 2 * len(ids) + 1]
    sample["special_tokens_mask"] += [1] * (2 * len(ids) + 1 - len(sample["special_tokens_mask"]))
    seen = torch.zeros(len(sample["input_ids"]), dtype=torch.bool)
    collator = make_collator(law=0.5)
    for _ in range(60):
        seen |= collator([sample])["labels"][0] != -100
    # An unknown word is text, whatever the mask of special tokens says of it.
    expected = [place < len(ids) and i not in special for place, i in enumerate(ids)]
    assert seen[: len(ids)].tolist() == expected
    at = sample["input_ids"].index(UNK, len(ids))
    assert seen[len(ids) :].nonzero().flatten().tolist() == [at - len(ids)]


def test_a_padding_token_within_a_text(make_collator):
    batch = make_collator()([{"input_ids": [0, 2, 9, 8, 0, 9, 3, 0, 0]}])
    assert batch["attention_mask"].tolist() == [[1] * 6 + [0] * 3]
    assert originals(batch).tolist() == [[2, 9, 8, 0, 9, 3, 0, 0, 0]]
    assert batch["labels"][0, 3] == -100


def test_token_types(make_collator, tokenizer):
    pairs = [("the cat", "slept"), ("the cat sat on the mat today",)]
    found = [dict(tokenizer(*pair, return_token_type_ids=True)) for pair in pairs]
    batch = make_collator()(found)
    assert list(batch) == ["input_ids", "attention_mask", "labels", "token_type_ids"]
    num = len(found[0]["input_ids"])
    assert batch["token_type_ids"][0, :num].tolist() == found[0]["token_type_ids"]
    assert 1 in batch["token_type_ids"][0]


def test_samples_without_tokens(make_collator, samples):
    empty = {"input_ids": [2, 3]}
    batch = make_collator()([empty, samples[0], {"input_ids": []}])
    hidden = batch["labels"] != -100
    assert hidden.any(1).tolist() == [False, True, False]
    assert batch["attention_mask"].sum(1).tolist() == [2, len(samples[0]["input_ids"]), 0]
    with pytest.raises(UserError, match="none of the 2 samples of a batch has a token"):
        make_collator()([empty, empty])
    one = make_collator(law=0.05)([{"input_ids": [2, 30, 3]}])
    assert one["labels"].tolist() == [[-100, 30, -100]]


def test_shares(make_collator, samples):
    collator = make_collator(law=0.5, mask_replace_prob=0.8, random_replace_prob=0.1)
    masked, random, num = 0, 0, 0
    for _ in range(20):
        batch = collator(samples)
        hidden = batch["labels"] != -100
        seen, were = batch["input_ids"][hidden], batch["labels"][hidden]
        masked += int((seen == MASK).sum())
        random += int(((seen != MASK) & (seen != were)).sum())
        assert not ((seen < 5) & (seen != MASK) & (seen != UNK)).any()
        num += len(seen)
    for found, share in ((masked, 0.8), (random, 0.1 * (1 - 1 / 86))):
        low, high = stats.binom.interval(1 - 1e-6, num, share)
        assert low <= found <= high


def test_whole_words(make_collator, tokenizer, samples):
    tokens = tokenizer.convert_ids_to_tokens
    for pattern in ("words", "spans"):
        for _ in range(5):
            batch = make_collator(law=0.4, pattern=pattern)(samples)
            for ids, labels in zip(originals(batch), batch["labels"], strict=True):
                hidden = (labels != -100).tolist()
                for place, token in enumerate(tokens(ids.tolist())):
                    if token.startswith("##"):
                        assert hidden[place] == hidden[place - 1]


def test_words_that_the_samples_tell(make_collator, tokenizer):
    """Words by white space, so that a mark goes with its word; tokens by themselves split it."""
    encoded = tokenizer("the cat sat")
    assert encoded.word_ids()[0] is None
    num = len(encoded["input_ids"]) - 2
    words = [None, *[place // 2 for place in range(num)], None]
    sample = {"input_ids": encoded["input_ids"], "word_ids": words}
    collator = make_collator(law=0.5, pattern="words")
    for _ in range(30):
        hidden = (collator([sample])["labels"][0] != -100).tolist()[1:-1]
        assert all(a == b for a, b in zip(hidden[::2], hidden[1::2], strict=False))


def test_ngrams(make_collator, tokenizer):
    def words(text):
        encoded = tokenizer(text, add_special_tokens=False)
        ids = encoded.word_ids()
        return encoded["input_ids"], [a != b for a, b in zip(ids, [-1, *ids], strict=False)]

    ngrams = Ngrams.of([words("the cat"), words("on the mat")])
    sample = {"input_ids": tokenizer("the cat sat on the mat")["input_ids"]}
    sizes = [len(words(part)[0]) for part in ("the cat", "sat", "on the mat")]
    units = [place for place, size in enumerate(sizes) for _ in range(size)]
    collator = make_collator(law=0.5, pattern="ngrams", ngrams=ngrams)
    seen = set()
    for _ in range(30):
        hidden = (collator([sample])["labels"][0] != -100).tolist()[1:-1]
        state = {}
        assert all(state.setdefault(u, h) == h for u, h in zip(units, hidden, strict=True))
        seen |= {unit for unit, value in state.items() if value}
    assert seen == {0, 1, 2}


def test_the_mean_over_hidden_tokens_tilts_the_law(make_collator):
    """E[r²] / E[r] = .344 for U(.1, .5), as the docstring says."""
    rng = np.random.default_rng(0)
    texts = [{"input_ids": [2, *rng.integers(5, 90, 200).tolist(), 3]} for _ in range(1500)]
    hidden = (make_collator()(texts)["labels"] != -100).sum(1).double()
    assert float((hidden / 200).mean()) == pytest.approx(0.3, abs=0.01)
    assert float((hidden**2).sum() / 200 / hidden.sum()) == pytest.approx(0.344, abs=0.01)


@pytest.mark.parametrize(
    ("says", "change"),
    [
        ("unknown law 'unifrom:0,1'", {"law": "unifrom:0,1"}),
        ("unknown pattern 'word'", {"pattern": "word"}),
        ("pattern block is for images; texts have scattered, words", {"pattern": "block"}),
        ("the form is spans[:LENGTH]", {"pattern": "spans:x"}),
        ("'ngrams' and the argument ngrams= need each other", {"pattern": "ngrams"}),
        ("need each other", {"ngrams": Ngrams.of([([1, 2], [True, True])])}),
        ("mask_replace_prob 0.9 and random_replace_prob 0.2",
         {"mask_replace_prob": 0.9, "random_replace_prob": 0.2}),
        ("mask_replace_prob -0.1", {"mask_replace_prob": -0.1}),
        ("mask_replace_prob nan", {"mask_replace_prob": float("nan")}),
        ("pad_to_multiple_of 0 is below 1", {"pad_to_multiple_of": 0}),
        ("has no mask token", {"tokenizer": SimpleNamespace(mask_token_id=None)}),
        ("is a slow one", {"tokenizer": SimpleNamespace(mask_token_id=4, is_fast=False)}),
    ],
)  # fmt: skip
def test_bad_settings(make_collator, says, change):
    with pytest.raises(UserError) as error:
        make_collator(**change)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("says", "batch"),
    [
        ("the batch is empty", []),
        ("sample 1 of a batch has no input_ids", [{"input_ids": [2, 9, 3]}, {"text": "a cat"}]),
        ("sample 0 of a batch has no input_ids", [[2, 9, 3]]),
        ("input_ids of shape (1, 3): give one row each", [{"input_ids": [[2, 9, 3]]}]),
        ("token ids outside 0..89", [{"input_ids": [2, 90, 3]}]),
        ("token ids outside 0..89", [{"input_ids": [2, -1, 3]}]),
        ("has 2 attention_mask for 3 tokens",
         [{"input_ids": [2, 9, 3], "attention_mask": [1, 1]}]),
        ("has 1 word_ids for 3 tokens", [{"input_ids": [2, 9, 3], "word_ids": [None]}]),
        ("has an array (2, 2) of attention_mask for 2 tokens",
         [{"input_ids": [9, 8], "attention_mask": [[1, 0], [1, 1]]}]),
        ("has input_ids that are no whole numbers", [{"input_ids": [2, 9.5, 3]}]),
        ("has input_ids None, which is no array of numbers", [{"input_ids": None}]),
        ("has 1 position_ids for 3 tokens", [{"input_ids": [2, 9, 3], "position_ids": [0]}]),
        ("sample 0 has text 'a cat', which is no array of numbers: leave it out",
         [{"input_ids": [2, 9, 3], "text": "a cat"}]),
        ("sample 0 has boxes [[1], [1, 2], [3]], which is no array of numbers",
         [{"input_ids": [2, 9, 3], "boxes": [[1], [1, 2], [3]]}]),
        ("sample 1 of a batch has no next_sentence_label, which others have",
         [{"input_ids": [2, 9, 3], "next_sentence_label": 1}, {"input_ids": [2, 9, 3]}]),
        ("sample 1 of a batch has no flag, which others have",
         [{"input_ids": [2, 9, 3], "flag": 1}, {"input_ids": [2, 9, 3], "flag": None}]),
        ("near is neither one value for each token nor of one shape in all samples of a batch:"
         " (3, 3) in sample 0 and (2, 2) in sample 1, of 2 tokens; pad it, or leave it out",
         [{"input_ids": [2, 9, 3], "near": np.eye(3)}, {"input_ids": [2, 9], "near": np.eye(2)}]),
        ("weight is neither one value for each token nor of one shape",
         [{"input_ids": [2, 9, 3], "weight": [1.0, 2.0]}, {"input_ids": [2, 9], "weight": 1.0}]),
    ],
)  # fmt: skip
def test_bad_batches(make_collator, says, batch):
    with pytest.raises(UserError) as error:
        make_collator()(batch)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def bare():
    """A tokenizer that neither marks words nor has a padding token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {"[UNK]": 0, "[MASK]": 1, "a": 2, "b": 3}
    made = Tokenizer(models.BPE(vocab, [], unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=made, mask_token="[MASK]", unk_token="[UNK]")


def test_a_tokenizer_without_padding(make_collator, bare, caplog):
    """Rows are filled up with a token it has; tokens like it at the end of a text stay."""
    collator = make_collator(tokenizer=bare)
    assert caplog.messages == [
        "the tokenizer has no padding token: shorter rows are filled up with [MASK], which"
        " attention_mask leaves out"
    ]
    batch = collator([{"input_ids": [2, 3, 2]}, {"input_ids": [2]}, {"input_ids": [3, 1]}])
    assert originals(batch).tolist() == [[2, 3, 2], [2, 1, 1], [3, 1, 1]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    assert batch["labels"][1].tolist() == [2, -100, -100]
    assert len(bare) == 4


def test_tokenizers_that_do_not_mark_words(make_collator, bare):
    batch = [{"input_ids": [2, 3, 2]}]
    with pytest.raises(UserError, match="does not mark them: give samples their word_ids"):
        make_collator(tokenizer=bare, pattern="words")(batch)
    told = [{"input_ids": [2, 3, 2], "word_ids": [0, 0, 1]}]
    assert make_collator(tokenizer=bare, pattern="words")(told)["labels"].shape == (1, 3)
