"""Answers from part of the tokens of a sample."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from maskwise.dna.bases import NOTHING, encode
from maskwise.dna.evaluation import DNAEvaluateSettings, dna_parts
from maskwise.dna.tasks import SequenceTask
from maskwise.errors import UserError
from maskwise.measure.probes import Fold
from maskwise.predict import curve
from maskwise.tokens import curve as token_curve
from maskwise.tokens.model import LanguageModel

Make = Callable[..., LanguageModel]
QUICK = DNAEvaluateSettings(visible=(0.25, 1.0), visible_patterns=("random", "contiguous"))


def task(num: int = 90) -> SequenceTask:
    """Sequences of different lengths; those of the second class are rich in T."""
    rng = np.random.default_rng(0)
    y = np.arange(num) % 2
    sequences = [
        rng.choice(4, size=8 + n % 5, p=[0.1, 0.1, 0.1, 0.7] if n % 2 else [0.25] * 4)
        for n in range(num)
    ]
    sequences[5] = encode("NNNN")
    split = (Fold(np.arange(60), np.arange(60, num)), Fold(np.arange(60, num), np.arange(60)))
    named = {
        "name": "t",
        "sequences": [s.astype(np.uint8) for s in sequences],
        "classes": ("a", "b"),
    }
    return SequenceTask(y, split, np.arange(num), "", **named)


def test_rows_of_sequences(make_dna_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curve, "MOST_COPIES", 4)
    monkeypatch.setattr(curve, "DRAWS", 20)
    found = dna_parts(make_dna_model(), task(), QUICK)
    methods = ["encoder", "bag of visible tokens", "class frequencies"]
    assert [row["method"] for row in found] == methods * 4
    assert {(row["task"], row["num_train"], row["num_test"]) for row in found} == {("t", 59, 30)}
    right = {(row["method"], row["share"]): row["accuracy"]["value"] for row in found}
    assert right["bag of visible tokens", 1.0] > 0.75
    assert right["bag of visible tokens", 1.0] >= right["bag of visible tokens", 0.25] > 0.5
    # A share is one of what a sequence has, and not of the window.
    visible = {row["share"]: row["visible"] for row in found}
    assert visible[1.0] == 1
    assert 0.2 < visible[0.25] < 0.33


def test_a_bag_counts_what_is_visible(make_dna_model: Make) -> None:
    model = make_dna_model()
    codes = np.full((2, model.tokenizer.window), NOTHING, dtype=np.uint8)
    codes[0, :6], codes[1, :3] = encode("AACGTA"), encode("CCN")
    source = token_curve.TokenRows(torch.from_numpy(codes))
    columns = token_curve._frequent(model, source)
    hidden = np.zeros(codes.shape, dtype=bool)
    hidden[0, 0] = hidden[1, 1] = True
    found = np.expm1(token_curve._bag(model, source, columns, np.arange(2), hidden))
    ids = model.tokenizer.ids(source.samples)[0, [0, 2, 3, 4]]
    assert found[0, columns[ids]].round().tolist() == [2, 1, 1, 1]
    assert found[1].sum().round() == 1


def test_tokens_have_no_numbers() -> None:
    with pytest.raises(UserError, match="'MNAR' needs positions with numbers"):
        DNAEvaluateSettings(visible_patterns=("MNAR",))
