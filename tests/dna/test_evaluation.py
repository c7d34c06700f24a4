import json
from collections.abc import Callable

import numpy as np
import pytest

from maskwise.dna.bases import encode
from maskwise.dna.evaluation import DNAEvaluateSettings, dna_probes
from maskwise.dna.tasks import SequenceTask
from maskwise.errors import UserError
from maskwise.measure.probes import Fold
from maskwise.tokens.model import LanguageModel

Make = Callable[..., LanguageModel]
EVERY_LAYER = DNAEvaluateSettings(layers=())


def make_task(num: int = 120, length: int = 12, folds: int = 3) -> SequenceTask:
    """Random sequences; those of the second class have TATA in their middle."""
    rng = np.random.default_rng(0)
    y = np.arange(num) % 2
    sequences = rng.integers(0, 4, (num, length)).astype(np.uint8)
    sequences[1::2, 4:8] = encode("TATA")
    parts = np.arange(num) // 2 % folds
    split = tuple(
        Fold((parts != part).nonzero()[0], (parts == part).nonzero()[0]) for part in range(folds)
    )
    named = {"name": "boxes", "sequences": list(sequences), "classes": ("no", "yes")}
    return SequenceTask(y, split, np.arange(num), "3-fold", **named)


def test_rows_of_models_and_baselines(make_dna_model: Make) -> None:
    models = {"encoder": make_dna_model(), "untrained encoder": make_dna_model(width=8)}
    rows = dna_probes(models, make_task(), EVERY_LAYER)
    assert [row["features"] for row in rows] == [
        *[f"{name} layer {layer}" for name in models for layer in (0, 0, 1, 1)],
        "GC content",
        "4-mer frequencies",
        "one-hot bases",
    ]
    protocols = [row["protocol"].split(" ")[0] for row in rows]
    assert protocols == ["logistic-lbfgs", "knn"] * 4 + ["logistic-lbfgs"] * 3
    for row in rows:
        assert (row["task"], row["note"]) == ("boxes", "3-fold")
        assert (row["num_train"], row["num_test"]) == (80, 120)
        assert row["low"] <= row["accuracy"] <= row["high"]
        for key in ("mcc", "auroc"):
            assert row[key]["low"] <= row[key]["value"] <= row[key]["high"]
    # A box at a fixed place is in the bases and in the words, and not in the composition alone.
    gc, words, bases = rows[-3:]
    assert words["mcc"]["value"] > 0.7 > 0.6 > gc["mcc"]["value"]
    assert bases["accuracy"] > 0.95
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_layers_and_protocols_as_asked_for(make_dna_model: Make) -> None:
    models = {"encoder": make_dna_model(depth=3)}
    task = make_task(60)
    config = DNAEvaluateSettings(layers=(-1, 0), protocols=("knn",), baselines=False)
    rows = dna_probes(models, task, config)
    assert [row["features"] for row in rows] == ["encoder layer 2", "encoder layer 0"]
    with pytest.raises(UserError, match="layer 3 is outside"):
        dna_probes(models, task, DNAEvaluateSettings(layers=(3,)))


def test_each_fold_is_predicted_from_the_others() -> None:
    """A class that one fold alone has is never predicted, so no label leaks into its own fold."""
    task = make_task(90)
    y = task.y.copy()
    y[task.folds[0].test] = 2
    named = {"name": "x", "sequences": task.sequences, "classes": ("a", "b", "c")}
    task = SequenceTask(y, task.folds, task.groups, **named)
    *_, bases = dna_probes({}, task, EVERY_LAYER)
    assert bases["accuracy"] <= 2 / 3
    assert bases["note"] == "30 test samples of classes without training samples"


def test_intervals_are_of_groups() -> None:
    task = make_task(90)
    copies = SequenceTask(
        np.repeat(task.y, 4),
        tuple(
            Fold(*((4 * index[:, None] + np.arange(4)).ravel() for index in fold))
            for fold in task.folds
        ),
        np.repeat(task.groups, 4),
        name="x",
        sequences=[codes for codes in task.sequences for _ in range(4)],
        classes=task.classes,
    )
    once, many = (dna_probes({}, each, EVERY_LAYER)[0] for each in (task, copies))
    assert many["high"] - many["low"] == pytest.approx(once["high"] - once["low"], rel=0.25)
