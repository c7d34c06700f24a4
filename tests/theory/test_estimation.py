import numpy as np
import pytest
from scipy import sparse

from maskwise.errors import UserError
from maskwise.theory import (
    Covariance,
    FeatureSpectrum,
    Spectrum,
    ar1,
    estimate,
    latent_factor,
    risk,
)
from tests.lazy import lazy

covariance = lazy("sklearn.covariance")


def samples(matrix, num, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((num, len(matrix))) @ np.linalg.cholesky(matrix).T


def standardised(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


def correlation(model):
    """Return a correlation matrix without special structure."""
    root = np.sqrt(model.diagonal)
    return model.matrix / root / root[:, None]


def of_matrix(sigma):
    values, vectors = np.linalg.eigh(sigma)
    return FeatureSpectrum(values, np.ones(len(values)), vectors**2, 0, 0.0)


def without(sigma, j):
    """Return the covariance of the other features, and theirs with feature j."""
    others = np.arange(len(sigma)) != j
    return sigma[np.ix_(others, others)], sigma[others, j]


FACTOR = correlation(latent_factor(60, 4, uniqueness=0.3, seed=1))


@pytest.mark.parametrize("sigma", [ar1(60, 0.9).matrix, FACTOR], ids=["ar1", "factor"])
@pytest.mark.parametrize(
    ("z", "full"), [(0.0, 1.0), (0.3, 2.0), (5.0, 0.01), (1.0, 1e-5), (0.02, 3.0), (1.0, 1e-7)]
)
def test_energies_are_those_of_every_target(sigma, z, full):
    rows = []
    for j in range(len(sigma)):
        rest, s = without(sigma, j)
        h = np.linalg.solve(z * np.eye(len(s)) + full * rest, s)
        rows.append([s @ h, h @ rest @ h, h @ h])
    model = of_matrix(sigma)
    expected = np.mean(rows, axis=0)
    exact = model.exact_energies(z / full) / full ** np.array([1, 2, 2])
    np.testing.assert_allclose(exact, expected, rtol=1e-10)
    np.testing.assert_allclose(model.energies(z / 4, full, 3 * z / 4), expected, rtol=1e-6)
    if z == 0:
        assert model.variance == pytest.approx(expected[0], rel=1e-12)
        assert model.noise == pytest.approx(np.mean(1 / np.diag(np.linalg.inv(sigma))), rel=1e-10)


def test_energies_are_derivatives():
    """Of the first energy by A and by z, as for any resolvent."""
    model, z, full, step = of_matrix(FACTOR), 0.4, 0.7, 1e-4
    up, down = (model.exact_energies(z / (full + e))[0] / (full + e) for e in (step, -step))
    _, in_full, in_diagonal = model.exact_energies(z / full) / full ** np.array([1, 2, 2])
    assert in_full == pytest.approx((down - up) / (2 * step), rel=1e-6)
    up, down = (model.exact_energies((z + e) / full)[0] / full for e in (step, -step))
    assert in_diagonal == pytest.approx((down - up) / (2 * step), rel=1e-6)


@pytest.mark.parametrize(
    ("law", "per_dim", "options"),
    [
        (0.3, 0.5, {}),
        (0.3, 2.0, {}),
        ("choice:0.5*0.2,0.5*0.5", 0.5, {"target_hidden": True}),
        ("choice:0.5*0.2,0.5*0.5", 6.0, {"target_hidden": True, "test_ratio": 0.2}),
        (0.4, 1.0, {"ridge": 0.2, "rescale": True}),
        (0.4, 0.7, {"masks": "fresh", "target_hidden": True}),
    ],
)
def test_risk_is_the_mean_over_targets(law, per_dim, options):
    """The one approximation is in the traces, and it vanishes as features grow in number."""
    gaps = []
    for dim in (20, 80):
        sigma = ar1(dim, 0.8).matrix
        num = per_dim * dim
        totals = []
        for j in range(dim):
            rest, s = without(sigma, j)
            beta = np.linalg.solve(rest, s)
            model = Covariance(rest, beta, 1 - s @ beta)
            totals.append(risk(model, law, num, **options).total)
        gaps.append(risk(of_matrix(sigma), law, num, **options).total / np.mean(totals) - 1)
    assert abs(gaps[0]) < 0.02
    assert abs(gaps[1]) < max(abs(gaps[0]) / 2, 1e-4)


@pytest.mark.parametrize(("num", "dim"), [(200, 30), (30, 200), (50, 50)])
def test_shrinkage_is_that_of_ledoit_and_wolf(num, dim):
    x = samples(ar1(dim, 0.6).matrix, num) * np.arange(1, dim + 1) + 3
    model = estimate(x)
    expected = covariance.ledoit_wolf_shrinkage(standardised(x), assume_centered=True)
    assert model.shrinkage == pytest.approx(expected, rel=1e-9)
    assert model.num_samples == num
    assert model.dim == dim - 1


@pytest.mark.parametrize(("num", "dim"), [(300, 40), (40, 150)])
def test_estimate_is_of_the_shrunk_correlations(num, dim):
    """Directly, with matrices of all features, against fewer samples than features too."""
    x = samples(ar1(dim, 0.6).matrix, num)
    y = x[:, 0] + np.random.default_rng(1).standard_normal(num)
    z = standardised(x)
    sigma = 0.8 * z.T @ z / num + 0.2 * np.eye(dim)
    direct, model = of_matrix(sigma), estimate(x, shrinkage=0.2)
    assert model.multiplicity.sum() == dim
    np.testing.assert_allclose(model.traces(0.1, 2.0, 0.3)[1], direct.traces(0.1, 2.0, 0.3)[1])
    for zeta in (0.0, 0.5, 100.0):
        np.testing.assert_allclose(
            model.exact_energies(zeta), direct.exact_energies(zeta), rtol=1e-9
        )
    spectrum = estimate(x, y, shrinkage=0.2)
    assert isinstance(spectrum, Spectrum)
    assert spectrum.variance + spectrum.noise == pytest.approx(1.0)
    beta = np.linalg.solve(sigma, z.T @ standardised(y[:, None]) / num)[:, 0]
    beta *= np.sqrt(spectrum.variance / (beta @ sigma @ beta))
    covariance = Covariance(sigma, beta)
    np.testing.assert_allclose(spectrum.energies(0, 1, 0.5), covariance.energies(0, 1, 0.5))


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array])
@pytest.mark.parametrize("shape", [(120, 30), (30, 120)])
def test_sparse_is_dense(form, shape):
    x = np.random.default_rng(0).poisson(0.5, shape)
    x[0] += 1
    y = x[:, 1]
    dense, thin = estimate(x), estimate(form(x))
    np.testing.assert_allclose(dense.share, thin.share)
    np.testing.assert_allclose(dense.eigenvalues, thin.eigenvalues)
    assert estimate(form(x), y).noise == pytest.approx(estimate(x, y).noise)


def test_blocks_change_nothing(monkeypatch):
    x = samples(ar1(20, 0.5).matrix, 100).astype(np.float32)
    for table in (x, x.T):
        whole = estimate(table)
        with monkeypatch.context() as patch:
            patch.setattr("maskwise.theory.estimation.BLOCK", 150)
            parts = estimate(table)
        np.testing.assert_allclose(whole.exact_energies(0.3), parts.exact_energies(0.3))


def test_a_known_population_is_found():
    sigma = ar1(30, 0.7).matrix
    x = samples(sigma, 40000) * 5 - 2
    model, truth = estimate(x), of_matrix(sigma)
    assert model.noise == pytest.approx(truth.noise, rel=0.02)
    for num in (15, 100):
        options = {"target_hidden": True}
        found, expected = (risk(m, 0.3, num, **options).total for m in (model, truth))
        assert found == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("num", "tolerance"), [(150, 0.15), (20000, 0.02)])
def test_noise_of_a_target_is_what_features_cannot_tell(num, tolerance):
    """Also with few samples per feature, where the fit itself explains noise."""
    sigma = ar1(60, 0.5).matrix
    x, rng = samples(sigma, num), np.random.default_rng(1)
    beta = rng.standard_normal(60)
    beta /= np.sqrt(beta @ sigma @ beta)
    noise = rng.standard_normal(num)
    both = np.stack([x @ beta * np.sqrt(0.6) + np.sqrt(0.4) * noise, noise], axis=1)
    assert estimate(x, both[:, 0]).noise == pytest.approx(0.4, abs=tolerance)
    assert estimate(x, both[:, 1]).noise == pytest.approx(1.0, abs=tolerance)
    assert estimate(x, both).noise == pytest.approx(1.4, abs=2 * tolerance)
    assert estimate(x, both).variance == pytest.approx(0.6, abs=2 * tolerance)


def test_unrelated_features_tell_nothing():
    model = estimate(np.random.default_rng(0).standard_normal((5000, 20)), shrinkage=1.0)
    assert model.noise == 1.0
    assert risk(model, 0.3, 10, target_hidden=True).bias == 0.0


def table():
    return np.random.default_rng(0).standard_normal((30, 5))


def changed(row, column, value):
    x = table()
    x[row, column] = value
    return x


def still(*columns):
    x = table()
    x[:, columns] = 0.1
    return x


@pytest.mark.parametrize(
    ("x", "y", "shrinkage", "says"),
    [
        (changed(3, 2, np.nan), None, None, "row 3, column 2 is nan"),
        (changed(3, 2, -np.inf), None, None, "row 3, column 2 is -inf"),
        (changed(3, 2, 1e200), None, None, "column 2 holds numbers too large"),
        (sparse.csr_array(changed(3, 2, np.nan)), None, None, "row 3, column 2 is nan"),
        (still(1, 4), None, None, r"2 of 5 columns never vary \(1, 4\): leave them out"),
        (still(*range(5)), None, None, r"\(0, 1, 2, 3, 4\)"),
        (table()[:1], None, None, r"shape \(1, 5\)"),
        (table()[:, :1], None, None, r"shape \(30, 1\)"),
        (table()[0], None, None, r"shape \(5,\)"),
        (table().astype(str), None, None, "must be real numbers"),
        (table(), np.zeros(29), None, r"shape \(29,\) needs 30 rows"),
        (table(), np.ones(30), None, "the target never varies"),
        (table(), changed(7, 0, np.nan)[:, 0], None, "row 7 is not finite"),
        (table(), np.array(["a"] * 30), None, "must be real numbers"),
        (table(), None, 1.5, "shrinkage 1.5 is outside"),
        (table().T, None, 0, "30 features in 5 samples are singular"),
        (np.tile(table(), 2), None, 0, "singular"),
    ],
)
def test_bad_data_is_named(x, y, shrinkage, says):
    with pytest.raises(UserError, match=says) as caught:
        estimate(x, y, shrinkage=shrinkage)
    assert "\n" not in str(caught.value)
