"""Laws in models that are compiled, run on several devices, checkpointed, saved or copied."""

import contextlib
import copy
import io
from datetime import timedelta

import numpy as np
import pytest
import torch
from torch import multiprocessing, nn
from torch._dynamo.testing import CompileCounter
from torch.utils.checkpoint import checkpoint

import maskwise as mw
from tests.attaching.test_attached import Theirs, X, realised
from tests.attaching.tiny import Letters, TinyForMaskedLM, texts
from tests.lazy import lazy

transformers = lazy("transformers")

LAW = "uniform:0.2,0.8"


def attach(model, law=LAW, **more):
    return mw.attach(model, law, set_ratio="masking.mask_ratio", **more)


@pytest.fixture(scope="module")
def mae():
    """A tiny ViTMAE with positions."""
    config = transformers.ViTMAEConfig(
        image_size=16,
        patch_size=4,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        decoder_hidden_size=8,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=8,
    )
    return transformers.ViTMAEForPreTraining(config)


def ranked(rank, folder):
    """Be one of two processes that train together."""
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    model = nn.parallel.DistributedDataParallel(TinyForMaskedLM())
    attached = mw.attach(model, LAW, tokenizer=Letters(), seed=3)
    hidden = []
    for step in range(3):
        attached.at(step)
        for last in (False, True):  # an accumulated step
            with contextlib.nullcontext() if last else model.no_sync():
                model(*texts())[0].backward()
            hidden.append(attached.hidden.numpy())
    gradient = model.module.embed.weight.grad.numpy()
    np.savez(f"{folder}/{rank}.npz", log=list(attached.log), hidden=hidden, gradient=gradient)
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of processes that fork
def test_ranks_have_one_ratio_and_masks_of_their_own(tmp_path):
    mw.attach(TinyForMaskedLM(), LAW, tokenizer=Letters()).detach()  # imports once for both
    multiprocessing.start_processes(ranked, args=(tmp_path,), nprocs=2, start_method="fork")
    one, two = (np.load(tmp_path / f"{rank}.npz", allow_pickle=False) for rank in range(2))
    assert np.array_equal(one["log"], two["log"])
    assert one["log"][:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert len(set(one["log"][:, 1])) == 3
    assert np.array_equal(one["hidden"].sum(axis=2), two["hidden"].sum(axis=2))
    assert len({mask.tobytes() for mask in [*one["hidden"], *two["hidden"]]}) == 12
    assert np.array_equal(one["gradient"], two["gradient"])


@pytest.mark.parametrize("way", ["before", "after", "in place"])
def test_compiled_before_and_after(way):
    model = Theirs()
    counter = CompileCounter()
    if way == "in place":
        model.compile(backend=counter, dynamic=False)
        compiled = model
    if way == "before":
        compiled = torch.compile(model, backend=counter, dynamic=False)
    with attach(model if way == "after" else compiled, ladder=3) as attached:
        if way == "after":
            compiled = torch.compile(model, backend=counter, dynamic=False)
        found = realised(compiled, 12)
        # A version for each ratio of the ladder, and no more.
        assert counter.frame_count == len(set(found)) == 3
        assert np.allclose(found, [each.asked for each in attached.log], atol=1e-3)
    torch.compiler.reset()


def test_what_is_said_of_compiling_is_so():
    """Without a ladder there are so many versions, and then plain Python, with right results."""
    counter = CompileCounter()
    compiled = torch.compile(Theirs(), backend=counter, dynamic=False)
    with torch._dynamo.config.patch(recompile_limit=2), attach(compiled) as attached:
        found = realised(compiled, 5)
    assert counter.frame_count == 2
    assert np.allclose(found, [each.asked for each in attached.log], atol=1e-3)
    torch.compiler.reset()


def test_a_compiled_language_model_needs_no_ladder(caplog):
    counter = CompileCounter()
    model = TinyForMaskedLM()
    compiled = torch.compile(model, backend=counter)
    with mw.attach(compiled, LAW, tokenizer=Letters()) as attached:
        losses = [float(compiled(*texts())[0].detach()) for _ in range(6)]
        assert counter.frame_count == 1
    assert not [each for each in caplog.records if each.name == "maskwise"]
    assert len(set(losses)) == len(attached.log) == 6
    torch.compiler.reset()


@pytest.mark.slow
def test_compiled_by_inductor(mae):
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    compiled = torch.compile(mae.train())
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    with mw.attach(compiled, LAW, ladder=2, pattern="scattered", seed=1) as attached:
        losses = [float(compiled(x).loss.detach()) for _ in range(6)]
    made = torch._dynamo.utils.counters["stats"]["unique_graphs"] - before
    with mw.attach(mae, LAW, ladder=2, pattern="scattered", seed=1) as other:
        assert losses == pytest.approx([float(mae(x).loss.detach()) for _ in range(6)], rel=1e-4)
    assert list(other.log) == list(attached.log)
    assert made <= 2
    torch.compiler.reset()


def test_layers_may_be_checkpointed_and_the_whole_may_not(tokenizer):
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=8,
        hidden_dropout_prob=0,
        attention_probs_dropout_prob=0,
    )
    model = transformers.BertForMaskedLM(config).train()
    batch = tokenizer(["the cat sat on the mat", "my aunt slept here"], padding=True)
    batch = {name: torch.tensor(rows) for name, rows in batch.items()}
    found = []
    for _ in range(2):
        model.zero_grad()
        with mw.attach(model, LAW, tokenizer=tokenizer) as attached:
            loss = model(**batch).loss
            loss.backward()
        found.append((float(loss.detach()), model.cls.predictions.transform.dense.weight.grad))
        assert len(attached.log) == 1
        model.activation_checkpointing_enable({"use_reentrant": False})
    assert found[0][0] == found[1][0]
    assert torch.allclose(found[0][1], found[1][1], atol=1e-7)
    tiny = TinyForMaskedLM()
    with mw.attach(tiny, LAW, tokenizer=Letters()):
        loss = checkpoint(lambda ids: tiny(ids)[0], texts()[0], use_reentrant=False)
        with pytest.raises(mw.UserError, match="checkpoint its layers"):
            loss.backward()


def test_in_mixed_precision():
    model = TinyForMaskedLM()
    with mw.attach(model, LAW, tokenizer=Letters()) as attached:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, logits = model(*texts())
        loss.backward()
    assert logits.dtype == torch.bfloat16
    assert len(attached.log) == 1


def test_several_devices_by_threads_are_refused():
    model = Theirs()
    with pytest.raises(mw.UserError, match=r"DataParallel runs copies .* use Distributed"):
        attach(nn.DataParallel(model))
    with attach(model):
        model.double()
        replica = model._replicate_for_data_parallel()
        with pytest.raises(mw.UserError, match="DataParallel runs copies"):
            replica(X)


def test_what_is_saved_has_the_models_own_ratio_and_no_law(mae, tmp_path):
    x = torch.zeros(1, 3, 16, 16)
    mae.train()
    with mw.attach(mae, LAW) as attached:
        mae(x)
        mae.save_pretrained(tmp_path)
        file = io.BytesIO()
        torch.save(mae, file)
        file.seek(0)
        loaded = torch.load(file, weights_only=False)
        for other in (loaded, copy.deepcopy(mae)):
            assert float(other(x).mask.mean()) == 0.75
            assert other.config.mask_ratio == 0.75
        assert len(attached.log) == 1
        mae(x)
        assert len(attached.log) == 2
    assert transformers.ViTMAEConfig.from_pretrained(tmp_path).mask_ratio == 0.75
