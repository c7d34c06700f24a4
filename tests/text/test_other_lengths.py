"""Rows of another length, and tokens of another tokenizer, than a model was trained on."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch

import maskwise as mw
from maskwise.cli import main
from maskwise.errors import UserError
from maskwise.integrations import hf
from maskwise.layers.resize import resize_positions
from maskwise.masks import Mask
from maskwise.settings import override
from maskwise.text.lengths import extend_positions, with_rows
from maskwise.text.model import HFNetwork
from maskwise.text.text import load_tokenizer, train_tokenizer
from maskwise.text.vocabulary import begins, extend_vocabulary
from tests.lazy import lazy

lazy("transformers")

LINES = ["the cat sat on the mat", "a dog saw the cats", "the mats lay by a dog and ran"]
SMALL = {
    "vocab_size": 40,
    "pad_token_id": 3,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 24,
}


def test_rows_of_another_length_share_the_weights(make_language_model, caplog):
    model = make_language_model()
    made = with_rows(model, (60,))
    assert made.tokenizer.grid == (60,)
    assert made.network is model.network
    assert model.tokenizer.length == 24
    assert "rows of 60 tokens, and the model's had 24: it was not trained" in caplog.text
    # What fits in both rows is read as before.
    one, other = (each.tokenizer.tokenize(["a dog saw the cats"]).ids for each in (model, made))
    torch.testing.assert_close(made.encode(other), model.encode(one))
    assert made.encode(made.tokenizer.tokenize([" ".join(LINES * 3)]).ids).isfinite().all()
    assert with_rows(model, (24,)) is model
    with pytest.raises(UserError, match="length 2 is outside 3"):
        with_rows(model, (2,))


@torch.no_grad()
def test_a_token_reads_the_same_wherever_its_text_stands(make_language_model):
    """Positions are distances, so that a row may be longer than any that was trained on."""
    model = make_language_model()
    ids = torch.full((1, 200), 7)
    ids[0, 150:170] = torch.arange(20) + 20
    documents = torch.ones_like(ids)
    documents[0, 150:170] = 2
    late = model.network.features(ids, documents)[0, 150:170]
    early = model.network.features(ids[:, 150:170])[0]
    torch.testing.assert_close(late, early, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "more"),
    [("bert", {}), ("roberta", {}), ("roberta", {"pad_token_id": 1}), ("nystromformer", {})],
)
@torch.no_grad()
def test_learned_positions_are_extended(kind, more, caplog):
    with torch.random.fork_rng():
        network = HFNetwork.from_config({"model_type": kind, **SMALL, **more}).eval()
    longest, state = network.longest, torch.get_rng_state()
    made = extend_positions(network, 2 * longest)
    assert torch.equal(torch.get_rng_state(), state)
    assert made.longest == 2 * longest
    assert f"and the model takes {longest}: positions beyond are interpolated" in caplog.text
    [(name, (old, first))] = network.position_tables().items()
    new = made.position_tables()[name][0]
    torch.testing.assert_close(new[:first], old[:first])
    # That of Nystromformer has two rows more than tokens.
    sizes = (len(old) - first,), (len(new) - first,)
    expected = resize_positions(old[None, first:], *sizes)[0]
    torch.testing.assert_close(new[first:], expected)
    others = {key: value for key, value in made.model.state_dict().items() if key != name}
    assert all(
        torch.equal(value, network.model.state_dict()[key]) for key, value in others.items()
    )
    ids = torch.full((1, 2 * longest), 7)
    assert made.features(ids).shape == (1, 2 * longest, 16)


def test_a_model_is_loaded_for_longer_rows(language_model, tmp_path):
    folder = shutil.copytree(language_model, tmp_path / "model")
    own = hf.load(folder, device="cpu")
    longest = own.network.longest
    model = hf.load(folder, device="cpu", length=longest + 10)
    ids = model.tokenizer.tokenize([" ".join(LINES * 4)]).ids
    assert ids.shape == (1, longest + 10)
    assert model.encode(ids).isfinite().all()
    with pytest.raises(UserError, match=f"outside 3..{longest + 10}"):
        model.tokenizer.room(longest + 11)
    again = with_rows(own, (longest + 10,))
    torch.testing.assert_close(again.encode(ids), model.encode(ids))
    assert again.tokenizer.longest == longest + 10
    # Saved, it is what it was.
    hf.export(model, tmp_path / "out")
    back = hf.load(tmp_path / "out", device="cpu", length=longest + 10)
    torch.testing.assert_close(back.encode(ids), model.encode(ids))


def test_weights_that_depend_on_the_length_otherwise_are_refused():
    with torch.random.fork_rng():
        network = HFNetwork.from_config(
            {"model_type": "fnet", **SMALL, "max_position_embeddings": 24}
        )
    object.__setattr__(network, "position_tables", dict)
    with pytest.raises(UserError, match="type fnet cannot be made to read 48 tokens"):
        extend_positions(network, 48)


def test_more_tokens_begin_as_the_mean_of_their_pieces(make_language_model, words, caplog):
    """One more token, written as three that the model knows: it has their mean."""
    model = make_language_model()
    tokenizer = type(words.tokenizer).from_str(words.tokenizer.to_str())
    tokenizer.add_tokens(["catdog"])
    text = dataclasses.replace(words, tokenizer=tokenizer)
    made = extend_vocabulary(model, text)
    assert made.network.embed.weight.shape == (words.num_tokens + 1, 16)
    pieces = [piece.id for piece in words.tokenizer.model.tokenize("catdog")]
    assert len(pieces) > 1
    old, new = model.network.embed.weight, made.network.embed.weight
    torch.testing.assert_close(new[:-1], old)
    torch.testing.assert_close(new[-1], old[pieces].mean(0))
    torch.testing.assert_close(made.network.bias[-1], model.network.bias[pieces].mean())
    assert "1 of 286 tokens are new to the model" in caplog.text
    # Texts without it are read as before, the head's weights too.
    ids = words.tokenize(LINES[:2]).ids
    hidden = words.eligible(ids) & (torch.arange(ids.shape[1]) % 3 == 1)
    found, expected = (each(ids, Mask(hidden)) for each in (made, model))
    torch.testing.assert_close(found[:, :-1], expected)


def test_another_tokenizer_of_the_same_words(make_language_model, words):
    """What both know keeps its weights under another id; special tokens go by what they are."""
    model = make_language_model()
    other = train_tokenizer(["a bird flew", *LINES] * 9, vocab_size=300, length=24)
    made = extend_vocabulary(model, other)
    old, new = model.network.embed.weight, made.network.embed.weight
    for token in ("Ġthe", "Ġdog", "a"):
        before, after = (each.tokenizer.token_to_id(token) for each in (words, other))
        assert torch.equal(new[after], old[before])
    assert torch.equal(new[other.mask], old[words.mask])
    bird = other.tokenizer.token_to_id("Ġbird")
    pieces = [piece.id for piece in words.tokenizer.model.tokenize("Ġbird")]
    torch.testing.assert_close(new[bird], old[pieces].mean(0))


def test_a_tokenizer_of_another_kind_goes_by_its_texts(language_model, words):
    """Of WordPiece a word has no mark in front, as that of byte pairs has."""
    pieces = load_tokenizer(str(language_model), 24)
    rows, unknown = begins(words, pieces)
    vocabulary = pieces.tokenizer.get_vocab()
    spelled = words.tokenizer.get_vocab()
    assert rows[vocabulary["cat"]] == [spelled["Ġcat"]]
    assert rows[pieces.mask] == [words.mask]
    assert set(unknown) <= set(vocabulary)


@torch.no_grad()
def test_a_model_of_transformers_reads_more_tokens(language_model, caplog):
    model = hf.load(language_model, device="cpu")
    tokenizer = type(model.tokenizer.tokenizer).from_str(model.tokenizer.tokenizer.to_str())
    tokenizer.add_tokens(["catdog"])
    text = dataclasses.replace(model.tokenizer, tokenizer=tokenizer)
    made = extend_vocabulary(model, text)
    num = model.tokenizer.num_tokens
    old, new = (each.network.model.get_input_embeddings().weight for each in (model, made))
    rows, unknown = begins(model.tokenizer, text)
    assert unknown == {"catdog": num}
    torch.testing.assert_close(new[:num], old[:num])
    torch.testing.assert_close(new[num], old[rows[num]].mean(0) if rows[num] else old.mean(0))
    before = model.network.model.get_output_embeddings().bias
    after = made.network.model.get_output_embeddings().bias
    torch.testing.assert_close(after[:num], before[:num])
    ids = text.tokenize(LINES[:2]).ids
    torch.testing.assert_close(made.encode(ids), model.encode(ids))
    assert made.network.num_tokens == num + 1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on rows of 12 tokens."""
    texts = [" ".join(LINES[n % 3].split()[n % 4 :] * 5) for n in range(60)]
    return mw.pretrain(
        texts,
        out=tmp_path_factory.mktemp("runs") / "run",
        data={"length": 12, "vocab_size": 280},
        model={"width": 16, "depth": 1, "heads": 2},
        train={"steps": 2, "batch_size": 4, "budget": "none"},
        evaluate={"num_rows": 4, "ratios": (0.5,), "baselines": False},
        diagnose={"num_samples": 20},
    ), texts


def test_a_run_is_evaluated_and_asked_at_another_length(run, tmp_path, no_report):
    (run, texts), length = run, 30
    made = mw.evaluate(run, texts, **{"data.length": length})
    assert made.result["data"]["shape"] == [length]
    found = mw.measure_likelihood(run, texts, num_samples=4, passes=2, **{"data.length": length})
    assert np.isfinite(found.likelihood["area"]["nats"])
    # A text that is cut at 12 tokens is not cut at 30.
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(texts[:5]), "utf-8")
    given = ["embed", str(run.path), str(path), "--data.document", "line"]
    for name, more in (("short", []), ("long", ["--data.length", str(length)])):
        assert main([*given, "-o", str(tmp_path / f"{name}.npy"), *more]) == 0
    short, long = (np.load(tmp_path / f"{name}.npy") for name in ("short", "long"))
    model = run.model(size=length)
    ids = [model.tokenizer.tokenize([text]).ids for text in texts[:5]]
    with torch.no_grad():
        expected = torch.cat([model.encode(each) for each in ids])
    np.testing.assert_allclose(long, expected, atol=1e-5)
    assert not np.allclose(short, long, atol=1e-3)
    # A predictor reads whole texts, too, where it is told.
    predictor = run.predictor(np.arange(60) % 2, texts, copies=1)
    config = override(run.config, {"data.length": length})
    asked = predictor.asked(texts[:5], config=config)
    assert asked.there.shape == (5, length)
    assert predictor.say(asked).said.shape == (5, 2)
