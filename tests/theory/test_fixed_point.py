"""The fixed point: it is one, it is found wherever it is, and never a NaN instead."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise.errors import UserError
from maskwise.theory import ar1, fixed_point, isotropic, latent_factor, power_law, risk
from maskwise.theory.classes import classes_of

MODELS = [isotropic(60), power_law(60, 2.0), ar1(60, 0.95), latent_factor(60, 3)]
LAW = (np.linspace(0.05, 0.95, 7), np.full(7, 1 / 7))


@pytest.mark.parametrize("model", MODELS, ids=["isotropic", "power_law", "ar1", "latent_factor"])
@pytest.mark.parametrize(
    ("num_samples", "identity", "offset"),
    [(20, 1.0, 0.0), (59, 1.0, 0.0), (61, 0.0, 1.0), (200, 0.0, 1.0), (60, 0.01, 1.0)],
)
def test_the_equations_hold(model, num_samples, identity, offset):
    classes = classes_of(LAW, target_hidden=False, rescale=False, weights=lambda p: 1 / p)
    point = fixed_point.solve(model, classes, num_samples, identity=identity, offset=offset)
    assert point.full == pytest.approx(np.sum(classes.share * point.gain * classes.full))
    assert point.diagonal == pytest.approx(np.sum(classes.share * point.gain * classes.diagonal))
    first, second = model.traces(point.identity, point.full, point.diagonal)
    eta = classes.second @ first / num_samples
    assert point.gain == pytest.approx(1 / (offset + eta), rel=1e-9)
    assert point.second == pytest.approx(second)
    # n Σ_k share g_k η_k + ι tr Q is the number of features.
    taken = num_samples * np.sum(classes.share * point.gain * eta)
    assert taken == pytest.approx(60 - identity * trace_of_q(model, point), rel=1e-8)


def trace_of_q(model, point):
    """tr Q as a derivative: tr ΣQ is 1/A of what is left of the features."""
    first, _ = model.traces(point.identity, point.full, point.diagonal)
    if point.identity == 0:
        return 0.0
    return (60 - point.full * first[0] - point.diagonal * first[1]) / point.identity


def test_one_class_of_uncorrelated_features_is_elementary():
    classes = classes_of(0.25, target_hidden=False, rescale=False, weights=None)
    # C = (1-p) I: d/(1 + n/(dη)·...) gives η = (1-p) d/n - (1-p) over the threshold.
    few = fixed_point.solve(isotropic(60), classes, 20, identity=1.0, offset=0.0)
    assert 1 / few.gain == pytest.approx([0.75 * (60 - 20) / 20])
    many = fixed_point.solve(isotropic(60), classes, 90, identity=0.0, offset=1.0)
    assert 1 / many.gain - 1 == pytest.approx([60 / 90 / (1 - 60 / 90)])


@given(
    st.sampled_from(MODELS),
    st.tuples(st.floats(1e-6, 0.5), st.floats(0.5, 1 - 1e-6), st.floats(0, 1)),
    st.floats(1, 1e6),
    st.floats(-8, 4).map(lambda power: 10**power) | st.just(0.0),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["static", "fresh"]),
)
def test_extremes_have_a_risk_or_an_error(model, law, num_samples, ridge, hidden, rescale, masks):
    low, high, share = law
    try:
        found = risk(
            model,
            ([low, high], [share, 1 - share]),
            num_samples,
            0.1,
            ridge=ridge,
            target_hidden=hidden,
            rescale=rescale,
            masks=masks,
            test_ratio=0.5,
        )
    except UserError as error:
        assert "ridge" in str(error)  # noqa: PT017
        return
    assert np.isfinite(found.total)
    assert found.total >= found.irreducible * (1 - 1e-9)
    assert found.variance >= 0


@pytest.mark.parametrize("model", MODELS, ids=["isotropic", "power_law", "ar1", "latent_factor"])
def test_close_to_as_many_rows_as_features_it_is_found(model):
    for gap in (1e-4, -1e-4, 1e-3, -1e-3):
        near, nearer = (risk(model, LAW, 60 + by, 0.1).total for by in (gap, gap / 1.01))
        assert nearer / near == pytest.approx(1.01, rel=0.01)


def test_where_rows_are_as_many_as_features_up_to_rounding_is_an_error():
    for rows in (60, np.nextafter(60, 0), np.nextafter(60, 61), 60 + 1e-6):
        with pytest.raises(UserError, match=r"60 features .* give a ridge"):
            risk(isotropic(60), 0.3, rows)
    with pytest.raises(UserError, match="60 features"):
        risk(isotropic(60), ([0.1, 0.7], [0.5, 0.5]), 150, target_hidden=True)
    assert np.isfinite(risk(isotropic(60), 0.3, 60, ridge=1e-3).total)
    assert np.isfinite(risk(isotropic(60), 0.3, 60, masks="fresh").total)


def test_no_convergence_is_an_error(monkeypatch):
    monkeypatch.setattr(fixed_point, "MOST_STEPS", 1)
    with pytest.raises(UserError, match=r"not converge in 1 steps .* give a ridge > 0") as caught:
        risk(latent_factor(60, 3), LAW, 59)
    assert "\n" not in str(caught.value)


def test_few_steps_are_enough(monkeypatch):
    monkeypatch.setattr(fixed_point, "MOST_STEPS", 25)
    for model in MODELS:
        for num_samples in (1, 20, 59, 61, 10**5):
            risk(model, LAW, num_samples, 0.1)
