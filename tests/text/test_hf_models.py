import json
import shutil
from types import SimpleNamespace

import pytest
import torch

from maskwise.errors import UserError
from maskwise.integrations import hf
from maskwise.masks import Mask
from maskwise.run import save_model
from maskwise.text.model import TextModelSettings
from maskwise.text.text import train_tokenizer
from maskwise.tokens.model import LanguageModel
from tests.lazy import lazy

transformers = lazy("transformers")


TEXTS = ["the cat sat", "a dog, ça va, lay by the mat and a door", " Where [MASK] is?"]
LENGTH = 24


def ours():
    text = train_tokenizer([*TEXTS, "the cat and a dog"] * 9, vocab_size=310, length=LENGTH)
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        model = LanguageModel(text, TextModelSettings(width=16, depth=3, heads=2)).eval()
        # Initial weights are so small that a test of what they carry could not see it.
        for parameter in model.parameters():
            parameter.data.mul_(15 if parameter.ndim == 2 else 1)
            noise = torch.randn(parameter.shape, generator=torch.default_generator)
            parameter.data.add_(noise, alpha=0.1)
    return model


@pytest.fixture(scope="module", params=["ours", "theirs"])
def exported(request, language_model, tmp_path_factory):
    model = ours() if request.param == "ours" else hf.load(language_model, device="cpu")
    folder = tmp_path_factory.mktemp("export") / "made" / "model"
    assert hf.export(model, folder) == folder
    return SimpleNamespace(model=model, folder=folder)


@pytest.fixture
def ids(exported):
    return exported.model.tokenizer.tokenize(TEXTS[:2]).ids


@torch.no_grad()
def test_equal_logits(exported, ids):
    model, text = exported.model, exported.model.tokenizer
    loaded = transformers.AutoModelForMaskedLM.from_pretrained(exported.folder).eval()
    # One row has padding.
    attention = (ids != text.pad).long()
    assert not attention.all()
    mask = Mask(text.eligible(ids) & (torch.arange(ids.shape[1]) % 3 == 1))
    seen = ids.masked_fill(mask.hidden, text.mask)
    found = loaded(input_ids=seen, attention_mask=attention).logits[mask.hidden]
    expected = model(ids, mask)
    assert torch.allclose(found, expected, atol=1e-5)
    assert float(expected.std()) > 0.1
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


@torch.no_grad()
def test_the_way_back(exported, ids):
    again = hf.load(exported.folder, device="cpu")
    assert again.tokenizer.length == exported.model.tokenizer.length
    assert again.num_layers == exported.model.num_layers
    for layer in range(again.num_layers):
        found, expected = (
            model.features(ids, layer)[again.eligible(ids)] for model in (again, exported.model)
        )
        assert torch.allclose(found, expected, atol=1e-5)


def test_equal_tokens(exported):
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported.folder)
    text = exported.model.tokenizer
    found = tokenizer(TEXTS[:2], padding=True)
    assert torch.equal(torch.tensor(found["input_ids"]), text.tokenize(TEXTS[:2]).ids)
    assert "token_type_ids" not in found
    assert tokenizer.model_max_length == text.length
    assert tokenizer.mask_token_id == text.mask
    assert tokenizer.pad_token_id == text.pad
    assert (tokenizer.cls_token_id,) == text.start
    assert (tokenizer.sep_token_id,) == text.stop
    assert tokenizer.unk_token_id not in (*text.special, None)
    # What somebody fills in is one word, with or without the space in front of it.
    with_mask = tokenizer(f"the {tokenizer.mask_token} sat")["input_ids"]
    word = tokenizer("the cat sat")["input_ids"]
    assert with_mask == [*word[:2], text.mask, *word[3:]]


@pytest.mark.filterwarnings("ignore")
def test_fill_mask(exported):
    fill = transformers.pipeline("fill-mask", model=str(exported.folder), device="cpu")
    found = fill(f"the {fill.tokenizer.mask_token} sat", top_k=3)
    assert [set(each) for each in found] == [{"score", "token", "token_str", "sequence"}] * 3


def test_whole_or_not_at_all(exported, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    folder = tmp_path / "model"
    folder.mkdir()
    monkeypatch.setattr("maskwise.text.hf_models.write_tokenizer_files", refuse)
    with pytest.raises(UserError, match=r"cannot write .*model: No space left on device"):
        hf.export(exported.model, folder)
    assert list(tmp_path.rglob("*")) == [folder]
    monkeypatch.undo()
    hf.export(exported.model, folder)
    names = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert names <= {path.name for path in folder.iterdir()}
    with pytest.raises(UserError, match="model is not empty: give a new folder"):
        hf.export(exported.model, folder)


def test_nothing_of_this_machine_is_written(exported):
    for path in exported.folder.glob("*.json"):
        assert str(exported.folder.parent.parent) not in path.read_text("utf-8")


def test_a_tokenizer_without_frame(tmp_path):
    """Texts then stand as they are, in transformers too."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    from maskwise.text.text import Text

    bare = Tokenizer(
        models.WordLevel({"[MASK]": 0, "[UNK]": 1, "a": 2, "b": 3}, unk_token="[UNK]")
    )
    bare.pre_tokenizer = pre_tokenizers.Whitespace()
    bare.add_special_tokens(["[MASK]", "[UNK]"])
    text = Text(bare, 8, mask=0, pad=-1, start=(), stop=(), special=(0,))
    model = LanguageModel(text, TextModelSettings(width=8, depth=1, heads=1))
    folder = hf.export(model, tmp_path / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer("a c [MASK] b")["input_ids"] == [2, 1, 0, 3]
    assert tokenizer.pad_token is None
    assert hf.load(folder).tokenizer.pad == -1


def test_verb(exported, cli, tmp_path):
    run, folder = tmp_path / "run", tmp_path / "exported"
    save_model(run, exported.model)
    status, out, err = cli("export", run, folder)
    assert (status, out, err) == (0, f"exported: {folder}\n", "")
    weights = "model.safetensors"
    assert (folder / weights).read_bytes() == (exported.folder / weights).read_bytes()
    status, out, err = cli("export", run, folder)
    assert (status, out) == (2, "")
    assert err == f"maskwise: {folder} is not empty: give a new folder\n"
    status, out, err = cli("likelihood", run, "--text", __file__, "--num-samples", 2)
    assert (status, err) == (0, "")


def test_images_are_refused(cli, tmp_path):
    from maskwise.images.images import Images
    from maskwise.modalities import build
    from maskwise.patches.model import PatchModelSettings

    images = Images(patch=(2, 2), channels=1, height=4, width=4, mean=(0,), std=(1,))
    shape = PatchModelSettings(
        width=8, depth=1, heads=1, decoder_width=8, decoder_depth=1, decoder_heads=1
    )
    save_model(tmp_path / "images", build(images, shape, seed=0))
    status, _, err = cli("export", tmp_path / "images", tmp_path / "out")
    assert status == 2
    assert "models of images are exported as timm, hf-vit, hf-vitmae, onnx, torch-export" in err
    assert "give --format" in err
    assert not (tmp_path / "out").exists()
    status, _, err = cli("likelihood", tmp_path / "images", "--text", __file__)
    assert status == 2
    assert "is a model of images, not a language model" in err


def test_the_configuration_says_the_same_to_old_and_new_versions(tmp_path):
    folder = hf.export(ours(), tmp_path / "model")
    values = json.loads((folder / "config.json").read_text("utf-8"))
    # transformers 4.48 reads these,
    assert values["global_attn_every_n_layers"] == 1
    assert values["global_rope_theta"] == values["local_rope_theta"] == 10_000
    # 5 reads those.
    assert values["layer_types"] == ["full_attention"] * 3
    assert values["rope_parameters"]["full_attention"]["rope_theta"] == 10_000
    for name in ("layer_types", "rope_parameters"):
        del values[name]
    old = transformers.ModernBertConfig(**values)
    assert old.layer_types == ["full_attention"] * 3
    assert old.rope_parameters["full_attention"]["rope_theta"] == 10_000
    shutil.rmtree(folder)
