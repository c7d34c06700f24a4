import gzip
import lzma

import numpy as np
import pytest

from benchmarks import dna_data, dna_laws

LAWS = ("fixed:0.15", "fixed:0.5", "uniform:0.05,0.5")


def letters(num, seed):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), num))


@pytest.fixture
def raw(tmp_path):
    """Files like those that the benchmark asks for, but small."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for seed, (protein, file) in enumerate(dna_data.PEAKS.items()):
        places = [(n % 8 + 1, 200 * n + 100 * seed) for n in range(64)]
        rows = [
            f">chr{chrom}:{start}-{start + 100}\n{letters(100, [seed, start])}\n"
            for chrom, start in places
        ]
        # A place that both have.
        rows.append(f">chr1:99000-99100\n{letters(100, 9)}\n")
        with gzip.open(folder / file, "wt") as written:
            written.writelines(rows)
        assert protein in file
    for seed, file in enumerate(dna_data.GENOMES.values()):
        with lzma.open(folder / file, "wt") as written:
            written.write(f">CHROMOSOME_{seed}\n{letters(600, seed)}\n")
    rows = [f"{'NI'[n % 2]},{n},  {letters(60, n // 2 * 2 + n % 2)}" for n in range(60)]
    (folder / "splice_uci.csv").write_text("\n".join(["label,instance_name,sequence", *rows]))
    text = "     CDS             complement(join(1..5000,\n                     9001..12000))\n"
    text += '                     /gene="x"\nORIGIN\n'
    sequence = letters(20_000, 3).lower()
    text += "".join(f"{n + 1:9d} {sequence[n : n + 60]}\n" for n in range(0, 20_000, 60))
    with lzma.open(folder / "arabidopsis_chloroplast.gb.xz", "wt") as written:
        written.write(text)
    return folder


@pytest.fixture
def data(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(dna_data, "NUM_TRAIN", 20)
    monkeypatch.setattr("sys.argv", ["dna_data", str(raw), "--out", str(tmp_path / "data")])
    dna_data.main()
    return tmp_path / "data"


def test_the_data(data):
    ctcf, pu1 = ((data / "genomes" / f"{name}.fa").read_text() for name in dna_data.PEAKS)
    assert (ctcf.count(">"), pu1.count(">")) == (65, 64)  # a place that both have is written once
    rows = (data / "coding.tsv").read_text().splitlines()[1:]
    assert len(rows) == 200
    coding = {number for number, row in enumerate(rows) if row.split("\t")[1] == "coding"}
    assert coding == {*range(50), *range(90, 120)}
    assert [row.split("\t")[2] for row in rows[::20]] == [str(n) for n in range(10)]
    train, test = (
        (data / f"ctcf_pu1_{part}.tsv").read_text().splitlines()[1:] for part in ("train", "test")
    )
    assert [row.split("\t")[1] for row in train] == ["ctcf"] * 20 + ["pu1"] * 20
    assert [row.split("\t")[1] for row in test] == ["ctcf"] * 8 + ["pu1"] * 8
    assert all(row.split("\t")[0] in ctcf + pu1 for row in test)


@pytest.mark.slow
def test_laws_are_compared(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(dna_laws, "LAWS", LAWS)
    common = ["--steps", "4", "--width", "8", "--depth", "1", "--seeds", "0", "1"]
    common += ["--out", str(tmp_path / "laws")]

    def run(what):
        monkeypatch.setattr("sys.argv", ["dna_laws", what, str(data), *common])
        dna_laws.main()
        return capsys.readouterr().out

    capsys.readouterr()
    monkeypatch.setattr(dna_laws, "HELDOUT", ("chr8",))
    assert len(run("train").splitlines()) == 6
    assert run("train") == ""  # all there already
    assert len(run("evaluate").splitlines()) == 6
    printed = run("table")
    for law in LAWS:
        assert printed.count(f"| `{law}` |") >= 1
    for key in ("loss, mean over ratios", "ctcf_pu1, MCC", "splice, AUROC", "coding, MCC"):
        assert printed.count(key) == 2
    for baseline in ("GC content", "4-mer", "one-hot", "untrained encoder"):
        assert printed.count(f", {baseline}") == 3
    assert "base composition, loss at 0.15" in printed
    common += ["--seeds", "0", "--laws", "fixed:0.5"]
    rows = run("finetune").splitlines()[2:]
    tasks = [row.split(" | ")[0].strip("| ") for row in rows]
    assert tasks == [name for name in ("ctcf_pu1", "splice", "coding") for _ in range(2)]
