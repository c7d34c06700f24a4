import gzip
import lzma
from pathlib import Path

import pytest

from maskwise.dna.bases import decode
from maskwise.dna.tasks import read_sequences
from maskwise.errors import UserError


def write(path: Path, content: str) -> Path:
    opener = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
    with opener(path, "wt", encoding="utf-8", newline="") as file:
        file.write(content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "label,instance_name,sequence\nEI,  one,   AcgT\r\n N,two,  RA \n"),
        ("a.csv", "Class, Seq\nEI,AcgT\nN,RA\n"),
        ("a.tsv.gz", "dna\ttarget\nAcgT\tEI\nRA\tN\n"),
        ("a.jsonl.xz", '{"seq": "AcgT", "label": "EI"}\n{"label": "N", "seq": "RA", "n": 1}\n'),
    ],
)
def test_reads_tables(tmp_path: Path, name: str, content: str) -> None:
    found = read_sequences([write(tmp_path / name, content)])
    assert [decode(row.codes) for row in found] == ["AcgT", "NA"]
    assert [row.label for row in found] == ["EI", "N"]
    assert [row.group for row in found] == ["", ""]


def test_reads_groups(tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", "group,seq,label\nx,A,1\n,C,1\n y ,G,2\n")
    assert [row.group for row in read_sequences([table])] == ["x", "", "y"]
    lines = '{"seq": "A", "label": 1, "group": 7}\n{"seq": "C", "label": 2, "group": null}\n'
    found = read_sequences([write(tmp_path / "a.jsonl", lines)])
    assert [row[1:] for row in found] == [("1", "7"), ("2", "")]


def test_reads_fasta_files_of_one_class_each(tmp_path: Path) -> None:
    first = write(tmp_path / "ctcf.train.fa.gz", ">chr1:1-9 x\nACG\nTTa\n\n>b\r\nN\r\nA\r\n")
    second = write(tmp_path / "PU1.fasta", ">b\nGG")
    found = read_sequences([first, second])
    assert [decode(row.codes) for row in found] == ["ACGTTa", "NA", "GG"]
    assert [row.label for row in found] == ["ctcf", "ctcf", "PU1"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "label,sequence\nx,ACGT\ny,AEG\n", "row 3 has the letter 'E', which is no DNA"),
        ("a.csv", "label,sequence\nx,AC-T\n", "row 2 has the letter '-'"),
        ("a.csv", "label,sequence\nx,AC\u00e9\n", "row 2 has the letter '\u00e9'"),
        ("a.csv", "label,sequence\nx,  \n", "row 2 has no known base"),
        ("a.csv", "label,sequence\nx,nNr\n", "row 2 has no known base"),
        ("a.csv", "label,sequence\n ,ACG\n", "no row has a label in 'label'"),
        ("a.csv", "label,text\nx,ACG\n", "columns label, text: give one of sequence, seq, dna"),
        ("a.csv", "label,class,dna\nx,y,ACG\n", "give one of sequence, seq, dna and one of label"),
        ("a.csv", "label,dna\n", "no sequences"),
        ("a.jsonl", '{"label": 1, "dna": "AXG"}\n', "line 1 has the letter 'X'"),
        ("a.fa", ">a\nACG\nAC*\n", "line 3 has the letter '*'"),
        ("a.fa", ">a\n>b\nACG\n", r"line 1 (>a) has no known base"),
        ("a.fa", ">a\nACG\n>b\n", r"line 3 (>b) has no known base"),
        ("a.fa", "ACG\n", "no FASTA: line 1 comes before any '>'"),
        ("a.fa", "", "no sequences"),
        ("a.txt", "x ACG\n", "give one table (.csv, .tsv, .jsonl) or FASTA files"),
    ],
)
def test_refuses_what_cannot_be_used(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(UserError) as caught:
        read_sequences([path])
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_refuses_two_tables_and_files_of_one_name(tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", "label,dna\nx,A\n")
    with pytest.raises(UserError, match="give one table"):
        read_sequences([table, table])
    names = [tmp_path / "a.fa", tmp_path / "a.fna.gz"]
    with pytest.raises(UserError, match=r"two FASTA files have one name \(a, a\)"):
        read_sequences([write(path, ">a\nACG\n") for path in names])


def test_refuses_truncated_gzip(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fa.gz", ">a\n" + "ACGT" * 500)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(UserError, match="cannot read"):
        read_sequences([path])
