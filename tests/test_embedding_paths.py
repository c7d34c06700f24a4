"""Samples to be embedded, given by where they are: a string, or a path, as for pretraining."""

from pathlib import Path

import numpy as np
import pytest

import maskwise as mw
from benchmarks.golden_cases import CASES, COMMON


@pytest.fixture(scope="module")
def of_texts(tmp_path_factory):
    pytest.importorskip("tokenizers")
    case = CASES["texts-words"]
    settings = {**COMMON, **case.settings, "train.steps": 2}
    return mw.pretrain(case.data(), out=tmp_path_factory.mktemp("texts") / "run", **settings)


def test_a_string_is_one_text_unless_it_is_a_file(of_texts, tmp_path):
    one = of_texts.embed(["the cat sat on the mat"])
    assert one.shape == (1, 16)
    np.testing.assert_array_equal(of_texts.embed("the cat sat on the mat"), one)
    path = tmp_path / "lines.jsonl"
    path.write_text('{"text": "the cat sat on the mat"}\n{"text": "a dog"}\n')
    for where in (path, str(path)):
        found = of_texts.embed(where)
        assert found.shape == (2, 16)
        np.testing.assert_allclose(found[:1], one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [str, Path])
def test_files_of_images(finished, tmp_path, kind):
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8)).astype(np.uint8)
    np.save(tmp_path / "images.npy", images)
    run = mw.Run(finished)
    found = run.embed(kind(tmp_path / "images.npy"))
    np.testing.assert_array_equal(found, run.embed(images))
    with pytest.raises(mw.UserError, match=r"no file or folder 'nothing\.npy'"):
        run.embed(kind("nothing.npy"))
