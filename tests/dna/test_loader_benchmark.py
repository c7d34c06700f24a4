import numpy as np
import pytest

from benchmarks import dna_loader

pytest.importorskip("pyfaidx")


@pytest.mark.parametrize("size", [1, 60, 119, 2_345_678])
def test_the_genome_has_as_many_letters_as_asked_for(tmp_path, monkeypatch, size):
    monkeypatch.setattr(dna_loader, "RECORD", 10**6)
    dna_loader.write_genome(tmp_path / "genome.fa", size)
    lines = (tmp_path / "genome.fa").read_text().split("\n")
    assert sum(len(line) for line in lines if not line.startswith(">")) == size
    assert {len(line) for line in lines if not line.startswith(">")} <= {*range(61)}
    assert lines[0] == ">chr1"


def test_every_figure_is_printed(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["dna_loader", "--size", "1e6", "--rounds", "2"])
    monkeypatch.setattr(dna_loader, "BATCHES", 2)
    monkeypatch.setattr(dna_loader, "model_rate", lambda source: 10.0)
    monkeypatch.setattr(dna_loader, "fresh", lambda path: [1.0, 2.0] if path else [1.0])
    dna_loader.main()
    printed = capsys.readouterr().out
    assert printed.count("MiB at most") == 4
    assert printed.count("windows/s, maskwise is 1.0x as fast") == 4
    assert printed.count("pyfaidx, ") == 12
    assert "second start" in printed
    assert "(asked: 20)" in printed


def test_memory_of_a_process(tmp_path, monkeypatch):
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "cache"))
    dna_loader.write_genome(tmp_path / "genome.fa", 50_000)
    monkeypatch.setattr(dna_loader, "READS", 128)
    read, ordered = dna_loader.memory(tmp_path / "genome.fa")
    assert np.isfinite(read)
    assert 50 < read <= ordered
    assert dna_loader.memory(None)[0] > 50
