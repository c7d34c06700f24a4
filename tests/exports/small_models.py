"""A small model of each kind of data, samples as a user has them, and what a graph takes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from maskwise.cells.cells import Cells
from maskwise.columns.model import TabularModelSettings
from maskwise.dna.model import DNAModelSettings
from maskwise.dna.tokens import DNA
from maskwise.images.images import Images
from maskwise.modalities import build, config_of, find
from maskwise.patches.model import PatchModelSettings
from maskwise.tables.frames import columns_of
from maskwise.tables.table import Table
from maskwise.text.model import TextModelSettings
from maskwise.text.text import train_tokenizer


@dataclass
class Case:
    """A model, samples of its kind, and the same as inputs of its graph."""

    model: object
    samples: object
    inputs: dict

    def features(self, num):
        """What `run.embed` says of the first samples."""

        kind = find(self.model.tokenizer.modality)
        config = config_of("array" if kind.name != "dna" else "a.fa", {}, kind.name)
        return kind.embed(self.model, self.samples[:num], config, "mean", -1)

    def given(self, num):
        return {name: value[:num] for name, value in self.inputs.items()}


def telling(model):
    """Initial weights are so small that a test of what they carry could not see it."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(6 if parameter.ndim > 1 else 1)
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model.eval()


def images(width=6, **changes):
    statistics = {"mean": (90.0, 110.0), "std": (50.0, 60.0)}
    images = Images(patch=(2, 2), channels=2, height=4, width=width, **statistics)
    shape = {"width": 16, "depth": 1, "heads": 2, "decoder_width": 8, "decoder_heads": 2}
    model = build(images, PatchModelSettings(**(shape | changes)), seed=0)
    pixels = np.random.default_rng(0).integers(0, 256, (7, 4, width, 2), dtype=np.uint8)
    moved = pixels.transpose(0, 3, 1, 2).astype(np.float32)
    return Case(telling(model), pixels, {"pixels": moved})


TEXTS = [
    "the cat",
    "a mat sat on the mat on a cat",
    "the",
    "on a",
    "cat cat cat",
    "sat",
    "a a a a",
]


def texts():
    text = train_tokenizer(["the cat sat on a mat"] * 9, vocab_size=290, length=24)
    model = build(text, TextModelSettings(width=16, depth=1, heads=2), seed=0)
    ids = text.tokenize(TEXTS).ids
    attention = (ids != text.pad).long()
    inputs = {"input_ids": ids.numpy(), "attention_mask": attention.numpy()}
    return Case(telling(model), TEXTS, inputs)


SEQUENCES = ["ACGTTGCAACGT", "ACGTNACG", "TTgacA", "ACGTACGTACGTACGT", "GATTACA", "CCCC", "AAATTT"]


def dna(tokens="bases", **changes):
    model = build(
        DNA(window=16, tokens=tokens),
        DNAModelSettings(**({"width": 16, "depth": 1, "kernel": 3} | changes)),
        seed=0,
    )
    codes = np.full((7, 16), 5)
    for row, sequence in zip(codes, SEQUENCES, strict=True):
        row[: len(sequence)] = ["ACGTN".index(letter) for letter in sequence.upper()]
    return Case(telling(model), SEQUENCES, {"codes": codes})


def cells(loss="mse", **changes):
    import anndata

    rng = np.random.default_rng(0)
    counts = rng.poisson(3.0, (7, 6)).astype(np.float32)
    genes = tuple(f"gene{number}" for number in range(6))
    profile = tuple((counts.sum(0) / counts.sum()).tolist())
    known = Cells(genes, loss, profile=profile, target_sum=100.0, **changes)
    model = build(known, TabularModelSettings(width=8, depth=1, code=4, heads=2), seed=0)
    frame = anndata.AnnData(counts, var=pd.DataFrame(index=list(genes)))
    shown = counts
    if loss == "mse":
        shown = np.log1p(counts / counts.sum(1, keepdims=True) * 100)
    return Case(telling(model), frame, {"expression": shown})


def tables(scale="standard", lags=0, **changes):
    rng = np.random.default_rng(0)
    age = np.array([20.0, 31, np.nan, 70, 45, np.nan, 33])
    frame = pd.DataFrame(
        {
            "age": age,
            "sex": ["m", "f", "f", None, "m", None, "f"],
            "time": 1.7e9 + 1e3 * rng.standard_normal(7),
            "always": ["x"] * 7,
        }
    )
    frame.loc[5, "time"] = np.nan  # a row of which nothing is known
    table = Table.learn(columns_of(frame), scale=scale, lags=lags)
    shape = TabularModelSettings(**({"width": 8, "depth": 1, "code": 4, "heads": 2} | changes))
    codes = np.array([1, 0, 0, np.nan, 1, np.nan, 0])
    rows = np.stack([age, codes, frame["time"]], axis=1)
    if lags:
        before = np.concatenate([np.full((1, 3), np.nan), rows[:-1]])
        rows = np.stack([rows, before], axis=2).reshape(7, -1)
        rows = rows.reshape(7, 3, 2)[:, :, ::-1].reshape(7, 6)
    return Case(telling(build(table, shape, seed=0)), frame, {"rows": rows})


QUICK = {"images": images, "text": texts, "dna": dna, "cells": cells, "tables": tables}
MORE = {
    "images in replace mode": lambda: images(mode="replace", class_token=False),
    "k-mers": lambda: dna("kmers:3", kind="transformer"),
    "overlapping": lambda: dna("overlapping:3", equivariant=True),
    "counts": lambda: cells("nb", batches=("one", "two")),
    "quantiles": lambda: tables("quantile", kind="transformer"),
    "lags": lambda: tables(lags=1),
}
