"""Answers from part of the features of a sample."""

import dataclasses

import numpy as np
import pytest
import torch

from maskwise.columns.curve import both, partial_curve, reader
from maskwise.columns.evaluation import TabularEvaluateSettings, evaluate_tabular
from maskwise.predict import baselines, curve
from tests.columns.small_samples import cells_of, make_model, rows_of, splits_of, table_of

QUICK = TabularEvaluateSettings(visible=(0.25, 1.0), visible_patterns=("random", "contiguous"))


@pytest.fixture(autouse=True)
def little(monkeypatch):
    monkeypatch.setattr(curve, "MOST_COPIES", 2)
    monkeypatch.setattr(curve, "DRAWS", 20)
    monkeypatch.setattr(baselines, "TREES", 5)


def table(num=90):
    """Numbers and a category that tell two classes apart, some of them missing, and labels."""
    rng = np.random.default_rng(0)
    y = np.arange(num) % 2
    x = rng.normal(size=(num, 4)) + 3 * y[:, None]
    x[:, 3] = np.where(rng.random(num) < 0.9, y, 1 - y)
    x[rng.random(x.shape) < 0.1] = np.nan
    return torch.from_numpy(x).float(), y


def test_rows_of_a_table():
    samples, y = table()
    y[:3] = -1  # not known
    splits = splits_of(samples, y, 40)
    model = make_model(table_of((0, 0, 0, 2)))
    found = partial_curve(model, splits, QUICK)
    methods = ["encoder", "encoder, expected values", "Gaussian", "mean fill", "boosted trees"]
    methods += ["nearest neighbours", "class frequencies"]
    assert [(row["pattern"], row["share"], row["method"]) for row in found] == [
        (pattern, share, method)
        for pattern in QUICK.visible_patterns
        for share in QUICK.visible
        for method in methods
    ]
    assert {(row["num_train"], row["num_test"]) for row in found} == {(47, 40)}
    right = {(row["method"], row["share"]): row["accuracy"]["value"] for row in found}
    assert right["Gaussian", 1.0] > 0.95
    assert right["mean fill", 0.25] > right["class frequencies", 0.25] + 0.2
    # Whole samples lack values too.
    assert 0.85 < found[-1]["visible"] < 1
    other = partial_curve(make_model(table_of((0, 0, 0, 2)), code=3), splits, QUICK)
    kept = [[row for row in rows if row["method"] in methods[2:]] for rows in (found, other)]
    assert kept[0] == kept[1]
    assert found != other


@pytest.mark.parametrize("labels", [None, np.zeros(90, dtype=int)])
def test_nothing_is_measured_without_two_classes(labels):
    splits, model = splits_of(table()[0], labels, 40), make_model(table_of((0, 0, 0, 2)))
    config = dataclasses.replace(QUICK, ratios=(0.5,), impute=(), protocols=())
    assert evaluate_tabular(model, splits, config)["partial"] == []
    labelled = splits_of(*table(), 40)
    assert partial_curve(model, labelled, dataclasses.replace(QUICK, visible=())) == []


@pytest.mark.parametrize("loss", ["mse", "nb"])
def test_nothing_depends_on_what_is_hidden(loss):
    """Of counts not even through the size of a library."""
    cells, samples, _ = cells_of(30, 8, loss=loss)
    model = make_model(cells)
    rng = np.random.default_rng(0)
    hidden, every = rng.random((30, 8)) < 0.5, np.arange(30)
    changed = torch.where(torch.from_numpy(hidden), samples + 7, samples)
    read, _ = reader(cells, rows_of(samples), QUICK)
    found = []
    for each in (samples, changed):
        said = next(both(model, rows_of(each), rows_of(each)))
        found.append([asked.features(every, hidden) for asked in said.values()])
        found[-1].append(read(rows_of(each), every, hidden))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (np.isnan(found[0][-1]) == hidden).all()


def test_expected_values_are_the_visible_ones_where_they_are():
    samples, _ = table(20)
    model = make_model(table_of((0, 0, 0, 2)))
    hidden = np.random.default_rng(1).random((20, 4)) < 0.5
    hidden[0] = True
    said = next(both(model, rows_of(samples), rows_of(samples)))
    found = said["encoder, expected values"].features(np.arange(20), hidden)
    assert found.shape == (20, 5)
    asked = (~hidden & ~samples.isnan().numpy()).any(axis=1)
    assert not asked[0]
    assert np.isnan(found[~asked]).all()
    found, samples, hidden = found[asked], samples[asked], hidden[asked]
    seen = ~hidden[:, :3] & ~samples[:, :3].isnan().numpy()
    np.testing.assert_array_equal(found[:, :3][seen], samples[:, :3].numpy()[seen])
    with torch.no_grad():
        want = model.eval().predict(samples, torch.from_numpy(hidden))[:, :3].numpy()
    np.testing.assert_allclose(found[:, :3][~seen], want[~seen], rtol=1e-5)
