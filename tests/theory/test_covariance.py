"""Covariances: two paths through them that must agree, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise.errors import UserError
from maskwise.theory import Covariance, Spectrum, ar1, block, latent_factor
from maskwise.theory.spectra import dense_energies, dense_traces

COEFFICIENT = st.floats(0.05, 3)
ONE = np.ones(3)
BAD = [
    (lambda: Covariance([[1, 0.5], [0.2, 1]], [1, 1]), "differ by 0.3"),
    (lambda: Covariance([[1, 2], [2, 1]], [1, 1]), "indefinite (smallest eigenvalue -1)"),
    (lambda: Covariance([[1, 0], [0, 0]], [1, 1]), "feature 1 never varies"),
    (lambda: Covariance([[1, 0], [0, -1]], [1, 1]), "feature 1 never varies"),
    (lambda: Covariance([[1, np.nan], [np.nan, 1]], [1, 1]), "covariance[0, 1] is nan"),
    (lambda: Covariance([[np.inf, 0], [0, 1]], [1, 1]), "covariance[0, 0] is inf"),
    (lambda: Covariance(np.eye(3)[:2], ONE), "shape (2, 3)"),
    (lambda: Covariance([1.0, 2.0], [1, 1]), "shape (2,)"),
    (lambda: Covariance(np.zeros((0, 0)), []), "shape (0, 0)"),
    (lambda: Covariance(np.eye(3), [1, 1]), "beta of shape (2,) needs 3 rows"),
    (lambda: Covariance(np.eye(3), [1, np.nan, 1]), "beta has values that are not finite"),
    (lambda: Covariance(np.eye(3), ONE, noise=-2), "noise -2"),
    (lambda: Covariance(np.eye(3), ONE, noise=np.nan), "noise nan"),
    (lambda: Covariance(np.eye(3), ONE, units=[0, 1]), "units of shape (2,)"),
    (lambda: ar1(5, 1.0), "rho 1 is outside"),
    (lambda: ar1(5, np.nan), "rho nan is outside"),
    (lambda: ar1(0, 0.5), "dim 0"),
    (lambda: ar1(5, 0.5, beta=[1, 2]), "beta of shape (2,) needs 5 rows"),
    (lambda: ar1(5, 0.5, variance=-1), "variance -1"),
    (lambda: block([2, 3], 1.0), "rho 1 is outside"),
    (lambda: block([2, 3], -0.1), "rho -0.1 is outside"),
    (lambda: block([2, 0], 0.5), "dim 0"),
    (lambda: block([], 0.5), "dim 0"),
    (lambda: latent_factor(5, 5), "5 factors"),
    (lambda: latent_factor(5, 0), "0 factors"),
    (lambda: latent_factor(5, 2, uniqueness=0.0), "uniqueness 0 is outside"),
]


@pytest.mark.parametrize(("build", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input(build, message):
    with pytest.raises(UserError) as caught:
        build()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@st.composite
def models(draw):
    """Covariances, some of one variance, some singular, some with units, some with two targets."""
    dim = draw(st.integers(2, 7))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    root = rng.standard_normal((dim, draw(st.sampled_from([dim - 1, dim + 2]))))
    matrix = root @ root.T / dim
    if draw(st.booleans()):
        scale = np.sqrt(matrix.diagonal())
        matrix = 1.7 * matrix / scale / scale[:, None]
    units = np.arange(dim) // 3 if draw(st.booleans()) else None
    beta = rng.standard_normal((dim, draw(st.sampled_from([1, 2]))))
    return Covariance(matrix, beta, units=units)


def as_matrix(model):
    return np.diag(model.diagonal) if model.units is None else model.diagonal


@given(models(), COEFFICIENT, COEFFICIENT, COEFFICIENT)
def test_traces_and_energies_are_those_of_the_matrices(model, identity, full, diagonal):
    sigma, d, s = model.matrix, as_matrix(model), model.cross
    q = np.linalg.inv(identity * np.eye(len(d)) + full * sigma + diagonal * d)
    expected = [[np.trace(a @ q @ b @ q) for a in (sigma, d)] for b in (sigma, d)]
    energies = [np.sum(s * (middle @ s)) for middle in (q, q @ sigma @ q, q @ d @ q)]
    for traces in (model.traces, lambda *at: dense_traces(model, *at)):
        first, second = traces(identity, full, diagonal)
        assert first == pytest.approx([np.trace(sigma @ q), np.trace(d @ q)])
        assert second == pytest.approx(np.array(expected))
    assert model.energies(identity, full, diagonal) == pytest.approx(energies)
    assert dense_energies(model, identity, full, diagonal) == pytest.approx(energies)


@given(models(), COEFFICIENT, COEFFICIENT)
def test_without_identity_the_whitened_spectrum_is_the_dense_path(model, full, diagonal):
    if model.dim < len(model.matrix):
        return
    first, second = model.traces(0.0, full, diagonal)
    dense_first, dense_second = dense_traces(model, 0.0, full, diagonal)
    assert first == pytest.approx(dense_first, rel=1e-7)
    assert second == pytest.approx(dense_second, rel=1e-7)
    energies = dense_energies(model, 0.0, full, diagonal)
    assert model.energies(0.0, full, diagonal) == pytest.approx(energies, rel=1e-7)


@given(models(), st.sampled_from([0.0, 0.7]), COEFFICIENT, COEFFICIENT)
def test_second_order_traces_are_derivatives(model, identity, full, diagonal):
    step = 1e-5
    _, second = model.traces(identity, full, diagonal)
    energies = model.energies(identity, full, diagonal)
    for column, (df, dd) in enumerate([(step, 0.0), (0.0, step)]):
        (up, _), (down, _) = (
            model.traces(identity, full + sign * df, diagonal + sign * dd) for sign in (1, -1)
        )
        assert second[:, column] == pytest.approx((down - up) / (2 * step), rel=1e-5, abs=1e-8)
        more, less = (
            model.energies(identity, full + sign * df, diagonal + sign * dd)[0] for sign in (1, -1)
        )
        assert energies[1 + column] == pytest.approx((less - more) / (2 * step), rel=1e-5)


@given(models())
def test_whitened_features_have_variance_one(model):
    assert model.whitened.eigenvalues.mean() == pytest.approx(1)
    assert model.whitened.dim == model.dim
    assert model.whitened.variance == pytest.approx(model.variance)


def test_features_that_their_unit_determines_are_not_counted():
    pair = [[0.25, -0.25], [-0.25, 0.25]]
    model = Covariance(np.kron(np.eye(3), pair), np.ones(6), units=[4, 4, 7, 7, 1, 1])
    assert model.dim == 3
    assert Covariance(model.matrix, model.beta).dim == 6
    assert np.linalg.matrix_rank(model.diagonal) == 3


def test_a_covariance_of_one_variance_is_a_spectrum():
    model = ar1(9, 0.6, seed=4)
    values, vectors = np.linalg.eigh(model.matrix)
    spectrum = Spectrum(values, (vectors.T @ model.beta[:, 0]) ** 2)
    for at in [(0.3, 0.7, 0.2), (0.0, 0.5, 0.5), (1.0, 2.0, 0.0)]:
        for one, two in zip(model.traces(*at), spectrum.traces(*at), strict=True):
            assert one == pytest.approx(two)
        assert model.energies(*at) == pytest.approx(spectrum.energies(*at))


def test_constructors():
    assert ar1(4, -0.5, variance=2.0, seed=1).variance == pytest.approx(2)
    assert ar1(3, 0.5, beta=[1, 0, 0]).variance == pytest.approx(1)
    assert ar1(5, 0.3, seed=1).beta.tolist() != ar1(5, 0.3, seed=2).beta.tolist()
    blocks = block([2, 1, 3], 0.4, variance=3.0, noise=0.1)
    assert blocks.matrix[3:, 3:].tolist() == [[1, 0.4, 0.4], [0.4, 1, 0.4], [0.4, 0.4, 1]]
    assert blocks.matrix[:2, 2:].tolist() == [[0] * 4] * 2
    assert (blocks.variance, blocks.noise) == (pytest.approx(3), 0.1)


def test_a_latent_factor_is_predicted_as_well_as_it_can_be():
    model = latent_factor(300, 3, uniqueness=0.4, variance=1.5, noise=0.2, seed=7)
    values = np.linalg.eigvalsh(model.matrix)
    assert values[:-3] == pytest.approx(np.full(297, 0.4))
    assert values[-3] > 10
    assert model.matrix.diagonal().mean() == pytest.approx(1, rel=0.1)
    assert np.ptp(model.diagonal) > 0.5
    assert model.variance == pytest.approx(1.5)
    # β lies in the span of the factors' loadings.
    _, vectors = np.linalg.eigh(model.matrix)
    assert np.abs(vectors[:, :-3].T @ model.beta).max() < 1e-10
