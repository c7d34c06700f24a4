"""Runs on texts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskwise.errors import UserError
from maskwise.evaluation.features import Pool
from maskwise.evaluation.text import evaluate_text
from maskwise.modalities import text_data
from maskwise.modalities.text import Text
from maskwise.modalities.text_data import TextSplits
from maskwise.modalities.text_files import read_parts
from maskwise.models import LanguageModel
from maskwise.pipelines.base import Pipeline
from maskwise.train.config import TextConfig

# What masks hide as one under these patterns; under others a token is its own unit.
UNITS = {"words": "words", "spans": "words", "ngrams": "ngrams"}


def _load(data: Sequence[str] | None, config: Any) -> TextSplits:
    units = UNITS.get(config.pattern.partition(":")[0])
    if data is not None:
        return text_data.from_texts(data, config.data, units=units)
    if config.data.source == "array":
        raise UserError("this run was given texts: give them again, as data=")
    return text_data.load(config.data, units=units)


def _describe(splits: TextSplits, config: Any) -> tuple[Text, Any]:
    if config.pattern.startswith(("block", "inverse-block", "columns", "units")):
        raise UserError(
            f"pattern {config.pattern} is for images; texts have scattered, words,"
            " ngrams and spans[:LENGTH]"
        )
    return splits.train.corpus.text, config


def _fingerprint(splits: TextSplits) -> dict[str, Any]:
    return {"tokens": splits.train.corpus.counts, "heldout": splits.test.corpus.counts}


def _evaluate(
    model: LanguageModel, splits: TextSplits, config: Any, untrained: Any
) -> dict[str, Any]:
    return evaluate_text(
        model, splits, config.evaluate, pattern=config.pattern, untrained=untrained
    )


def _samples(folder: Path, model: LanguageModel, splits: TextSplits, config: Any) -> None:
    return None


def _likelihood(
    model: LanguageModel, splits: TextSplits, config: Any, num_samples: int | None, **options: int
) -> dict[str, Any]:
    num_samples = 64 if num_samples is None else num_samples
    raise NotImplementedError
    return measure_rows(model, splits, config.law, num_samples=num_samples, **options)


def _embed(model: LanguageModel, texts: Sequence[str], pool: Pool, layer: int) -> np.ndarray:
    from maskwise.evaluation.text_features import embed_texts

    return embed_texts(model, texts, pool, layer)


def _read(config: Any) -> list[str]:
    """Return the documents of a source; in a text file each line is one."""
    source, column = config.data.source, config.data.column
    return text_data.documents(source, column, "line")


PIPELINE = Pipeline(
    config=TextConfig,
    load=_load,
    describe=_describe,
    fingerprint=_fingerprint,
    settle=lambda model, splits, config: None,
    evaluate=_evaluate,
    samples=_samples,
    likelihood=_likelihood,
    embed=_embed,
    read=_read,
)
