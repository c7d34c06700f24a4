"""What every law must keep, whatever it is; a new law joins by one line in LAWS."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from maskwise import laws
from maskwise.laws import Law, Mixture, Scheduled

LAWS = [
    "fixed:0.15",
    "fixed:0.75",
    "uniform:0,1",
    "uniform:0.6,0.9",
    "beta:3,9",
    "beta:0.5,0.5",
    "beta:1,1",
    "cosine",
    "truncnormal:0.55,0.25,0.5,1",
    "truncnormal:0.3,0.2",
    "choice:0.25,0.75",
    "choice:0.2*0.15,0.5*0.4,0.3*0.8",
    "observed:0.1,0.3",
    "observed:3*0.1,5*0.25,1*0.8",
    "likelihood",
    "mixture:0.5*observed:2*0.1,1*0.4+0.5*uniform:0,1",
    "mixture:0.8*beta:3,9+0.2*uniform:0,1",
    "mixture:0.5*fixed:0.15+0.3*choice:0.1,0.9+0.2*cosine",
    "scheduled:linear,0.15..0.3",
    "scheduled:linear,0.3..0.15",
    "scheduled:cosine,0.9..0.5",
    "scheduled:step,0.75..0.5",
    "scheduled:linear,uniform:0.1,0.3..uniform:0.5,0.9",
    "scheduled:cosine,uniform:0.5,0.9..uniform:0.1,0.3",
    "scheduled:step,uniform:0.1,0.3..uniform:0.5,0.9",
    "scheduled:linear,beta:2,8..beta:8,2",
    "scheduled:cosine,truncnormal:0.3,0.2,0.1,0.8..truncnormal:0.7,0.1,0.4,1",
    "scheduled:linear,choice:0.1,0.2..choice:0.6,0.9",
    "scheduled:cosine,choice:0.9*0.1,0.1*0.2..choice:0.2*0.6,0.8*0.9",
    "scheduled:linear,mixture:0.8*beta:3,9+0.2*uniform:0,1..mixture:0.4*beta:9,3+0.6*uniform:0,0.5",
]
PROGRESS = (0.0, 0.3, 0.5, 1.0)
N = 20_000
U = (np.arange(N) + 0.5) / N


def pieces(law: Law) -> int:
    """How many rising pieces a law's quantile function has."""
    if isinstance(law, Mixture):
        return sum(pieces(part) for part in law.laws)
    return len(law.atoms()) or 1


def every_law(check: Callable[[Law, Law, float], None]) -> Callable[[str], None]:
    """Check a law, the law in force and the progress: each law, at each progress that matters."""

    @pytest.mark.parametrize("name", LAWS)
    def test(name: str) -> None:
        law = laws.parse(name)
        if isinstance(law, Scheduled):
            for progress in PROGRESS:
                check(law, law.at(progress), progress)
        else:
            check(law, law, 0.0)

    return test


def test_every_law_and_schedule_is_here() -> None:
    assert {name.split(":")[0] for name in LAWS} == set(laws.FORMS)
    shapes = {name.split(":")[1].split(",")[0] for name in LAWS if name.startswith("scheduled")}
    assert shapes == {"linear", "cosine", "step"}


@pytest.mark.parametrize("name", LAWS)
def test_strings_round_trip(name: str) -> None:
    law = laws.parse(name)
    assert isinstance(law, Law)
    assert laws.parse(str(law)) == law
    assert str(laws.parse(str(law))) == str(law)
    assert laws.parse(law) is law
    assert hash(law) == hash(laws.parse(name))


@every_law
def test_draws_lie_in_the_support(law: Law, in_force: Law, progress: float) -> None:
    low, high = law.support(progress)
    assert 0 <= low <= high <= 1
    extremes = np.array([2.0**-33, 2.0**-24, 0.5, 1 - 2.0**-24, 1 - 2.0**-33])
    draws = law.draw(np.concatenate([U, extremes]), progress)
    assert np.isfinite(draws).all()
    assert draws.min() >= low - 1e-12
    assert draws.max() <= high + 1e-12
    if "beta" not in str(in_force):
        # The support is the smallest interval: its ends are reached (a beta's only in theory).
        assert draws.min() <= low + 1e-3
        assert draws.max() >= high - 1e-3


@every_law
def test_mean_is_that_of_the_draws(law: Law, in_force: Law, progress: float) -> None:
    """Koksma: midpoints err by at most the variation of the quantile function over 2 N."""
    low, high = law.support(progress)
    variation = 2 * pieces(in_force) * (high - low)
    draws = law.draw(U, progress)
    assert abs(draws.mean() - law.mean(progress)) <= variation / (2 * N) + 1e-12


@every_law
def test_mean_is_that_of_random_draws(law: Law, in_force: Law, progress: float) -> None:
    """Five standard errors; a ratio's deviation is at most sqrt(mean (1 - mean))."""
    u = np.random.default_rng(0).random(N)
    mean = law.mean(progress)
    bound = 5 * np.sqrt(mean * (1 - mean) / N)
    assert abs(law.draw(u, progress).mean() - mean) < bound


@every_law
def test_quadrature(law: Law, in_force: Law, progress: float) -> None:
    draws = law.draw(U, progress)
    for k, tolerance in ((16, 1e-3), (64, 1e-4)):
        ratios, weights = law.quadrature(k, progress)
        assert (weights > 0).all()
        assert weights.sum() == pytest.approx(1, abs=1e-12)
        assert ratios @ weights == pytest.approx(law.mean(progress), abs=tolerance)
        square = (draws**2).mean()
        assert ratios**2 @ weights == pytest.approx(square, abs=tolerance + pieces(in_force) / N)


@every_law
def test_density_and_atoms_describe_the_draws(law: Law, in_force: Law, progress: float) -> None:
    """The mass of each of 20 bins, and the total.

    Points crowd at the ends of a bin (r = a + (b - a)(3 t^2 - 2 t^3)), which tames densities that
    are infinite at 0 or 1. Midpoints of the uniform put a share within pieces / N of the truth.
    """
    edges = np.linspace(0, 1, 21)
    # Atoms must not lie on an edge.
    for ratio, probability in law.atoms(progress):
        assert 0 < ratio < 1
        assert probability > 0
    edges[1:-1] += 1e-7
    t = (np.arange(4000) + 0.5) / 4000
    place, weight = 3 * t**2 - 2 * t**3, 6 * t * (1 - t) / 4000
    mass = np.array(
        [
            (high - low) * (law.density(low + (high - low) * place, progress) @ weight)
            for low, high in pairwise(edges)
        ]
    )
    for ratio, probability in law.atoms(progress):
        mass[np.searchsorted(edges, ratio) - 1] += probability
    assert mass.sum() == pytest.approx(1, abs=2e-3)
    share = np.histogram(law.draw(U, progress), edges)[0] / N
    np.testing.assert_allclose(mass, share, atol=2e-3 + 2 * pieces(in_force) / N)


@every_law
def test_density_is_zero_outside_the_support(law: Law, in_force: Law, progress: float) -> None:
    low, high = law.support(progress)
    outside = np.array([-0.5, low - 1e-6, high + 1e-6, 1.5])
    assert law.density(outside, progress).tolist() == [0, 0, 0, 0]


@every_law
def test_draw_is_elementwise(law: Law, in_force: Law, progress: float) -> None:
    u = U[::997].reshape(3, -1)
    together = law.draw(u, progress)
    assert together.shape == u.shape
    alone = [[float(law.draw(value, progress)) for value in row] for row in u]
    # To rounding: a processor may take other instructions for one number than for many.
    np.testing.assert_allclose(together, alone, rtol=1e-13)
    np.testing.assert_array_equal(law.draw(u.tolist(), progress), together)


@every_law
def test_every_method_sees_the_progress(law: Law, in_force: Law, progress: float) -> None:
    grid = np.linspace(0.01, 0.99, 99)
    assert law.mean(progress) == in_force.mean()
    assert law.support(progress) == in_force.support()
    assert law.atoms(progress) == in_force.atoms()
    np.testing.assert_array_equal(law.draw(U, progress), in_force.draw(U))
    np.testing.assert_array_equal(law.density(grid, progress), in_force.density(grid))
    np.testing.assert_array_equal(law.quadrature(8, progress), in_force.quadrature(8))


@pytest.mark.parametrize("name", LAWS)
def test_progress_is_clipped(name: str) -> None:
    law = laws.parse(name)
    for outside, edge in ((-0.5, 0.0), (-1e9, 0.0), (1.5, 1.0)):
        assert law.mean(outside) == law.mean(edge)
        np.testing.assert_array_equal(law.draw(U[::100], outside), law.draw(U[::100], edge))
