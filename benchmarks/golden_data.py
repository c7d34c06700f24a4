"""Small data for `benchmarks.golden_cases`: made up, the same each time, or brought by libraries.

What has to be a file is written into the current folder.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

WORDS = ["the", "a", "cat", "dog", "mat", "sat", "lay", "on", "by", "and", "saw", "ran"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
GENES = [f"GENE{n}" for n in range(24)]
BERT = "tiny-bert"
TASK = "animals=train.jsonl:test.jsonl"
TAGS = "tags=train.tagged:test.tagged"
SEQUENCES = "repeats=repeats.fa+others.fa"


def digits() -> NDArray[np.uint8]:
    """Return six of the digits that the recipe learns from, [6, 8, 8]."""
    from sklearn.datasets import load_digits

    return load_digits().images[:6].astype(np.uint8)


def pictures() -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """Return images in colour, brighter above or below, [90, 12, 12, 3], and which."""
    generator = np.random.default_rng(1)
    above = np.arange(90) % 3
    images = generator.integers(0, 120, (90, 12, 12, 3))
    images[above == 1, :6] += 100
    images[above == 2, 6:, :, 1] += 100
    return images.astype(np.uint8), np.array(["flat", "above", "below"])[above]


def heights() -> NDArray[np.float32]:
    """Return images of floats, waves of random directions, [64, 8, 8]."""
    generator = np.random.default_rng(2)
    y, x = generator.uniform(-1.5, 1.5, (2, 64, 1, 1))
    grid = np.arange(8)
    waves = np.sin(y * grid[:, None] + x * grid) + generator.normal(0, 0.1, (64, 8, 8))
    return waves.astype(np.float32)


def lines() -> list[str]:
    """Return texts."""
    return [f"line {n} tells of {n * n} cats and some {n % 7} dogs that sat by" for n in range(90)]


def labelled_lines() -> list[str]:
    """Return texts, and write tasks: labels, tags and minimal pairs."""
    for part, size in (("train", 24), ("test", 12)):
        places = range(len(part), len(part) + size)
        rows = [{"text": f"the {WORDS[2 + n % 2]} saw {n}", "label": n % 2} for n in places]
        Path(f"{part}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", "utf-8")
        tagged = [f"the\tD\n{WORDS[2 + n % 3]}\tN\n{WORDS[5 + n % 2]}\tV\n" for n in places]
        Path(f"{part}.tagged").write_text("\n".join(tagged), "utf-8")
    pair = {
        "sentence_good": "some cats sat by",
        "sentence_bad": "by sat some cats",
        "UID": "order",
    }
    Path("pairs.jsonl").write_text(json.dumps(pair) + "\n", "utf-8")
    return lines()


def sentences() -> list[str]:
    """Return texts of `WORDS`, and write a tiny BERT of transformers that knows these."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocab = {name: place for place, name in enumerate(SPECIAL + WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=20,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(BERT)
    config = transformers.BertConfig(
        vocab_size=len(vocab) + 3,  # wider than the tokenizer, as where it is rounded up
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=24,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(5)
        transformers.BertForMaskedLM(config).save_pretrained(BERT)
    generator = np.random.default_rng(3)
    return [" ".join(generator.choice(WORDS, generator.integers(5, 12))) for _ in range(80)]


def sequences() -> list[str]:
    """Return DNA, some of it soft-masked or unknown, and write two classes of it."""
    generator = np.random.default_rng(4)

    def letters(size: int) -> str:
        return "".join(
            generator.choice(list("ACGTacgtN"), size, p=[0.2] * 4 + [0.045] * 4 + [0.02])
        )

    found = [letters(size) for size in (700, 400, 150, 20)]
    for name, unit in (("repeats", "ACG"), ("others", "")):
        records = [f">{name}{n}\n{unit * 4}{letters(20)}\n" for n in range(12)]
        Path(f"{name}.fa").write_text("".join(records), "utf-8")
    return found


def cells() -> Any:
    """Return counts of two types of cells, in two batches, as AnnData [80, 24]."""
    import anndata
    import pandas as pd
    from scipy import sparse

    generator = np.random.default_rng(5)
    kind, batch = np.arange(80) % 2, np.arange(80) // 2 % 2
    rate = generator.gamma(0.7, 2.0, (2, 24))[kind] * generator.gamma(4, 0.25, (80, 1)) + 0.05
    obs = pd.DataFrame(
        {"kind": np.array(["T", "B"])[kind], "plate": np.array(["p1", "p2"])[batch]},
        index=[f"cell{n}" for n in range(80)],
    )
    values = sparse.csr_matrix(generator.poisson(rate).astype(np.float32))
    return anndata.AnnData(values, obs=obs, var=pd.DataFrame(index=GENES))


def table() -> Any:
    """Return a data frame of numbers, categories and classes with holes, [80, 6]."""
    import pandas as pd

    generator = np.random.default_rng(6)
    size = generator.normal(size=80)
    frame = pd.DataFrame(
        {
            "length": 10 + 3 * size + generator.normal(size=80),
            "weight": np.rint(100 + 20 * size).astype(int),
            "sex": np.where(size + generator.normal(size=80) > 0, "f", "m"),
            "site": generator.choice(["A", "B", "C"], 80),
            "age": generator.gamma(3, 10, 80),
            "species": np.where(size > 0, "cat", "mouse"),
        }
    )
    frame.loc[generator.random(80) < 0.2, "age"] = np.nan
    frame.loc[generator.random(80) < 0.2, "sex"] = None
    return frame


def numbers() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return numbers that depend on each other, [80, 6], with holes, and three classes."""
    generator = np.random.default_rng(7)
    values = generator.normal(size=(80, 2)) @ generator.normal(size=(2, 6))
    values += 0.1 * generator.normal(size=(80, 6))
    y = (values[:, 0] > 0).astype(np.int64) + (values[:, 1] > 0)
    values[generator.random((80, 6)) < 0.1] = np.nan
    return values, y
