"""Two features of the same samples: equal, turned, unrelated."""

import numpy as np
import pytest

from maskwise.diagnostics import cka, drift
from maskwise.errors import UserError
from tests.diagnostics.features import features_of, gaussian, orthonormal


def test_drift_is_a_mean_cosine():
    z = gaussian(30, 5)
    assert drift(z, z * np.arange(1, 31)[:, None]) == pytest.approx(1)
    assert drift(z, -z) == pytest.approx(-1)
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    assert drift(z[:, :2], 3 * z[:, :2] @ turn) == pytest.approx(np.cos(0.3))
    assert drift(gaussian(4000, 50), gaussian(4000, 50, seed=1)) == pytest.approx(0, abs=0.01)


def test_cka_knows_rotations_scales_and_shifts():
    z = gaussian(60, 6) * [6, 5, 4, 3, 2, 1]
    assert cka(z, z) == pytest.approx(1)
    assert cka(z, 0.1 * z @ orthonormal(6, 6) + 50) == pytest.approx(1)
    assert cka(z, z / [6, 5, 4, 3, 2, 1]) < 0.9  # an axis stretched is another representation


def test_cka_of_known_features():
    """With centred orthonormal columns q and X = q a, Y = q b: Σ a²b² / √(Σ a⁴ Σ b⁴)."""
    q = np.linalg.svd(features_of(np.ones(3), 40), full_matrices=False)[0]
    a, b = np.array([3.0, 2.0, 1.0]), np.array([1.0, 0.0, 2.0])
    expected = (a**2 * b**2).sum() / np.sqrt((a**4).sum() * (b**4).sum())
    assert cka(q * a + 9, (q * b) @ orthonormal(3, 3)) == pytest.approx(expected)
    assert cka(q[:, :1], q[:, 1:]) == pytest.approx(0, abs=1e-12)


@pytest.mark.filterwarnings("ignore:.*CKA reads high")
@pytest.mark.parametrize(("times", "score"), [(1, 0.5), (2, 0.33), (4, 0.2)])
def test_few_samples_make_anything_alike(times, score):
    num = 64 * times
    assert cka(gaussian(num, 64), gaussian(num, 64, seed=1)) == pytest.approx(score, abs=0.01)
    other = gaussian(num, 16, seed=1)
    expected = np.sqrt(64 * 16 / ((num + 64) * (num + 16)))
    assert cka(gaussian(num, 64), other) == pytest.approx(expected, abs=0.03)


def test_few_samples_are_warned_of():
    with pytest.warns(UserWarning, match="^31 samples of 8 features.*CKA reads high") as said:
        cka(gaussian(31, 2), gaussian(31, 8))
    assert said[0].filename == __file__
    cka(gaussian(32, 2), gaussian(32, 8))


BAD = [
    (lambda: drift(gaussian(5, 3), gaussian(4, 3)), "of 5 and of 4 samples"),
    (lambda: drift(gaussian(5, 3), gaussian(5, 4)), "3 and 4 dimensions"),
    (lambda: drift(gaussian(5, 3), np.zeros((5, 3))), "5 of 5"),
    (lambda: cka(gaussian(5, 3), gaussian(5, 6)), "5 samples of 6 features"),
    (lambda: cka(gaussian(50, 3), np.full((50, 3), 0.1)), "the same for every sample"),
    (lambda: cka(gaussian(50, 3), np.zeros((50, 3))), "the same for every sample"),
]


@pytest.mark.parametrize(("build", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input(build, message):
    with pytest.raises(UserError, match=message):
        build()
