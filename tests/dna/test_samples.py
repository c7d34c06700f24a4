"""Features of all sequences of a source: row i is sequence i, and has its name and a status."""

import numpy as np
import pytest

import maskwise as mw
from maskwise.errors import UserError

LETTERS = "".join(np.random.default_rng(0).choice(list("ACGT"), 400))
TINY = {"data.window": 20, "model": {"width": 8, "depth": 1, "kernel": 3}}
TINY |= {"train": {"steps": 2, "batch_size": 4}, "data.heldout": "chr2"}
TINY |= {"evaluate": {"num_windows": 4, "ratios": (0.5,), "baselines": False}}
TINY |= {"efficiency.accelerator": "cpu"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("dna")
    (where / "a.fa").write_text(f">chr1\n{LETTERS[:300]}\n>chr2\n{LETTERS[300:]}\n")
    mw.pretrain(where / "a.fa", out=where / "run", **TINY)
    mw.pretrain(where / "a.fa", out=where / "kmers", **TINY, **{"data.tokens": "kmers:3"})
    return where


def embedded(cli, tmp_path, run, *words):
    out = tmp_path / "out.npz"
    status, printed, err = cli("embed", run, *words, "-o", out)
    assert status == 0, err
    with np.load(out) as found:
        return printed, found["features"], found["name"].tolist(), found["status"].tolist()


def test_records_of_a_file(cli, folder, tmp_path):
    path = tmp_path / "b.fa"
    parts = [">p", LETTERS[:60], ">unknown x", "N" * 60, ">q", LETTERS[60:120].lower()]
    path.write_text("\n".join([*parts, ">empty", ">protein", "MKVL", ">q", "AC", ""]))
    printed, z, names, status = embedded(cli, tmp_path, folder / "run", path)
    assert names == ["p", "unknown", "q", "empty", "protein", "q"]
    assert [each.split(" (")[0] for each in status] == [
        *("ok", "no known base", "ok", "empty"),
        "position 4: 'L' is no letter of DNA but of a protein: give the sequences of DNA that code"
        " for it",
        "ok",
    ]
    assert np.isnan(z).all(1).tolist() == [False, True, False, True, True, False]
    assert "6 x 8, float32, 3 of them NaN" in printed
    run = mw.Run(folder / "run")
    want = run.embed([LETTERS[:60], LETTERS[60:120].lower(), "AC"])
    np.testing.assert_allclose(z[[0, 2, 5]], want, atol=1e-6)
    # K-mers need three bases.
    _, z, _, status = embedded(cli, tmp_path, folder / "kmers", path)
    assert status[5] == "no token of kmers:3 with known bases"
    assert np.isnan(z).all(1).tolist() == [False, True, False, True, True, True]


def test_a_list(folder, caplog):
    run = mw.Run(folder / "run")
    z = run.embed([LETTERS[:60], "NNN", "", "AC-T", "gg"])
    assert np.isnan(z).all(1).tolist() == [False, True, True, True, False]
    np.testing.assert_allclose(z[[0, 4]], run.embed([LETTERS[:60], "gg"]), atol=1e-6)
    assert caplog.messages[-1] == (
        "3 sequences have no features (NaN): sequence 2: no known base (A C G T), sequence 3:"
        " empty, sequence 4: position 3: '-' is no letter of DNA but a gap of an alignment: remove"
        " the gaps"
    )
    with pytest.raises(UserError, match="none of 1 sequences can be read: sequence 1: no known"):
        run.embed(["NN"])
    with pytest.raises(UserError, match="sequence 2 is int, not str: give a list of str"):
        run.embed(["AC", 3])
    with pytest.raises(UserError, match="no sequences: give at least one"):
        run.embed([])


def test_regions(cli, folder, tmp_path, caplog):
    path = tmp_path / "a.bed"
    path.write_text("chrom start end\nchr1\t5\t50\tx\nchr2 90 101\n2 0 9\nchr7 0 9\nchr1 9 5\n")
    caplog.set_level("INFO", "maskwise")
    fasta = ["--fasta", folder / "a.fa"]
    _, z, names, status = embedded(cli, tmp_path, folder / "run", path, *fasta)
    assert names == ["chr1:5-50", "chr2:90-101", "2:0-9", "chr7:0-9", "chr1:9-5"]
    assert np.isnan(z).all(1).tolist() == [False, True, False, True, True]
    assert status[1].startswith("stop 101 is beyond the end of chr2, which has 100 bases")
    assert status[3].startswith(f"{folder / 'a.fa'} has no record named chr7: did you mean chr")
    assert status[4].startswith("start 9 and stop 5")
    assert "a.bed: 1 contigs are matched by other names: 2 is chr2" in caplog.text
    # BED counts from 0 and leaves out its stop.
    want = mw.Run(folder / "run").embed([LETTERS[5:50], LETTERS[300:309]])
    np.testing.assert_allclose(z[[0, 2]], want, atol=1e-6)
    path.write_text("chr7\t0\t9\n")
    status, _, err = cli("embed", folder / "run", path, *fasta, "-o", tmp_path / "none.npy")
    assert (status, err.count("\n")) == (2, 1)
    assert "none of 1 sequences can be read: the first, chr7:0-9: " in err
    status, _, err = cli("embed", folder / "run", path, "-o", tmp_path / "none.npy")
    assert "holds regions only: give the sequences too, with --fasta" in err


def test_reads(cli, folder, tmp_path):
    path = tmp_path / "a.fastq"
    path.write_text(f"@one\n{LETTERS[:30]}\n+\n{'!' * 30}\n@two\nNNN\n+\n!!!\n")
    _, z, names, status = embedded(cli, tmp_path, folder / "run", path)
    assert (names, status) == (["one", "two"], ["ok", "no known base (A C G T)"])
    want = mw.Run(folder / "run").embed([LETTERS[:30]])
    np.testing.assert_allclose(z[:1], want, atol=1e-6)
