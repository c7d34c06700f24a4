import numpy as np
import pytest

from maskwise.errors import UserError
from maskwise.measure.probes import (
    Fold,
    Labels,
    few_labels,
    given_split,
    grouped_folds,
    probe_row,
)
from maskwise.measure.protocols import CHOSEN, PROBES, Found, Probe


def saying(*classes: int) -> Probe:
    """A probe that says the same of the first, the second, ... test sample whatever they are."""

    def predict(x: object, y: object, test: np.ndarray, groups: object, seed: int) -> Found:
        return np.array(classes)[: len(test)], True

    return Probe("as told", predict)


def test_test_samples_follow_training_samples_and_what_is_not_known_is_left_out() -> None:
    labels = given_split(np.array([0, -1, 1]), np.array([1, -1]))
    [fold] = labels.folds
    assert (fold.train.tolist(), fold.test.tolist()) == ([0, 2], [3])
    assert labels.y[[0, 2, 3]].tolist() == [0, 1, 1]
    assert labels.groups.tolist() == [0, 1, 2, 3, 4]


def test_few_labels_are_so_many_of_each_class_and_differ_between_draws() -> None:
    y = np.repeat([0, 1, 2], [40, 20, 2])
    labels = few_labels(given_split(y, y), 5, 3, seed=0)
    assert labels.few == 5
    for train, test in labels.folds:
        assert np.bincount(y[train]).tolist() == [5, 5, 2]
        assert len(set(train.tolist())) == 12
        assert (test == np.arange(62, 124)).all()
    assert len({tuple(fold.train.tolist()) for fold in labels.folds}) == 3
    assert labels.note == (
        "1 classes have fewer than 5 training samples and give all; mean of 3 draws"
    )


def test_a_row_counts_what_is_right_and_says_what_could_not_be() -> None:
    labels = given_split(np.array([0, 1]), np.array([0, 1, 1, 2]), note="known before")
    row = probe_row("made up", np.zeros((6, 1)), labels, saying(0, 1, 0, 0), 0, accuracy_only=True)
    assert row["accuracy"] == 0.5
    assert (row["num_train"], row["num_test"]) == (2, 4)
    assert row["note"] == "1 test samples of classes without training samples; known before"
    assert "mcc" not in row
    assert probe_row("", np.zeros((6, 1)), labels, saying(0, 1, 0, 0), 0)["accuracy"] == 0.5


def test_folds_are_put_together() -> None:
    y = np.array([0, 1, 0, 1])
    folds = tuple(Fold(np.delete(np.arange(4), place), np.array([place])) for place in range(4))
    row = probe_row("", np.zeros((4, 1)), Labels(y, folds, np.arange(4)), saying(1), 0)
    assert (row["accuracy"], row["num_train"], row["num_test"]) == (0.5, 3, 4)


@pytest.mark.parametrize("accuracy_only", [True, False])
def test_intervals_are_of_groups(accuracy_only: bool) -> None:
    y = np.tile(np.repeat([0, 1], 20), 10)
    said, groups = saying(*[0] * 400), np.concatenate([[0, 1], 2 + np.arange(400) // 20])
    both = (given_split(np.array([0, 1]), y, each) for each in (groups, None))
    whole, alone = (
        probe_row("", np.zeros((402, 1)), each, said, 0, accuracy_only=accuracy_only)
        for each in both
    )
    assert whole["accuracy"] == alone["accuracy"] == 0.5
    # Twenty samples of a group are right together: as if there were twenty of them.
    width, narrow = (each["high"] - each["low"] for each in (whole, alone))
    assert width / narrow == pytest.approx(20**0.5, rel=0.15)


@pytest.mark.parametrize("probe", [*PROBES.values(), *CHOSEN.values()], ids=lambda p: p.title)
def test_every_probe_makes_a_row(probe: Probe) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = rng.normal(size=(60, 2)) + 6 * (2 * y - 1)[:, None]
    row = probe_row("apart", x, given_split(y[:40], y[40:]), probe, 0)
    assert (row["accuracy"], row["protocol"], row["note"]) == (1.0, probe.title, "")


def test_one_group_cannot_hold_all_of_a_class() -> None:
    y, groups = np.array([0] * 6 + [1] * 3), np.array([0, 1, 2, 3, 4, 5, 6, 6, 6])
    with pytest.raises(UserError, match="one group holds all of a class"):
        grouped_folds("x", y, groups, seed=0)


@pytest.mark.parametrize(
    ("train", "test", "why"),
    [
        ([0, 1], [1, 1, -1], "there is one class to test on"),
        ([0, 0, -1], [0, 1], "there is one class to train on"),
        ([0, 1], [-1, -1], "there is no class to test on"),
    ],
)
@pytest.mark.parametrize("accuracy_only", [True, False])
def test_one_class_is_said_and_not_scored(train, test, why, accuracy_only) -> None:
    labels = given_split(np.array(train), np.array(test))
    x = np.zeros((len(train) + len(test), 1))
    row = probe_row("made up", x, labels, saying(1, 1), 0, accuracy_only=accuracy_only)
    assert row["note"] == f"not scored: {why}"
    assert (row["accuracy"], row["low"], row["high"]) == (None, None, None)
    assert ("mcc" in row) is not accuracy_only
    if not accuracy_only:
        assert row["mcc"] == {"value": None, "low": None, "high": None}
