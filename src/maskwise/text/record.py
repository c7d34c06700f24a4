"""Runs on texts."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from maskwise.errors import UserError
from maskwise.layers.transformer import Attention
from maskwise.modality import EncoderFactory, Modality, Pool
from maskwise.settings import override
from maskwise.text import data as text_data
from maskwise.text import hf_models, hf_network
from maskwise.text.data import TextSplits
from maskwise.text.evaluation import check_files, evaluate_text
from maskwise.text.features import cut_note, embed_texts
from maskwise.text.files import SUFFIXES, hub_columns
from maskwise.text.hf_network import HFNetwork
from maskwise.text.likelihoods import measure_text, read_text, text_likelihood
from maskwise.text.model import TextModelSettings
from maskwise.text.recipes import RECIPES, TextRunSettings, any_texts
from maskwise.text.text import Text
from maskwise.text.words import WORDS
from maskwise.textio import kind_of, names_in_parquet
from maskwise.tokens.model import LanguageModel
from maskwise.tokens.network import TokenNetwork
from maskwise.tokens.samples import write_rows

log = logging.getLogger("maskwise")

# What masks hide as one under the patterns of texts; None: a token is its own unit.
UNITS = {"scattered": None, "words": "words", "spans": "words", "ngrams": "ngrams"}


def _load(data: Sequence[str] | None, config: Any) -> TextSplits:
    # Before a long text is tokenized.
    if config.pattern.partition(":")[0] not in UNITS:
        known = "scattered, words, ngrams and spans[:LENGTH]"
        raise UserError(f"pattern {config.pattern} is for grids of images; texts have {known}")
    check_files(config.evaluate)
    units = UNITS[config.pattern.partition(":")[0]]
    settings = _settings(config).data
    if data is not None:
        return text_data.from_texts(data, settings, units=units)
    if settings.source == "array":
        raise UserError("this run was given texts: give them again, as data=")
    return text_data.load(settings, units=units)


def _settings(config: Any) -> Any:
    """Complete the configuration: a model of transformers has a tokenizer, and no packed rows."""
    if config.model.hf is None:
        return config
    tokenizer = config.data.tokenizer or config.model.hf
    return override(config, {"data.tokenizer": tokenizer, "data.pack": False})


def _describe(splits: TextSplits, config: Any) -> tuple[Text, Any]:
    return splits.train.corpus.text, _settings(config)


def _fingerprint(splits: TextSplits) -> dict[str, Any]:
    starts = splits.train.starts
    units = None if starts is None else int(starts.sum())
    counts = splits.train.corpus.counts, splits.test.corpus.counts
    return {"tokens": counts[0], "heldout": counts[1], "units": units}


def _evaluate(
    model: LanguageModel, splits: TextSplits, config: Any, untrained: Any
) -> dict[str, Any]:
    return evaluate_text(
        model, splits, config.evaluate, pattern=config.pattern, untrained=untrained
    )


def _samples(folder: Path, model: LanguageModel, splits: TextSplits, config: Any) -> None:
    path, seed = folder / "samples.json", config.evaluate.seed
    write_rows(path, model, splits.test, pattern=config.pattern, seed=seed)


def _embed(
    model: LanguageModel, texts: Sequence[str], config: Any, pool: Pool, layer: int
) -> np.ndarray:
    if note := cut_note(model.tokenizer, texts):
        log.warning("%s", note)
    return embed_texts(model, texts, pool, layer)


def _read(config: Any) -> list[str]:
    """Return the documents of a source; in a text file each line is one."""
    source, column = config.data.source, config.data.column
    return text_data.documents(source, column, "line")


def _build(
    text: Text, config: TextModelSettings, attention: Attention, network: nn.Module | None
) -> LanguageModel:
    if network is None and config.hf is not None:
        network = hf_network.named(config.hf, config.pretrained)
    assert network is None or isinstance(network, TokenNetwork)
    return LanguageModel(text, config, attention, network)


def _parts(model: LanguageModel) -> dict[str, Any]:
    theirs = isinstance(model.network, HFNetwork)
    return {"network": model.network.config} if theirs else {}


def _encoder_of(parts: dict[str, Any]) -> EncoderFactory | None:
    """Return what makes a network of transformers, with random weights."""
    return partial(HFNetwork.from_config, parts["network"]) if "network" in parts else None


def _in_hub(source: str) -> bool:
    kinds = hub_columns(source)
    return "string" in kinds and "Image" not in kinds


def _holds_texts(path: Path) -> bool:
    try:
        return "text" in names_in_parquet(path)
    except UserError:  # whoever reads it says what is wrong
        return True


def _likelihood_of_file(
    model: LanguageModel, path: Path, length: int | None, **options: int
) -> dict[str, Any]:
    text, name = read_text(path)
    return measure_text(model, text, name, length=length, **options)


RECORD = Modality(
    name="text",
    title="a language model",
    settings=TextRunSettings,
    recipes=RECIPES,
    own=any_texts,
    words=WORDS,
    sources="FILE.txt|.md|.jsonl|.parquet (.gz, .xz), a folder of these, hf:NAME",
    endings=frozenset(SUFFIXES),
    owns=lambda path: kind_of(path) != ".parquet" or _holds_texts(path),
    telling=frozenset({"data.column"}),
    of_hub=_in_hub,
    of_memory=lambda data: isinstance(data, list) and bool(data) and isinstance(data[0], str),
    load=_load,
    describe=_describe,
    fingerprint=_fingerprint,
    build=_build,
    evaluate=_evaluate,
    samples=_samples,
    restore=Text.load,
    parts=_parts,
    encoder_of_parts=_encoder_of,
    embed=_embed,
    read=_read,
    likelihood=text_likelihood,
    likelihood_of_file=_likelihood_of_file,
    foreign=hf_models.load,
)
