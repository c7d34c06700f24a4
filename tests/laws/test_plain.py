"""Known answers."""

import numpy as np
import pytest

from maskwise import laws
from maskwise.laws import Beta, Choice, Cosine, Fixed, Mixture, Scheduled, Uniform

U = (np.arange(100_000) + 0.5) / 100_000


@pytest.mark.parametrize(
    ("name", "mean", "deviation"),
    [
        ("uniform:0,1", 0.500, 0.289),
        ("uniform:0.6,0.9", 0.750, 0.087),
        ("cosine", 0.637, 0.308),
        ("truncnormal:0.55,0.25,0.5,1", 0.694, 0.129),
        ("beta:3,9", 0.250, 0.120),
        ("mixture:0.8*beta:3,9+0.2*uniform:0,1", 0.300, 0.195),
        ("fixed:0.75", 0.75, 0.0),
        ("choice:0.25,0.75", 0.5, 0.25),
        ("likelihood", 0.500, 0.289),
    ],
)
def test_moments(name: str, mean: float, deviation: float) -> None:
    law = laws.parse(name)
    draws = law.draw(U)
    ratios, weights = law.quadrature(64)
    variance = weights @ ratios**2 - (weights @ ratios) ** 2
    assert law.mean() == pytest.approx(mean, abs=5.1e-4)
    assert draws.mean() == pytest.approx(mean, abs=5.1e-4)
    assert draws.std() == pytest.approx(deviation, abs=5.1e-4)
    assert np.sqrt(max(variance, 0)) == pytest.approx(deviation, abs=5.1e-4)


def test_draws_are_the_quantile_function() -> None:
    assert Uniform(0.6, 0.9).draw([0.0, 0.5, 1.0]).tolist() == pytest.approx([0.6, 0.75, 0.9])
    assert Cosine().draw([1 / 3]).tolist() == pytest.approx([0.5])
    assert Beta(1, 2).draw([0.75]).tolist() == pytest.approx([0.5])  # 1 - (1 - r)^2
    assert Choice([0.1, 0.2], [0.3, 0.7]).draw([0.29, 0.31]).tolist() == [0.1, 0.2]
    median = laws.parse("truncnormal:0.5,0.1").draw([0.5])
    assert median.tolist() == pytest.approx([0.5])


def test_a_mixture_spends_its_weights() -> None:
    mixture = Mixture([Fixed(0.1), Uniform(0.5, 0.9)], [1, 3])
    draws = mixture.draw(U)
    assert (draws == 0.1).mean() == 0.25
    assert draws[draws > 0.1].mean() == pytest.approx(0.7, abs=1e-6)
    assert mixture.atoms() == [(0.1, 0.25)]


@pytest.mark.parametrize(
    ("shape", "means"),
    [
        ("linear", [0.2, 0.3, 0.4, 0.5, 0.6]),
        ("cosine", [0.2, 0.2 + 0.4 * 0.1464466, 0.4, 0.2 + 0.4 * 0.8535534, 0.6]),
        ("step", [0.2, 0.2, 0.6, 0.6, 0.6]),
    ],
)
def test_schedules_rise_and_fall(shape: str, means: list[float]) -> None:
    progress = [0, 0.25, 0.5, 0.75, 1]
    rising, falling = Scheduled(0.2, 0.6, shape), Scheduled(0.6, 0.2, shape)
    assert [rising.mean(p) for p in progress] == pytest.approx(means)
    assert [falling.mean(p) for p in progress] == pytest.approx([0.8 - mean for mean in means])


def test_schedules_move_every_number_of_a_law() -> None:
    half = Scheduled(Uniform(0.1, 0.3), Uniform(0.5, 0.9)).at(0.5)
    assert half.support() == pytest.approx((0.3, 0.6))
    assert Scheduled(Beta(2, 8), Beta(8, 4)).at(0.5) == Beta(5, 6)
    choice = Scheduled(Choice([0.1, 0.2], [0.8, 0.2]), Choice([0.5, 0.8], [0.2, 0.8])).at(0.5)
    assert choice.ratios == pytest.approx((0.3, 0.5))
    assert choice.weights == pytest.approx((0.5, 0.5))
    start = Mixture([Fixed(0.1), Uniform(0.2, 0.4)], [0.5, 0.5])
    end = Mixture([Fixed(0.3), Uniform(0.6, 0.8)], [0.1, 0.9])
    mixture = Scheduled(start, end).at(0.5)
    assert mixture.mean() == pytest.approx(0.3 * 0.2 + 0.7 * 0.5)
