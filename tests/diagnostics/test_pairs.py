"""Figures of all pairs: known point sets, and a twin that visits the pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import i0

from maskwise.diagnostics import energy, mean_cosine, pairs, uniformity
from maskwise.errors import UserError
from tests.diagnostics.features import gaussian, orthonormal


def circle(num):
    angle = 2 * np.pi * np.arange(num) / num
    return np.column_stack([np.cos(angle), np.sin(angle)])


def test_points_evenly_around_a_circle():
    """Means over all pairs are 1/2, 0 and e^-2t I₀(2t); what each point has with itself is 1."""
    z = circle(50) * np.linspace(1, 9, 50)[:, None]
    assert energy(z) == pytest.approx((50 / 2 - 1) / 49)
    assert mean_cosine(z) == pytest.approx(-1 / 49)
    for t in (0.5, 2, 5):
        every = np.exp(-2 * t) * i0(2 * t)
        assert uniformity(z, t) == pytest.approx(np.log((50 * every - 1) / 49))


def test_points_evenly_on_a_sphere():
    """E exp(-t |u - v|²) = e^-2t sinh(2t) / 2t: the cosine of two points is uniform."""
    num = 3000
    height = 1 - (2 * np.arange(num) + 1) / num
    turn = np.pi * (1 + 5**0.5) * np.arange(num)
    z = np.sqrt(1 - height**2)[:, None] * np.column_stack([np.cos(turn), np.sin(turn)])
    z = np.column_stack([z, height])
    every = np.exp(-4) * np.sinh(4) / 4
    assert uniformity(z) == pytest.approx(np.log((num * every - 1) / (num - 1)), abs=1e-6)
    assert energy(z) == pytest.approx((num / 3 - 1) / (num - 1), rel=1e-4)


def test_spread_and_collapsed_features():
    for dim in (8, 64):
        assert energy(gaussian(2000, dim)) == pytest.approx(1 / dim, rel=0.02)
        axes = np.tile(np.eye(dim), (3, 1))  # every axis thrice
        assert energy(axes) == pytest.approx((3 * dim / dim - 1) / (3 * dim - 1))
    line = np.outer(gaussian(40), [1, 2, 3])
    assert energy(line) == pytest.approx(1)
    same = np.outer(np.abs(gaussian(40)) + 1, [1, 2, 3])
    assert mean_cosine(same) == pytest.approx(1)
    assert uniformity(same) == pytest.approx(0, abs=1e-12)
    assert uniformity(gaussian(500, 2000)) == pytest.approx(-4, abs=0.02)


def test_energy_does_not_depend_on_the_number_of_samples():
    """As the loss of U-MAE does, which counts i = j and says 0.0052 for 256 samples."""
    z = gaussian(256, 768, seed=1)
    u = z / np.linalg.norm(z, axis=1, keepdims=True)
    loss = ((u @ u.T) ** 2).mean()
    assert loss == pytest.approx(0.0052, abs=5e-5)
    assert energy(z) * 255 / 256 + 1 / 256 == pytest.approx(loss)
    assert energy(z) == pytest.approx(energy(gaussian(1024, 768)), rel=0.01)


@given(st.integers(0, 2**32), st.integers(2, 15), st.integers(1, 6), st.integers(1, 20))
def test_a_twin_that_visits_every_pair(seed, num, dim, block):
    z = gaussian(num, dim, seed=seed) + 0.5
    u = z / np.linalg.norm(z, axis=1, keepdims=True)
    cosines = np.array([u[i] @ u[j] for i in range(num) for j in range(num) if i != j])
    distances = [((u[i] - u[j]) ** 2).sum() for i in range(num) for j in range(num) if i != j]
    assert energy(z) == pytest.approx((cosines**2).mean())
    assert mean_cosine(z) == pytest.approx(cosines.mean())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "BLOCK", block)
        expected = np.log(np.exp(-3 * np.array(distances)).mean())
        assert uniformity(z, 3) == pytest.approx(expected, abs=1e-12)
        other = z * np.arange(1, num + 1)[:, None] @ orthonormal(dim, dim, seed=seed)
        assert uniformity(other, 3) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("figure", [energy, mean_cosine, uniformity])
def test_zeros_have_no_direction(figure):
    with pytest.raises(UserError, match="2 of 4 samples"):
        figure([[1, 0], [0, 0], [0, 0], [0, 1]])


@pytest.mark.parametrize("t", [0, -1, np.nan, 101])
def test_bad_sharpness(t):
    with pytest.raises(UserError, match="outside"):
        uniformity(circle(5), t)
