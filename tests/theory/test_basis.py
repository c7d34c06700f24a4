"""Spectra as covariances, from which data can be drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise.errors import UserError
from maskwise.theory import Spectrum, ar1, power_law, risk
from maskwise.theory.basis import dense

VALUES = st.lists(st.floats(0, 10), min_size=1, max_size=12).filter(any)


@given(VALUES, st.integers(0, 1000))
def test_all_variances_are_the_same_and_the_spectrum_is_kept(values, seed):
    signal = np.random.default_rng(seed).uniform(0, 2, len(values))
    spectrum = Spectrum(values, signal, noise=0.3)
    model = dense(spectrum, seed)
    assert np.ptp(model.diagonal) == 0
    assert model.diagonal[0] == pytest.approx(np.mean(values))
    assert np.linalg.eigvalsh(model.matrix) == pytest.approx(np.sort(values), abs=1e-9)
    assert model.variance == pytest.approx(spectrum.variance, abs=1e-9)
    assert np.sum(model.beta**2) == pytest.approx(signal.sum())
    # The energy of β along Σ, and Σ², and so on.
    assert np.sum(model.cross**2) == pytest.approx(np.square(values) @ signal, abs=1e-8)
    assert model.noise == 0.3


@pytest.mark.parametrize("options", [{}, {"ridge": 0.1}, {"masks": "fresh"}, {"test_ratio": 0.4}])
@pytest.mark.parametrize("num_samples", [30, 120])
def test_a_spectrum_and_its_covariance_have_the_same_risk(num_samples, options):
    spectrum = power_law(60, signal_exponent=1.0, noise=0.2)
    one, two = (
        risk(model, "uniform:0.1,0.7", num_samples, **options)
        for model in (spectrum, dense(spectrum))
    )
    assert one.total == pytest.approx(two.total, rel=1e-9)


def test_seeds_are_other_bases():
    first, again, other = (dense(power_law(10), seed).matrix for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_large_spectra_are_level():
    model = dense(power_law(300, 2.0))
    assert np.linalg.eigvalsh(model.matrix)[::-1] == pytest.approx(
        power_law(300, 2.0).eigenvalues, rel=1e-6, abs=1e-12
    )


def test_a_covariance_is_itself():
    model = ar1(5, 0.5)
    assert dense(model) is model


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(UserError, match="no data can be drawn from a str"):
        dense("isotropic")
