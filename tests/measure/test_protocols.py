import math

import numpy as np
import pytest
import torch
from scipy.stats import binom

from maskwise.measure.protocols import (
    PROBES,
    STRENGTHS,
    best_strength,
    knn_votes,
    lars_step,
    logistic_scores,
    mae_batchnorm,
    rotated,
)
from maskwise.ties import largest


def clusters(num: int, seed: int, spread: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Three classes around the corners of a triangle, far from the origin and badly scaled."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, num)
    centres = np.array([[0.0, 2.0], [-2.0, -1.0], [2.0, -1.0]])
    x = centres[labels] + spread * rng.normal(size=(num, 2))
    return x * [100.0, 0.01] + [1000.0, 1.0], labels


def predicted_by(
    protocol: str, train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray
) -> np.ndarray:
    groups = np.arange(len(train_y))
    found, converged = PROBES[protocol].predict(train_x, train_y, test_x, groups, 0)
    assert converged
    return found if found.ndim == 1 else found.argmax(axis=1)


@pytest.mark.parametrize("protocol", ["logistic", "mae"])
def test_separable_classes_are_all_right(protocol: str) -> None:
    train_x, train_y = clusters(300, seed=0)
    test_x, test_y = clusters(200, seed=1)
    assert (predicted_by(protocol, train_x, train_y, test_x) == test_y).all()


def test_batchnorm_probe_agrees_with_logistic_where_classes_overlap_a_little() -> None:
    train_x, train_y = clusters(600, seed=0, spread=0.8)
    test_x, _ = clusters(400, seed=1, spread=0.8)
    agree = predicted_by("logistic", train_x, train_y, test_x) == mae_batchnorm(
        train_x, train_y, test_x, 0
    )
    assert agree.mean() > 0.97


@pytest.mark.parametrize("protocol", list(PROBES))
def test_shuffled_labels_are_at_chance(protocol: str) -> None:
    rng = np.random.default_rng(0)
    train_x, test_x = rng.normal(size=(400, 5)), rng.normal(size=(500, 5))
    train_y, test_y = rng.integers(0, 4, 400), rng.integers(0, 4, 500)
    right = int((predicted_by(protocol, train_x, train_y, test_x) == test_y).sum())
    assert binom.ppf(1e-4, 500, 1 / 4) <= right <= binom.ppf(1 - 1e-4, 500, 1 / 4)


@pytest.mark.parametrize("protocol", list(PROBES))
def test_prediction_does_not_depend_on_other_test_samples(protocol: str) -> None:
    train_x, train_y = clusters(200, seed=0, spread=1.0)
    test_x, _ = clusters(50, seed=1, spread=1.0)
    train = protocol, train_x, train_y
    alone = [int(predicted_by(*train, test_x[i : i + 1])[0]) for i in range(5)]
    outlier = np.vstack([test_x, [[1e6, -1e6]]])
    assert predicted_by(*train, outlier)[:5].tolist() == alone


def test_standardisation_takes_train_statistics() -> None:
    # Shifted test samples keep the decision of the training scale: all are right of its boundary.
    train_x = np.array([[-1.0], [-2.0], [1.0], [2.0]])
    train_y, test_x = np.array([0, 0, 1, 1]), np.array([[0.5], [3.0], [4.0]])
    predicted = predicted_by("logistic", train_x, train_y, test_x)
    assert predicted.tolist() == [1, 1, 1]


def test_scale_of_a_feature_does_not_matter() -> None:
    train_x, train_y = clusters(200, seed=0, spread=1.2)
    test_x, _ = clusters(200, seed=1, spread=1.2)
    scale = np.array([1e-3, 1e4])
    found = predicted_by("logistic", train_x, train_y, test_x)
    scaled = predicted_by("logistic", train_x * scale, train_y, test_x * scale)
    assert (found == scaled).all()


def test_constant_feature_is_harmless() -> None:
    train_x, train_y = clusters(100, seed=0)
    train_x = np.column_stack([train_x, np.full(100, 0.1)]).astype(np.float32)
    for protocol in ("logistic", "mae"):
        assert (predicted_by(protocol, train_x, train_y, train_x) == train_y).all()


def test_no_convergence_is_said_not_raised() -> None:
    train_x, train_y = clusters(100, seed=0)
    assert logistic_scores(train_x, train_y, train_x, max_iter=1)[1] is False


def test_batchnorm_probe_repeats_and_leaves_the_global_generator_alone() -> None:
    train_x, train_y = clusters(100, seed=0, spread=2.0)
    state = torch.random.get_rng_state()
    first = mae_batchnorm(train_x, train_y, train_x, seed=3)
    assert torch.equal(state, torch.random.get_rng_state())
    assert (first == mae_batchnorm(train_x, train_y, train_x, seed=3)).all()


def test_batchnorm_probe_on_two_samples() -> None:
    x = np.array([[-1.0], [1.0]])
    assert mae_batchnorm(x, np.array([0, 1]), x, seed=0).tolist() == [0, 1]


@pytest.mark.parametrize("num", [8, 60, 1000])
def test_batchnorm_probe_leaves_its_start_on_small_data(num: int) -> None:
    # A rate scaled by the batch leaves the head near its random start: no better than chance.
    rng = np.random.default_rng(0)
    x = rng.normal(size=(num, 16))
    labels = (x[:, 0] > 0).astype(int)
    predicted = mae_batchnorm(x, labels, x, seed=0)
    assert (predicted == labels).mean() > 0.95


def test_lars_against_a_hand_computation() -> None:
    weight, bias = torch.tensor([[3.0, 4.0]]), torch.tensor([1.0])
    velocities = [torch.zeros(1, 2), torch.zeros(1)]
    gradients = [torch.tensor([[0.0, 2.0]]), torch.tensor([0.5])]
    lars_step([weight, bias], gradients, velocities, lr=10.0)
    # weight: v = .001 * 5 / 2 * (0, 2) = (0, .005); bias: v = .5, unscaled.
    torch.testing.assert_close(weight, torch.tensor([[3.0, 3.95]]))
    torch.testing.assert_close(bias, torch.tensor([-4.0]))
    lars_step([weight, bias], gradients, velocities, lr=10.0)
    second = 0.9 * 0.005 + 0.001 * math.sqrt(3.0**2 + 3.95**2)
    torch.testing.assert_close(weight, torch.tensor([[3.0, 3.95 - 10 * second]]))
    torch.testing.assert_close(bias, torch.tensor([-4.0 - 10 * 0.95]))


def test_lars_takes_the_plain_gradient_where_a_norm_is_zero() -> None:
    weight = torch.zeros(1, 2)
    lars_step([weight], [torch.tensor([[1.0, 2.0]])], [torch.zeros(1, 2)], lr=0.5)
    torch.testing.assert_close(weight, torch.tensor([[-0.5, -1.0]]))


@pytest.mark.parametrize("protocol", list(PROBES))
def test_class_without_training_samples_is_never_predicted(protocol: str) -> None:
    train_x, train_y = clusters(100, seed=0)
    # Seen from the origin they would lie in one direction, to single precision.
    train_x = train_x - train_x.mean(axis=0)
    kept = train_y != 1
    predicted = predicted_by(protocol, train_x[kept], train_y[kept], train_x)
    assert set(predicted.tolist()) == {0, 2}


@pytest.mark.parametrize("missing", [None, 0, 1])
def test_scores_are_probabilities(missing: int | None) -> None:
    train_x, train_y = clusters(300, seed=0, spread=1.5)
    test_x, test_y = clusters(2000, seed=1, spread=1.5)
    kept = train_y != missing
    scores, converged = logistic_scores(train_x[kept], train_y[kept], test_x)
    assert converged
    assert scores.shape == (2000, 3)
    assert scores.sum(axis=1) == pytest.approx(1.0)
    if missing is None:
        # What has a probability of 70 % is so 7 times of 10.
        likely = (scores > 0.65) & (scores < 0.75)
        assert np.eye(3)[test_y][likely].mean() == pytest.approx(0.7, abs=0.07)
    else:
        assert (scores[:, missing] == 0).all()


def test_a_stronger_penalty_is_less_sure() -> None:
    train_x, train_y = clusters(300, seed=0)
    weak, strong = (logistic_scores(train_x, train_y, train_x, c)[0] for c in (1.0, 1e-3))
    assert strong.max(axis=1).mean() < 0.8 < weak.max(axis=1).mean()


def test_the_penalty_is_chosen_by_what_it_predicts() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(300) % 2
    noise = rng.normal(size=(300, 150))
    groups = np.arange(300)
    # Nothing but noise needs the strongest penalty, classes that are far apart the weakest.
    assert best_strength(noise, y, groups, seed=0) == STRENGTHS[0]
    assert best_strength(y[:, None] + 0.01 * noise[:, :1], y, groups, seed=0) == STRENGTHS[-1]
    # Copies are held out together: with them in both parts, noise would seem to tell.
    twice = np.tile(noise, (4, 1)), np.tile(y, 4)
    assert best_strength(*twice, np.tile(groups, 4), seed=0) == STRENGTHS[0]
    assert best_strength(*twice, np.arange(1200), seed=0) > STRENGTHS[0]
    # Where nothing can be held out.
    assert best_strength(noise[:3], y[:3], groups[:3], seed=0) == STRENGTHS[-1]


def test_more_features_than_samples_are_turned_without_loss() -> None:
    rng = np.random.default_rng(0)
    x, test = rng.normal(size=(20, 50)), rng.normal(size=(9, 50))
    y = np.arange(20) % 2
    turned = rotated(x, test)
    assert turned[0].shape == (20, 20)
    want = logistic_scores(x, y, test, standardise=False)[0]
    found = logistic_scores(turned[0], y, turned[1], standardise=False)[0]
    np.testing.assert_allclose(found, want, atol=2e-3)


def brute_force(
    train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, k: int, temperature: float
) -> list[int]:
    predicted = []
    for x in test_x:
        cosines = [x @ n / np.linalg.norm(x) / np.linalg.norm(n) for n in train_x]
        votes = dict.fromkeys(range(train_y.max() + 1), 0.0)
        for index in sorted(range(len(cosines)), key=lambda i: -cosines[i])[:k]:
            votes[train_y[index]] += np.exp(cosines[index] / temperature)
        predicted.append(max(votes, key=lambda c: votes[c]))
    return predicted


@pytest.mark.parametrize(("k", "temperature"), [(20, 0.07), (5, 1.0), (1, 0.07)])
def test_neighbours_equal_brute_force(k: int, temperature: float) -> None:
    rng = np.random.default_rng(0)
    train_x, test_x = rng.normal(size=(200, 3)), rng.normal(size=(70, 3))
    train_y = rng.integers(0, 4, 200)
    found = knn_votes(train_x, train_y, test_x, k, temperature, chunk=32)
    assert found.argmax(axis=1).tolist() == brute_force(train_x, train_y, test_x, k, temperature)


def test_one_very_near_neighbour_outvotes_two_far_ones() -> None:
    angles = np.array([0.0, 1.2, 1.2])
    train = np.stack([np.cos(angles), np.sin(angles)], 1)
    test, labels = np.array([[1.0, 0.0]]), np.array([0, 1, 1])
    cold, warm = (knn_votes(train, labels, test, temperature=each)[0] for each in (0.07, 10.0))
    assert cold.argmax() == 0  # e^14.3 against 2 e^5.2
    assert warm.argmax() == 1  # e^.1 against 2 e^.036


def test_length_of_a_feature_does_not_matter_to_neighbours() -> None:
    train, labels = np.array([[1e-3, 0.0], [0.0, 1e3]]), np.array([0, 1])
    assert knn_votes(train, labels, np.array([[5.0, 4.0]]), k=1).argmax(axis=1) == [0]


def test_fewer_samples_than_neighbours() -> None:
    assert knn_votes(np.eye(3), np.arange(3), np.eye(3)).argmax(axis=1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("seed", range(5))
def test_of_equally_near_ones_the_first_vote(seed: int) -> None:
    """Whatever basis features are in, and however their products round with it."""
    rng = np.random.default_rng(seed)
    turned = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    train = np.ones((30, 40)) + 2 * np.eye(40)[:30]
    test = np.ones((9, 40)) @ turned
    labels = np.repeat([2, 1, 0], 10)
    assert (knn_votes(train @ turned, labels, test, k=10)[:, :2] == 0).all()
    # Each class has as many votes, and the first of equals is predicted.
    votes = knn_votes(train @ turned, labels, test, k=30)
    assert largest(votes, axis=1).tolist() == [0] * 9


def test_votes_are_sums_of_weights() -> None:
    angles = np.array([0.0, 1.2, 1.2])
    train = np.stack([np.cos(angles), np.sin(angles)], 1)
    found = knn_votes(train, np.array([0, 2, 2]), np.array([[1.0, 0.0]]), temperature=0.5)
    assert found[0].tolist() == pytest.approx([np.exp(2), 0.0, 2 * np.exp(2 * np.cos(1.2))])
