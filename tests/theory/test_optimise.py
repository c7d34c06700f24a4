"""The best ratio, interval and law: against closed forms and brute force."""

from functools import cache

import numpy as np
import pytest
from scipy import optimize

from maskwise import theory
from maskwise.errors import UserError
from maskwise.laws import Choice, Fixed

TOP = theory.Spectrum(
    theory.power_law(400).eigenvalues,
    np.r_[1 / theory.power_law(400).eigenvalues[0], np.zeros(399)],
)
RESCALED = {"target_hidden": True, "rescale": True}


@cache
def best_of(search, noise=0.2):
    """Search once for all tests."""
    return search(TOP, 360, noise, **RESCALED)


def total(model, law, num_samples, noise, **options):
    return float(theory.risk(model, law, num_samples, noise, **options).total)


def test_best_ratio_of_uncorrelated_features_is_that_of_the_closed_form():
    d, n, noise = 400, 100, 0.5

    def closed_form(p):
        rows, s2 = n * p, (noise + p) / (1 - p)
        return 1 - rows / d + s2 * rows / (d - rows)

    found = optimize.minimize_scalar(closed_form, bounds=(0.01, 0.99), method="bounded")
    best = theory.best_ratio(theory.isotropic(d), n, noise, target_hidden=True)
    assert best.law.ratio == pytest.approx(found.x, abs=1e-3)
    assert best.risk.total == pytest.approx(noise + found.fun, rel=1e-6)


def test_flat_is_where_the_risk_is_one_percent_above_the_least():
    model = theory.power_law(200, signal_exponent=1.0)
    best = theory.best_ratio(model, 50, 0.2, target_hidden=True)
    low, high = best.flat
    assert low < best.law.ratio < high
    for edge in (low, high):
        at_edge = total(model, edge, 50, 0.2, target_hidden=True)
        assert at_edge == pytest.approx(1.01 * best.risk.total, rel=2e-3)


def test_flat_holds_the_best_ratio_when_the_optimum_is_narrower_than_the_grid():
    model = theory.power_law(400, signal_exponent=1.0)
    best = theory.best_ratio(model, 3200, 0.2, target_hidden=True)
    low, high = best.flat
    assert low <= best.law.ratio <= high


@pytest.mark.parametrize("num_samples", [100, 400])
def test_with_fresh_masks_the_best_ratio_is_the_best_scaled_ridge(num_samples):
    """b = (1+λ)(Σ̂ + λ D)⁻¹ĉ, written as an independent formula: the best ratio is λ/(1+λ)."""
    model = theory.power_law(200)
    s, energy, noise = model.eigenvalues, model.signal, 0.25

    def scaled_ridge(penalty):
        def gap(kappa):
            return num_samples * (1 - penalty / kappa) - np.sum(s / (s + kappa))

        kappa = optimize.brentq(gap, penalty * (1 + 1e-9), penalty + 200 * s.max())
        c, q = 1 + penalty, 1 / (s + kappa)
        bias = np.sum(s * (c * s * q - 1) ** 2 * energy)
        row = noise + kappa**2 * np.sum(s * q**2 * energy)
        squares = np.sum((s * q) ** 2)
        return bias + c**2 * row * squares / (num_samples - squares) + noise

    found = optimize.minimize_scalar(scaled_ridge, bounds=(1e-3, 20), method="bounded")
    best = theory.best_ratio(model, num_samples, noise, masks="fresh")
    assert best.law.ratio == pytest.approx(found.x / (1 + found.x), abs=2e-3)
    assert best.risk.total == pytest.approx(found.fun, rel=1e-6)


def test_best_interval_is_no_worse_than_any_interval_of_a_grid():
    best = best_of(theory.best_interval)
    bounds = np.linspace(0.02, 0.9, 12)
    others = [
        total(TOP, f"uniform:{low},{high}", 360, 0.2, **RESCALED)
        for index, low in enumerate(bounds)
        for high in bounds[index + 1 :]
    ]
    assert best.risk.total <= min(others) + 1e-6
    # Here an interval beats every fixed ratio.
    assert best.risk.total < best_of(theory.best_ratio).risk.total


def test_best_law_beats_every_pair_of_ratios_and_its_certificate_holds_off_the_grid():
    best = best_of(theory.best_law)
    least = best.risk.total
    assert isinstance(best.law, Choice)
    assert best.certificate <= 1e-4
    shares = np.linspace(0.1, 0.9, 9)
    pairs = [
        total(TOP, (np.array([low, high]), np.array([share, 1 - share])), 360, 0.2, **RESCALED)
        for low in np.linspace(0.01, 0.5, 8)
        for high in np.linspace(0.3, 0.97, 8)
        for share in shares
        if low < high
    ]
    assert least <= min(pairs) * (1 + 1e-4)
    ratios, weights = best.law.quadrature()
    for ratio in (0.03, 0.11, 0.4, 0.605, 0.66, 0.9):
        for step in (0.003, 0.03, 0.3):
            mixed = (np.append(ratios, ratio), np.append((1 - step) * weights, step))
            assert total(TOP, mixed, 360, 0.2, **RESCALED) >= least * (1 - 3e-4)


def test_best_law_saves_what_the_best_fixed_ratio_cannot():
    """A random law wins: rescaled inputs, a hidden target, one mask each."""
    fixed = best_of(theory.best_ratio).risk.total
    assert fixed == pytest.approx(0.26843, abs=2e-5)
    assert best_of(theory.best_law).risk.total < 0.945 * fixed


def test_with_fresh_masks_no_law_beats_the_best_fixed_ratio():
    best = theory.best_law(TOP, 200, 0.2, masks="fresh")
    assert isinstance(best.law, Fixed)
    assert best.certificate <= 1e-6


def test_ratios_at_which_the_risk_is_infinite_are_passed_over():
    # n p = d at p = 0.5, which is on the grid.
    grid = np.linspace(0.1, 0.9, 9)
    best = theory.best_ratio(theory.isotropic(50), 100, 0.2, ratios=grid, target_hidden=True)
    assert np.isfinite(best.risk.total)
    assert best.flat[1] < 0.5 or best.flat[0] > 0.5


def test_an_infinite_risk_everywhere_is_an_error():
    with pytest.raises(UserError, match="infinite at every ratio"):
        theory.best_ratio(theory.isotropic(100), 100, 0.2)


def test_wrong_options_are_errors_not_infinite_risks():
    with pytest.raises(UserError, match="ridge -1"):
        theory.best_ratio(theory.isotropic(100), 50, 0.2, ridge=-1.0)


@pytest.mark.slow
def test_a_tolerance_that_cannot_be_met_is_an_error():
    with pytest.raises(UserError, match="raise the tolerance"):
        theory.best_law(TOP, 360, 0.2, ratios=[0.1, 0.5], tolerance=-1.0, **RESCALED)


@pytest.mark.parametrize("family", [pytest.param("any", marks=pytest.mark.slow), "interval"])
def test_win_map_compares_the_two_searches(family):
    found = theory.win_map(TOP, [200, 360], [0.2, 1.0], family=family, **RESCALED)
    search = theory.best_law if family == "any" else theory.best_interval
    fixed, law = best_of(theory.best_ratio, 1.0), best_of(search, 1.0)
    assert found.fixed.shape == (2, 2)
    assert found.fixed[1, 1] == fixed.risk.total
    assert found.law[1, 1] == law.risk.total
    assert found.gain[1, 1] == max(1 - law.risk.total / fixed.risk.total, 0)
    assert found.laws[1][1] == str(law.law)
    assert found.ratio[1, 1] == fixed.law.ratio
    assert found.gain.max() > 0


def test_win_map_refuses_an_unknown_family():
    with pytest.raises(UserError, match="'all' is unknown: give one of any, interval"):
        theory.win_map(TOP, [200], [0.2], family="all")
