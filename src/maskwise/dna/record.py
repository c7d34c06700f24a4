"""Runs on DNA: their settings, R²MAE by default, and all that is asked of this kind of data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from maskwise.dna import data
from maskwise.dna.data import DNADataSettings, DNASplits, either_strand
from maskwise.dna.evaluation import (
    DNAEvaluateSettings,
    dna_likelihood,
    embed_sequences,
    evaluate_dna,
)
from maskwise.dna.fasta import SUFFIXES
from maskwise.dna.model import DNAModelSettings
from maskwise.dna.tasks import check_dna_files
from maskwise.dna.tokens import DNA
from maskwise.errors import UserError
from maskwise.modality import Entries, Modality, Pool, Samples
from maskwise.settings import check_pool, override, settings
from maskwise.textio import kind_of
from maskwise.tokens.evaluation import write_rows
from maskwise.tokens.model import LanguageModel
from maskwise.train.config import LawText, RunSettings, TrainSettings
from maskwise.words import LikelihoodWords, LossWords, ProbeWords, Words

PATTERNS = ("scattered", "spans", "units")

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
        train=TrainSettings(steps=20_000, batch_size=64, lr=1e-3, weight_decay=0.01),
    )


def _load(given: Sequence[str] | None, config: DNARunSettings) -> DNASplits:
    # Before a genome is read.
    pattern = config.pattern.partition(":")[0]
    if pattern not in PATTERNS:
        known = "scattered, spans[:LENGTH] and units[:SIZE] (units:3 hides codons)"
        raise UserError(f"pattern {config.pattern} is not for DNA, which has {known}")
    if config.data.tokens.startswith("overlapping") and pattern != "spans":
        raise UserError(
            f"tokens {config.data.tokens} need --pattern spans: every k-mer that holds a hidden"
            f" base is hidden, and {config.pattern} masks would leave few visible"
        )
    check_dna_files([*config.evaluate.probes, *config.evaluate.finetune.tasks])
    if given is None and config.data.source == "array":
        raise UserError("this run was given sequences: give them again, as data=")
    return data.load(config.data, given)


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
    return embed_sequences(model, data.as_codes(sequences), layer)


def _source_settings(source: str, fasta: str | None) -> Entries:
    """Return the settings that say which sequences to read: regions, or whole records."""
    if fasta is not None:
        return {"data.source": fasta, "data.regions": source}
    if kind_of(Path(source)) == ".bed":
        raise UserError(f"{source} holds regions only: give the sequences too, with --fasta")
    return {"data.source": source, "data.regions": None}


RECORD = Modality(
    name="dna",
    title="a model of DNA",
    settings=DNARunSettings,
    recipes={},
    own=any_dna,
    words=WORDS,
    sources="FILE.fa|.fasta|.fna|.ffn (.gz, .bgz, .xz), a folder of these",
    endings=frozenset(SUFFIXES),
    precedence=1,
    load=_load,
    describe=_describe,
    fingerprint=lambda splits: {
        "sequences": splits.train.genome.fingerprint,
        "windows": len(splits.train),
        "heldout": len(splits.test),
    },
    augment=lambda config: either_strand if config.data.both_strands else None,
    build=LanguageModel,
    evaluate=lambda model, splits, config, untrained: evaluate_dna(
        model, splits, config.evaluate, pattern=config.pattern, untrained=untrained
    ),
    samples=lambda folder, model, splits, config: write_rows(
        folder, model, splits.test, pattern=config.pattern, seed=config.evaluate.seed
    ),
    restore=DNA.load,
    embed=_embed,
    read=lambda config: Samples(data.sequences(config.data)),
    source_settings=_source_settings,
    likelihood=dna_likelihood,
)
