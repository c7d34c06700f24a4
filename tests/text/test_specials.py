"""Any tokenizer with a mask token works: what it lacks is added, said and saved."""

import json

import pytest
import torch

from maskwise.run import load_model
from maskwise.text.specials import extended, find_special, unknown_of
from maskwise.text.text import Text, load_tokenizer
from tests.lazy import lazy

tokenizers = lazy("tokenizers")

WORDS = ["the", "cat", "sat"]


def words(*special, vocab=(), unknown="[UNK]", flagged=True):
    names = dict.fromkeys([*vocab, *WORDS])
    model = tokenizers.models.WordLevel(
        {name: place for place, name in enumerate(names)}, unk_token=unknown
    )
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    if flagged:
        made.add_special_tokens(list(special))
    return made


def learned(model, trainer, *special, pre="Whitespace", unknown=None, **options):
    made = tokenizers.Tokenizer(getattr(tokenizers.models, model)(**unknown or {}))
    made.pre_tokenizer = getattr(tokenizers.pre_tokenizers, pre)()
    kind = getattr(tokenizers.trainers, trainer)
    made.train_from_iterator(
        ["the cat sat on the mat"] * 9,
        kind(special_tokens=list(special), show_progress=False, vocab_size=300, **options),
    )
    return made


def byte_level():
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    return learned("BPE", "BpeTrainer", "<mask>", pre="ByteLevel", initial_alphabet=alphabet)


def with_gap():
    values = json.loads(words("[MASK]", vocab=["[MASK]"]).to_str())
    values["model"]["vocab"]["far"] = 50
    return tokenizers.Tokenizer.from_str(json.dumps(values))


# What is added, by its name.
CASES = {
    "a mask token only": (lambda: words("[MASK]", vocab=["[MASK]"]), ["[PAD]", "[UNK]"]),
    "one that is not marked special": (
        lambda: words(vocab=["[MASK]", "[PAD]", "[UNK]", "[CLS]"]), []
    ),
    "one behind the others": (lambda: words("<mask>"), ["<pad>", "[UNK]"]),
    "other brackets": (lambda: words("<|MASK|>", "<|Pad|>"), ["[UNK]"]),
    "unknown words of another name": (
        lambda: words("<mask>", "<oov>", vocab=["<oov>"], unknown="<oov>"), ["<pad>"]
    ),
    "numbers that are left out": (with_gap, ["[PAD]", "[UNK]"]),
    "WordPiece": (lambda: learned("WordPiece", "WordPieceTrainer", "[MASK]"), ["[PAD]", "[UNK]"]),
    "BPE of letters": (lambda: learned("BPE", "BpeTrainer", "[MASK]"), ["[PAD]", "[UNK]"]),
    "BPE of bytes": (byte_level, ["<pad>"]),
    "Unigram": (
        lambda: learned("Unigram", "UnigramTrainer", "<mask>", pre="Metaspace"),
        ["<pad>", "<unk>"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_lacking_is_added(case, tmp_path, caplog):
    make, added = CASES[case]
    before = make()
    path = tmp_path / "t.json"
    before.save(str(path))
    text = load_tokenizer(str(path), 16)
    known = before.get_vocab()
    vocab = text.tokenizer.get_vocab()
    assert [name for name in vocab if name not in known and known.get(name) != vocab[name]] == (
        [name for name in vocab if name in added]
    )
    assert {name: vocab[name] for name in known} == known
    assert sorted(vocab[name] for name in added) == list(
        range(max(known.values()) + 1, max(known.values()) + 1 + len(added))
    )
    says = [message for message in caplog.messages if "has no token of" in message]
    assert len(says) == bool(added)
    assert all(f"{' and '.join(added)} added, and saved with the model" in each for each in says)
    # Words keep their tokens, an unknown one has a token, and rows may differ in length.
    found = text.tokenize(["the cat", "the 鼠 cat sat"])
    row = found.ids[0, found.eligible[0]].tolist()
    assert row == before.encode("the cat", add_special_tokens=False).ids
    kept = [letter for letter in text.decode(found.ids[0]) if letter.isascii() and letter != " "]
    assert "".join(kept) == "thecat"
    assert bool(text.alphabet[found.ids[1, found.eligible[1]]].all())
    assert int(found.eligible[1].sum()) > int(found.eligible[0].sum())
    assert (found.ids[0] == text.pad).sum() == (text.documents(found.ids)[0] == 0).sum() > 0
    assert not text.alphabet[[text.pad, text.mask]].any()
    # All of it comes back from the folder of a model.
    again = Text.load(tmp_path, json.loads(json.dumps(text.save(tmp_path))))
    assert torch.equal(again.tokenize(["the cat", "the 鼠 cat sat"]).ids, found.ids)


def test_ids_stay_where_tokens_are_added():
    before = words("<mask>", "<s>")
    after = extended(before, ["<unk>", "<s>", "the"], "<unk>")
    assert after.get_vocab() == {**before.get_vocab(), "<unk>": 5}
    assert unknown_of(after) == "<unk>"
    assert unknown_of(before) is None
    assert after.encode("the mouse").ids == [0, 5]
    special = {token.content for token in after.get_added_tokens_decoder().values()}
    assert special == {"<mask>", "<s>", "<unk>", "the"}


def test_roles_are_found_by_usual_names():
    esm = words("<cls>", "<pad>", "<eos>", "<unk>", "<mask>")
    assert find_special(esm) == {
        "mask": "<mask>",
        "pad": "<pad>",
        "start": "<cls>",
        "stop": "<eos>",
    }


def test_a_run_with_a_tokenizer_without_padding(cli, tmp_path, caplog):
    """It trains and embeds texts of all lengths, and its model has the token."""
    special = "[UNK]", "[CLS]", "[SEP]", "[MASK]"
    tokenizer = learned("BPE", "BpeTrainer", *special, unknown={"unk_token": "[UNK]"})
    tokenizer.save(str(tmp_path / "t.json"))
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"text": "the cat sat on the mat " * (1 + n % 3)}) for n in range(40)]
    path.write_text("\n".join(lines), "utf-8")
    tiny = ["--model.width", 16, "--model.depth", 1, "--model.heads", 2, "--data.length", 12]
    tiny += ["--train.steps", 2, "--train.batch_size", 4, "--evaluate.num_rows", 4]
    tiny += [
        "--evaluate.ratios",
        0.5,
        "--evaluate.baselines",
        "false",
        "--data.tokenizer",
        tmp_path / "t.json",
    ]
    status, _, _ = cli("pretrain", path, *tiny, "--out", tmp_path / "run")
    assert status == 0
    assert "has no token of padding: [PAD] added, and saved with the model" in caplog.text
    model = load_model(tmp_path / "run" / "model")
    size = tokenizer.get_vocab_size()
    assert model.tokenizer.pad == size
    assert model.network.embed.num_embeddings == size + 1
    assert cli("embed", tmp_path / "run", path, "-o", tmp_path / "z.npy")[0] == 0


@torch.no_grad()
def test_padding_without_a_token_is_not_read(make_language_model):
    """As in models that were saved with such a tokenizer."""
    model = make_language_model()
    object.__setattr__(model.tokenizer, "pad", -1)
    ids = model.tokenizer.tokenize(["the cat", "the cat sat on the mat"]).ids
    assert ids.min() == -1
    alone = model.tokenizer.tokenize(["the cat"]).ids
    torch.testing.assert_close(model.encode(ids)[:1], model.encode(alone), rtol=1e-4, atol=1e-5)


def test_no_token_begins_a_text(tmp_path, caplog):
    from maskwise.text.data import TextDataSettings, load

    words("[MASK]", "[PAD]", "[UNK]", vocab=["[UNK]"]).save(str(tmp_path / "t.json"))
    caplog.set_level("INFO")
    data = TextDataSettings(tokenizer=str(tmp_path / "t.json"), length=12)
    splits = load(data, ["the cat sat", "the cat"] * 20)
    assert "no token begins a text, so that each row holds one document" in caplog.text
    assert splits.train.rows.begin.tolist() == list(range(len(splits.train) + 1))
