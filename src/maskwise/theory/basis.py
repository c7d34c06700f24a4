"""A covariance for a spectrum: a basis in which all features have the same variance."""

import numpy as np

from maskwise.errors import UserError
from maskwise.theory.covariance import Covariance
from maskwise.theory.spectra import Array, Model, Spectrum


def dense(model: Model, seed: int = 0) -> Covariance:
    """Return a model as a covariance, from which data can be drawn.

    The eigenvectors of a `Spectrum` are a random basis in which every feature has the same
    variance, and β has random signs along them; a `Covariance` is returned as it is.

    Args:
        model: the data.
        seed: decides the basis and the signs.

    Raises:
        UserError: the model does not say what its covariance is.

    >>> from maskwise.theory import Spectrum
    >>> dense(Spectrum([2.0, 0.5, 0.5], [1.0, 0.0, 0.0])).matrix.diagonal().tolist()
    [1.0, 1.0, 1.0]
    """
    if isinstance(model, Covariance):
        return model
    if not isinstance(model, Spectrum):
        raise UserError(
            f"no data can be drawn from a {type(model).__name__}: give a Spectrum or a Covariance"
        )
    rng = np.random.default_rng(seed)
    values = model.eigenvalues
    vectors = _levelled(np.linalg.qr(rng.standard_normal((model.dim, model.dim)))[0], values)
    matrix = (vectors * values) @ vectors.T
    np.fill_diagonal(matrix, values.mean())
    beta = vectors @ (np.sqrt(model.signal) * rng.choice([-1.0, 1.0], model.dim))
    return Covariance(matrix, beta, model.noise)


def _levelled(vectors: Array, values: Array) -> Array:
    """Rotate pairs of features until each has the mean variance.

    Each rotation sets one feature's variance to the mean, as in Bendel and Mickey, "Population
    correlation matrices for sampling experiments" (1978), but of eigenvectors, which are kept.
    """
    mean = values.mean()
    above = vectors**2 @ values - mean
    for _ in range(len(values) - 1):
        low, high = above.argmin(), above.argmax()
        if above[high] - above[low] <= 1e-13 * mean:
            break
        # The smaller root t, the tangent, of above_low + 2 t covariance + t² above_high = 0.
        covariance = (vectors[low] * values) @ vectors[high]
        root = np.sqrt(covariance**2 - above[low] * above[high])
        tangent = -above[low] / (covariance + np.copysign(root, covariance))
        rotation = np.array([[1.0, tangent], [-tangent, 1.0]]) / np.sqrt(1 + tangent**2)
        vectors[[low, high]] = rotation @ vectors[[low, high]]
        above[high] += above[low]
        above[low] = 0.0
    return vectors
