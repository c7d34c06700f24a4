"""Runs on DNA: their settings, R²MAE by default, and all that is asked of this kind of data."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from maskwise.dna import data, hf_models, partial, streams
from maskwise.dna.data import DNADataSettings, DNASplits, either_strand
from maskwise.dna.evaluation import (
    DNAEvaluateSettings,
    dna_likelihood,
    embed_sequences,
    evaluate_dna,
)
from maskwise.dna.fasta import READS, SUFFIXES
from maskwise.dna.graph import dna_graph
from maskwise.dna.model import SHAPE, ConvNetwork, DNAModelSettings, token_slots
from maskwise.dna.samples import as_codes, example, samples_of
from maskwise.dna.survey import look, of_settings, of_tasks
from maskwise.dna.tasks import check_dna_files
from maskwise.dna.tokens import DNA
from maskwise.errors import UserError, option
from maskwise.exports.formats import graph_formats
from maskwise.given import Streamed
from maskwise.inspection import Inspection, Problem
from maskwise.modality import Entries, Modality, Pool, Scale
from maskwise.outputs import spread
from maskwise.settings import check_pool, override, settings
from maskwise.textio import kind_of
from maskwise.tokens.evaluation import write_rows
from maskwise.tokens.model import LanguageModel
from maskwise.tokens.network import SequenceNetwork
from maskwise.tokens.own import own_parts
from maskwise.train.config import LawText, RunSettings, TrainSettings
from maskwise.train.rows import from_runs
from maskwise.words import LikelihoodWords, LossWords, ProbeWords, Words

log = logging.getLogger("maskwise")

RELATED = frozenset(
    {".2bit", ".faa", ".bed", ".gff", ".gff3", ".gtf", ".vcf", ".bcf", ".bam", ".sam", ".cram"}
    | {".gb", ".gbk", ".embl", ".narrowpeak", ".broadpeak"}
)

WORDS = Words(
    counted=("windows seen", "encoder tokens", "predicted tokens"),
    shown="tokens",
    aligned=True,
    more="Only the loss was measured. Probes and fine-tuning need files of labelled sequences:",
    more_options=" --evaluate.probes FILE --evaluate.finetune.tasks FILE",
    loss=LossWords(
        axis="nats per hidden token",
        what="Mean cross-entropy of hidden tokens",
        samples="held-out windows",
        form=".4f",
        between=("tokens", "window", "stride", "regions"),
        differ="data, tokens or pattern",
        known={
            "unigram": "each token predicted by its share of the training data alone",
            "base composition": "each base predicted by its share of the training data alone,"
            " which costs the entropy of the composition: a model above it has learned nothing",
        },
        headline=0.15,
    ),
    likelihood=LikelihoodWords(
        kind="probability",
        compare="Bits per base can be compared between kinds of tokens, the other values cannot. ",
        dashed="equal probabilities for all tokens",
        tested="held-out windows",
    ),
    probes=ProbeWords(samples="sequences"),
)


@settings
class DNARunSettings(RunSettings):
    """Everything that decides what a run on DNA does."""

    modality: Literal["dna"] = "dna"
    """kind of data"""
    data: DNADataSettings = Field(default_factory=DNADataSettings)
    model: DNAModelSettings = Field(default_factory=DNAModelSettings)
    evaluate: DNAEvaluateSettings = Field(default_factory=DNAEvaluateSettings)
    law: LawText = "uniform:0.05,0.5"
    """the law of the mask ratio"""


def any_dna(source: str) -> DNARunSettings:
    """Sequences of your own: 8 dilated convolutions of width 128, windows of 512 bases, R²MAE."""
    return DNARunSettings(
        data=DNADataSettings(source=source),
        train=TrainSettings(budget="10m", steps=20_000, batch_size=64, lr=1e-3, weight_decay=0.01),
    )


# Of few windows a model knows the very bases after more epochs, and others less well.
SCALE = Scale(
    epochs=50,
    smaller=[{"model.width": width, "model.depth": depth} for width, depth in ((64, 6), (32, 4))],
)


def _load(given: Sequence[str] | None, config: DNARunSettings) -> DNASplits:
    # Before a genome is read.
    for problem in [*of_settings(config.data, config.pattern), *_source(given, config)]:
        raise UserError(problem.text, problem.settings)
    check_dna_files([*config.evaluate.probes, *config.evaluate.finetune.tasks])
    return data.load(config.data, given)


def _stream(stream: Streamed, config: DNARunSettings) -> DNASplits:
    for problem in of_settings(config.data, config.pattern):
        raise UserError(problem.text, problem.settings)
    check_dna_files([*config.evaluate.probes, *config.evaluate.finetune.tasks])
    return streams.load_stream(stream, config.data)


def _source(given: Sequence[str] | None, config: DNARunSettings) -> list[Problem]:
    if given is None and config.data.source == "array":
        return [Problem("this run was given sequences: give them again, as data=")]
    return []


def _inspect(given: Sequence[str] | None, config: DNARunSettings) -> Inspection:
    """Say what sequences hold, and all that stands in the way of a run on them."""
    problems = [*of_settings(config.data, config.pattern), *_source(given, config)]
    problems += of_tasks(config.evaluate)
    if given is None and config.data.source == "array":
        return Inspection({}, problems=problems)
    found = look(config.data, given)
    return replace(found, problems=[*problems, *found.problems])


def _describe(splits: DNASplits, config: DNARunSettings) -> tuple[DNA, DNARunSettings]:
    """Complete the configuration from the data: window and stride."""
    train = splits.train
    config = override(config, {"data.window": train.width, "data.stride": train.stride})
    return data.describe(splits, config.data), config


def _embed(
    model: LanguageModel[DNA],
    sequences: Sequence[str | np.ndarray],
    config: DNARunSettings,
    pool: Pool,
    layer: int,
) -> np.ndarray:
    check_pool(pool, has_class_token=True)
    if pool != "mean":
        raise UserError(f"pool '{pool}' needs a class token, which models of DNA lack: use mean")
    codes, broken = as_codes(model.tokenizer, sequences)
    return spread(embed_sequences(model, codes, layer), None, broken).features


def _with_window(model: LanguageModel[DNA], size: tuple[int, ...]) -> LanguageModel[DNA]:
    """Return a model for windows of another width, which shares its weights, and say so."""
    dna, width = model.tokenizer, size[-1]
    if width == dna.window:
        return model
    log.warning("windows of %d bases, and the model's had %d", width, dna.window)
    return model.reading(replace(dna, window=width))


def _source_settings(source: str, fasta: str | None) -> Entries:
    """Return the settings that say which sequences to read: regions, or whole records."""
    if fasta is not None:
        return {"data.source": fasta, "data.regions": source}
    if kind_of(Path(source)) == ".bed":
        raise UserError(
            f"{source} holds regions only: give the sequences too, with {option('fasta')}"
        )
    return {"data.source": source, "data.regions": None}


RECORD = Modality(
    name="dna",
    title="a model of DNA",
    settings=DNARunSettings,
    recipes={},
    own=any_dna,
    scale=SCALE,
    words=WORDS,
    sources="FILE.fa|.fasta|.fna|.ffn|.fastq (.gz, .bgz, .xz), a folder of FASTA files",
    endings=frozenset({*SUFFIXES, *READS}),
    related=RELATED,
    precedence=1,
    of_items=lambda items, config: streams.of_items(items),
    of_stream=_stream,
    inspect=_inspect,
    load=_load,
    describe=_describe,
    fingerprint=lambda splits: {
        "sequences": splits.train.genome.fingerprint,
        "windows": len(splits.train),
        "heldout": len(splits.test),
    },
    augment=lambda config: either_strand if config.data.both_strands else None,
    build=LanguageModel,
    init=from_runs(
        "dna",
        restore=DNA.load,
        shape=SHAPE,
        settings=DNAModelSettings,
        slots=token_slots,
        data=lambda start: {"data.tokens": start.values["dna"]["tokens"]},
        what="tokens",
    ),
    evaluate=lambda model, splits, config, untrained: evaluate_dna(
        model, splits, config.evaluate, pattern=config.pattern, untrained=untrained
    ),
    samples=lambda folder, model, splits, config: write_rows(
        folder, model, splits.test, pattern=config.pattern, seed=config.evaluate.seed
    ),
    example=example,
    restore=DNA.load,
    parts=lambda model: own_parts(model.network, SequenceNetwork, ConvNetwork),
    embed=_embed,
    suited=lambda model, given, config: (
        _with_window(model, (config.data.window or model.tokenizer.window,)),
        config,
    ),
    resized=_with_window,
    read=lambda config: samples_of(config.data),
    incomplete=partial.incomplete,
    labelled=partial.labelled,
    source_settings=_source_settings,
    likelihood=dna_likelihood,
    exports={"hf-mlm": hf_models.write, **graph_formats(dna_graph)},
)
