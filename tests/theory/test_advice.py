import numpy as np
import pytest
from scipy import sparse

from maskwise.errors import UserError
from maskwise.theory import (
    FeatureSpectrum,
    Spectrum,
    advise,
    best_interval,
    best_ratio,
    estimate,
    isotropic,
    power_law,
    risk,
)
from maskwise.theory.advice import RATIOS, advice_figure, aligned, curve, risk_figure
from maskwise.theory.models import parse_model


def table(num=400, dim=12, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((num, 3)) @ rng.standard_normal((3, dim)) + rng.standard_normal(
        (num, dim)
    )


@pytest.fixture(scope="module")
def advice():
    return advise(table())


def test_rows_look_at_both_sides_of_as_many_samples_as_weights(advice):
    assert isinstance(advice.model, FeatureSpectrum)
    sizes = [(row.num_samples, row.masks) for row in advice.rows]
    assert sizes == [(n, masks) for n in (400, 5, 22) for masks in ("static", "fresh")]


def test_rows_are_what_the_theory_says(advice):
    for row in advice.rows:
        options = {"target_hidden": True, "masks": row.masks}
        best = best_ratio(advice.model, row.num_samples, **options)
        assert (row.best.law, row.best.flat) == (best.law, best.flat)
        assert row.curve[29] == pytest.approx(
            risk(advice.model, 0.3, row.num_samples, **options).total
        )
        assert np.nanmin(row.curve) >= row.best.risk.total * (1 - 1e-9)
        low, high = row.best.flat
        inside = (low < RATIOS) & (high > RATIOS)
        assert (row.curve[inside] <= 1.0101 * row.best.risk.total).all()


def test_fresh_masks_gain_nothing_and_say_so(advice):
    assert all(row.interval is None and row.gain == 0 for row in advice.rows[1::2])
    assert "any law is worth exactly as much as some fixed ratio" in advice.sentence
    assert str(advice).count("any law is as one fixed ratio") == 3


def test_an_interval_that_wins_is_told():
    model = power_law(400, signal_exponent=20.0, noise=0.2)
    options = {"target_hidden": True, "rescale": True}
    found = advise(model, num_samples=360, **options)
    row = found.rows[0]
    best, interval = (f(model, 360, **options) for f in (best_ratio, best_interval))
    assert row.interval == interval.law
    assert row.gain == pytest.approx(1 - interval.risk.total / best.risk.total)
    assert row.gain > 0.01
    assert f"saves {row.gain:.1%} of the risk" in found.sentence


def test_the_sentence_and_the_table_agree(advice):
    static, fresh = (row.best.law.mean() for row in advice.rows[:2])
    assert advice.sentence.startswith("With 400 samples and one mask for each, the best fixed ")
    assert f"fixed ratio is {static:.2f}," in advice.sentence
    assert f"the best is {fresh:.2f}," in advice.sentence
    assert "With 5 samples, fewer than the 11 weights, the best are" in advice.sentence
    text = str(advice)
    assert advice.sentence in text
    assert all(line in text for line in advice.assumptions)
    assert "a linear model" in text
    assert "400 samples of 12 features" in text


def test_ratios_at_the_end_of_the_grid_and_useless_ones_are_marked():
    sentence = advise(isotropic(50, variance=0.1, noise=1.0), num_samples=100).sentence
    assert "0.01 or less" in sentence or "0.99 or more" in sentence
    assert "no better than predicting the mean" in sentence


def test_columns_that_never_vary_are_left_out(advice):
    wider = np.insert(table(), [0, 7], 3.0, axis=1)
    for form in (np.asarray, sparse.csr_array):
        found = advise(form(wider), num_samples=400)
        assert advice.sentence.startswith(found.sentence)
        assert "2 columns that never vary were left out" in found.assumptions


def test_a_target_is_predicted_from_all_features():
    x = table()
    found = advise(x, x @ np.arange(12), num_samples=[6, 100])
    assert isinstance(found.model, Spectrum)
    assert [row.num_samples for row in found.rows] == [6, 6, 100, 100]
    assert found.rows[2].best.risk.total == best_ratio(found.model, 100).risk.total
    assert "the target is predicted" in str(found)


def test_infinite_risks_are_left_out():
    model = isotropic(50, noise=0.5)
    totals = curve(model, 100, target_hidden=True)
    assert np.flatnonzero(np.isnan(totals)).tolist() == [49]
    # As many samples as features, none of which is hidden, have no finite risk to advise on.
    x = table(12)
    assert [row.num_samples for row in advise(x, x.sum(axis=1)).rows[::2]] == [6, 24]
    with pytest.raises(UserError, match="infinite at every ratio"):
        advise(x, x.sum(axis=1), num_samples=12)
    assert advise(x, x.sum(axis=1), num_samples=12, ridge=0.1).rows


def test_options_reach_the_risk():
    model, options = estimate(table()), {"rescale": True, "test_ratio": 0.2}
    found = advise(model, num_samples=100, **options)
    assert found.rows[0].curve[9] == pytest.approx(
        risk(model, 0.1, 100, target_hidden=True, **options).total
    )
    assert "masked at 0.2" in str(found)


def test_a_model_from_data_knows_its_samples():
    assert advise(estimate(table())).rows[0].num_samples == 400
    with pytest.raises(UserError, match="give num_samples"):
        advise(isotropic(10))


def test_too_little_to_advise_on_is_refused():
    x = np.ones((10, 4))
    x[:, 1] = np.arange(10)
    with pytest.raises(UserError, match="1 columns vary"):
        advise(x)


def test_few_samples_are_called_rough():
    assert "rough" in str(advise(table(20), num_samples=20))
    assert "rough" not in str(advise(table(), num_samples=20))


def test_figures_show_every_curve_and_law(advice):
    figure = advice_figure(advice)
    for panel, masks in zip(figure.axes, ("static", "fresh"), strict=True):
        curves = [line for line in panel.lines if len(line.get_xdata()) == 99]
        rows = [row for row in advice.rows if row.masks == masks]
        assert all(
            np.array_equal(line.get_ydata(), row.curve, equal_nan=True)
            for line, row in zip(curves, rows, strict=True)
        )
    figure = risk_figure({10: RATIOS, 20: 2 * RATIOS}, {"a": [0.1, 0.2], "b": [0.3, 0.4]}, 1.0)
    heights = [line.get_ydata()[0] for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    assert heights == [0.1, 0.2, 0.3, 0.4, 1.0]
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert labels == [
        "fixed ratio, n = 10",
        "fixed ratio, n = 20",
        "a",
        "b",
        "predicting the mean",
    ]


@pytest.mark.parametrize(
    "text",
    ["isotropic", "spiked:8", "spiked:8,0.9", "power_law:1", "power_law:1,2", "ar1:0.5"],
)
def test_models_are_read(text):
    model = parse_model(text, 20, 0.3)
    assert (model.dim, model.noise) == (20, 0.3)
    assert model.variance == pytest.approx(1.0)


def test_numbers_of_models_are_in_the_order_of_their_forms():
    found = parse_model("spiked:8,0.9", 20)
    assert found.eigenvalues[0] == 9
    assert found.eigenvalues[0] * found.signal[0] == pytest.approx(0.9)
    found = parse_model("power_law:1,2", 20)
    assert found.eigenvalues[1] / found.eigenvalues[0] == pytest.approx(1 / 2)
    assert found.signal[1] / found.signal[0] == pytest.approx(1 / 4)
    assert parse_model("ar1:0.5", 20).matrix[0, 1] == 0.5
    assert parse_model("latent_factor:2", 20).dim == 20


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("spike:8", "unknown spectrum 'spike:8'; spectra are isotropic, spiked:STRENGTH"),
        ("ar1:x", "'ar1:x' cannot be read; the form is ar1:RHO"),
        ("ar1", "the form is ar1:RHO"),
        ("spiked:1,2,3", "the form is spiked:STRENGTH"),
        ("ar1:2", "'ar1:2': rho 2 is outside"),
        ("isotropic:3", "the form is isotropic"),
    ],
)
def test_models_that_are_none_are_named(text, says):
    with pytest.raises(UserError, match=says):
        parse_model(text, 20)


def test_tables_line_up():
    assert aligned([["a", "bb", "c"], ["long", "x", ""]]) == "a     bb  c\nlong  x"
