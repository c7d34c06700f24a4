"""Laws of collators and data sets, by the attribute that holds their ratio."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

import maskwise as mw
from maskwise.rng import Stream, uniforms
from tests.lazy import lazy

transformers = lazy("transformers")

LAW = "uniform:0.2,0.8"


def ratios(num, seed=0):
    """What the law has in the first calls."""
    return 0.2 + 0.6 * uniforms(seed, Stream.RATIO, sample_ids=torch.arange(num)).numpy()


class Collator:
    """Tells its ratio; what it makes of samples is how many there are."""

    mlm_probability = 0.15

    def __call__(self, samples):
        if samples[0] is None:
            raise ValueError("no sample")
        return torch.tensor([self.mlm_probability, len(samples)], dtype=torch.float64)


class Two(Collator):
    """Has two ratios."""

    mask_ratio = 0.5


class Items(Dataset):
    """Each item is the ratio."""

    mlm_probability = 0.15

    def __getitem__(self, index):
        return torch.tensor([self.mlm_probability, index], dtype=torch.float64)

    def __len__(self):
        return 12


class Stream12(IterableDataset):
    """Twelve times the ratio; packers of sequences are such."""

    mask_prob = 0.3

    def __iter__(self):
        for index in range(12):
            yield torch.tensor([self.mask_prob, index], dtype=torch.float64)


def loaded(data, **options):
    return np.concatenate([np.atleast_2d(batch) for batch in DataLoader(data, **options)])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of processes that fork
@pytest.mark.parametrize("workers", [{}, {"num_workers": 2}])
def test_each_call_has_the_ratio_of_its_number_in_all_workers_together(workers):
    collator = Collator()
    attached = mw.attach(collator, LAW, seed=4)
    data = list(range(24))
    found = [loaded(data, collate_fn=attached, batch_size=4, **workers)[:, 0] for _ in range(2)]
    # With workers the order of calls depends on their pace, which ratios there are does not.
    assert np.allclose(np.sort(np.concatenate(found)), np.sort(ratios(12, 4)))
    if not workers:
        assert np.allclose(found[1], ratios(12, 4)[6:])
        assert np.allclose([each.asked for each in attached.log], ratios(12, 4))
    assert collator.mlm_probability == attached.mlm_probability == 0.15


def test_items_and_streams():
    attached = mw.attach(Items(), LAW)
    assert np.allclose(loaded(attached, batch_size=3), np.c_[ratios(12), np.arange(12)])
    stream = mw.attach(Stream12(), LAW, set_ratio="mask_prob")
    assert np.allclose(loaded(stream, batch_size=3), np.c_[ratios(12), np.arange(12)])
    assert len(stream.log) == 12


def test_a_state_continues_and_an_end_leaves_the_collator():
    first, second = (mw.attach(Collator(), LAW, seed=1) for _ in range(2))
    whole = [float(first([1])[0]) for _ in range(3)]
    second.load_state_dict(first.state_dict())
    whole += [float(second([1])[0]) for _ in range(2)]
    assert np.allclose(whole, ratios(5, 1))
    with mw.attach(Collator(), LAW) as attached:
        with pytest.raises(ValueError, match="no sample"):
            attached([None])
        assert attached.owner.mlm_probability == 0.15
    assert float(attached([1])[0]) == 0.15
    with pytest.raises(mw.UserError, match="attach the same"):
        mw.attach(Collator(), LAW, seed=2).load_state_dict(first.state_dict())


def test_a_law_that_nobody_uses_is_told(caplog):
    mw.attach(Collator(), LAW)
    [told] = [each.getMessage() for each in caplog.records if each.name == "maskwise"]
    assert "was never used: give the DataLoader or Trainer what attach returns" in told
    caplog.clear()
    mw.attach(Collator(), LAW)([1])
    assert not [each for each in caplog.records if each.name == "maskwise"]


def test_transformers_collator_hides_what_the_law_says(tokenizer, samples):
    collator = transformers.DataCollatorForLanguageModeling(tokenizer, seed=0)
    attached = mw.attach(collator, "choice:0.1,0.9", seed=2)
    asked, hidden = [], []
    for _ in range(6):
        batch = attached([dict(each) for each in samples])
        open_ = (batch["labels"] != -100) | (batch["input_ids"] > 4)
        hidden.append(float((batch["labels"] != -100).sum() / open_.sum()))
        asked.append(attached.log[-1].asked)
    assert set(asked) == {0.1, 0.9}
    # More than 500 tokens, each hidden independently.
    assert np.allclose(hidden, asked, atol=4 * 0.3 / 500**0.5)


def test_the_trainer_says_how_many_batches_there_are(tokenizer, samples, tmp_path):
    lazy("accelerate")
    collator = transformers.DataCollatorForLanguageModeling(tokenizer)

    def train(law, **more):
        attached = mw.attach(collator, law)
        config = transformers.BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=8,
        )
        given = {"max_steps": 4, "per_device_train_batch_size": 4, "save_strategy": "no"}
        arguments = transformers.TrainingArguments(
            str(tmp_path),
            gradient_accumulation_steps=2,
            report_to="none",
            disable_tqdm=True,
            logging_strategy="no",
            dataloader_pin_memory=False,
            **given,
        )
        with torch.random.fork_rng():
            trainer = transformers.Trainer(
                transformers.BertForMaskedLM(config),
                arguments,
                data_collator=attached,
                train_dataset=samples,
                callbacks=[attached.trainer_callback()],
            )
            trainer.train(**more)
        return [each.asked for each in attached.log]

    # Trainer makes one batch more than it uses.
    found = train("scheduled:linear,0.2..0.6")
    assert np.allclose(found[:8], np.linspace(0.2, 0.6, 9)[:8])
    assert len(found) <= 9


@pytest.mark.parametrize(
    ("make", "more", "told"),
    [
        (
            lambda: len,
            {},
            "builtins.builtin_function_or_method is not known, and has no attribute",
        ),
        (Collator, {"pattern": "words"}, "Collator makes its masks itself: leave pattern="),
        (Collator, {"eval_ratio": 0.2}, "not in eval mode: leave eval_ratio out"),
        (Two, {}, "name the one that its forward reads, as set_ratio="),
        (lambda: mw.attach(Collator(), 0.3), {}, "AttachedCalls has a law already"),
    ],
)
def test_what_cannot_work_is_said(make, more, told):
    owner = make()
    with pytest.raises(mw.UserError) as error:
        mw.attach(owner, 0.3, **more)
    assert told in str(error.value)


def test_a_collator_of_ours_has_its_own_law(tokenizer):
    from maskwise.integrations.hf import DataCollatorForRandomRatioMLM

    with pytest.raises(mw.UserError, match="has a law of its own: give it the law as law="):
        mw.attach(DataCollatorForRandomRatioMLM(tokenizer), 0.3)
