"""Runs on texts: settings, recipes (R²MAE, or BERT's fixed ratio), and the record."""

import logging
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from maskwise.errors import UserError, option
from maskwise.exports.formats import graph_formats
from maskwise.given import Items, Streamed
from maskwise.inspection import Inspection, Problem
from maskwise.modality import Entries, Modality, Pool, Scale
from maskwise.settings import override, settings
from maskwise.text import data as text_data
from maskwise.text import hf_models, streams
from maskwise.text import partial as partial_texts
from maskwise.text.data import TextDataSettings, TextSplits
from maskwise.text.evaluation import TextEvaluateSettings, check_files, evaluate_text
from maskwise.text.given import are_texts, example, read_given
from maskwise.text.graph import text_graph
from maskwise.text.init import INIT
from maskwise.text.inspecting import inspect_texts
from maskwise.text.lengths import with_rows
from maskwise.text.likelihoods import measure_text, read_text, text_likelihood
from maskwise.text.model import HFNetwork, TextModelSettings, fitted, longest_of
from maskwise.text.sources import SUFFIXES, hub_columns, read_samples
from maskwise.text.tasks import cut_note, embed_texts
from maskwise.text.text import Text
from maskwise.textio import few, kind_of, names_in_parquet
from maskwise.tokens.evaluation import write_rows
from maskwise.tokens.model import LanguageModel
from maskwise.tokens.network import SequenceNetwork
from maskwise.tokens.own import own_parts
from maskwise.train.config import LawText, RunSettings, TrainSettings
from maskwise.words import LikelihoodWords, LossWords, ProbeWords, Words

log = logging.getLogger("maskwise")

WORDS = Words(
    counted=("rows seen", "encoder tokens", "predicted tokens"),
    shown="tokens",
    more="Only the loss was measured. Probes, minimal pairs and fine-tuning need files:",
    more_options=" --evaluate.probes TRAIN:TEST --evaluate.token_probes TRAIN:TEST"
    " --evaluate.pairs FILE --evaluate.finetune.tasks TRAIN:TEST",
    loss=LossWords(
        axis="nats per hidden token",
        what="Mean cross-entropy of hidden tokens",
        samples="held-out rows",
        form=".3f",
        between=("tokenizer", "vocab_size", "lowercase", "length"),
        differ="data, tokens or pattern",
        known={"unigram": "each token predicted by its share of the training data alone"},
        headline=0.15,
        digits=2,
    ),
    likelihood=LikelihoodWords(
        kind="probability",
        compare="Bits per byte can be compared between tokenizers, the other values cannot. ",
        dashed="equal probabilities for all tokens",
        tested="held-out texts",
    ),
    probes=ProbeWords(samples="texts"),
)


@settings
class TextRunSettings(RunSettings):
    """Everything that decides what a run on texts does."""

    modality: Literal["text"] = "text"
    """kind of data"""
    data: TextDataSettings = Field(default_factory=TextDataSettings)
    model: TextModelSettings = Field(default_factory=TextModelSettings)
    evaluate: TextEvaluateSettings = Field(default_factory=TextEvaluateSettings)
    law: LawText = "uniform:0.1,0.5"
    """the law of the mask ratio"""


def pydoc(law: str = "uniform:0.1,0.5") -> TextRunSettings:
    """Python's own manual, 0.5 MB of English, built in; a minute on two cores."""
    return TextRunSettings(
        data=TextDataSettings(source="pydoc", vocab_size=2048, length=64),
        model=TextModelSettings(width=96, depth=3, heads=3),
        law=law,
        train=TrainSettings(steps=600, batch_size=64, lr=3e-3),
    )


def any_texts(source: str) -> TextRunSettings:
    """Texts of your own: 6 layers of width 256, rows of 128 tokens, R²MAE."""
    return TextRunSettings(
        data=TextDataSettings(source=source),
        law="uniform:0.1,0.5",
        train=TrainSettings(budget="10m", steps=20_000, batch_size=64, lr=1e-3, weight_decay=0.01),
    )


# A model of transformers has a shape of its own.
SCALE = Scale(
    epochs=100,
    smaller=[
        {"model.width": width, "model.depth": depth, "model.hf": None}
        for width, depth in ((128, 4), (64, 2))
    ],
)


RECIPES = {"pydoc": pydoc, "pydoc-fixed": lambda: pydoc(law="fixed:0.15")}


# What masks hide as one under the patterns of texts; None: a token is its own unit.
UNITS = {"scattered": None, "words": "words", "spans": "words", "ngrams": "ngrams"}


def _load(data: object, config: TextRunSettings) -> TextSplits:
    # Before a long text is tokenized.
    units = _units(config)
    check_files(config.evaluate)
    completed = _completed(config).data
    if data is None and completed.source == "array":
        raise UserError("this run was given texts: give them again, as data=")
    return text_data.load(completed, data, units=units)


def _stream(stream: Streamed, config: TextRunSettings) -> TextSplits:
    units = _units(config)
    check_files(config.evaluate)
    return streams.load_stream(stream, _completed(config).data, units)


def _units(config: TextRunSettings) -> str | None:
    pattern = config.pattern.partition(":")[0]
    if pattern not in UNITS:
        known = "scattered, words, ngrams and spans[:LENGTH]"
        raise UserError(f"pattern {config.pattern} is for grids of images; texts have {known}")
    return UNITS[pattern]


def _inspect(data: object, config: TextRunSettings) -> Inspection:
    problems, units = [], None
    try:
        units = _units(config)
    except UserError as error:
        problems.append(Problem(str(error), {"pattern": "scattered"}))
    try:
        check_files(config.evaluate)
    except UserError as error:
        problems.append(Problem(str(error)))
    longest = None
    if config.model.hf is not None:
        try:
            longest = longest_of(config.model.hf)
        except UserError as error:
            problems.append(Problem(str(error)))
    return inspect_texts(data, _completed(config).data, units, problems, longest)


def _completed(config: TextRunSettings) -> TextRunSettings:
    """Complete the configuration: a model of transformers has a tokenizer, and no packed rows."""
    if config.model.hf is None:
        return config
    tokenizer = config.data.tokenizer or config.model.hf
    return override(config, {"data.tokenizer": tokenizer, "data.pack": False})


def _describe(splits: TextSplits, config: TextRunSettings) -> tuple[Text, TextRunSettings]:
    text = splits.train.corpus.text
    if config.model.hf is not None:
        text = fitted(text, config.model.hf)
    return text, _completed(config)


def _read_by(model: LanguageModel[Text], splits: TextSplits) -> TextSplits:
    """Return splits whose ids are those of a model's tokenizer.

    Raises:
        UserError: they are not, as where one was trained on other texts.
    """
    own, given = model.tokenizer.tokenizer, splits.test.corpus.text.tokenizer
    if own is not given and own.get_vocab() != given.get_vocab():
        raise UserError(
            "these texts have the ids of another tokenizer than the model's: give its own, with"
            f" {option('data.tokenizer', 'RUN/model/tokenizer.json')}"
        )
    return splits


def _fingerprint(splits: TextSplits) -> Entries:
    starts = splits.train.starts
    units = None if starts is None else int(starts.sum())
    tokens, heldout = (part.corpus.counts for part in (splits.train, splits.test))
    return {"tokens": tokens, "heldout": heldout, "units": units}


def _embed(
    model: LanguageModel[Text], data: object, config: TextRunSettings, pool: Pool, layer: int
) -> np.ndarray:
    """Return features of texts; of what is no text, or has no token, NaN."""
    texts = read_given(data).texts
    if not texts:
        raise UserError("no texts: give at least one")
    tokens = model.tokenizer.encode(texts)
    kept = [row for row, each in enumerate(tokens) if len(each.ids)]
    if len(kept) < len(texts):
        bare = sorted(set(range(1, len(texts) + 1)) - {row + 1 for row in kept})
        log.warning("%d texts without a token have no features: %s", len(bare), few(bare))
    if not kept:
        raise UserError(f"no text has a token: {texts[0][:40]!r}, ...: give texts with letters")
    filled = [texts[row] for row in kept]
    if note := cut_note(model.tokenizer, filled):
        log.warning("%s", note)
    features = embed_texts(model, filled, pool, layer)
    whole = np.full((len(texts), features.shape[1]), np.nan, np.float32)
    whole[kept] = features
    return whole


def _owns(path: Path) -> bool:
    try:
        return kind_of(path) != ".parquet" or "text" in names_in_parquet(path)
    except UserError:  # whoever reads it says what is wrong
        return True


RECORD = Modality(
    name="text",
    title="a language model",
    settings=TextRunSettings,
    recipes=RECIPES,
    own=any_texts,
    scale=SCALE,
    words=WORDS,
    sources="FILE.txt|.md|.jsonl|.json|.parquet (.gz, .xz), a folder of these, hf:NAME",
    endings=frozenset({*SUFFIXES, ".json"}),
    owns=_owns,
    telling=frozenset({"data.column", "data.document"}),
    of_hub=lambda source: {"string", "Image"} & hub_columns(source) == {"string"},
    of_memory=lambda data: (
        streams.are_texts(data) if isinstance(data, (Items, Streamed)) else are_texts(data)
    ),
    of_items=lambda items, config: streams.of_items(items, config.data.column),
    of_stream=_stream,
    inspect=_inspect,
    load=_load,
    describe=_describe,
    fingerprint=_fingerprint,
    build=LanguageModel,
    init=INIT,
    evaluate=lambda model, splits, config, untrained: evaluate_text(
        model,
        _read_by(model, splits),
        config.evaluate,
        pattern=config.pattern,
        untrained=untrained,
    ),
    samples=lambda folder, model, splits, config: write_rows(
        folder, model, splits.test, pattern=config.pattern, seed=config.evaluate.seed
    ),
    example=example,
    restore=Text.load,
    parts=lambda model: (
        {"network": model.network.config}
        if isinstance(model.network, HFNetwork)
        else own_parts(model.network, SequenceNetwork)
    ),
    encoder_of_parts=lambda parts: (
        partial(HFNetwork.from_config, parts["network"]) if "network" in parts else None
    ),
    suited=lambda model, data, config: (with_rows(model, (config.data.length,)), config),
    resized=with_rows,
    embed=_embed,
    read=lambda config: read_samples(config.data.source, config.data.how),
    incomplete=partial_texts.incomplete,
    labelled=partial_texts.labelled,
    likelihood=lambda model, splits, law, **options: text_likelihood(
        model, _read_by(model, splits), law, **options
    ),
    likelihood_of_file=lambda model, path, length, **options: measure_text(
        model, *read_text(path), length=length, **options
    ),
    foreign=hf_models.load,
    exports={"hf-mlm": hf_models.write, **graph_formats(text_graph)},
)
