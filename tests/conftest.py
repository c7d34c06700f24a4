import html
import os
import sys

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = (
    "tests.fixtures.models_and_sources",
    "tests.fixtures.masked_models",
    "tests.fixtures.runs",
)


def pytest_runtest_setup():
    # One thread, if the environment, which subprocesses share, does not say otherwise: the suite
    # shares its cores, small tensors gain nothing from more, and the order of sums depends on
    # their number. Libraries set it when they are loaded.
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


# The same examples on every run and machine, and no clock.
settings.register_profile(
    "maskwise", deadline=None, derandomize=True, database=None, max_examples=60
)
settings.load_profile("maskwise")


@pytest.fixture(scope="session", autouse=True)
def tokens_of_the_tests(tmp_path_factory):
    """Tokenized corpora are kept in a folder of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASKWISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def draw():
    """Plot the figures of pages, but write no more of them than their words; give what draws them.

    Drawing is most of the time of a tiny run. What figures look like is tested with `drawn`.
    """
    from maskwise.report import figures

    real = figures.draw

    def undrawn(plot, size):
        figure = real(plot, size)
        save = figure.savefig
        figure.savefig = lambda file, format=None, **options: (
            file.write(f"<svg>{words_of(figure)}</svg>")
            if format == "svg"
            else save(file, format=format, **options)
        )
        return figure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "draw", undrawn)
        yield real


def words_of(figure):
    words = [text.get_text().replace("\\$", "$") for text in texts_of(figure)]
    return "".join(f"<text>{html.escape(each)}</text>" for each in words if each)


def texts_of(artist):
    """All texts of a figure; ticks that nobody placed have none before it is drawn."""
    from matplotlib.axis import Axis
    from matplotlib.text import Text
    from matplotlib.ticker import FixedLocator

    if isinstance(artist, Text):
        yield artist
    if isinstance(artist, Axis) and not isinstance(artist.get_major_locator(), FixedLocator):
        yield artist.label
    else:
        for each in artist.get_children():
            yield from texts_of(each)


@pytest.fixture
def drawn(draw, monkeypatch):
    """Draw them after all."""
    monkeypatch.setattr("maskwise.report.figures.draw", draw)


WORDS = ["the", "a", "cat", "dog", "mat", "sat", "lay", "on", "by", "and", "saw", "ran"]


@pytest.fixture(scope="session", params=["bert", "roberta"])
def language_model(request, tmp_path_factory):
    """The folder of a tiny masked language model over WORDS, with random weights."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    bert = request.param == "bert"
    special = "[PAD] [UNK] [CLS] [SEP] [MASK]" if bert else "<pad> <unk> <s> </s> <mask>"
    pad, unk, start, end, mask = special.split()
    # Padding is token 0 in BERT and 1 in RoBERTa.
    names = [pad, unk, start, end, mask] if bert else [start, pad, end, unk, *WORDS, mask]
    vocab = {name: place for place, name in enumerate(names + WORDS if bert else names)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token=unk))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, vocab[start]), (end, vocab[end])]
    )
    names = {"pad_token": pad, "unk_token": unk, "mask_token": mask}
    names |= {"cls_token": start, "sep_token": end}
    folder = tmp_path_factory.mktemp("models") / request.param
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=20, **names
    ).save_pretrained(folder)
    kind = "Bert" if bert else "Roberta"
    config = getattr(transformers, f"{kind}Config")(
        # Wider than the tokenizer, as where a vocabulary is rounded up.
        vocab_size=len(vocab) + 3,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=24,
        initializer_range=0.4,
        pad_token_id=vocab[pad],
    )
    import torch

    with torch.random.fork_rng():
        torch.default_generator.manual_seed(5)
        getattr(transformers, f"{kind}ForMaskedLM")(config).save_pretrained(folder)
    return folder


@pytest.fixture
def cli(capsys):
    """Run a command in this process; give (status, stdout, stderr)."""

    from maskwise.cli import main

    def call(*words):
        capsys.readouterr()
        status = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return status, out, err

    return call
