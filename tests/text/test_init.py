"""Models of texts that start from a run, from other tokens, and from what one was exported as."""

import json

import pytest
import torch

from maskwise.errors import UserError
from maskwise.model_folder import save_model
from maskwise.settings import override
from maskwise.text.hf_models import export
from maskwise.text.init import INIT
from maskwise.text.model import TextModelSettings
from maskwise.text.record import TextRunSettings
from maskwise.text.text import train_tokenizer
from maskwise.tokens.model import LanguageModel
from tests.peers import peer

SHAPE = {"width": 16, "depth": 2, "heads": 2, "mlp_ratio": 3.0}
LINES = ["the cat sat on the mat", "a dog saw the cats"] * 9


@pytest.fixture(scope="module")
def model():
    text = train_tokenizer(LINES, vocab_size=280, length=12)
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return LanguageModel(text, TextModelSettings(**SHAPE)).eval()


def started(place, text, **given):
    config = override(TextRunSettings(), {"model.init": str(place), **given})
    config = INIT.settings(config, place, given)
    made = LanguageModel(text, config.model).eval()
    return config, made, INIT.load(made, place)


@pytest.mark.parametrize("form", ["run", "exported"])
def test_the_same_tokens_give_the_same_logits(form, model, tmp_path):
    if form == "run":
        save_model(tmp_path / "model", model)
    else:
        peer("transformers")
        export(model, tmp_path)
    config, again, told = started(tmp_path, model.tokenizer)
    where = tmp_path / "model" / "tokenizer.json" if form == "run" else tmp_path
    assert config.data.tokenizer == str(where)
    assert {key: getattr(config.model, key) for key in ("width", "depth", "heads")} == {
        key: SHAPE[key] for key in ("width", "depth", "heads")
    }
    assert "left" not in told
    assert "new" not in told
    ids = model.tokenizer.tokenize(LINES[:2]).ids
    with torch.no_grad():
        assert torch.equal(again.encode(ids), model.encode(ids))
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_other_tokens_take_the_rows_that_both_know(model, tmp_path):
    save_model(tmp_path / "model", model)
    text = train_tokenizer(["a bird flew by the mat"] * 9, vocab_size=275, length=12)
    _, again, told = started(tmp_path, text, **{"data.tokenizer": "other.json"})
    mine = text.tokenizer.get_vocab()
    theirs = model.tokenizer.tokenizer.get_vocab()
    both = mine.keys() & theirs.keys()
    assert f"tokens: {len(both)} of {len(mine)} are those of the run" in told
    token = next(each for each in both if mine[each] != theirs[each])
    there = model.network.embed.weight[theirs[token]]
    assert torch.equal(again.network.embed.weight[mine[token]], there)
    assert torch.equal(again.network.blocks[1].out.weight, model.network.blocks[1].out.weight)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model_type": "bert"}, r"of type bert, and not our .*hf.*pretrained"),
        ({"layer_types": ["sliding_attention"]}, "with another layer_types"),
        ({"norm_eps": 1e-3}, "with another norm_eps"),
        ({"intermediate_size": 33}, "with another intermediate_size"),
    ],
)
def test_other_models_of_transformers_are_refused(change, match, model, tmp_path):
    export(model, tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(told | change))
    with pytest.raises(UserError, match=match):
        started(tmp_path, model.tokenizer)


def test_what_does_not_go_together_is_refused(model, tmp_path):
    with pytest.raises(UserError, match="is no run: models of text start from a run"):
        started(tmp_path, model.tokenizer)
    with pytest.raises(UserError, match=r"for models of our own: take .*hf"):
        TextModelSettings(init="run", hf="bert")
    save_model(tmp_path / "model", model)
    with pytest.raises(UserError, match=r'"width": 64.*has 16: leave it out'):
        started(tmp_path, model.tokenizer, **{"model.width": 64})
