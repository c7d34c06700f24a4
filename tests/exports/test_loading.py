from contextlib import chdir

import pytest
import torch

import maskwise as mw
from tests.exports.small_models import images, texts
from tests.peers import peer


def loaded(folder):
    """What the snippet of a card makes."""
    card = (folder / "README.md").read_text("utf-8")
    names: dict = {}
    with chdir(folder), torch.random.fork_rng():
        exec(card.partition("```python\n")[2].partition("```")[0], names)
    return names


@pytest.mark.slow  # they import timm and transformers' models
@pytest.mark.parametrize(
    ("format", "library"),
    [("timm", "timm"), ("hf-vit", "transformers"), ("hf-vitmae", "transformers")],
)
def test_cards_of_images(format, library, tmp_path):
    peer(library)
    folder = mw.export(images(width=4).model, tmp_path / "out", format)
    assert sum(each.numel() for each in loaded(folder)["model"].parameters()) > 3000
    assert f'library_name: "{library}"' in (folder / "README.md").read_text("utf-8")


@pytest.mark.slow
def test_cards_of_texts(tmp_path):
    peer("transformers")
    folder = mw.export(texts().model, tmp_path / "mlm")
    assert len(loaded(folder)["fill"]("a [MASK]", top_k=3)) == 3
    graph = mw.export(texts().model, tmp_path / "program", "torch-export")
    assert loaded(graph)["features"].shape == (2, 16)
