"""The risk: known answers, closed forms written a second time, and what must not change it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from maskwise.errors import UserError
from maskwise.theory import Covariance, Spectrum, ar1, isotropic, latent_factor, power_law, risk
from maskwise.theory.risks import InfiniteRiskError

FIVE = ([0.1, 0.2, 0.3, 0.4, 0.5], [0.2] * 5)
POWER = power_law(400, noise=0.2)
TOP = Spectrum(POWER.eigenvalues, np.eye(400)[0] / POWER.eigenvalues[0], noise=0.2)
SEVEN = (np.linspace(0.02, 0.4, 7), np.full(7, 1 / 7))
BOTH = {"target_hidden": True, "rescale": True}

# Found with dense matrices and a damped iteration, before this code.
KNOWN = [
    (POWER, 0.3, 200, {}, 0.99409),
    (POWER, 0.3, 200, {"test_ratio": 0.3}, 0.96652),
    (POWER, 0.3, 800, {}, 0.71234),
    (POWER, FIVE, 200, {}, 1.02467),
    (POWER, FIVE, 800, {}, 0.71504),
    (POWER, FIVE, 800, {"target_hidden": True}, 1.37199),
    (POWER, FIVE, 200, {"rescale": True}, 0.71008),
    (TOP, 0.15, 360, BOTH, 0.26844),
    (TOP, SEVEN, 360, BOTH, 0.26427),
]
THREE = ([0.1, 0.3, 0.6], [1 / 3] * 3)
RIDGES = [
    (150, 0.01, 1.07571),
    (150, 0.3, 0.70848),
    (300, 0.01, 1.79621),
    (300, 0.3, 0.59532),
    (900, 0.01, 0.58257),
    (900, 0.3, 0.46912),
]
EIGHT = (np.linspace(0.1, 0.8, 8), np.full(8, 0.125))


@pytest.mark.parametrize(("model", "law", "num_samples", "options", "expected"), KNOWN)
def test_known_answers(model, law, num_samples, options, expected):
    assert risk(model, law, num_samples, **options).total == pytest.approx(expected, abs=6e-6)


@pytest.mark.parametrize(("num_samples", "ridge", "expected"), RIDGES)
def test_known_answers_with_ridge(num_samples, ridge, expected):
    found = risk(power_law(300, noise=0.2), THREE, num_samples, test_ratio=0.2, ridge=ridge)
    assert found.total == pytest.approx(expected, abs=6e-6)


@pytest.mark.parametrize(("num_samples", "expected"), [(100, 0.77538), (400, 0.47954)])
def test_known_answers_with_fresh_masks(num_samples, expected):
    model = ar1(200, 0.7, noise=0.25)
    for law in (EIGHT, 0.35455):
        found = risk(model, law, num_samples, masks="fresh")
        assert found.total == pytest.approx(expected, abs=6e-6)


@st.composite
def models(draw, level=False):
    """Covariances of a few features; with `level` all variances are the same."""
    dim = draw(st.integers(2, 8))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    root = rng.standard_normal((dim, dim + 2))
    matrix = root @ root.T / dim
    if level:
        scale = np.sqrt(matrix.diagonal())
        matrix = matrix / scale / scale[:, None] * rng.uniform(0.5, 2)
    return Covariance(matrix, rng.standard_normal(dim), noise=draw(st.sampled_from([0.0, 0.3])))


@st.composite
def choices(draw):
    """Laws on up to four ratios, with loss weights."""
    num = draw(st.integers(1, 4))
    ratios = draw(st.lists(RATIO, min_size=num, max_size=num))
    shares = np.array(draw(st.lists(st.floats(0.1, 1), min_size=num, max_size=num)))
    weights = draw(st.lists(st.floats(0.2, 3), min_size=num, max_size=num))
    return (ratios, shares / shares.sum()), weights


RATIO = st.floats(0.02, 0.95)
TESTED = st.sampled_from([0.0, 0.2, 0.7, FIVE, "beta:2,3"])
# Never as many as there are features: 8.5 is a number of rows to a formula.
ROWS = st.sampled_from([1, 3.5, 8.5, 20, 100])


def second(model, ratio):
    """The second moment of a masked sample, and its covariance with the target."""
    diagonal = np.diag(model.matrix.diagonal())
    return (1 - ratio) ** 2 * model.matrix + ratio * (1 - ratio) * diagonal, (
        1 - ratio
    ) * model.cross[:, 0]


def one_ratio(model, p, t, n):
    """The risk at one ratio, in closed form but for the root κ."""
    c_p, cross_p = second(model, p)
    c_t, cross_t = second(model, t)
    target = model.variance + model.noise
    beta_p, beta_t = np.linalg.solve(c_p, cross_p), np.linalg.solve(c_t, cross_t)
    omega = np.linalg.eigvalsh(c_p)
    kappa = 0.0
    if n < model.dim:
        kappa = optimize.brentq(lambda k: np.sum(omega / (omega + k)) - n, 0, 1e4, xtol=1e-14)
    q = np.linalg.inv(c_p + kappa * np.eye(model.dim))
    off = kappa * q @ beta_p - (beta_p - beta_t)
    noise = target - cross_p @ beta_p + kappa**2 * beta_p @ q @ c_p @ q @ beta_p
    spread = np.trace(c_t @ q @ c_p @ q) / (n - np.trace(c_p @ q @ c_p @ q))
    return off @ c_t @ off + noise * spread + target - cross_t @ beta_t


@given(models(), RATIO, st.sampled_from([0.0, 0.2, 0.7]), ROWS)
def test_one_ratio_is_the_closed_form(model, p, t, n):
    found = risk(model, p, n, test_ratio=t).total
    assert found == pytest.approx(one_ratio(model, p, t, n), rel=1e-6)


@given(
    st.integers(2, 50), RATIO, ROWS, st.floats(0, 2), st.floats(0.1, 3), st.sampled_from([0, 1])
)
def test_uncorrelated_features_have_a_closed_form(dim, p, n, noise, variance, hidden):
    rows = n * p if hidden else n
    if abs(rows - dim) < 1e-3:
        return
    spread = (noise + p * variance) / (1 - p)
    if rows < dim:
        expected = variance * (1 - rows / dim) + spread * rows / (dim - rows)
    else:
        expected = spread * dim / (rows - dim)
    model = isotropic(dim, variance=variance)
    found = risk(model, p, max(n, 1), noise, target_hidden=bool(hidden)).total
    assert found == pytest.approx(expected + noise, rel=1e-6)


@given(models(), choices(), ROWS, TESTED, st.booleans())
def test_fresh_masks_know_one_ratio_only(model, chosen, n, tested, hidden):
    (ratios, shares), weights = chosen
    p, w = np.array(ratios), np.array(weights)
    if hidden:
        w = w * p
    equivalent = shares @ (w * p * (1 - p)) / (shares @ (w * (1 - p)))
    options = {"test_ratio": tested, "masks": "fresh"}
    mixed = risk(model, (ratios, shares), n, target_hidden=hidden, weights=weights, **options)
    single = risk(model, equivalent, n, **options)
    assert mixed.total == pytest.approx(single.total, rel=1e-9)
    assert mixed.bias == pytest.approx(single.bias, rel=1e-9, abs=1e-12)


@given(models(level=True), RATIO, ROWS, st.sampled_from([0.0, 0.2]))
def test_fresh_masks_are_scaled_ridge(model, p, n, penalty):
    s, vectors = np.linalg.eigh(model.matrix)
    b2 = (vectors.T @ model.beta[:, 0]) ** 2
    scaled = 1 / (1 - p)
    ridge = p / (1 - p) * model.diagonal[0] + penalty / (1 - p) ** 2

    def gap(k):
        return n * (1 - ridge / k) - np.sum(s / (s + k))

    kappa = optimize.brentq(gap, ridge, 1e6, xtol=1e-13)
    q = 1 / (s + kappa)
    noise = model.noise + kappa**2 * np.sum(s * q**2 * b2)
    spread = np.sum((s * q) ** 2) / (n - np.sum((s * q) ** 2))
    expected = np.sum(s * (scaled * s * q - 1) ** 2 * b2) + scaled**2 * noise * spread
    found = risk(model, p, n, masks="fresh", ridge=penalty).total
    assert found == pytest.approx(expected + model.noise, rel=1e-6)


@given(
    models(),
    choices(),
    ROWS,
    TESTED,
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from(["static", "fresh"]),
)
def test_parts(model, chosen, n, tested, hidden, rescale, ridge, masks):
    law, weights = chosen
    try:
        found = risk(
            model,
            law,
            n,
            test_ratio=tested,
            target_hidden=hidden,
            rescale=rescale,
            ridge=ridge,
            weights=weights,
            masks=masks,
        )
    except InfiniteRiskError:
        return
    assert found.total == pytest.approx(found.bias + found.variance + found.irreducible)
    assert found.bias >= -1e-9 * found.total
    assert found.variance >= 0


@given(models(), st.floats(0.05, 0.9), st.booleans())
def test_irreducible_is_the_least_that_any_model_reaches(model, tested, rescale):
    matrix, cross = second(model, tested)
    least = model.variance + model.noise - cross @ np.linalg.solve(matrix, cross)
    found = risk(model, 0.3, 20, test_ratio=tested, rescale=rescale)
    assert found.irreducible == pytest.approx(least, rel=1e-8, abs=1e-12)
    # And with many samples, masked as in the test, it is reached.
    many = risk(model, tested, 1e9, test_ratio=tested, rescale=rescale)
    assert many.total == pytest.approx(least, rel=1e-5, abs=1e-6)


@given(models(), choices(), TESTED, st.booleans(), st.integers(0, 100))
def test_units_of_measurement_do_not_matter_to_least_squares(model, chosen, tested, rescale, seed):
    law, weights = chosen
    units = np.random.default_rng(seed).uniform(0.2, 5, model.dim)
    other = Covariance(
        model.matrix * units * units[:, None], model.beta[:, 0] / units, noise=model.noise
    )
    options = {"test_ratio": tested, "rescale": rescale, "weights": weights}
    for n, masks in [(20, "static"), (3.5, "fresh"), (20, "fresh")]:
        one, two = (risk(m, law, n, masks=masks, **options) for m in (model, other))
        assert one.total == pytest.approx(two.total, rel=1e-7)
        assert one.bias == pytest.approx(two.bias, rel=1e-6, abs=1e-9)


@given(models(), choices(), ROWS, TESTED)
def test_no_ridge_is_the_limit_of_little(model, chosen, n, tested):
    law, weights = chosen
    options = {"test_ratio": tested, "weights": weights}
    if abs(n - model.dim) < 1:
        return
    little = risk(model, law, n, ridge=1e-10, **options).total
    assert little == pytest.approx(risk(model, law, n, **options).total, rel=1e-5)


@given(models(), RATIO, ROWS, st.floats(0.1, 0.9), st.booleans())
def test_equal_ratios_are_one_ratio(model, p, n, share, hidden):
    if hidden and abs(n * p - model.dim) < 1e-2:
        return
    split = risk(model, ([p, p], [share, 1 - share]), n, target_hidden=hidden)
    assert split.total == pytest.approx(risk(model, p, n, target_hidden=hidden).total, rel=1e-7)


@given(models(level=True), choices(), ROWS, TESTED, st.sampled_from([0.0, 0.1]))
def test_a_covariance_of_one_variance_is_a_spectrum(model, chosen, n, tested, ridge):
    law, weights = chosen
    values, vectors = np.linalg.eigh(model.matrix)
    spectrum = Spectrum(values, (vectors.T @ model.beta[:, 0]) ** 2, model.noise)
    options = {"test_ratio": tested, "weights": weights, "ridge": ridge}
    one, two = (risk(m, law, n, **options) for m in (model, spectrum))
    assert one.total == pytest.approx(two.total, rel=1e-7)
    assert one.bias == pytest.approx(two.bias, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("num_samples", [40, 160])
def test_the_risks_of_several_targets_are_summed(num_samples):
    matrix = latent_factor(80, 3).matrix
    beta = np.random.default_rng(0).standard_normal((80, 3))
    together = risk(Covariance(matrix, beta), FIVE, num_samples, 0.6, test_ratio=0.2)
    alone = [
        risk(Covariance(matrix, b), FIVE, num_samples, 0.2, test_ratio=0.2).total for b in beta.T
    ]
    assert together.total == pytest.approx(sum(alone))


def test_units_of_one_feature_are_features():
    plain = latent_factor(60, 3, noise=0.2)
    alone = Covariance(plain.matrix, plain.beta, 0.2, units=np.arange(60)[::-1])
    for options in ({}, {"ridge": 0.1, "test_ratio": 0.3}, {"masks": "fresh"}):
        for n in (30, 120):
            one, two = (risk(model, FIVE, n, **options) for model in (plain, alone))
            assert one.total == pytest.approx(two.total, rel=1e-9)


def test_grids_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match=r"of shapes \(3,\), \(2,\), \(\) do not broadcast"):
        risk(isotropic(20), np.array([0.1, 0.2, 0.3]), [10, 40], 0.2)


def test_grids_are_loops():
    model = power_law(50, noise=0.2)
    ratios, sizes = np.array([0.1, 0.4, 0.7]), np.array([20, 200])
    grid = risk(model, ratios[:, None], sizes)
    assert grid.total.shape == (3, 2)
    for row, ratio in enumerate(ratios):
        for column, size in enumerate(sizes):
            single = risk(model, ratio, size)
            assert isinstance(single.total, float)
            for part in ("total", "bias", "variance", "irreducible"):
                assert getattr(grid, part)[row, column] == getattr(single, part)
    tests = np.array([0.0, 0.2, 0.4, 0.6])
    cube = risk(model, ratios[:, None, None], sizes[:, None], test_ratio=tests).total
    assert cube.shape == (3, 2, 4)
    assert cube[1, 0, 2] == risk(model, 0.4, 20, test_ratio=0.4).total
    laws = ["uniform:0.1,0.5", FIVE, 0.3]
    listed = risk(model, laws, 20).total
    assert listed.tolist() == [risk(model, law, 20).total for law in laws]


def test_a_schedule_is_the_mixture_over_time():
    model = power_law(60, noise=0.2)
    moving = risk(model, "scheduled:linear,0.2..0.6", 30).total
    assert moving == pytest.approx(risk(model, "uniform:0.2,0.6", 30).total, rel=1e-3)
    assert moving != pytest.approx(risk(model, 0.2, 30).total, rel=1e-3)


@pytest.mark.parametrize("law", ["uniform:0,1", "cosine", "likelihood", "beta:2,1"])
def test_laws_up_to_one_have_no_risk_without_ridge_when_features_outnumber_rows(law):
    model = power_law(200, noise=0.2)
    with pytest.raises(InfiniteRiskError, match=f"law {law}, tested at 0.0, goes up to ratio 1"):
        risk(model, law, 100)
    for options in ({"ridge": 0.1}, {"masks": "fresh"}):
        assert np.isfinite(risk(model, law, 100, **options).total)
    assert np.isfinite(risk(model, law, 400).total)


def test_rescaled_inputs_have_no_risk_at_ratios_up_to_one():
    model = power_law(50, noise=0.2)
    for options in ({"masks": "fresh"}, {"test_ratio": "uniform:0,1"}):
        law = "uniform:0,1" if "masks" in options else 0.3
        assert np.isfinite(risk(model, law, 100, **options).total)
        with pytest.raises(InfiniteRiskError, match="goes up to ratio 1"):
            risk(model, law, 100, rescale=True, **options)


@pytest.mark.parametrize("law", ["beta:3,9", "uniform:0.05,0.95", "fixed:0.999"])
def test_laws_that_hardly_reach_one_have_a_risk(law):
    assert np.isfinite(risk(power_law(200, noise=0.2), law, 100).total)


def test_a_test_law_is_an_average():
    model = ar1(50, 0.6, noise=0.2)
    found = risk(model, 0.3, 25, test_ratio=([0.1, 0.8], [0.25, 0.75])).total
    one, two = (risk(model, 0.3, 25, test_ratio=ratio).total for ratio in (0.1, 0.8))
    assert found == pytest.approx(0.25 * one + 0.75 * two)


def test_weights_alike_change_nothing():
    for n in (30, 100):
        one = risk(POWER, FIVE, n).total
        assert risk(POWER, FIVE, n, weights=np.full(5, 7.0)).total == pytest.approx(one)
    # Interpolation fits every row, however little it weighs.
    assert risk(POWER, FIVE, 30, weights=lambda p: p**-2).total == pytest.approx(
        risk(POWER, FIVE, 30).total
    )


def test_the_risk_peaks_where_rows_are_as_many_as_features():
    ratios = np.array([0.3, 0.45, 0.5000001, 0.55, 0.8])
    found = risk(isotropic(100, noise=0.1), ratios, 199.9, target_hidden=True).total
    assert found.argmax() == 2
