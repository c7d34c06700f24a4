"""What is measured of our language models is measured of those of transformers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from maskwise.measure.finetuning import FineTuneSettings, tune
from maskwise.text.completion import complete
from maskwise.text.likelihoods import pseudo_log_likelihoods
from maskwise.text.model import TextModelSettings
from maskwise.text.tasks import TextTask, embed_texts, text_samples, word_features
from maskwise.text.text import of_transformers
from maskwise.tokens.model import LanguageModel


@pytest.fixture
def model(language_model: Path) -> LanguageModel:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from maskwise.text.model import HFNetwork

    tokenizer = transformers.AutoTokenizer.from_pretrained(language_model)
    found = transformers.AutoModelForMaskedLM.from_pretrained(language_model)
    text = of_transformers(tokenizer, length=16, longest=20)
    return LanguageModel(text, TextModelSettings(), network=HFNetwork(found)).eval()


def test_pseudo_log_likelihood(model: LanguageModel) -> None:
    sentences = ["the cat sat", "a dog ran by the mat"]
    found, _ = pseudo_log_likelihoods(model, sentences)
    hf = model.network.model
    for value, sentence in zip(found, sentences, strict=True):
        ids = model.tokenizer.tokenize([sentence]).ids
        total = 0.0
        for place in range(1, ids.shape[1] - 1):
            seen = ids.clone()
            seen[0, place] = model.tokenizer.mask
            with torch.no_grad():
                logits = hf(input_ids=seen).logits[0, place, : model.tokenizer.num_tokens]
            logits = logits.masked_fill(~model.tokenizer.alphabet, -torch.inf)
            total += float(logits.log_softmax(dim=0)[ids[0, place]])
        assert value == pytest.approx(total, rel=1e-5)


def test_features(model: LanguageModel) -> None:
    texts = ["the cat sat", "a dog ran by the mat", "a cat"]
    found = embed_texts(model, texts)
    ids = model.tokenizer.tokenize(texts[:1]).ids
    with torch.no_grad():
        output = model.network.model(input_ids=ids, output_hidden_states=True)
    want = output.hidden_states[-1][0, 1:-1]
    np.testing.assert_allclose(found[0], want.mean(dim=0), rtol=1e-4, atol=1e-5)
    [words] = word_features(model, [["the", "cat", "sat"]])
    np.testing.assert_allclose(words, want, rtol=1e-4, atol=1e-5)


def test_gaps_are_filled(model: LanguageModel) -> None:
    found = complete(model, "the [MASK] sat on <mask>", num=3)
    words = found.text.split()
    assert [words[0], *words[2:4]] == ["the", "sat", "on"]
    assert [len(gap) for gap in found.alternatives] == [3, 3]


def test_fine_tuning(model: LanguageModel) -> None:
    texts = ["the cat sat", "the dog sat", "a cat ran on", "a dog ran on"] * 8
    y = np.arange(32) % 2
    task = TextTask("animals", texts, y, texts[:4], y[:4], ("cat", "dog"))
    config = FineTuneSettings(epochs=4, batch_size=8, lr=1e-2)
    scores = tune(model, text_samples(model, task), config, seed=0)
    assert scores.argmax(axis=1).tolist() == [0, 1, 0, 1]
