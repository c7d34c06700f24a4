from collections.abc import Callable

import numpy as np
import pytest
import torch

from maskwise.modalities.dna import DNA
from maskwise.modalities.image_source import Source, Splits, array_source
from maskwise.modalities.images import Images
from maskwise.modalities.text import Text
from maskwise.modalities.text_tokenizer import train_tokenizer
from maskwise.models.dna import DNAModel
from maskwise.models.language import LanguageModel, TextModel
from maskwise.models.masked import MaskedModel, Model


@pytest.fixture
def make_model() -> Callable[..., MaskedModel]:
    """Build a tiny model of 2-channel 4 x 6 images, without touching the global generator."""

    def make(**changes: object) -> MaskedModel:
        target = changes.pop("target", "normalised")
        modality = Images(
            patch=(2, 2),
            channels=2,
            height=4,
            width=6,
            mean=(90, 110),
            std=(50, 60),
            target=target,
        )
        small = {"width": 16, "depth": 2, "heads": 2, "decoder_width": 8, "decoder_depth": 1}
        with torch.random.fork_rng():
            torch.random.default_generator.manual_seed(0)
            return MaskedModel(modality, Model(**(small | changes)))

    return make


@pytest.fixture
def source() -> Source:
    return make_source(30, seed=1)


@pytest.fixture
def splits() -> Splits:
    return Splits(make_source(60, seed=2), make_source(30, seed=3), "made up")


def make_source(num: int, seed: int) -> Source:
    """Random images, 3 classes, of which class 2 is bright."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num) % 3
    images = rng.integers(0, 100, (num, 4, 6, 2)) + 120 * (labels == 2)[:, None, None, None]
    return array_source(images.astype(np.uint8), labels.astype(np.int64), ("a", "b", "c"))


@pytest.fixture(scope="session")
def words() -> Text:
    """A small vocabulary, in which most words are of several tokens."""
    lines = ["the cat sat on the mat", "a dog saw the cats", "the mats lay by a dog and ran"]
    return train_tokenizer(lines * 9, vocab_size=285, length=24)


@pytest.fixture
def make_language_model(words: Text) -> Callable[..., LanguageModel]:
    """Build a tiny language model with weights large enough to tell tokens apart."""

    def make(network: torch.nn.Module | None = None, **changes: int) -> LanguageModel:
        config = TextModel(**({"width": 16, "depth": 2, "heads": 2} | changes))
        with torch.random.fork_rng():
            torch.random.default_generator.manual_seed(0)
            model = LanguageModel(words, config, network=network)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(8 if parameter.ndim > 1 else 1)
        return model

    return make


@pytest.fixture
def make_dna_model() -> Callable[..., LanguageModel]:
    """Build a tiny convolutional model of DNA with weights large enough to tell bases apart."""

    def make(window: int = 16, tokens: str = "bases", **changes: object) -> LanguageModel:
        config = DNAModel(**({"width": 16, "depth": 2, "kernel": 3} | changes))
        with torch.random.fork_rng():
            torch.random.default_generator.manual_seed(0)
            model = LanguageModel(DNA(window=window, tokens=tokens), config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(4 if parameter.ndim > 1 else 1)
        return model

    return make


LINES = ["the cat sat on the mat", "a dog saw the cats", "the mats lay by a dog and ran"]


class Rows:
    """Rows of running text, with a unit for every two tokens."""

    in_memory = True

    def __init__(self, text: Text, num: int) -> None:
        self.ids = text.windows(" ".join(LINES * num)).ids[:num]
        self.ids[-1, 7:] = text.pad

    def __len__(self) -> int:
        return len(self.ids)

    def get(self, indices: np.ndarray) -> torch.Tensor:
        return self.ids[indices]

    def units(self, indices: np.ndarray) -> torch.Tensor:
        return (torch.arange(self.ids.shape[1]) // 2).expand(len(indices), -1)


@pytest.fixture
def rows(words: Text) -> Callable[[int], Rows]:
    """Make so many rows of text."""
    return lambda num: Rows(words, num)
