import json

import numpy as np
import pytest
import torch

from maskwise.cells.cells import Cells
from maskwise.columns import evaluation
from maskwise.columns.evaluation import plane
from maskwise.tables.record import TableRunSettings
from tests.columns.small_samples import make_model, splits_of, table_of


def written(folder, model, splits):
    evaluation.samples(folder, model, splits, TableRunSettings())
    return json.loads((folder / "samples.json").read_text())


def test_a_table(tmp_path):
    rng = np.random.default_rng(0)
    samples = torch.from_numpy(rng.normal(size=(60, 14)).astype(np.float32))
    samples[:, 3] = torch.from_numpy(rng.integers(0, 3, 60))
    samples[45, :6] = torch.nan
    model = make_model(table_of((0, 0, 0, 3, *[0] * 10)))
    labels = rng.integers(0, 4, 60)
    found = written(tmp_path, model, splits_of(samples, labels))
    assert found["labels"] == labels[40:].tolist()
    assert found["classes"] == ["a", "b", "c", "d"]
    assert list(found["points"]) == ["encoder", "raw values"]
    with torch.no_grad():
        want, _ = plane(model.encode(samples[40:]).numpy())
    np.testing.assert_allclose(found["points"]["encoder"], want, atol=1e-3)
    rows = found["rows"]
    assert rows["names"] == list(model.tokenizer.names[:12])
    assert (rows["ratio"], rows["num_features"]) == (0.5, 14)
    true, hidden = np.array(rows["true"], float), np.array(rows["hidden"])
    assert true.shape == hidden.shape == np.shape(rows["predicted"]) == (8, 12)
    # What is missing is not hidden, it never was there.
    assert not hidden[np.isnan(true)].any()
    assert 0.3 < hidden.mean() < 0.7


def test_what_is_predicted_has_not_seen_it(tmp_path):
    samples = torch.from_numpy(np.random.default_rng(1).normal(size=(30, 6)).astype(np.float32))
    model = make_model(table_of((0,) * 6))
    first = written(tmp_path, model, splits_of(samples))
    hidden = np.array(first["rows"]["hidden"])
    true = np.array(first["rows"]["true"])
    place = [int(np.flatnonzero(np.isclose(samples[:, 0], row[0], atol=1e-4))[0]) for row in true]
    other = samples.clone()
    other[place] = torch.where(torch.from_numpy(hidden), -5.0, other[place])
    second = written(tmp_path, model, splits_of(other))
    got, want = (np.array(each["rows"]["predicted"])[hidden] for each in (second, first))
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_the_genes_that_vary_are_shown(tmp_path):
    rng = np.random.default_rng(2)
    counts = rng.poisson(0.05, (40, 30))
    counts[:, [4, 20]] = rng.poisson(20, (40, 2)) * rng.integers(0, 2, (40, 2))
    genes = tuple(f"g{i}" for i in range(30))
    cells = Cells(genes, "nb", profile=(1 / 30,) * 30, target_sum=50.0)
    model = make_model(cells)
    found = written(tmp_path, model, splits_of(torch.from_numpy(counts).float()))
    rows = found["rows"]
    assert {"g4", "g20"} <= set(rows["names"])
    # As their log1p.
    shown = np.expm1(np.array(rows["true"]))
    np.testing.assert_allclose(shown, shown.round(), atol=0.02)
    assert np.max(rows["true"]) < 5
    assert (found["labels"], found["classes"]) == (None, None)


@pytest.mark.parametrize("num", [1, 3])
def test_few_samples(tmp_path, num):
    samples = torch.from_numpy(np.random.default_rng(3).normal(size=(9, 3)).astype(np.float32))
    splits = splits_of(samples, num_test=num)
    found = written(tmp_path, make_model(table_of((0, 0, 0))), splits)
    assert np.shape(found["points"]["raw values"]) == (num, 2)
    assert np.shape(found["rows"]["true"]) == (num, 3)
    assert np.isfinite(found["explained"]["encoder"]).all()


def test_the_plane_is_that_of_the_principal_components():
    values = np.random.default_rng(4).normal(size=(30, 5)) * [5, 3, 1, 1, 1] + 7
    places, shares = plane(values.astype(np.float32))
    centred = values - values.mean(axis=0)
    _, scale, directions = np.linalg.svd(centred)
    np.testing.assert_allclose(abs(places), abs(centred @ directions[:2].T), atol=1e-4)
    np.testing.assert_allclose(shares, (scale**2 / (scale**2).sum())[:2], rtol=1e-4)
