"""A dry look at sequences: what there is, and all that stands in the way, with what mends it."""

import json

import numpy as np
import pytest

import maskwise as mw
from maskwise.errors import UserError

LETTERS = "".join(np.random.default_rng(0).choice(list("ACGT"), 400))
TINY = {"data.window": 20, "model": {"width": 8, "depth": 1, "kernel": 3}}
TINY |= {"train": {"steps": 2, "batch_size": 4}, "efficiency.accelerator": "cpu"}
TINY |= {"evaluate": {"num_windows": 4, "ratios": (0.5,), "baselines": False}}


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "a.fa"
    gap = "N" * 60 + "RY"
    text = f">chr1\n{LETTERS[:100].lower()}{gap}{LETTERS[100:300]}\n>chr2\n{LETTERS[300:]}\n"
    path.write_text(text + ">empty\n>rna\nACGU\n")
    return path


def test_what_there_is(fasta, cli):
    found = mw.inspect(fasta, **{"data.window": 20, "train.batch_size": 8})
    assert not found.problems
    assert found.found == {
        "records": 3,
        "first names": ["chr1", "chr2", "rna"],
        "bases": 466,
        "longest record": 362,
        "shortest record": 4,
        "share of N": 60 / 466,
        "share of other letters": 2 / 466,
        "share in lower case": 100 / 466,
        "U read as T": 1,
        "empty records": 1,
        "window": 20,
        "windows held out": 2,  # of the 23 bases at the end of chr1
    }
    run = mw.pretrain(fasta, out=fasta.parent / "run", **TINY)
    assert run.result["data"]["num_train"] == found.num_train
    status, out, _ = cli("inspect", fasta, "--json", "--data.window", 20, "--train.batch_size", 8)
    assert (status, json.loads(out)["found"]) == (0, found.found)


def test_all_that_stands_in_the_way(fasta, tmp_path, cli):
    fasta.write_text(fasta.read_text() + ">p\nMKVL\n>g\nA-C\n")
    bed = tmp_path / "a.bed"
    bed.write_text("chr1\t0\t100\n1\t200\t362\nchr2\t50\t101\nchr9\t1\t2\nchr2\t0\t60\n")
    words = {"data.regions": str(bed), "pattern": "words", "data.heldout": "chrX"}
    found = mw.inspect(fasta, **{**words, "data.window": 20, "train.batch_size": 4})
    told = [each.text for each in found.problems]
    assert len(told) == 4
    assert told[0].startswith("pattern words is not for DNA")
    assert told[1].startswith(f"{fasta}: 2 cannot be read: record p (position 4: 'L' is no")
    assert told[2].startswith(f"{bed}: 2 cannot be read: line 3 (stop 101 is beyond the end of ch")
    assert "line 4 (" in told[2]
    assert told[3].startswith(f"{fasta} has no record named chrX: did you mean chr")
    assert found.found["regions"] == 5
    assert [each.split()[1] for each in found.found["regions outside"]] == ["3", "4"]
    with pytest.raises(UserError, match=r"4 things stand in the way: .* This works: mw.pretrain"):
        mw.pretrain(fasta, out=tmp_path / "run", **TINY, **words)
    assert not (tmp_path / "run").exists()
    mended = dict(words)
    for each in found.problems:
        mended |= each.settings
    run = mw.pretrain(fasta, out=tmp_path / "run", **TINY, **mended)
    assert run.result["data"]["num_train"] > 4
    flags = [word for key, value in mended.items() for word in (f"--{key}", value)]
    more = ["--data.window", 20, "--train.batch_size", 4]
    assert cli("inspect", fasta, *flags, *more)[0] == 0


def test_sequences_of_python_and_few_records(tmp_path):
    found = mw.inspect([LETTERS, "ACZ", ""], modality="dna", **{"train.batch_size": 1})
    [problem] = found.problems
    assert problem.settings == {"data.broken": "skip"}
    assert "sequences: 1 cannot be read: record sequence2 (position 3: 'Z'" in problem.text
    assert found.found["records"] == 1
    peaks = [f">chr1:{n}-{n + 30}\n{LETTERS[n : n + 30]}\n" for n in range(0, 90, 30)]
    (tmp_path / "p.fa").write_text("".join(peaks) + ">chr2\n" + LETTERS[:20])
    found = mw.inspect(
        tmp_path / "p.fa", **{"train.batch_size": 1, "data.holdout": 0.05, "data.window": 10}
    )
    [problem] = found.problems
    assert problem.text.startswith("4 records are too few to hold out")
    assert problem.settings == {"data.heldout": "chr2"}
    fixed = {"train.batch_size": 1, "data.window": 10, **problem.settings}
    assert not mw.inspect(tmp_path / "p.fa", **fixed).problems


def test_labelled_files_are_looked_at_before_training(fasta, tmp_path):
    (tmp_path / "t.csv").write_text("sequence,label\nACGT,a\nMKVL,b\n")
    probes = f"{tmp_path / 't.csv'},{tmp_path / 'none.csv'}"
    found = mw.inspect(fasta, **{"train.batch_size": 1, "evaluate.probes": probes})
    told = [each.text for each in found.problems]
    assert "row 3 has the letter 'L', which is no DNA" in told[0]
    assert told[1] == f"{tmp_path / 'none.csv'}, which evaluation needs, does not exist"


def test_what_is_seen_once_is_not_read_again(fasta, monkeypatch):
    mw.inspect(fasta, **{"data.window": 20, "train.batch_size": 8})
    monkeypatch.setattr("maskwise.dna.fasta._look_through", None)
    monkeypatch.setattr("maskwise.dna.data._BATCH", 0)
    assert mw.inspect(fasta, **{"data.window": 20, "train.batch_size": 8}).num_train
