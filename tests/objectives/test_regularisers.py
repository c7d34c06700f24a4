import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from maskwise.errors import UserError
from maskwise.objectives import regularisers as terms

TERMS = {
    "uniformity": terms.uniformity,
    "public": lambda z: terms.uniformity(z, scale="public"),
    "coding_rate": terms.coding_rate,
    "variance": terms.variance,
    "covariance": terms.covariance,
    "koleo": terms.koleo,
    "local_dimension": lambda z: terms.local_dimension(z, neighbours=3),
    "magma": lambda z: terms.magma(z, z[:, :2]),
    "magma of fixed y": lambda z: terms.magma(z, torch.arange(len(z), dtype=z.dtype)[:, None]),
}
every_term = pytest.mark.parametrize("name", TERMS)


def features(num=12, width=5, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(num, width, generator=generator, dtype=torch.float64)


def directions(z):
    return (z / z.norm(dim=1, keepdim=True)).numpy()


def pairs(num):
    return [(i, j) for i in range(num) for j in range(num) if i != j]


@settings(max_examples=15)
@given(num=st.integers(2, 9), width=st.integers(1, 6), seed=st.integers(0, 99))
def test_uniformity_is_the_mean_over_pairs(num, width, seed):
    z = features(num, width, seed, scale=7)
    u = directions(z)
    cosines = [(u[i] @ u[j]) ** 2 for i, j in pairs(num)]
    assert float(terms.uniformity(z)) == pytest.approx(np.mean(cosines), abs=1e-12)
    with_itself = (sum(cosines) + num) / num**2
    assert float(terms.uniformity(z, scale="public")) == pytest.approx(with_itself)


def rounding(z):
    """What single precision may cost the uniformity of features, to first order.

    With u = eps / 2, a coordinate of a direction is off by (d / 2 + 2) u (a sum of d squares under
    a root, the root, the quotient), an entry of G by twice that and a sum of N products, and |G|²
    by twice an entry's error times the entry, and a sum of d² squares. Taking N from |G|² leaves
    the error as it is.
    """
    num, width = z.shape
    cosines = directions(z.double())
    gram, products = cosines.T @ cosines, np.abs(cosines).T @ np.abs(cosines)
    entries = (width + 4 + num) * products
    error = (2 * np.abs(gram) * entries + (width**2 + 1) * gram**2).sum()
    return torch.finfo(torch.float32).eps / 2 * error / (num * (num - 1))


def test_uniformity_of_known_features():
    # All on one line; as many orthogonal ones as there are dimensions; a regular simplex, whose
    # cosines are -1/3; and wide Gaussian ones, whose mean is 1 / d whatever the batch.
    line = torch.tensor([[1.0, 2.0], [-2.0, -4.0], [3.0, 6.0]])
    assert float(terms.uniformity(line)) == pytest.approx(1, abs=rounding(line))
    assert float(terms.uniformity(torch.eye(6))) == 0
    simplex = torch.eye(4) - 0.25
    assert float(terms.uniformity(simplex)) == pytest.approx(1 / 9, abs=rounding(simplex))
    for num in (64, 512):
        assert float(terms.uniformity(features(num, 50))) == pytest.approx(1 / 50, rel=0.05)
        public = float(terms.uniformity(features(num, 50), scale="public"))
        assert public == pytest.approx(1 / 50 + (1 - 1 / 50) / num, rel=0.05)


def test_no_matrix_of_samples_by_samples():
    """Twenty thousand samples would need 1.6 GB."""
    z = features(20_000, 4).float().requires_grad_()
    sizes = []

    def note(tensor):
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        for term in (terms.uniformity, terms.coding_rate, terms.variance, terms.covariance):
            term(z)
    assert max(sizes) == z.numel()


@pytest.mark.parametrize("mu", [0.5, 1.0, 3.0])
def test_coding_rate_is_that_of_the_eigenvalues(mu):
    z = features()
    eigenvalues = np.linalg.eigvalsh(directions(z) @ directions(z).T)
    expected = -np.log1p(mu / 5 * eigenvalues).sum()
    assert float(terms.coding_rate(z, mu=mu)) == pytest.approx(expected)


def test_uniformity_is_the_second_order_of_coding_rate():
    z = features(num=6, width=40)
    pair_mean = float(terms.uniformity(z, scale="public"))
    errors = []
    for mu in (0.4, 0.2, 0.1):
        c = mu / 40
        second = -c * 6 + c**2 / 2 * pair_mean * 36
        errors.append(abs(float(terms.coding_rate(z, mu=mu)) - second))
    # What is left is of third order.
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(8, rel=0.05)


def test_variance_and_covariance_are_those_of_numpy():
    z = features() * torch.tensor([3.0, 1.0, 0.5, 0.1, 0.0]) + 4
    spread = z.numpy().var(axis=0, ddof=1)
    expected = np.maximum(0, 1 - np.sqrt(spread + 1e-4)).mean()
    assert float(terms.variance(z)) == pytest.approx(expected)
    matrix = np.cov(z.numpy(), rowvar=False)
    np.fill_diagonal(matrix, 0)
    assert float(terms.covariance(z)) == pytest.approx((matrix**2).sum() / 5)
    # Neither normalises: far from the origin they are the same.
    shifted = (z + 1000).float()
    assert float(terms.variance(shifted)) == pytest.approx(expected, rel=1e-4)


@settings(max_examples=10)
@given(num=st.integers(2, 9), width=st.integers(2, 5), seed=st.integers(0, 99))
def test_koleo_is_the_mean_over_nearest_others(num, width, seed):
    z = features(num, width, seed)
    u = directions(z)
    nearest = [min(np.linalg.norm(u[i] - u[j]) for j in range(num) if j != i) for i in range(num)]
    assert float(terms.koleo(z)) == pytest.approx(-np.log(np.array(nearest) + 1e-8).mean())
    # The nearest one moves too.
    assert torch.autograd.gradcheck(terms.koleo, z.requires_grad_())


def test_koleo_finds_the_nearest_of_crowded_features():
    """Where products in float32 cannot tell distances apart."""
    gaps = 1e-4 * torch.arange(30, dtype=torch.float64)
    angles = 0.7 + gaps.cumsum(dim=0)
    z = torch.stack([angles.cos(), angles.sin()], dim=1).float()
    gaps[0] = gaps[1]
    expected = float(-gaps.log().mean())
    assert float(terms.koleo(z)) == pytest.approx(expected, abs=2e-3)


def moments(z, reference, neighbours):
    """Local dimensions, one sample at a time."""
    found = []
    for i in range(len(z)):
        others = [(z[i] - reference[j]).norm() for j in range(len(z)) if j != i]
        nearest = torch.stack(sorted(others)[:neighbours])
        mean = nearest[:-1].mean()
        found.append(mean / (nearest[-1] - mean))
    return torch.stack(found)


@pytest.mark.parametrize("neighbours", [2, 3, 11])
def test_local_dimension_is_by_moments_with_the_others_held(neighbours):
    z = features().requires_grad_()
    loss = terms.local_dimension(z, neighbours)
    expected = -moments(z, z.detach(), neighbours).log().abs().mean()
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(loss, z)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, z)[0])


@pytest.mark.parametrize("dimension", [2, 4])
def test_local_dimension_of_a_sheet_is_its_own(dimension):
    """Points of a cube of few dimensions, turned into ten. (|log| folds what is below 1.)"""
    generator = torch.Generator().manual_seed(1)
    cube = torch.rand(1500, dimension, generator=generator)
    turned = cube @ torch.linalg.qr(features(10, dimension).float())[0].T
    found = math.exp(-float(terms.local_dimension(turned, neighbours=60)))
    assert found == pytest.approx(dimension, rel=0.12)


def laplacian_energy(x, y):
    """MAGMA by loops."""
    num = len(x)
    squares = {(i, j): ((x[i] - x[j]) ** 2).sum() for i, j in pairs(num)}
    unit = np.std(list(squares.values()), ddof=1)
    weights = {pair: np.exp(-square / unit) for pair, square in squares.items()}
    degree = [1e-4 + sum(weights[i, j] for j in range(num) if j != i) for i in range(num)]
    total = sum(y[i] @ y[i] for i in range(num))
    total -= sum(w / np.sqrt(degree[i] * degree[j]) * y[i] @ y[j] for (i, j), w in weights.items())
    return total / num**2


@settings(max_examples=10)
@given(num=st.integers(3, 9), seed=st.integers(0, 99), shift=st.sampled_from([0.0, 1000.0]))
def test_magma_is_the_energy_of_y_on_the_graph_of_x(num, seed, shift):
    x, y = features(num, 4, seed) + shift, features(num, 3, seed + 1)
    assert float(terms.magma(x, y)) == pytest.approx(laplacian_energy(x.numpy(), y.numpy()))
    # In single precision too, however far from the origin; whatever the unit of x.
    expected = float(terms.magma(x, y))
    assert float(terms.magma(x.float(), y.float())) == pytest.approx(expected, rel=1e-3)
    assert float(terms.magma(9 * x, y)) == pytest.approx(expected)


def test_magma_moves_both_layers():
    x, y = features(7, 4).requires_grad_(), features(7, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(terms.magma, (x, y))
    gradients = torch.autograd.grad(terms.magma(x, y), (x, y))
    assert all(float(gradient.abs().max()) > 1e-3 for gradient in gradients)


def test_orthogonality_is_on_the_smaller_side_of_every_linear_layer():
    module = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.Sequential(nn.Linear(5, 2)))
    wide, narrow = (module.get_submodule(name).weight for name in ("0", "2.0"))
    with torch.no_grad():
        for weight, seed in ((wide, 1), (narrow, 2)):
            weight.copy_(features(*weight.shape, seed=seed))
    costs = [
        (wide.T @ wide - torch.eye(3)).norm() ** 2,
        (narrow @ narrow.T - torch.eye(2)).norm() ** 2,
    ]
    torch.testing.assert_close(terms.orthogonality(module), torch.stack(costs).mean())
    for weight in (wide, narrow):
        nn.init.orthogonal_(weight, generator=torch.Generator().manual_seed(0))
    assert float(terms.orthogonality(module).detach()) == pytest.approx(0, abs=1e-10)
    with pytest.raises(UserError, match="orthogonality: LayerNorm has no linear layer"):
        terms.orthogonality(module[1])


@every_term
def test_in_float32_also_within_autocast(name):
    z = features().bfloat16()
    expected = TERMS[name](z.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = TERMS[name](z)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0, rtol=0)
    linear = nn.Linear(4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(terms.orthogonality(linear), terms.orthogonality(linear.float()))


@every_term
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_stays_so(name, value):
    z = features()
    z[3, 1] = value
    z.requires_grad_()
    loss = TERMS[name](z)
    loss.backward()
    assert not loss.isfinite()
    assert not z.grad.isfinite().all()


@every_term
@pytest.mark.parametrize("crowd", ["all", "twins", "regular"])
def test_gradient_is_finite_where_samples_coincide(name, crowd):
    z = features().float()
    z = {"all": z[:1].expand(12, 5), "twins": z[:6].repeat(2, 1), "regular": torch.eye(5)}[crowd]
    z = z.clone().requires_grad_()
    loss = TERMS[name](z)
    loss.backward()
    assert loss.isfinite()
    assert z.grad.isfinite().all()
    assert float(z.grad.abs().max()) < 1e4


@every_term
def test_a_step_down_spreads_features(name):
    """Gradients point the way that they say: a small step makes the term smaller."""
    z = features().requires_grad_()
    loss = TERMS[name](z)
    (gradient,) = torch.autograd.grad(loss, z)
    assert TERMS[name](z - 1e-4 * gradient) < loss


@every_term
def test_bad_batches(name):
    of = name.split()[0].replace("public", "uniformity")
    with pytest.raises(UserError, match=f"{of} compares samples: a batch of 1 has no two"):
        TERMS[name](features(num=1))
    if "fixed" in name or of != "magma":
        with pytest.raises(UserError, match=f"{of}: features of width 0"):
            TERMS[name](features(width=0))


@pytest.mark.parametrize("name", ["uniformity", "public", "coding_rate", "koleo"])
def test_features_without_direction(name):
    z = features()
    z[[2, 5]] = 0
    of = name.replace("public", "uniformity")
    with pytest.raises(UserError, match=f"{of}: 2 of 12 feature vectors are exactly zero"):
        TERMS[name](z)


@pytest.mark.parametrize("neighbours", [1, 12])
def test_neighbours_are_others(neighbours):
    with pytest.raises(UserError, match=f"{neighbours} neighbours are not from 2 to 11"):
        terms.local_dimension(features(), neighbours)
    assert terms.local_dimension(features(), 11).isfinite()
