"""Regions of BED files, and variants of VCFs and tables, checked against their genome."""

import gzip
from pathlib import Path

import pytest

from maskwise.dna.fasta import genome_of
from maskwise.dna.places import Row, Variant, open_variants, read_bed
from maskwise.errors import UserError

GENOME = genome_of(["A" * 100, "C" * 50], ["chr1", "chr2"])
TEXT = """\
# made by hand
track name=peaks
browser position chr1:1-50

chr2\t5\t50\tpeak one\t0\t.\t9.1\t-1\t-1\t20
chr1 0 100
chr1\t7\t8\t.
"""


@pytest.mark.parametrize("suffix", [".bed", ".narrowPeak.gz"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_regions_in_the_order_of_the_file(tmp_path, suffix, newline):
    data = TEXT.replace("\n", newline).encode()
    path = tmp_path / f"peaks{suffix}"
    path.write_bytes(gzip.compress(data) if "gz" in suffix else data)
    regions = read_bed(path, GENOME)
    assert regions.parts.records.tolist() == [1, 0, 0]
    assert regions.parts.starts.tolist() == [5, 0, 7]
    assert regions.parts.stops.tolist() == [50, 100, 8]
    assert regions.names == ["chr2:5-50", "chr1:0-100", "chr1:7-8"]
    assert regions.lines == [5, 6, 7]
    assert not regions.broken


BAD = {
    "3\t5\t10": "line 2: sequences has no record named 3: its records are chr1, chr2",
    "chr2\t5\t51": "line 2: stop 51 is beyond the end of chr2, which has 50 bases",
    "chr1\t5\t5": "line 2: start 5 and stop 5: a start is at least 0 and less",
    "chr1\t9\t5": "line 2: start 9 and stop 5",
    "chr1\t-1\t5": "line 2: start -1 and stop 5",
    "chr1\t7 \tstop": "line 2: '7 ' and 'stop' are no positions",
    "chr1\t1.5\t2": "line 2: '1.5' and '2' are no positions",
    "chr1\t5": "line 2: 2 columns, not record, start and stop",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_regions_are_named_by_line(tmp_path, line):
    path = tmp_path / "peaks.bed"
    path.write_text(f"#\n{line}\nchr2\t1\t3\n")
    regions = read_bed(path, GENOME)
    [(where, why)] = regions.told.items()
    assert f"{where}: {why}".startswith(BAD[line])
    assert list(regions.broken) == [0]
    assert len(regions.names) == 2
    assert (regions.parts.records.tolist(), regions.parts.starts.tolist()) == ([1], [1])


def test_names_of_columns_and_of_contigs(tmp_path, caplog):
    path = tmp_path / "peaks.bed"
    path.write_bytes("chrom start end name\n1 0 5 caf\u00e9\r\nCHR2 1 3 x\n".encode("latin-1"))
    caplog.clear()
    with caplog.at_level("INFO", "maskwise"):
        regions = read_bed(path, GENOME)
    assert regions.parts.records.tolist() == [0, 1]
    assert regions.names == ["1:0-5", "CHR2:1-3"]
    assert caplog.messages == [
        f"{path}: line 1 has names of columns and is left out",
        f"{path}: 2 contigs are matched by other names: 1 is chr1, CHR2 is chr2",
    ]


OTHERS = {
    "chr1\tsrc\tgene\t1\t9\t.\t+\t.\tx": "is no BED file: it is GTF or GFF, which counts",
    "##gff-version 3\nchr1\t.\tgene\t1\t9\t.\t+\t.\tx": "no BED file: it is GFF, which counts",
    "##fileformat=VCFv4.2\n#CHROM\nchr1\t1\t.\tA\tC\t.\t.\t.": "is no BED file: it is VCF",
    ">chr1\nACGT": "is no BED file: it is FASTA",
    "chr1:1-50\nchr1:60-70": "it is places as START-END, which count from 1: give BED",
}


@pytest.mark.parametrize("text", OTHERS)
def test_what_is_no_bed_file(tmp_path, text):
    path = tmp_path / "peaks.bed"
    path.write_text(text + "\n")
    with pytest.raises(UserError) as caught:
        read_bed(path, GENOME)
    assert OTHERS[text] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_without_regions(tmp_path):
    path = tmp_path / "peaks.bed"
    path.write_text("# nothing\n")
    with pytest.raises(UserError, match="no regions here"):
        read_bed(path, GENOME)
    with pytest.raises(UserError, match="cannot read"):
        read_bed(tmp_path / "nowhere.bed", GENOME)
    cut = tmp_path / "cut.bed.gz"
    cut.write_bytes(gzip.compress(b"chr1\t0\t9\n" * 99)[:-9])
    with pytest.raises(UserError, match="cannot read"):
        read_bed(cut, GENOME)


VCF = [
    "##fileformat=VCFv4.2",
    '##INFO=<ID=AF,Number=A,Type=Float,Description="frequency">',
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tone",
    "chr1\t3\trs1\tG\tA,T\t9\tPASS\tAF=.1,.2\tGT\t0/1",
    "",
    "chr2\t1\t.\ta\t<DEL>\t.\tq10\tAF=.5\tGT\t1/1",
]


def written(path: Path, lines: list[str]) -> Path:
    data = ("\n".join(lines) + "\n").encode() if lines else b""
    if path.suffix == ".gz":
        # As bgzip writes: members one after another, and an empty one.
        half = len(data) // 2
        data = b"".join(gzip.compress(part) for part in (data[:half], data[half:], b""))
    path.write_bytes(data)
    return path


def read(path: Path) -> list[Row]:
    return list(open_variants(path).rows())


@pytest.mark.parametrize("name", ["a.vcf", "a.vcf.gz"])
def test_vcf(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, VCF)
    assert open_variants(path).carried == ("QUAL", "FILTER", "INFO")
    carried = ["9", "PASS", "AF=.1,.2"]
    assert read(path) == [
        Row(Variant("chr1", 3, "G", "A"), "rs1", carried),
        Row(Variant("chr1", 3, "G", "T"), "rs1", carried),
        Row(Variant("chr2", 1, "a", "<DEL>"), ".", [".", "q10", "AF=.5"]),
    ]


@pytest.mark.parametrize(
    "header",
    [
        "Chrom Pos Ref Alt",
        "#CHROM POS REF ALT",
        "chrom pos ref alt",
    ],
)
def test_tables(tmp_path: Path, header: str) -> None:
    chrom, pos, ref, alt = header.split()
    names = [alt, "Effect", ref, pos, chrom]
    rows = [["T", "-0.5", "C", "2", "chr1"], ["-", "", "G", "3", "chr1"]]
    want = [
        Row(Variant("chr1", 2, "C", "T"), ".", ["-0.5"]),
        Row(Variant("chr1", 3, "G", "-"), ".", [""]),
    ]
    for name, between in (("a.tsv", "\t"), ("a.tsv.gz", "\t"), ("a.csv", ","), ("a.csv.gz", ",")):
        path = written(tmp_path / name, [between.join(row) for row in [names, *rows]])
        assert open_variants(path).carried == ("Effect",)
        assert read(path) == want


def test_quoted_cells(tmp_path: Path) -> None:
    lines = ["chrom,pos,id,ref,alt,note", 'chr1,1,x,A,"C,G","two\twords', 'and a line"']
    path = written(tmp_path / "a.csv", lines)
    assert read(path) == [
        Row(Variant("chr1", 1, "A", alt), "x", ["two words and a line"]) for alt in "CG"
    ]


def test_lines_that_cannot_be_read_are_rows_too(tmp_path: Path) -> None:
    lines = ["chrom,pos,ref,alt,note", "chr1,x,A,C,n", "chr1,1.5,A,C,n", "chr1,2.0,A,C,n"]
    lines += ["chr1,-3,A,C,n", "chr1,1,A", "", "chr1,1,A,C,n,o", "chr1,1,A,C,n"]
    found = read(written(tmp_path / "a.csv", lines))
    assert [row.variant.pos for row in found] == [0, 0, 2, 0, 1, 1, 1]
    wrong, columns = "no position", "another number of columns"
    assert [row.problem for row in found] == [wrong, wrong, "", wrong, columns, columns, ""]
    assert [row.written for row in found] == ["x", "1.5", "", "-3", "", "", ""]
    assert found[4].carried == [""]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-8-sig", "utf-16"])
def test_columns_parted_by_spaces(tmp_path: Path, encoding: str, caplog) -> None:
    lines = ["##source=M\u00fcller", "#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT one"]
    lines.append("chr1 3  rs1 G A,T 9 PASS AF=.1,.2 GT 0/1\r")
    path = tmp_path / "a.vcf"
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    with caplog.at_level("INFO", "maskwise"):
        found = read(path)
    carried = ["9", "PASS", "AF=.1,.2"]
    assert found == [Row(Variant("chr1", 3, "G", alt), "rs1", carried) for alt in "AT"]
    assert f"{path}: columns are parted by spaces" in caplog.text
    table = tmp_path / "a.csv"
    table.write_bytes("chrom;pos;ref;alt;n\n1;3;G;A;\u00fc,b\n".encode("cp1252"))
    assert read(table) == [Row(Variant("1", 3, "G", "A"), ".", ["\u00fc,b"])]


@pytest.mark.parametrize(
    ("name", "lines", "says"),
    [
        ("a.vcf", [], "a.vcf is empty"),
        ("a.tsv.gz", [], "a.tsv.gz is empty"),
        ("a.vcf", VCF[:2], "a.vcf is empty"),
        ("a.vcf", VCF[:3], "a.vcf holds no variants"),
        ("a.vcf", VCF[3:], "a.vcf: line 1 names the columns chr1, 3, rs1, G, A,T, 9, PASS"),
        ("a.tsv", ["chrom\tpos\tref", "chr1\t1\tA"], "line 1 names the columns chrom, pos, ref:"),
        ("a.tsv", ["chrom\tpos\tref\talt\tREF"], "give chrom, pos, ref and alt, each once"),
        ("a.vcf", ["##gff-version 3", "chr1\t.\tgene\t1\t9\t.\t+\t.\tID=1"], "it is GFF, which"),
        ("a.vcf", ["chr1\t0\t9", "chr1\t5\t9"], "is no file of variants: it is BED, which holds"),
        ("a.gtf", ["chr1\t.\tgene\t1\t9\t.\t+\t.\tx"], "are read from .*; this is GTF or GFF"),
        ("a.bed", ["chr1\t0\t5"], "variants are read from .vcf, .tsv, .csv, also with .gz"),
    ],
)
def test_bad_input(tmp_path: Path, name: str, lines: list[str], says: str) -> None:
    path = written(tmp_path / name, lines)
    with pytest.raises(UserError, match=says) as error:
        read(path)
    assert "\n" not in str(error.value)


def test_unreadable_files(tmp_path: Path) -> None:
    whole = written(tmp_path / "a.vcf.gz", VCF + VCF[3:4] * 5000).read_bytes()
    cut = tmp_path / "cut.vcf.gz"
    cut.write_bytes(whole[: len(whole) // 2 - 7])
    with pytest.raises(UserError, match=r"cut.vcf.gz: Compressed file ended"):
        read(cut)
    plain = written(tmp_path / "plain.vcf", VCF).rename(tmp_path / "plain.vcf.gz")
    with pytest.raises(UserError, match=r"cannot read .*plain.vcf.gz: Not a gzipped file"):
        read(plain)
    with pytest.raises(UserError, match=r"none.vcf: No such file"):
        open_variants(tmp_path / "none.vcf")
