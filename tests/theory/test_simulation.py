"""The simulation itself, which must not be trusted more than the formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise.errors import UserError
from maskwise.theory import (
    Covariance,
    Spectrum,
    ar1,
    isotropic,
    latent_factor,
    power_law,
    risk,
    simulate,
)
from maskwise.theory.simulation import dense, least_squares

EIGHT = (np.linspace(0.1, 0.8, 8), np.full(8, 0.125))


def systems():
    """Rows and targets, some of them with rows that say nothing or the same twice."""
    rng = np.random.default_rng(0)
    for shape in [(12, 5), (5, 12), (7, 7), (3, 1), (1, 3)]:
        yield rng.standard_normal(shape), rng.standard_normal((shape[0], 2))
    tall, wide = rng.standard_normal((12, 5)), rng.standard_normal((5, 12))
    for z in (tall, wide):
        empty, twice = z.copy(), z.copy()
        empty[1] = 0
        twice[1] = twice[0]
        for rows in (empty, twice, empty[:, [0, 1, 2, 2]], np.zeros_like(z)):
            yield rows, rng.standard_normal((len(rows), 2))


@pytest.mark.parametrize(("z", "y"), list(systems()))
def test_least_squares_has_minimum_norm(z, y):
    expected = np.linalg.lstsq(z, y, rcond=None)[0]
    assert least_squares(z, y, 0.0, np.asarray) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("z", "y"), list(systems()))
def test_a_penalty_is_more_rows(z, y):
    dim = z.shape[1]
    rows = np.concatenate([z, np.sqrt(0.7) * np.eye(dim)])
    expected = np.linalg.lstsq(rows, np.concatenate([y, np.zeros((dim, 2))]), rcond=None)[0]
    assert least_squares(z, y, 0.7, np.asarray) == pytest.approx(expected, abs=1e-9)


def test_no_row_that_counts_predicts_nothing():
    model = isotropic(4, noise=0.5)
    found = simulate(model, 1e-9, 3, target_hidden=True, repeats=2)
    assert found.risks.tolist() == [1.5, 1.5]
    assert simulate(model, 1 - 1e-9, 3, repeats=2).risks.tolist() == [1.5, 1.5]


def test_a_repeat_depends_on_seed_and_number_only():
    model = ar1(20, 0.5, noise=0.1)
    few, many = (simulate(model, EIGHT, 30, repeats=repeats, seed=3) for repeats in (3, 6))
    assert few.risks.tolist() == many.risks[:3].tolist()
    assert len(set(many.risks)) == 6
    assert simulate(model, EIGHT, 30, repeats=3, seed=4).risks.tolist() != few.risks.tolist()
    assert many.mean == many.risks.mean()
    assert many.stderr == pytest.approx(many.risks.std(ddof=1) / np.sqrt(6))


def test_everything_is_seen_without_masks_and_noise():
    found = simulate(latent_factor(20, 2), 1e-12, 40, repeats=3)
    assert np.abs(found.risks).max() < 1e-9


OPTIONS = [
    {},
    {"ridge": 0.2},
    {"target_hidden": True},
    {"rescale": True, "test_ratio": 0.3},
    {"weights": lambda p: 1 / p},
    {"target_hidden": True, "rescale": True, "ridge": 0.1, "weights": lambda p: 1 / p},
]


def grouped():
    plain = latent_factor(6, 2, noise=0.3)
    return Covariance(plain.matrix, plain.beta, 0.3, units=[0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("model", [latent_factor(6, 2, noise=0.3), grouped()], ids=["", "units"])
def test_many_masks_are_fresh_masks(model, options):
    """On the same samples: only the masks are another draw."""
    law = ([0.2, 0.6], [0.7, 0.3])
    options = options | {"repeats": 2}
    many = simulate(model, law, 12, masks_per_sample=4000, **options)
    fresh = simulate(model, law, 12, masks="fresh", **options)
    assert many.risks == pytest.approx(fresh.risks, rel=0.03)


def test_masks_per_sample_lie_between_the_limits():
    model = ar1(200, 0.7, noise=0.25)
    static = risk(model, EIGHT, 100).total
    risks = [
        simulate(model, EIGHT, 100, repeats=24, masks_per_sample=num).mean for num in (1, 8, 64)
    ]
    assert risks[0] == pytest.approx(static, rel=0.1)
    assert risks[0] > risks[1] > risks[2]
    # The limit is .77538; 64 masks are close to it, .80 within what eight draws can tell.
    assert risks[2] == pytest.approx(0.77538, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("law", [EIGHT, 0.35455])
@pytest.mark.parametrize(("num_samples", "limit"), [(100, 0.77538), (400, 0.47954)])
def test_64_masks_per_sample_are_close_to_fresh_ones(law, num_samples, limit):
    model = ar1(200, 0.7, noise=0.25)
    found = simulate(model, law, num_samples, masks_per_sample=64, repeats=30)
    assert found.mean == pytest.approx(limit, rel=0.04)


@pytest.mark.parametrize("masks", ["static", "fresh"])
@pytest.mark.parametrize("num_samples", [15, 60])
def test_torch_finds_the_same(num_samples, masks):
    plain = latent_factor(30, 3, noise=0.2)
    model = Covariance(plain.matrix, plain.beta, 0.2, units=np.arange(30) // 10)
    # Units of ten leave rows that see nothing, and no factor of Cholesky.
    options = {"target_hidden": True, "rescale": True, "test_ratio": 0.2, "masks": masks}
    here, there = (
        simulate(model, EIGHT, num_samples, repeats=4, device=device, **options)
        for device in (None, "cpu")
    )
    assert here.risks == pytest.approx(there.risks, rel=1e-8)


def test_several_targets_share_the_noise():
    """Σ β is nothing here, so that all there is to explain is noise."""
    model = Covariance(np.eye(5), np.zeros((5, 3)), noise=0.9)
    assert simulate(model, 0.5, 10**5, repeats=2).mean == pytest.approx(0.9, rel=1e-3)
    few = simulate(model, 0.5, 50, repeats=400)
    assert few.mean == pytest.approx(risk(model, 0.5, 50).total, rel=0.02)


def test_spectra_and_their_covariance_agree():
    found = simulate(power_law(100, noise=0.2), EIGHT, 300, repeats=40)
    assert found.mean == pytest.approx(risk(power_law(100, noise=0.2), EIGHT, 300).total, rel=0.04)


REFUSED = [
    ({"num_samples": 0}, "num_samples 0 must be a whole number, at least 1"),
    ({"num_samples": 2.5}, "num_samples 2.5 must be a whole number"),
    ({"num_samples": float("nan")}, "num_samples nan"),
    ({"repeats": 1}, "repeats 1 must be a whole number, at least 2"),
    ({"masks_per_sample": 0}, "masks_per_sample 0"),
    ({"seed": -1}, "seed -1"),
    ({"masks": "fresh", "masks_per_sample": 2}, "masks_per_sample 2 is for static masks"),
    ({"masks": "dynamic"}, "masks 'dynamic' are unknown"),
    ({"device": "abacus"}, "device 'abacus' is of no use here"),
    ({"num_samples": 10}, "10 rows count and there are 10 features"),
    ({"num_samples": 5, "masks_per_sample": 2}, "10 rows count and there are 10 features"),
    ({"law": 1.5}, "ratio 1.5 is outside"),
    ({"noise": -1}, "noise -1"),
    ({"ridge": -1}, "ridge -1"),
    ({"test_ratio": 1}, "test ratio 1 is outside"),
    ({"weights": [1.0, 2.0]}, "weights of shape"),
    ({"weights": -1.0, "law": 0.3}, "weights of shape"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_bad_input(options, message):
    with pytest.raises(UserError, match=message) as caught:
        simulate(isotropic(10), **({"law": 0.3, "num_samples": 20} | options))
    assert "\n" not in str(caught.value)


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
