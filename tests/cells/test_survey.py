"""The pass over all cells: what was found in a file is kept."""

import os

import numpy as np
import pytest
from scipy import sparse

from maskwise.cells import survey as surveys
from maskwise.cells.anndata_files import open_file
from maskwise.cells.survey import survey
from maskwise.errors import UserError
from tests.lazy import lazy

ad = lazy("anndata")


TRAIN = np.array([True, True, False, True])


@pytest.fixture
def cells(tmp_path, monkeypatch):
    """A function that opens a file of these counts."""
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "cells.h5ad"

    def of(values=None):
        if values is not None:
            ad.AnnData(sparse.csr_matrix(np.array(values, dtype=np.float32))).write_h5ad(path)
            os.utime(path, ns=(0, int(np.sum(values))))
        return open_file(path, None, None)

    return of


VALUES = [[1, 0, 3], [2, 2, 0], [0, 0, 0], [0, 5, 0]]


def test_a_file_is_looked_through_once(cells, monkeypatch):
    found = survey(cells(VALUES), TRAIN, "counts")
    assert found.library.tolist() == [4, 4, 0, 5]
    np.testing.assert_allclose(found.sums, [0.75, 1.5, 0.75])
    np.testing.assert_allclose(found.squares, [1 / 16 + 1 / 4, 1 / 4 + 1, 9 / 16])
    monkeypatch.delattr(surveys, "_look")
    again = survey(cells(), TRAIN, "counts")
    for name in ("library", "sums", "squares"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))


def test_another_split_or_kind_or_file_is_looked_through_anew(cells):
    survey(cells(VALUES), TRAIN, "counts")
    np.testing.assert_allclose(survey(cells(), ~TRAIN, "counts").sums, 0)
    logs = [[1.5, 0, 3], [2, 2.5, 0], [0, 0, 0], [0, 5, 0.25]]
    np.testing.assert_allclose(
        survey(cells(logs), TRAIN, "normalised").sums[0], np.expm1([1.5, 2]).sum()
    )
    assert survey(cells([*VALUES[:3], [0, 6, 0]]), TRAIN, "counts").library.tolist() == [
        4,
        4,
        0,
        6,
    ]


def test_a_damaged_cache(cells, tmp_path):
    survey(cells(VALUES), TRAIN, "counts")
    [path] = (tmp_path / "cache" / "surveys").iterdir()
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match="is damaged: delete it"):
        survey(cells(), TRAIN, "counts")
