import logging
import random
import shutil
import sys

import numpy as np
import pytest
import torch

from maskwise.errors import UserError
from maskwise.integrations import hf

BERT = {
    "vocab_size": 20,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "intermediate_size": 8,
    "max_position_embeddings": 24,
}


@pytest.fixture
def folder(language_model, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(language_model, tmp_path / "model")


def states():
    numpy_state = np.random.get_state()[1].tolist()  # noqa: NPY002
    return torch.get_rng_state().tolist(), numpy_state, random.getstate()


def test_loading_leaves_no_trace(folder, capfd):
    names = ("transformers", "huggingface_hub")
    levels = [logging.getLogger(name).level for name in names]
    before = states()
    model = hf.load(folder)
    hf.untrained(model)
    assert states() == before
    assert [logging.getLogger(name).level for name in names] == levels
    assert capfd.readouterr() == ("", "")


def test_untrained(folder):
    model = hf.load(str(folder))
    first, again, other = (hf.untrained(model, seed).state_dict() for seed in (0, 0, 1))
    own = model.state_dict()
    assert first.keys() == own.keys()
    name = next(name for name in own if "word_embeddings" in name)
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])
    assert not torch.equal(first[name], own[name])
    # The spread that the configuration asks for.
    assert float(first[name].std()) == pytest.approx(0.4, rel=0.2)
    assert not hf.untrained(model).training


def test_half_precision_is_widened(folder):
    model = hf.load(folder)
    model.network.model.bfloat16().save_pretrained(folder)
    again = hf.load(folder)
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float32}


def no_head(folder):
    from transformers import BertConfig, BertModel

    BertModel(BertConfig(**BERT)).save_pretrained(folder)


def another_task(folder):
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=20, n_embd=8, n_layer=1, n_head=1, bos_token_id=2, eos_token_id=3
    )
    GPT2LMHeadModel(config).save_pretrained(folder)


def no_safetensors(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def damaged(folder):
    (folder / "model.safetensors").write_bytes(b"damaged")


def no_tokenizer(folder):
    for path in folder.glob("*token*"):
        path.unlink()


def no_mask_token(folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.mask_token = None
    tokenizer.save_pretrained(folder)


def another_tokenizer(folder):
    from transformers import BertConfig, BertForMaskedLM

    BertForMaskedLM(BertConfig(**(BERT | {"vocab_size": 12}))).save_pretrained(folder)


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def missing(folder):
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (no_head, "has no weights cls.predictions.*: it is not a masked language model"),
        (another_task, "is a gpt2 model, not a masked language model"),
        (no_safetensors, "cannot be loaded: .*safetensors"),
        (damaged, "cannot be loaded: "),
        (no_tokenizer, "the tokenizer has special tokens only|cannot be loaded: .*tokenizer"),
        (no_mask_token, "the tokenizer has no mask token"),
        (another_tokenizer, "the tokenizer has 17 tokens, but the model 12"),
        (empty, "cannot be loaded: "),
        (missing, "is no folder"),
    ],
)
def test_bad_folders(folder, capfd, damage, says):
    damage(folder)
    capfd.readouterr()
    with pytest.raises(UserError, match=says) as error:
        hf.load(folder)
    assert str(error.value).startswith(str(folder))
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_a_name_on_the_hub_that_cannot_be_had(monkeypatch):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")

    def refuse(name, **options):
        assert options == {"local_files_only": False, "trust_remote_code": False}
        raise OSError("no connection\nmore about it")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", refuse)
    with pytest.raises(UserError) as error:
        hf.load("nobody/nothing")
    assert str(error.value) == (
        "nobody/nothing (no folder here, so sought on the hub) cannot be loaded: no connection"
    )


def test_without_transformers(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r'pip install "maskwise\[text\]"'):
        hf.load("bert-base-uncased")
