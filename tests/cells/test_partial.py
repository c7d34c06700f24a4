"""Cells of which genes are missing: panels, NaN, and what is hidden of counts."""

import numpy as np
import pytest
import torch

from maskwise.cells.cells import Cells
from maskwise.cells.partial import incomplete, labelled
from maskwise.columns.model import TabularModelSettings
from maskwise.errors import UserError
from maskwise.modalities import build, find
from maskwise.predict.asked import ModelAsked
from maskwise.settings import override

anndata = pytest.importorskip("anndata")
GENES = tuple(f"g{i}" for i in range(8))
PROFILE = (0.2, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05)  # and 0.1 outside
SHAPE = TabularModelSettings(width=8, depth=1, code=4, corruption="zero", norm=False)


def cells(**changes):
    return Cells(GENES, **{"profile": PROFILE, "target_sum": 100.0, **changes})


def config(**changes):
    changes = {f"data.{name}": value for name, value in changes.items()}
    return override(find("cells").settings(model=SHAPE), changes)


def annotated(values, names, **obs):
    data = anndata.AnnData(np.asarray(values, np.float32))
    data.var_names = list(names)
    data.obs_names = [f"c{row}" for row in range(len(values))]
    for name, column in obs.items():
        data.obs[name] = column
    return data


def average(depth):
    """A cell of which every gene has its usual share; the last gene is not the model's."""
    return [depth * share for share in (*PROFILE, 0.1)]


def test_a_panel_is_read_as_the_whole_cell_would_be():
    """Its depth is told by the share of a cell that its genes are."""
    model, names = build(cells(), SHAPE, seed=0), (*GENES, "other")
    whole = annotated([average(1000), average(200)], names)
    panel = whole[:, ["g7", "g1", "g5"]].copy()
    found = [incomplete(model, each, config()) for each in (whole, panel)]
    nothing = torch.zeros(2, 8, dtype=torch.bool)
    read = [each.shown(each.source.get(np.arange(2)), nothing) for each in found]
    want = torch.log1p(100 * torch.tensor(PROFILE)).expand(2, -1)
    torch.testing.assert_close(read[0], want)
    known = [1, 5, 7]
    torch.testing.assert_close(read[1][:, known], want[:, known])
    assert read[1][:, [0, 2, 3, 4, 6]].isnan().all()
    asked = ModelAsked(model, found[1])
    assert asked.there.sum(axis=1).tolist() == [3, 3]
    assert asked.whole.tolist() == [8, 8]


def test_depth_does_not_tell_of_what_is_hidden():
    """Counts of hidden genes change the library size of a cell, and none of its features."""
    model = build(cells(), SHAPE, seed=0)
    one = np.random.default_rng(0).poisson(5, (3, 9)).astype(float) + 1
    other, hidden = one.copy(), np.zeros((3, 8), dtype=bool)
    hidden[:, [1, 4]] = True
    other[:, [1, 4]] += 40
    found = [incomplete(model, annotated(x, (*GENES, "x")), config()) for x in (one, other)]
    values = [each.source.get(np.arange(3)) for each in found]
    assert not torch.allclose(values[0][:, 0], values[1][:, 0])
    features = [ModelAsked(model, each).features(np.arange(3), hidden) for each in found]
    np.testing.assert_allclose(features[1], features[0], rtol=1e-4, atol=1e-5)
    # With nothing hidden nothing changes.
    same = found[0].shown(values[0], torch.zeros(3, 8, dtype=torch.bool))
    torch.testing.assert_close(same, values[0], rtol=1e-5, atol=1e-5)


def test_values_that_are_nan_were_not_measured():
    model = build(cells(), SHAPE, seed=0)
    values = np.array([average(100), average(100), average(100), [0.0] * 9, average(100)])
    values[0, 2] = values[1] = np.nan
    values[2, 3] = np.inf
    found = incomplete(model, annotated(values, (*GENES, "other")), config(values="fractional"))
    assert found.broken == {2: "a value that is infinite", 3: "no counts"}
    assert found.names == ["c0", "c1", "c2", "c3", "c4"]
    asked = ModelAsked(model, found)
    assert (~asked.there[0]).nonzero()[0].tolist() == [2]
    assert not asked.there[1].any()  # of which nothing is visible
    assert asked.there[2].all()
    read = found.shown(found.source.get([0, 2]), torch.zeros(2, 8, dtype=torch.bool))
    torch.testing.assert_close(read[0, 3:], read[1, 3:])  # NaN took part of the depth away


def test_models_of_normalised_values_take_them_as_they_are():
    model = build(cells(counts=False, profile=()), SHAPE, seed=0)
    values = np.log1p(np.random.default_rng(0).gamma(1, 3, (2, 3)))
    found = incomplete(model, annotated(values, GENES[:3]), config(values="normalised"))
    assert found.shown is None
    np.testing.assert_allclose(found.source.get([1])[0, :3], values[1], rtol=1e-6)


def test_older_models_do_not_know_the_share_of_a_panel(caplog):
    model = build(cells(profile=()), SHAPE, seed=0)
    found = incomplete(model, annotated([[3, 1]], GENES[:2]), config())
    assert found.shown is None
    assert "does not know which share of a cell its genes are, so that 2 of them" in caplog.text


def test_no_gene_is_known():
    model = build(cells(), SHAPE, seed=0)
    with pytest.raises(
        UserError, match=r"none of 8 genes of the model, such as g0, g1, g2, is in"
    ):
        incomplete(model, annotated([[1, 2]], ["CD4", "CD8A"]), config())
    with pytest.raises(UserError, match="none of 1 cells has a count: no counts"):
        incomplete(model, annotated([[0, 0]], GENES[:2]), config())
    with pytest.raises(UserError, match="this run was given an AnnData: give it again"):
        incomplete(model, None, config())


def test_what_obs_says_and_which_cells_are_held_out():
    model = build(cells(), SHAPE, seed=0)
    values = np.random.default_rng(0).poisson(5, (20, 8)) + 1.0
    donor, age = [f"d{row // 4}" for row in range(20)], np.linspace(1, 5, 20)
    data = annotated(values, GENES, type=["B", "T"] * 10, donor=donor, age=age)
    from maskwise.cells.data import from_anndata

    settings = {"labels": "type", "group": "donor", "holdout": 0.4, "num_genes": None}
    told = config(**settings)
    test = from_anndata(data, told.data).test
    found = labelled(model, data, told, None, "own")
    assert np.flatnonzero(found.held).tolist() == test.index.tolist()
    assert found.values.tolist() == ["B", "T"] * 10
    assert (found.data.labels.tolist(), found.data.classes) == ([0, 1] * 10, ("B", "T"))
    np.testing.assert_allclose(labelled(model, data, told, "age", "own").values.astype(float), age)
    assert labelled(model, data, told, None, "apart").values is None
    with pytest.raises(UserError, match=r"obs has no column 'typ'.*type"):
        labelled(model, data, told, "typ", "own")
