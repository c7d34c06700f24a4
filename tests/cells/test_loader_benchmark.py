import numpy as np
import pytest

from benchmarks import cells_loader
from tests.lazy import lazy

ad = lazy("anndata")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(cells_loader, "GENES", 60)
    monkeypatch.setattr(cells_loader, "DETECTED", 20)
    monkeypatch.setattr(cells_loader, "PART", 70)
    monkeypatch.setattr(cells_loader, "BATCHES", 1)
    monkeypatch.setattr(cells_loader, "READS", 256)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_the_file_is_what_anndata_reads(tmp_path, compression):
    cells_loader.write_cells(tmp_path / "cells.h5ad", 150, compression)
    adata = ad.read_h5ad(tmp_path / "cells.h5ad")
    assert adata.shape == (150, 60)
    values = adata.X.toarray()
    assert ((values > 0).sum(axis=1) == 20).all()
    assert (values == np.rint(values)).all()
    assert (values > 0).any(axis=0).all()


def test_every_figure_is_printed(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["cells_loader", "--cells", "1400", "--rounds", "2"])
    monkeypatch.setattr(cells_loader, "COMPRESSIONS", ("gzip",))
    monkeypatch.setattr(cells_loader, "fresh", lambda path: 1.0)
    cells_loader.main()
    printed = capsys.readouterr().out
    assert printed.count("MiB at most") == 3
    assert printed.count("asked: 10") == 3
    assert "second time" in printed


def test_memory_of_a_process(tmp_path, monkeypatch):
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "cache"))
    cells_loader.write_cells(tmp_path / "cells.h5ad", 200)
    assert cells_loader.memory(tmp_path / "cells.h5ad") >= cells_loader.memory(None) > 50
