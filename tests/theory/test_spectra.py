"""Spectra: what they say about themselves and about their resolvent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise.errors import UserError
from maskwise.theory import Spectrum, isotropic, power_law, spiked

POSITIVE = st.floats(0.05, 5)
BAD = [
    (lambda: Spectrum([1.0, -0.5], [1.0, 1.0]), "eigenvalue -0.5 at 1"),
    (lambda: Spectrum([1.0, np.nan], [1.0, 1.0]), "eigenvalue nan at 1"),
    (lambda: Spectrum([np.inf, 1.0], [1.0, 1.0]), "eigenvalue inf at 0"),
    (lambda: Spectrum([1.0, 1.0], [1.0, np.nan]), "signal nan at 1"),
    (lambda: Spectrum([1.0, 1.0], [-2.0, 1.0]), "signal -2 at 0"),
    (lambda: Spectrum([1.0, 1.0], [1.0]), "2 eigenvalues and 1 signals"),
    (lambda: Spectrum([], []), "shape (0,)"),
    (lambda: Spectrum([[1.0]], [[1.0]]), "shape (1, 1)"),
    (lambda: Spectrum([0.0, 0.0], [1.0, 1.0]), "all eigenvalues are 0"),
    (lambda: Spectrum([1.0], [1.0], noise=-0.1), "noise -0.1"),
    (lambda: Spectrum([1.0], [1.0], noise=np.nan), "noise nan"),
    (lambda: isotropic(0), "dim 0"),
    (lambda: isotropic(4, variance=-1), "variance -1"),
    (lambda: isotropic(4, variance=np.nan), "variance nan"),
    (lambda: spiked(4, 3.0, alignment=1.5), "alignment 1.5"),
    (lambda: spiked(4, 3.0, alignment=np.nan), "alignment nan"),
    (lambda: spiked(4, 3.0, rank=4), "4 spiked eigenvalues"),
    (lambda: spiked(4, 3.0, rank=0), "0 spiked eigenvalues"),
    (lambda: spiked(4, 3.0, rank=-1), "0 spiked eigenvalues"),
    (lambda: spiked(4, -3.0), "strength -3 at 0"),
    (lambda: power_law(0), "dim 0"),
    (lambda: power_law(5, np.nan), "eigenvalue nan"),
]


@pytest.mark.parametrize(("build", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input(build, message):
    with pytest.raises(UserError) as caught:
        build()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_isotropic():
    model = isotropic(7, variance=3.0, noise=0.5)
    assert (model.eigenvalues == 1).all()
    assert model.signal.sum() == pytest.approx(3)
    assert (model.dim, model.variance, model.noise) == (7, pytest.approx(3), 0.5)


@given(st.integers(1, 3), st.floats(0, 1), POSITIVE)
def test_spiked(rank, alignment, variance):
    model = spiked(20, (8.0, 2.0), rank=rank, alignment=alignment, variance=variance)
    assert model.eigenvalues.tolist() == [9] * rank + [3] * rank + [1] * (20 - 2 * rank)
    along = (model.eigenvalues * model.signal)[: 2 * rank].sum()
    assert along == pytest.approx(alignment * variance)
    assert model.variance == pytest.approx(variance)


def test_power_law():
    model = power_law(9, 1.5, signal_exponent=0.5, variance=2.0)
    assert model.eigenvalues[3] / model.eigenvalues[0] == pytest.approx(4**-1.5)
    assert model.signal[3] / model.signal[0] == pytest.approx(0.5)
    assert model.eigenvalues.mean() == pytest.approx(1)
    assert model.variance == pytest.approx(2)


def test_spectra_keep_a_copy():
    values = np.ones(3)
    model = Spectrum(values, values)
    values[:] = 0
    assert model.variance == 3


@given(st.lists(st.floats(0, 5), min_size=1, max_size=6).filter(any), POSITIVE, POSITIVE, POSITIVE)
def test_traces_and_energies_are_those_of_the_matrices(values, identity, full, diagonal):
    signal = np.arange(1.0, len(values) + 1)
    model = Spectrum(values, signal)
    sigma, d, one = np.diag(values), np.mean(values) * np.eye(len(values)), np.eye(len(values))
    q = np.linalg.inv(identity * one + full * sigma + diagonal * d)
    s = sigma @ np.sqrt(signal)
    first, second = model.traces(identity, full, diagonal)
    assert first == pytest.approx([np.trace(sigma @ q), np.trace(d @ q)])
    expected = [[np.trace(a @ q @ b @ q) for a in (sigma, d)] for b in (sigma, d)]
    assert second == pytest.approx(np.array(expected))
    energies = model.energies(identity, full, diagonal)
    assert energies == pytest.approx([s @ q @ s, s @ q @ sigma @ q @ s, s @ q @ d @ q @ s])
