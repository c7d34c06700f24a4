import numpy as np
import pytest

from maskwise.measure.knn import knn, knn_votes


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
def test_equals_brute_force(k: int, temperature: float) -> None:
    rng = np.random.default_rng(0)
    train_x, test_x = rng.normal(size=(200, 3)), rng.normal(size=(70, 3))
    train_y = rng.integers(0, 4, 200)
    found = knn(train_x, train_y, test_x, k, temperature, chunk=32)
    assert found.tolist() == brute_force(train_x, train_y, test_x, k, temperature)


def test_one_very_near_neighbour_outvotes_two_far_ones() -> None:
    angles = np.array([0.0, 1.2, 1.2])
    train = np.stack([np.cos(angles), np.sin(angles)], 1)
    test, labels = np.array([[1.0, 0.0]]), np.array([0, 1, 1])
    assert knn(train, labels, test, temperature=0.07) == [0]  # e^14.3 against 2 e^5.2
    assert knn(train, labels, test, temperature=10.0) == [1]  # e^.1 against 2 e^.036


def test_length_of_a_feature_does_not_matter() -> None:
    train, labels = np.array([[1e-3, 0.0], [0.0, 1e3]]), np.array([0, 1])
    assert knn(train, labels, np.array([[5.0, 4.0]]), k=1) == [0]


def test_fewer_samples_than_neighbours() -> None:
    assert knn(np.eye(3), np.arange(3), np.eye(3)).tolist() == [0, 1, 2]


def test_votes_are_sums_of_weights() -> None:
    angles = np.array([0.0, 1.2, 1.2])
    train = np.stack([np.cos(angles), np.sin(angles)], 1)
    found = knn_votes(train, np.array([0, 2, 2]), np.array([[1.0, 0.0]]), temperature=0.5)
    assert found[0].tolist() == pytest.approx([np.exp(2), 0.0, 2 * np.exp(2 * np.cos(1.2))])
