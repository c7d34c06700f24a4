"""Keys of samples beside their tokens: they are in the batch, padded with the tokens."""

import copy

import numpy as np
import pytest
import torch

from tests.lazy import lazy

transformers = lazy("transformers")


def with_keys(ids):
    num = len(ids)
    return {
        "input_ids": ids,
        "bbox": [[place, 0, place + 1, 9] for place in range(num)],
        "position_ids": list(range(num)),
        "token_labels": [7] * num,
        "weights": [0.5] * num,
        "seen": [True] * num,
        "next_sentence_label": num % 2,
        "score": 0.25,
        "image": np.full((2, 3), num, np.uint8),
    }


SAMPLES = [with_keys([2, 9, 8, 3]), with_keys([2, 9, 3])]
PADDED = {
    "bbox": [[[0, 0, 1, 9], [1, 0, 2, 9], [2, 0, 3, 9], [3, 0, 4, 9]],
             [[0, 0, 1, 9], [1, 0, 2, 9], [2, 0, 3, 9], [0, 0, 0, 0]]],
    "position_ids": [[0, 1, 2, 3], [0, 1, 2, 0]],
    "token_labels": [[7, 7, 7, 7], [7, 7, 7, -100]],
    "weights": [[0.5] * 4, [0.5, 0.5, 0.5, 0.0]],
    "seen": [[True] * 4, [True, True, True, False]],
    "next_sentence_label": [0, 1],
    "score": [0.25, 0.25],
    "image": [[[4] * 3] * 2, [[3] * 3] * 2],
}  # fmt: skip


def test_further_keys_are_padded_and_passed_on(make_collator):
    batch = make_collator()(SAMPLES)
    assert list(batch) == ["input_ids", "attention_mask", "labels", *PADDED]
    assert {name: batch[name].tolist() for name in PADDED} == PADDED
    kinds = {name: str(batch[name].dtype).removeprefix("torch.") for name in PADDED}
    assert kinds == {
        **dict.fromkeys(("bbox", "position_ids", "token_labels", "next_sentence_label"), "int64"),
        **dict.fromkeys(("weights", "score"), "float32"),
        "seen": "bool",
        "image": "uint8",
    }


def test_padding_of_the_caller_is_cut_from_them_too(make_collator):
    """Whatever side it was on, and whatever form the values have."""
    full = with_keys([0, 0, 2, 9, 8, 3, 0])
    sample = {name: torch.as_tensor(value) for name, value in full.items()}
    sample["attention_mask"] = torch.tensor([0, 0, 1, 1, 1, 1, 0])
    batch = make_collator()([sample])
    assert batch["input_ids"].shape == (1, 7)
    assert batch["position_ids"].tolist() == [[2, 3, 4, 5, 0, 0, 0]]
    assert batch["bbox"][0, :5].tolist() == [*full["bbox"][2:6], [0, 0, 0, 0]]
    assert batch["token_labels"].tolist() == [[7] * 4 + [-100] * 3]


def test_padding_on_the_left(make_collator, tokenizer):
    left = copy.deepcopy(tokenizer)
    left.padding_side = "left"
    batch = make_collator(tokenizer=left, pad_to_multiple_of=5)(SAMPLES)
    assert batch["position_ids"].tolist() == [[0, 0, 1, 2, 3], [0, 0, 0, 1, 2]]
    assert batch["bbox"][1].tolist() == [[0] * 4, [0] * 4, *SAMPLES[1]["bbox"]]
    assert batch["next_sentence_label"].tolist() == [0, 1]


def test_keys_do_not_move_masks(make_collator):
    plain = [{"input_ids": sample["input_ids"]} for sample in SAMPLES]
    with_more, alone = make_collator()(SAMPLES), make_collator()(plain)
    assert torch.equal(with_more["labels"], alone["labels"])
    assert torch.equal(with_more["input_ids"], alone["input_ids"])


def test_labels_are_those_of_the_batch(make_collator):
    """As in the collator of transformers: a sample's own labels are not of masked tokens."""
    batch = make_collator(law=0.5)([{"input_ids": [2, 9, 8, 3], "labels": 1}])
    assert batch["labels"].shape == (1, 4)


def test_a_model_that_also_learns_which_sentence_is_next(make_collator, tokenizer):
    """BertForPreTraining has a loss only if it is told; it is the sum of both."""
    pairs = [("the cat sat", "my aunt slept", 0), ("the cat", "on the mat here today", 1)]
    samples = [
        dict(tokenizer(first, second, return_token_type_ids=True)) | {"next_sentence_label": label}
        for first, second, label in pairs
    ]
    batch = make_collator()(samples)
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        model = transformers.BertForPreTraining(
            transformers.BertConfig(
                vocab_size=len(tokenizer),
                hidden_size=8,
                num_hidden_layers=1,
                num_attention_heads=1,
                intermediate_size=8,
                hidden_dropout_prob=0.0,
            )
        ).eval()
    with torch.no_grad():
        found = model(**batch)
    ways = (found.prediction_logits.transpose(1, 2), batch["labels"])
    tokens = torch.nn.functional.cross_entropy(*ways)
    order = torch.nn.functional.cross_entropy(found.seq_relationship_logits, torch.tensor([0, 1]))
    assert float(found.loss) == pytest.approx(float(tokens + order), rel=1e-5)


def test_keys_of_the_usual_collator(make_collator, tokenizer):
    """What that of transformers returns for equal lengths, but for masks."""
    samples = [
        dict(tokenizer(text, return_token_type_ids=True)) | {"next_sentence_label": label}
        for text, label in (("the cat", 0), ("the mat", 1))
    ]
    theirs = transformers.DataCollatorForLanguageModeling(tokenizer)(
        [dict(sample) for sample in samples]
    )
    ours = make_collator()(samples)
    assert ours.keys() == theirs.keys()
    for name in theirs.keys() - {"input_ids", "labels"}:
        assert torch.equal(ours[name], theirs[name]), name
        assert ours[name].dtype == theirs[name].dtype, name
