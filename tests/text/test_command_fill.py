import re

import pytest

from maskwise.modalities import build
from maskwise.run import save_model
from maskwise.text.model import TextModelSettings
from maskwise.text.text import train_tokenizer


@pytest.fixture
def model(tmp_path):
    text = train_tokenizer(["the cat sat on the mat"] * 9, vocab_size=300, length=16)
    save_model(
        tmp_path / "model", build(text, TextModelSettings(width=16, depth=1, heads=2), seed=0)
    )
    return tmp_path / "model"


def test_gaps_are_filled(cli, model):
    status, out, err = cli("fill", model, "the [MASK] sat on [MASK].", "--num", 2)
    assert (status, err) == (0, "")
    filled, first, second = out.splitlines()
    assert re.fullmatch("the.+ sat on.+[.]", filled)
    for number, gap in enumerate((first, second), start=1):
        assert re.fullmatch(rf"gap {number}: '.+' \d+\.\d%, '.+' \d+\.\d%", gap)


def test_models_of_transformers(cli, language_model):
    status, out, err = cli("fill", language_model, "the <mask> sat")
    assert (status, err) == (0, "")
    filled, gap = out.splitlines()
    assert filled.split()[::2] == ["the", "sat"]
    assert gap.count("%") == 5


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["the cat"], "the text has no [MASK] to fill: the cat"),
        (["[MASK]", "--num", "0"], "num 0 is too small"),
        (["[MASK]", "--train.steps", "3"], "unknown option '--train.steps'"),
    ],
)
def test_bad_words(cli, model, words, says):
    status, out, err = cli("fill", model, *words)
    assert (status, out) == (2, "")
    assert err.startswith(f"maskwise: {says}")
    assert err.count("\n") == 1


def test_no_model(cli, tmp_path):
    status, _, err = cli("fill", tmp_path / "none", "[MASK]")
    assert status == 2
    assert "none" in err
    assert err.count("\n") == 1
