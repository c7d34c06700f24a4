"""Laws under trainers of others: steps are told, ratios logged, and resumed trainings go on."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import maskwise as mw
from maskwise.rng import Stream, uniforms
from tests.attaching.tiny import Letters, TinyForMaskedLM, texts
from tests.lazy import lazy
from tests.peers import peer

transformers = lazy("transformers")
lazy("accelerate")

LAW = "uniform:0.2,0.8"


def ratios(num, seed=0):
    """What the law has in the first steps."""
    return 0.2 + 0.6 * uniforms(seed, Stream.RATIO, sample_ids=torch.arange(num)).numpy()


@pytest.fixture
def train(tokenizer, samples, tmp_path):
    """Train a tiny model; give what was attached, the hidden positions and the trainer."""

    def make(law=LAW, resume=None, **options):
        config = transformers.BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=8,
            max_position_embeddings=64,
        )
        given = {"max_steps": 6, "per_device_train_batch_size": 4, "save_strategy": "no"}
        given |= {"gradient_accumulation_steps": 2, "logging_steps": 2}
        arguments = transformers.TrainingArguments(
            str(tmp_path),
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
            **(given | options),
        )
        hidden = []
        with torch.random.fork_rng():
            model = transformers.BertForMaskedLM(config)
            attached = mw.attach(model, law, tokenizer=tokenizer, eval_ratio=0.5)
            model.register_forward_hook(
                lambda its, args, out: hidden.append(attached.hidden) if its.training else None
            )
            trainer = transformers.Trainer(
                model,
                arguments,
                data_collator=transformers.DataCollatorWithPadding(tokenizer),
                train_dataset=samples,
                eval_dataset=samples[:9],
                callbacks=[attached.trainer_callback()],
            )
            trainer.train(resume_from_checkpoint=resume)
        return attached, hidden, trainer

    return make


def test_a_resumed_training_has_the_ratios_and_masks_of_one_that_was_not(train, tmp_path, capsys):
    attached, hidden, trainer = train(save_strategy="steps", save_steps=4)
    # The two minibatches of a step share its ratio.
    assert [each.step for each in attached.log] == sorted([*range(6)] * 2)
    assert np.allclose([each.asked for each in attached.log], np.repeat(ratios(6), 2))
    logged = [each["mask_ratio"] for each in trainer.state.log_history if "loss" in each]
    realised = np.array([each.realised for each in attached.log])
    assert np.allclose(logged, realised.reshape(3, 4).mean(axis=1), atol=1e-4)
    assert "mask_ratio" in capsys.readouterr().out
    again, rest, _ = train(resume=str(tmp_path / "checkpoint-4"))
    assert list(again.log) == list(attached.log)[8:]
    for before, after in zip(hidden[8:], rest, strict=True):
        assert torch.equal(before, after)


def test_a_moving_law_is_told_of_the_steps_and_evaluation_repeats_itself(train):
    options = {"label_names": ["input_ids"], "prediction_loss_only": True, "max_steps": 3}
    attached, _, trainer = train("scheduled:linear,0.2..0.8", **options)
    assert np.allclose([each.asked for each in attached.log], np.repeat([0.2, 0.4, 0.6], 2))
    losses = [trainer.evaluate()["eval_loss"] for _ in range(2)]
    assert losses[0] == losses[1] > 1


def test_minibatches_of_a_step_have_masks_of_their_own():
    model = TinyForMaskedLM()
    ids, _ = texts()
    with mw.attach(model, LAW, tokenizer=Letters()) as attached:
        masks = []
        for _ in range(3):
            attached.at(7)  # as Lightning says it: before each minibatch
            model(ids)
            masks.append(attached.hidden)
    assert len({each.asked for each in attached.log}) == 1
    assert not torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[1], masks[2])


def lightning(law=LAW, **more):
    """Return Lightning's Trainer, a module, and what its model is attached to."""
    pl = peer("pytorch_lightning")

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = TinyForMaskedLM()

        def training_step(self, batch):
            return self.model(*batch)[0]

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    module = Module()
    attached = mw.attach(module.model, law, tokenizer=Letters())
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(
        accelerator="cpu",
        enable_checkpointing=False,
        accumulate_grad_batches=2,
        callbacks=[attached.lightning_callback()],
        **quiet | more,
    )
    return trainer, module, attached


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_lightning_tells_steps_and_keeps_the_state(tmp_path):
    batches = torch.utils.data.DataLoader([texts()] * 8, batch_size=None)
    trainer, module, attached = lightning(max_steps=3)
    trainer.fit(module, batches)
    assert [each.step for each in attached.log] == [0, 0, 1, 1, 2, 2]
    assert np.allclose([each.asked for each in attached.log], np.repeat(ratios(3), 2))
    logged = trainer.callback_metrics["mask_ratio"]
    assert float(logged) == pytest.approx(attached.log[-1].realised)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    trainer, module, again = lightning(max_steps=5)
    trainer.fit(module, batches, ckpt_path=tmp_path / "half.ckpt")
    assert np.allclose([each.asked for each in again.log][-2:], [ratios(5)[4]] * 2)
    assert again.log[0].step == 3
    trainer, module, _ = lightning("uniform:0.1,0.9", max_steps=5)
    with pytest.raises(mw.UserError, match="attach the same"):
        trainer.fit(module, batches, ckpt_path=tmp_path / "half.ckpt")
    trainer, module, moving = lightning("scheduled:linear,0.2..0.6", max_steps=2)
    trainer.fit(module, batches)
    assert np.allclose([each.asked for each in moving.log], [0.2, 0.2, 0.4, 0.4])


def test_the_callback_of_whichever_lightning_is_imported(monkeypatch):
    model, logged = TinyForMaskedLM(), {}
    for name in ("lightning.pytorch", "pytorch_lightning"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    attached = mw.attach(model, "scheduled:linear,0.2..0.6", tokenizer=Letters())
    with pytest.raises(mw.UserError, match="import lightning first"):
        attached.lightning_callback()
    callbacks = type("Callback", (), {})
    monkeypatch.setitem(sys.modules, "pytorch_lightning", SimpleNamespace(Callback=callbacks))
    callback = attached.lightning_callback()
    assert isinstance(callback, callbacks)
    trainer = SimpleNamespace(
        global_step=0, estimated_stepping_batches=4, accumulate_grad_batches=1
    )
    callback.on_train_start(trainer, None)
    trainer.global_step = 2
    callback.on_train_batch_start(trainer, None, None, 0)
    model(texts()[0])
    callback.on_train_batch_end(trainer, SimpleNamespace(log=logged.__setitem__), None, None, 0)
    assert list(attached.log) == [(2, 0.4, logged["mask_ratio"])]
    state = {"step": 2, "seed": 0, "law": "scheduled:linear,0.2..0.6"}
    assert callback.state_dict() == state
    with pytest.raises(mw.UserError, match="attach the same"):
        callback.load_state_dict(state | {"seed": 1})
