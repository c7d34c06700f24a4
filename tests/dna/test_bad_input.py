"""Sequences that cannot be used: one line, exit status 2, nothing left behind; or counted."""

import gzip
import json
import os

import numpy as np
import pytest

LETTERS = "".join(np.random.default_rng(0).choice(list("ACGT"), 400))
GOOD = f">chr1\n{LETTERS[:300]}\n>chr2\n{LETTERS[300:]}\n".encode()
TINY = ["--model.width", 8, "--model.depth", 1, "--model.kernel", 3, "--data.window", 20]
TINY += ["--train.steps", 2, "--train.batch_size", 4, "--data.heldout", "chr2"]
TINY += ["--evaluate.num_windows", 4, "--evaluate.ratios", 0.5, "--evaluate.baselines", "false"]

CASES = {
    "protein": (
        {"a.fa": b">p\nMKVLAAEF\n"},
        ["a.fa"],
        "a.fa: none of 1 records is DNA: record p (position 4: 'L' is no letter of DNA but",
    ),
    "gaps": (
        {"a.fa": GOOD + b">g\nAC-GT\n>h\nAC.\n"},
        ["a.fa"],
        "a.fa: 2 cannot be read: record g (position 3: '-' is no letter of DNA but a gap of an"
        " alignment: remove the gaps), record h (position 3: '.' is no",
    ),
    "2bit": (
        {"a.2bit": b"\x43\x27\x41\x1a"},
        ["a.2bit"],
        "a.2bit is no FASTA file: it is 2bit: two",
    ),
    "proteins": (
        {"a.faa": b">p\nMKVLF\n"},
        ["a.faa"],
        "record p (position 4: 'L' is no letter of",
    ),
    "genes": (
        {"a.gtf": b"1\tx\tgene\t1\t9\t.\t+\t.\tx\n"},
        ["a.gtf"],
        "a.gtf is no FASTA file: it is GTF or GFF, which counts from 1 and names features: con",
    ),
    "variants": (
        {"a.vcf": b"##fileformat=VCFv4.2\n"},
        ["a.vcf"],
        "a.vcf is no FASTA file: it is VCF, which holds variants: maskwise variants scores them",
    ),
    "duplicate names": (
        {"a.fa": b">a\nACGT\n>a x\nACGT\n"},
        ["a.fa"],
        "a.fa: two records are named a: rename or remove one",
    ),
    "duplicate names in a folder": (
        {"folder/a.fa": GOOD, "folder/b.fa": GOOD},
        ["folder"],
        "record chr1 is in folder/a.fa too: rename or remove one",
    ),
    "empty file": ({"a.fa": b""}, ["a.fa"], "a.fa: no FASTA file: it has no line that begins"),
    "empty records": ({"a.fa": b">a\n\n"}, ["a.fa"], "no letters of DNA: all 1 records are empty"),
    "no FASTA": ({"a.fa": b"hello\n"}, ["a.fa"], "no FASTA file: line 1 comes before any record"),
    "truncated gzip": (
        {"a.fa.gz": gzip.compress(GOOD)[:-20]},
        ["a.fa.gz"],
        "cannot read a.fa.gz: Compressed file ended before",
    ),
    "no gzip": ({"a.fa.gz": GOOD}, ["a.fa.gz"], "cannot read a.fa.gz: Not a gzipped file"),
    "unknown bases only": (
        {"a.fa": b">chr1\n" + b"N" * 300 + b"\n>chr2\nACGT\n"},
        ["a.fa"],
        "no window has a base (A C G T) to learn from",
    ),
    "region beyond the end": (
        {"a.fa": GOOD, "a.bed": b"chr1\t0\t10\nchr1\t290\t301\n"},
        ["a.fa", "--regions", "a.bed"],
        "a.bed: 1 cannot be read: line 2 (stop 301 is beyond the end of chr1, which has 300 bases",
    ),
    "region of another genome": (
        {"a.fa": GOOD, "a.bed": b"scaffold\t0\t10\n"},
        ["a.fa", "--regions", "a.bed"],
        "line 1 (a.fa has no record named scaffold: its records are chr1, chr2)",
    ),
    "no regions": (
        {"a.fa": GOOD, "a.bed": b"# nothing\n"},
        ["a.fa", "--regions", "a.bed"],
        "a.bed: no regions here",
    ),
    "held-out record": (
        {"a.fa": GOOD},
        ["a.fa", "--data.heldout", "chr7"],
        "no record named chr7",
    ),
    "all held out": (
        {"a.fa": GOOD},
        ["a.fa", "--data.heldout", "chr1,chr2"],
        "holding out chr1, chr2 leaves nothing to learn from",
    ),
    "pattern": (
        {"a.fa": GOOD},
        ["a.fa", "--pattern", "words"],
        "pattern words is not for DNA, which has scattered",
    ),
    "overlapping k-mers without spans": (
        {"a.fa": GOOD},
        ["a.fa", "--data.tokens", "overlapping:3"],
        "tokens overlapping:3 need --pattern spans",
    ),
    "tokens": ({"a.fa": GOOD}, ["a.fa", "--data.tokens", "codons"], "tokens 'codons' cannot be"),
    "key of texts": ({"a.fa": GOOD}, ["a.fa", "--data.length", "9"], "unknown key 'data.length'"),
    "labels": (
        {"a.fa": GOOD, "t.csv": b"sequence,class\nACGT,1\n"},
        ["a.fa", "--evaluate.probes", "none.csv"],
        "none.csv",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_sequences_are_one_line(case, cli, tmp_path, monkeypatch):
    files, words, says = CASES[case]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "cache"))
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    status, out, err = cli("pretrain", words[0], *TINY, *words[1:], "--out", "run")
    assert (status, out) == (2, "")
    assert says in err
    assert [line for line in err.splitlines() if line.startswith("maskwise: ")] == [
        err.splitlines()[-1]
    ]
    assert not (tmp_path / "run").exists()
    # Nothing that is half made stays in the cache.
    assert not list((tmp_path / "cache").rglob(".writing-*"))


def test_what_is_left_out_is_counted(cli, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    sequence = LETTERS[:100].lower() + "N" * 60 + "RY" + LETTERS[160:300]
    (tmp_path / "a.fa").write_text(f">chr1\n{sequence}\n>chr2\n{LETTERS[300:]}\n>chr3\n\n")
    status, _, _ = cli("pretrain", "a.fa", *TINY, "--data.stride", 20, "--out", "run")
    assert status == 0
    assert (
        "2 records, 340 bases, 60 unknown, 2 ambiguous, 100 repeats, 1 empty records"
        in caplog.text
    )
    # Of 16 windows of chr1 the three within the gap.
    assert "13 windows of 20 bases, 3 without a base (A C G T) left out, 0 padded" in caplog.text
    data = json.loads((tmp_path / "run" / "result.json").read_text())["data"]
    assert (data["num_train"], data["num_test"]) == (13, 5)


def test_an_index_older_than_its_file_is_not_used(cli, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.fa").write_bytes(GOOD)
    (tmp_path / "a.fa.fai").write_text("chr1\t5\t6\t5\t6\n")
    os.utime(tmp_path / "a.fa.fai", (1, 1))
    status, _, _ = cli("pretrain", "a.fa", *TINY, "--out", "run")
    assert status == 0
    assert "a.fa: 2 records, 400 bases" in caplog.text
    assert "2 records, 400 bases" in caplog.text
    assert (tmp_path / "a.fa.fai").read_text() == "chr1\t5\t6\t5\t6\n"


def test_variants_of_another_assembly(cli, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.fa").write_bytes(GOOD)
    assert cli("pretrain", "a.fa", *TINY, "--out", "run")[0] == 0
    other = ["ACGT".replace(letter, "")[0] for letter in LETTERS]
    right = [f"chr1\t{n + 1}\t{LETTERS[n]}\t{other[n]}" for n in range(60)]
    wrong = [f"chr1\t{n + 1}\t{other[n]}\t{LETTERS[n]}" for n in (3, 7)]
    path = tmp_path / "v.tsv"
    path.write_text("\n".join(["chrom\tpos\tref\talt", *right, *wrong[:1]]))
    command = ["variants", "run", "v.tsv", "--fasta", "a.fa", "-o", "scores.tsv"]
    status, out, _ = cli(*command)
    assert status == 0
    assert "1  reference disagrees" in out
    assert "1 of 61 references disagree with the genome" in caplog.text
    path.write_text("\n".join(["chrom\tpos\tref\talt", *right[:45], *(wrong * 3)]))
    (tmp_path / "scores.tsv").unlink()
    status, out, err = cli(*command)
    assert (status, out) == (2, "")
    assert "assembly" in err
    assert not (tmp_path / "scores.tsv").exists()
