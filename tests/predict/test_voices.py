"""Voices as one: weights by the visible share."""

import numpy as np
import pytest
from scipy.special import log_softmax

from maskwise.predict import voices
from maskwise.predict.voices import Voices


def test_weights_are_the_best_of_a_grid(monkeypatch):
    monkeypatch.setattr(voices, "LEVELS", 1)
    monkeypatch.setattr(voices, "FEW", 0.0)
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=300)
    said = [rng.normal(size=(300, 3)) + strength * np.eye(3)[y] for strength in (1.0, 2.0)]
    found = Voices.learn(said, y, np.ones(300)).weights[0]
    grid = np.linspace(0, 3, 61)

    def loss(a, b):
        return -log_softmax(a * said[0] + b * said[1], axis=1)[np.arange(300), y].mean()

    best = min(((a, b) for a in grid for b in grid), key=lambda each: loss(*each))
    np.testing.assert_allclose(found, best, atol=0.05)  # of a grid of 0.05


def test_of_logits_that_are_too_large_the_weight_is_one_over_their_temperature():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40_000, 1))
    y = (rng.random(40_000) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(int)
    shares = rng.random(40_000)
    too_sure = np.where(shares < 0.5, 3.0, 1.0)[:, None]  # where little is visible
    logits = np.hstack([-x, x]) * too_sure
    found = Voices.learn([logits], y, shares)
    np.testing.assert_allclose(
        np.interp([0.1, 0.9], found.shares, found.weights[:, 0]), [1 / 3, 1], rtol=0.1
    )
    before = -log_softmax(logits, axis=1)[np.arange(40_000), y]
    after = -np.log(found([logits], shares))[np.arange(40_000), y]
    few = shares < 0.4
    assert after[few].mean() < before[few].mean() - 0.05
    assert after[~few].mean() < before[~few].mean() + 0.01
    sure = found([logits], shares)[few].max(axis=1)  # is as often right as it says
    right = found([logits], shares)[few].argmax(axis=1) == y[few]
    assert sure.mean() == pytest.approx(right.mean(), abs=0.01)
    assert np.exp(log_softmax(logits[few], axis=1)).max(axis=1).mean() > right.mean() + 0.05


def test_few_answers_leave_weights_near_the_start():
    logits = np.array([[5.0, 0.0], [0.0, 5.0]])
    found = Voices.learn([logits, -logits], np.array([0, 1]), np.ones(2)).weights[0]
    assert 0.5 < found[0] < 1.2
    assert 0.0 <= found[1] < 0.5


def test_numbers_are_mixed_by_the_least_square(monkeypatch):
    monkeypatch.setattr(voices, "LEVELS", 1)
    monkeypatch.setattr(voices, "FEW", 0.0)
    rng = np.random.default_rng(0)
    y = rng.normal(size=500)
    said = y[:, None] / 2 + rng.normal(size=(500, 2)) * [0.3, 0.6]
    found = Voices.learn_numbers(said, y, np.ones(500))
    np.testing.assert_allclose(found.weights[0], np.linalg.lstsq(said, y, rcond=None)[0])
    assert found.mixed(np.ones((1, 2)), np.ones(1))[0] == pytest.approx(found.weights.sum())
    against = Voices.learn_numbers(np.stack([y, -y], axis=1), y, np.ones(500))
    np.testing.assert_allclose(against.weights[0], [1, 0], atol=1e-9)  # none is below 0


def test_a_few_numbers_leave_weights_near_the_start():
    found = Voices.learn_numbers(np.array([[1.0, 1.0]]), np.array([9.0]), np.ones(1)).weights[0]
    # Least of (9 - a - b)^2 + 5 (a - 1/2)^2 + 5 (b - 1/2)^2.
    np.testing.assert_allclose(found, [11.5 / 7] * 2)


def test_no_voice_alone_rules_a_class_out():
    found = Voices(np.ones(1), np.ones((1, 1)))([np.array([[0.0, -1e9]])], np.ones(1))
    assert 0 < found[0, 1] < 1e-8
