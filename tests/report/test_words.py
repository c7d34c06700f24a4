import json
import re

import pytest

from maskwise import words
from maskwise.errors import UserError
from maskwise.files import write_json
from maskwise.modalities import find
from maskwise.report import write
from maskwise.settings import from_dict, to_dict
from maskwise.words import Words
from tests.report.conftest import KINDS, section


@pytest.mark.parametrize("kind", KINDS)
def test_words_of_each_kind_survive_a_round_trip(tmp_path, kind):
    said = find(kind).words
    write_json(tmp_path / words.NAME, to_dict(said))
    assert words.read(tmp_path) == said != Words()
    assert from_dict(Words, json.loads(json.dumps(to_dict(said)))) == said


def test_data_that_say_nothing_have_a_good_page(make):
    """Samples are not shown, since nothing says how; all else is."""
    runs = [make("cells", "a"), make("cells", "b", seed=1)]
    for run in runs:
        (run / "words.json").unlink()
    page = write(runs[:1]).read_text("utf-8")
    assert words.read(runs[0]) == Words()
    found = re.findall(r'<section id="(\w+)"', page)
    assert {"numbers", "errors", "likelihood", "imputation", "probes", "clusters"} <= {*found}
    assert "Mean loss at hidden positions of 300 held-out samples" in section(page, "errors")
    assert "samples seen</dt><dd>76,800" in section(page, "numbers")
    said = page[page.index("<main>") : page.index('id="law"')]
    for word in ("gene", "cells", "image", "token"):
        assert word not in said
    assert "values read</text>" in section(write(runs).read_text("utf-8"), "loss")


def test_other_words(make):
    run = make("images")
    said = Words(counted=("clips heard",), loss=words.LossWords(title="Error of frames"))
    write_json(run / words.NAME, to_dict(said))
    page = write([run]).read_text("utf-8")
    assert "clips heard</dt><dd>76,800" in section(page, "numbers")
    assert "predicted" not in section(page, "numbers")
    assert "Error of frames</h2>" in section(page, "errors")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "is damaged: "),
        ('{"lose": 1}', "unknown key 'lose'; did you mean 'loss"),
        ('{"shown": "x"}', "shown='x': "),
        ('{"loss": {"form": "{:d}"}}', "loss.form='{:d}': "),
    ],
)
def test_damaged_words_are_named(tmp_path, text, message):
    (tmp_path / "words.json").write_text(text)
    with pytest.raises(UserError) as error:
        words.read(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'words.json'} is damaged: ")
    assert message in str(error.value)
