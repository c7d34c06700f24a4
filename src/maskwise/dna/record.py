"""Runs on DNA."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from maskwise.dna import data as dna_data
from maskwise.dna.data import DNASplits, either_strand
from maskwise.dna.dna import DNA
from maskwise.dna.evaluation import evaluate_dna
from maskwise.dna.fasta_files import SUFFIXES
from maskwise.dna.features import embed_sequences
from maskwise.dna.likelihoods import dna_likelihood
from maskwise.dna.model import DNAModelSettings
from maskwise.dna.recipes import DNARunSettings, any_dna
from maskwise.dna.tasks import check_dna_files
from maskwise.dna.words import WORDS
from maskwise.errors import UserError
from maskwise.layers.transformer import Attention
from maskwise.modality import Modality, Pool
from maskwise.settings import override
from maskwise.textio import kind_of
from maskwise.tokens.evaluation import write_rows
from maskwise.tokens.model import LanguageModel
from maskwise.tokens.network import TokenNetwork

PATTERNS = ("scattered", "spans", "units")


def _load(data: Sequence[str] | None, config: Any) -> DNASplits:
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
    if data is not None:
        return dna_data.from_sequences(data, config.data)
    if config.data.source == "array":
        raise UserError("this run was given sequences: give them again, as data=")
    return dna_data.load(config.data)


def _describe(splits: DNASplits, config: Any) -> tuple[DNA, Any]:
    """Complete the configuration from the data: window and stride."""
    tiles = splits.train.tiles
    config = override(config, {"data.window": tiles.width, "data.stride": tiles.stride})
    return dna_data.describe(splits, config.data), config


def _evaluate(model: LanguageModel, splits: DNASplits, config: Any, untrained: Any) -> Any:
    return evaluate_dna(
        model, splits, config.evaluate, pattern=config.pattern, untrained=untrained
    )


def _samples(folder: Path, model: LanguageModel, splits: DNASplits, config: Any) -> None:
    path, seed = folder / "samples.json", config.evaluate.seed
    write_rows(path, model, splits.test, pattern=config.pattern, seed=seed)


def _embed(
    model: LanguageModel, sequences: Sequence[Any], config: Any, pool: Pool, layer: int
) -> np.ndarray:
    if pool != "mean":
        raise UserError(f"pool '{pool}' needs a class token, which models of DNA lack: use mean")
    return embed_sequences(model, dna_data.as_codes(sequences), layer)


def _source_settings(source: str, fasta: str | None) -> dict[str, Any]:
    """Return the settings that say which sequences to read: regions, or whole records."""
    if fasta is not None:
        return {"data.source": fasta, "data.regions": source}
    if kind_of(Path(source)) == ".bed":
        raise UserError(f"{source} holds regions only: give the sequences too, with --fasta")
    return {"data.source": source, "data.regions": None}


def _build(
    dna: DNA, config: DNAModelSettings, attention: Attention, network: nn.Module | None
) -> LanguageModel:
    assert network is None or isinstance(network, TokenNetwork)
    return LanguageModel(dna, config, attention, network)


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
    fingerprint=lambda splits: splits.fingerprint,
    augment=lambda config: either_strand if config.data.both_strands else None,
    build=_build,
    evaluate=_evaluate,
    samples=_samples,
    restore=DNA.load,
    embed=_embed,
    read=lambda config: dna_data.sequences(config.data),
    source_settings=_source_settings,
    likelihood=dna_likelihood,
)
