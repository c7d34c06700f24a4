"""The collator in transformers.Trainer, as it is."""

import math

import pytest
import torch

from tests.lazy import lazy

transformers = lazy("transformers")
lazy("accelerate")


@pytest.fixture
def train(tokenizer, samples, tmp_path):
    """Train a tiny model; give the batches of all steps and the state at the end."""

    class Recording(transformers.Trainer):
        def training_step(self, model, inputs, *more, **options):
            seen.append({name: values.clone() for name, values in inputs.items()})
            return super().training_step(model, inputs, *more, **options)

    def make(collator, callbacks=(), resume=None, **options):
        seen.clear()
        config = transformers.BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=8,
            max_position_embeddings=64,
        )
        given = {"num_train_epochs": 3, "per_device_train_batch_size": 9, "save_strategy": "no"}
        arguments = transformers.TrainingArguments(
            str(tmp_path),
            report_to="none",
            disable_tqdm=True,
            logging_strategy="no",
            dataloader_pin_memory=False,
            **(given | options),
        )
        with torch.random.fork_rng():
            trainer = Recording(
                transformers.BertForMaskedLM(config),
                arguments,
                data_collator=collator,
                train_dataset=samples,
                eval_dataset=samples[:9],
                callbacks=list(callbacks),
            )
            trainer.train(resume_from_checkpoint=resume)
        return list(seen), trainer

    seen: list[dict[str, torch.Tensor]] = []
    return make


def hidden_of(batches):
    """{tokens of a sample: its hidden positions}."""
    found = {}
    for batch in batches:
        hidden = batch["labels"] != -100
        ids = torch.where(hidden, batch["labels"], batch["input_ids"])
        for row, attention, mask in zip(ids, batch["attention_mask"], hidden, strict=True):
            found[tuple(row[attention == 1].tolist())] = tuple(mask[attention == 1].tolist())
    return found


def test_masks_are_new_in_every_epoch(make_collator, train, samples):
    by_workers = []
    for num_workers in (0, 2):
        batches, trainer = train(make_collator(), dataloader_num_workers=num_workers)
        assert len(batches) == 18
        epochs = [hidden_of(batches[place : place + 6]) for place in (0, 6, 12)]
        assert all(len(epoch) == len(samples) for epoch in epochs)
        for other in epochs[1:]:
            assert sum(other[ids] == mask for ids, mask in epochs[0].items()) < 0.2 * len(samples)
        by_workers.append(epochs)
    assert by_workers[0] == by_workers[1]
    assert math.isfinite(trainer.evaluate()["eval_loss"])


def share_hidden(batch):
    return float((batch["labels"] != -100).sum() / (batch["input_ids"] > 3).sum())


# A law that moves sees the progress of when a batch is prepared: two steps ahead.
@pytest.mark.parametrize(
    ("law", "ahead"),
    [
        ("uniform:0.1,0.5", 0),
        pytest.param("scheduled:step,0.1..0.9", 2, marks=pytest.mark.slow),
    ],
)
def test_resuming_repeats_a_training_exactly(make_collator, train, tmp_path, law, ahead):
    def run(**more):
        collator = make_collator(law=law)
        return train(collator, [collator.callback()], save_steps=8, **more)[0]

    whole = run(save_strategy="steps")
    resumed = run(resume=str(tmp_path / "checkpoint-8"))
    assert len(resumed) == 10
    for before, after in zip(whole[8 + ahead :], resumed[ahead:], strict=True):
        assert torch.equal(before["labels"], after["labels"])


def test_laws_that_move(make_collator, train):
    collator = make_collator(law="scheduled:linear,0.1..0.9")
    batches = train(collator, [collator.callback()])[0]
    for step, batch in enumerate(batches):
        early, late = (0.1 + 0.8 * max(at, 0) / len(batches) for at in (step - 2, step))
        assert early - 0.04 < share_hidden(batch) < late + 0.04


def test_epochs_are_those_that_are_counted(make_collator, train):
    collator = make_collator()
    told = train(collator, [collator.callback()])[0]
    counted = train(make_collator())[0]
    for part in (slice(6), slice(6, 12), slice(12, 18)):
        assert hidden_of(told[part]) == hidden_of(counted[part])


def test_a_moving_law_without_its_callback(make_collator, train):
    from maskwise import UserError

    with pytest.raises(UserError, match="moves with training"):
        train(make_collator(law="scheduled:linear,0.1..0.9"))
