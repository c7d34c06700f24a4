"""Texts that cannot be used: one line, exit status 2, nothing left behind."""

import json

import pytest

pytest.importorskip("tokenizers")
GOOD = "\n".join(f"line {n} tells of cats and dogs, {n * n} in all" for n in range(60))
TINY = ["--model.width", 16, "--model.depth", 1, "--model.heads", 2, "--data.length", 16]
TINY += ["--data.vocab_size", 300, "--train.steps", 2, "--train.batch_size", 4]
TINY += ["--evaluate.num_rows", 4, "--evaluate.ratios", 0.5, "--evaluate.baselines", "false"]


def tokenizer(*special):
    from tokenizers import Tokenizer, models

    made = Tokenizer(models.WordLevel({"cats": 0, "dogs": 1, "[UNK]": 2}, unk_token="[UNK]"))
    made.add_special_tokens(["[UNK]", *special])
    return made.to_str()


def changed(change):
    """Return a tokenizer that could be used, but for a change of its values."""
    values = json.loads(tokenizer("[PAD]", "[MASK]"))
    change(values)
    return json.dumps(values)


def split(pattern):
    step = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"}
    return changed(lambda values: values.update(pre_tokenizer=step | {"invert": False}))


CASES = {
    "no text": ({"a.txt": b"\x89PNG\0"}, ["a.txt"], "a.txt is no text: byte 5 is NUL"),
    "not in the encoding": (
        {"a.txt": b"caf\xe9 au lait"},
        ["a.txt", "--data.encoding", "utf-8"],
        "a.txt: it is not in the encoding utf-8",
    ),
    "no such encoding": (
        {"a.txt": GOOD.encode()},
        ["a.txt", "--data.encoding", "latin9000"],
        "encoding 'latin9000' is not known; take latin-1",
    ),
    "empty file": ({"a.txt": b""}, ["a.txt"], "a.txt: no text: 1 empty files (a.txt)"),
    "empty folder": ({}, ["folder", "--modality", "text"], "folder: no text files here"),
    "blank lines": (
        {"a.txt": b"\n\n\n"},
        ["a.txt", "--data.document", "line"],
        "a.txt: no text: 3 blank lines",
    ),
    "one-token documents": (
        {"a.jsonl": b'{"text": "a"}\n{"text": ""}\n'},
        ["a.jsonl"],
        "no text: 2 documents, none of two tokens or more",
    ),
    "smaller than a batch": (
        {"a.txt": GOOD.encode()},
        ["a.txt", "--train.batch_size", "5000"],
        "a minibatch of 5000 is more than the 60 samples to train on. This works: maskwise"
        " pretrain a.txt --model.width 16",
    ),
    "tokenizer without a mask token": (
        {"a.txt": GOOD.encode(), "t.json": lambda: tokenizer("[PAD]")},
        ["a.txt", "--data.tokenizer", "t.json"],
        "tokenizer t.json: there is no mask token ([MASK] or <mask>)",
    ),
    "tokenizer without special tokens": (
        {"a.txt": GOOD.encode(), "t.json": lambda: tokenizer()},
        ["a.txt", "--data.tokenizer", "t.json"],
        "tokenizer t.json: there is no mask token ([MASK] or <mask>)",
    ),
    "tokenizer with a bad pattern": (
        {"a.txt": GOOD.encode(), "t.json": lambda: split("(")},
        ["a.txt", "--data.tokenizer", "t.json"],
        "tokenizer t.json: t.json is no tokenizer.json: Oniguruma error",
    ),
    "tokenizer with a pattern without end": (
        {"a.txt": GOOD.encode(), "t.json": lambda: split(r"(\w+\s?)+$")},
        ["a.txt", "--data.tokenizer", "t.json"],
        "tokenizer t.json: t.json: its patterns (normalizer, pre_tokenizer or decoder) fail",
    ),
    "tokenizer with a huge id": (
        {
            "a.txt": GOOD.encode(),
            "t.json": lambda: changed(lambda v: v["model"]["vocab"].update(far=4_000_000_000)),
        },
        ["a.txt", "--data.tokenizer", "t.json"],
        "tokenizer t.json: t.json: token 'far' has the id 4,000,000,000, though there are 6 token",
    ),
    "tokenizer that is a list": (
        {"a.txt": GOOD.encode(), "t.json": b"[1, 2]"},
        ["a.txt", "--data.tokenizer", "t.json"],
        "tokenizer t.json: t.json is no tokenizer.json: invalid type: sequence",
    ),
    "no such tokenizer": (
        {"a.txt": GOOD.encode()},
        ["a.txt", "--data.tokenizer", "none.json"],
        "tokenizer none.json: cannot read none.json",
    ),
    "no such column": (
        {"a.jsonl": "".join(json.dumps({"body": line}) + "\n" for line in [GOOD] * 9).encode()},
        ["a.jsonl"],
        "a.jsonl: no column 'text'; found body: give --data.column body. This works: maskwise",
    ),
    "vocabulary": (
        {"a.txt": GOOD.encode()},
        ["a.txt", "--data.vocab_size", "100"],
        "vocab_size 100 is too small: bytes and specials are 261",
    ),
    "pattern of images": (
        {"a.txt": GOOD.encode()},
        ["a.txt", "--pattern", "block"],
        "pattern block is for grids of images",
    ),
    "list of n-grams": (
        {"a.txt": GOOD.encode(), "n.txt": b"cats\n"},
        ["a.txt", "--pattern", "ngrams", "--data.ngrams", "n.txt"],
        "n.txt: n-gram 0 has 1 words: give 2 or more",
    ),
    "key of images": (
        {"a.txt": GOOD.encode()},
        ["a.txt", "--data.patch", "2"],
        "unknown key 'data.patch'",
    ),
    "modality": (
        {"a.txt": GOOD.encode()},
        ["a.txt", "--modality", "sound"],
        "invalid choice: 'sound'",
    ),
    "held-out text": (
        {"a.txt": GOOD.encode()},
        ["a.txt", "--data.heldout", "none.txt"],
        "none.txt: no such file or folder",
    ),
    "probe": (
        {"a.txt": GOOD.encode()},
        ["a.txt", "--evaluate.probes", "train.csv"],
        "task 'train.csv' cannot be read: give TRAIN:TEST",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_texts_are_one_line(case, cli, tmp_path, monkeypatch):
    files, words, says = CASES[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name, content in files.items():
        made = content().encode() if callable(content) else content
        (tmp_path / name).write_bytes(made)
    status, out, err = cli("pretrain", words[0], *TINY, *words[1:], "--out", "run")
    assert (status, out) == (2, "")
    assert says in err
    # What is logged before stands on lines of its own.
    assert [line for line in err.splitlines() if line.startswith("maskwise: ")] == [
        err.splitlines()[-1]
    ]
    assert not (tmp_path / "run").exists()


def test_long_texts_are_cut_and_counted(cli, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text(GOOD, "utf-8")
    status, _, _ = cli("pretrain", "a.txt", *TINY, "--out", "run")
    assert status == 0
    (tmp_path / "b.txt").write_text("cats\n" + "cats and dogs " * 30, "utf-8")
    status, out, _ = cli("embed", "run", "b.txt", "-o", "z.npy")
    assert status == 0
    assert out == "z.npy: 2 x 16, float32\n"
    assert "1 texts cut at 14 tokens" in caplog.text


def test_features_of_images_are_not_asked_of_texts(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text(GOOD, "utf-8")
    assert cli("pretrain", "a.txt", *TINY, "--out", "run")[0] == 0
    status, _, err = cli("embed", "run", "none.txt", "-o", "z.npy")
    assert status == 2
    assert "none.txt: no such file or folder" in err
    assert not (tmp_path / "z.npy").exists()
