import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from maskwise.dna.bases import NOTHING, encode, reverse_complement
from maskwise.dna.evaluation import sequence_samples
from maskwise.dna.tasks import SequenceTask
from maskwise.errors import UserError
from maskwise.measure.finetuning import FineTuneSettings, tune, tuned_row
from maskwise.measure.probes import Fold
from maskwise.tokens.model import LanguageModel

Make = Callable[..., LanguageModel]
QUICK = FineTuneSettings(epochs=6, batch_size=8, lr=1e-2, seeds=(0, 1))


def make_task(num: int = 96) -> SequenceTask:
    """The class is whether two boxes are near each other, which no count of 4-mers knows."""
    rng = np.random.default_rng(0)
    y = np.arange(num) % 2
    sequences = []
    for label in y:
        rest = ["".join(rng.choice(list("AC"), size)) for size in (2, 1, 4)]
        gap, tail = (rest[1], rest[2]) if label else (rest[2], rest[1])
        sequences.append(encode(f"{rest[0]}GG{gap}GG{tail}"))
    index = np.arange(num)
    fold = Fold(index[: num // 2], index[num // 2 :])
    named = {"name": "gaps", "sequences": sequences, "classes": ("far", "near")}
    return SequenceTask(y, (fold,), index, "given", **named)


def test_learns_a_distance(make_dna_model: Make) -> None:
    model = make_dna_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    row = tuned_row("encoder", model, sequence_samples(model, make_task()), QUICK)
    assert row["accuracy"]["mean"] > 0.95
    assert row["mcc"]["mean"] > 0.9
    assert row["auroc"]["mean"] > 0.98
    assert (row["task"], row["majority"], row["note"]) == ("gaps", 0.5, "given")
    assert (row["num_train"], row["num_test"]) == (48, 48)
    assert [list(each) for each in row["seeds"]] == [
        ["seed", "accuracy", "mcc", "auroc", "macro_f1"]
    ] * 2
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    # The model that was given, and the global generator, are as they were.
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_depends_on_the_seed_alone(make_dna_model: Make) -> None:
    weak = FineTuneSettings(epochs=1, batch_size=8, lr=1e-3)
    samples = sequence_samples(make_dna_model(), make_task(32))
    found = [tune(make_dna_model(), samples, weak, seed) for seed in (0, 0, 1)]
    assert (found[0] == found[1]).all()
    assert (found[0] != found[2]).any()
    assert found[0].sum(axis=1) == pytest.approx(1.0)


def test_training_reads_either_strand_and_pads(make_dna_model: Make) -> None:
    task = make_task(64)
    task.sequences[0] = task.sequences[0][:5]
    samples = sequence_samples(make_dna_model(), task)
    index = torch.arange(32)
    epochs = [samples.rows(index, 0, epoch) for epoch in range(20)]
    num_turned = np.zeros(32)
    for rows in epochs:
        assert (rows.dtype, rows.shape) == (torch.uint8, (32, 11))
        for place, row in enumerate(rows.numpy()):
            codes = task.sequences[place]
            assert (row[len(codes) :] == NOTHING).all()
            turned = (row[: len(codes)] != codes).any()
            num_turned[place] += turned
            want = reverse_complement(codes) if turned else codes
            assert (row[: len(codes)] == want).all()
    assert ((num_turned > 2) & (num_turned < 18)).all()
    # A row is the same in whatever batch it is.
    alone = samples.rows(torch.tensor([7]), 0, 3)
    assert torch.equal(alone[0], epochs[3][7])
    assert (samples.rows(index, 1, 0) != epochs[0]).any()


def test_predictions_are_of_both_strands(make_dna_model: Make) -> None:
    task = make_task(32)
    test = task.folds[0].test
    turned = [reverse_complement(c) if i in test else c for i, c in enumerate(task.sequences)]
    model, weak = make_dna_model(), FineTuneSettings(epochs=1, batch_size=8, lr=1e-3)
    found = [
        tune(model, sequence_samples(model, replace(task, sequences=each)), weak, 0)
        for each in (task.sequences, turned)
    ]
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)


def test_first_fold_is_the_test_and_long_sequences_are_cut(make_dna_model: Make) -> None:
    task = make_task(40)
    index = np.arange(40)
    folds = (Fold(index[10:], index[:10]), Fold(index[:10], index[10:]))
    task = replace(task, folds=folds)
    samples = sequence_samples(make_dna_model(window=9), task)
    assert (len(samples.y), len(samples.test_y)) == (30, 10)
    assert samples.rows(torch.tensor([0, 1]), 0, 0).shape == (2, 9)
    middles = [codes[1:10] for codes in task.sequences[10:12]]
    for row, codes in zip(samples.rows(torch.tensor([0, 1]), 0, 0).numpy(), middles, strict=True):
        assert any((row == strand).all() for strand in (codes, reverse_complement(codes)))
    want = "first fold as test; 40 sequences cut to the 9 bases in their middle"
    assert samples.note == want


def test_refuses_what_cannot_be_measured(make_dna_model: Make) -> None:
    task = make_task(16)
    [fold] = task.folds
    with pytest.raises(UserError, match="task 'gaps': the first fold has one class"):
        sequence_samples(make_dna_model(), replace(task, folds=(Fold(fold.train, fold.test[:1]),)))
    task.sequences[2] = encode("AC")
    with pytest.raises(UserError, match="sequence 3 has no token of known bases"):
        sequence_samples(make_dna_model(tokens="kmers:3"), task)
