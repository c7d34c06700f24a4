import warnings

import numpy as np
import pytest

from maskwise.measure.features import interval
from maskwise.measure.probes import Judge, judged


def drawn(num: int, num_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of which many are equal, and classes that they say something about."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, num_classes, num)
    scores = rng.integers(1, 6, (num, num_classes)) + 2.0 * np.eye(num_classes)[y]
    return scores / scores.sum(axis=1, keepdims=True), y


@pytest.mark.parametrize("num_classes", [2, 3, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_scikit_learn(num_classes: int, weighted: bool) -> None:
    from sklearn import metrics

    scores, y = drawn(200, num_classes, seed=1)
    weights = np.random.default_rng(2).integers(0, 4, 200) if weighted else None
    found = Judge(scores, y)(weights)
    predicted = scores.argmax(axis=1)
    same = {"sample_weight": weights}
    assert found.accuracy == pytest.approx(metrics.accuracy_score(y, predicted, **same))
    assert found.mcc == pytest.approx(metrics.matthews_corrcoef(y, predicted, **same))
    positive = scores[:, 1] if num_classes == 2 else scores
    want = metrics.f1_score(y, predicted, average="macro", **same)
    assert found.macro_f1 == pytest.approx(want)
    # The areas of classes are averaged without regard to their sizes.
    want = metrics.roc_auc_score(y, positive, multi_class="ovr", average="macro", **same)
    assert found.auroc == pytest.approx(want)


def test_area_counts_pairs() -> None:
    scores, y = drawn(40, 2, seed=3)
    pairs = [
        float(a > b) + 0.5 * float(a == b) for a in scores[y == 1, 1] for b in scores[y == 0, 1]
    ]
    assert Judge(scores, y)().auroc == pytest.approx(np.mean(pairs))


def test_what_tells_nothing_is_at_chance() -> None:
    found = Judge(np.full((6, 3), 1 / 3), np.array([0, 0, 1, 1, 2, 2]))()
    assert found == (pytest.approx(1 / 3), 0.0, 0.5, pytest.approx(1 / 6))


def test_classes_without_samples_are_left_out() -> None:
    scores, y = drawn(60, 3, seed=4)
    y[y == 2] = 1
    both = [
        Judge(np.stack([1 - s, s], 1), (y == k).astype(int))().auroc
        for k, s in ((0, scores[:, 0]), (1, scores[:, 1]))
    ]
    assert Judge(scores, y)().auroc == pytest.approx(np.mean(both))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = judged(scores, np.zeros(60, dtype=int), np.arange(60), seed=0, num=5)
    assert alone["auroc"] == {"value": None, "low": None, "high": None}
    assert alone["mcc"]["value"] == 0.0


def test_f1_is_of_classes_that_are_or_are_predicted() -> None:
    from sklearn import metrics

    y, predicted = np.array([0, 0, 1, 3]), np.array([0, 1, 1, 2])  # of five classes
    want = metrics.f1_score(y, predicted, average="macro", zero_division=0)
    assert Judge(np.eye(5)[predicted], y)().macro_f1 == pytest.approx(want)


def test_without_groups_intervals_are_those_of_samples() -> None:
    scores, y = drawn(80, 3, seed=5)
    found = judged(scores, y, np.arange(80), seed=7)["accuracy"]
    want = interval(scores.argmax(axis=1) == y, seed=7)
    assert (found["value"], found["low"], found["high"]) == pytest.approx(want)


def test_groups_are_resampled_whole() -> None:
    """Copies of samples say no more than one of them; taken for samples, they would."""
    scores, y = drawn(50, 2, seed=6)
    once = judged(scores, y, np.arange(50), seed=0)
    copies, groups = np.repeat(scores, 9, axis=0), np.repeat(np.arange(50), 9)
    many = judged(copies, np.repeat(y, 9), groups, seed=0)
    alone = judged(copies, np.repeat(y, 9), np.arange(450), seed=0)
    for key in ("accuracy", "mcc", "auroc", "macro_f1"):
        assert list(many[key].values()) == pytest.approx(list(once[key].values()))
        assert many[key]["low"] < many[key]["value"] < many[key]["high"]
        width, narrow = (each[key]["high"] - each[key]["low"] for each in (many, alone))
        assert narrow < 0.5 * width
