"""How long rows of models of transformers may be, and how many tokens they take."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch

from maskwise.errors import UserError
from maskwise.integrations import hf
from maskwise.run import load_model
from maskwise.text.model import HFNetwork, TextModelSettings, fitted, load_pretrained
from maskwise.text.text import load_tokenizer
from tests.conftest import WORDS
from tests.lazy import lazy

lazy("transformers")

SMALL = {
    "vocab_size": 40,
    "pad_token_id": 3,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 24,
}
TINY = ["--train.steps", 2, "--train.batch_size", 4, "--evaluate.num_rows", 4]
TINY += ["--evaluate.ratios", 0.5, "--evaluate.baselines", "false"]


@pytest.mark.parametrize(
    ("kind", "longest", "more"),
    [
        ("bert", 24, {}),
        ("roberta", 20, {}),
        ("roberta", 22, {"pad_token_id": 1}),
        ("mpnet", 22, {}),
        ("nystromformer", 24, {}),  # its table has two rows more
        ("esm", 24, {"position_embedding_type": "rotary", "mask_token_id": 4}),
    ],
)
@torch.no_grad()
def test_the_longest_row(kind, longest, more):
    """As many tokens as have a position; RoBERTa's kind leaves out those up to padding's."""
    network = HFNetwork.from_config({"model_type": kind, **SMALL, **more}).eval()
    assert network.longest == longest
    ids = torch.full((1, longest), 7)
    assert network.features(ids).shape == (1, longest, 16)
    if kind != "esm":
        with pytest.raises((IndexError, RuntimeError)):
            network.features(torch.full((1, longest + 1), 7))


@pytest.fixture
def folder(language_model, tmp_path):
    """A copy whose tokenizer knows no longest row."""
    made = shutil.copytree(language_model, tmp_path / "model")
    path = made / "tokenizer_config.json"
    values = json.loads(path.read_text("utf-8"))
    del values["model_max_length"]
    path.write_text(json.dumps(values), "utf-8")
    return made


def usable(folder):
    values = json.loads((folder / "config.json").read_text("utf-8"))
    return {"bert": 24, "roberta": 22}[values["model_type"]]


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\n".join(" ".join(WORDS[n % 5 :] * 3) for n in range(30)), "utf-8")
    return path


def test_rows_that_are_too_long(folder, texts, tmp_path, cli):
    longest = usable(folder)
    words = ["pretrain", texts, *TINY, "--data.document", "line", "--model.hf", folder]
    words += ["--out", tmp_path / "run", "--data.length"]
    status, _, err = cli(*words, longest + 1)
    assert status == 2
    last = err.splitlines()[-1]
    assert last.startswith(f"maskwise: length {longest + 1} is outside 3..{longest}, what rows")
    assert last.endswith(f"--data.length {longest}")
    assert not (tmp_path / "run").exists()
    # The longest works in training, in evaluation and later.
    assert cli(*words, longest)[0] == 0
    assert load_model(tmp_path / "run" / "model").tokenizer.longest == longest


def test_a_loaded_model_knows_it(folder):
    model = hf.load(folder, device="cpu", length=usable(folder))
    text = " ".join(WORDS * 3)
    ids = model.tokenizer.tokenize([text]).ids
    assert ids.shape == (1, usable(folder))
    assert model.encode(ids).isfinite().all()
    with pytest.raises(UserError, match=f"outside 3..{usable(folder)}, what the model can take"):
        model.tokenizer.room(usable(folder) + 1)


@pytest.fixture
def more_tokens(folder):
    """Its tokenizer with five tokens more than the model has; those before are the same."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["new", "newer", *(f"w{n}" for n in range(6))])
    place = folder.parent / "wider"
    tokenizer.save_pretrained(place)
    return SimpleNamespace(folder=place, size=len(tokenizer))


@pytest.mark.parametrize("pretrained", [True, False])
def test_a_tokenizer_with_more_tokens(folder, more_tokens, pretrained, caplog):
    """The embedding grows with it; rows that it had stay."""
    text = load_tokenizer(str(more_tokens.folder), 16)
    settings = TextModelSettings(hf=str(folder), pretrained=pretrained)
    before, _ = load_pretrained(str(folder))
    num = len(before.get_input_embeddings().weight)
    assert text.num_tokens == more_tokens.size == num + 5
    with torch.random.fork_rng():
        network = settings.network(text, "auto")
    assert caplog.messages == [
        f"the tokenizer has {num + 5} tokens and the embedding of {folder} has {num}: 5 were added"
        " to it"
    ]
    assert network.num_tokens == network.config["vocab_size"] == num + 5
    ids = text.tokenize(["the w5 cat", "newer"]).ids
    assert ids.max() >= num
    documents = text.documents(ids)
    assert network.features(ids, documents).isfinite().all()
    if pretrained:
        weight = network.model.get_input_embeddings().weight
        assert torch.equal(weight[:num], before.get_input_embeddings().weight)


def test_a_run_with_more_tokens_comes_back(folder, more_tokens, texts, tmp_path, cli):
    words = ["pretrain", texts, *TINY, "--data.document", "line", "--model.hf", folder]
    words += ["--model.pretrained", "true", "--data.tokenizer", more_tokens.folder]
    assert cli(*words, "--data.length", 16, "--out", tmp_path / "run")[0] == 0
    model = load_model(tmp_path / "run" / "model")
    assert model.network.num_tokens == more_tokens.size


def test_tokens_of_another_tokenizer(folder, tmp_path, caplog):
    """Weights that were learned for other words are not used without a word."""
    path = tmp_path / "t.json"
    values = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    vocab = values["model"]["vocab"]
    vocab["the"], vocab["cat"] = vocab["cat"], vocab["the"]
    path.write_text(json.dumps(values), "utf-8")
    text = load_tokenizer(str(path), 16)
    with torch.random.fork_rng():
        TextModelSettings(hf=str(folder), pretrained=True).network(text, "auto")
    assert caplog.messages == [
        f"2 of 17 tokens have the id of another token in the tokenizer of {folder}, so that its"
        " embedding says little of them"
    ]


def setting(name, value):
    def change(folder):
        path = folder / "config.json"
        values = json.loads(path.read_text("utf-8"))
        assert name in values
        path.write_text(json.dumps({**values, name: value}), "utf-8")

    return change


def far_token(folder):
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text("utf-8"))
    values["model"]["vocab"]["far"] = 4_000_000_000
    path.write_text(json.dumps(values), "utf-8")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (setting("num_hidden_layers", 10**7), "num_hidden_layers 10000000 is more than 1000"),
        (setting("hidden_size", 10**9), "GiB of weights and this machine"),
        (setting("intermediate_size", 10**15), "the model has"),
        (setting("vocab_size", 12), r"word_embeddings\.weight is \[20, 16\] in the file and \[12"),
        (setting("hidden_size", 32), r"is \[.*16\] in the file and \[.*32\] in the model"),
        (far_token, "token 'far' has the id 4,000,000,000, though there are 18 tokens"),
    ],
)
def test_folders_that_contradict_themselves(folder, change, says, capfd):
    change(folder)
    with pytest.raises(UserError, match=says) as error:
        hf.load(folder, device="cpu")
    assert str(error.value).startswith(str(folder))
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_a_configuration_alone_may_not_take_all_memory(folder):
    setting("hidden_size", 10**9)(folder)
    text = load_tokenizer(str(folder), 16)
    for call in (lambda: fitted(text, str(folder)), lambda: hf.load(folder)):
        with pytest.raises(UserError, match="GiB of weights and this machine"):
            call()
