"""Regions of BED files, and variants of VCFs and tables, checked against their genome."""

import gzip
from pathlib import Path

import pytest

from maskwise.dna.fasta import Genome, genome_of, open_genome
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
    assert regions.records.tolist() == [1, 0, 0]
    assert regions.starts.tolist() == [5, 0, 7]
    assert regions.stops.tolist() == [50, 100, 8]


BAD = {
    "1\t5\t10": "line 2: sequences has no record named 1: did you mean chr1?",
    "chr2\t5\t51": "line 2: stop 51 is beyond the end of chr2, which has 50 bases",
    "chr1\t5\t5": "line 2: start 5 and stop 5: a start is at least 0 and less",
    "chr1\t9\t5": "line 2: start 9 and stop 5",
    "chr1\t-1\t5": "line 2: start -1 and stop 5",
    "chr1\tstart\tstop": "line 2: 'start' and 'stop' are no positions",
    "chr1\t1.5\t2": "line 2: '1.5' and '2' are no positions",
    "chr1\t5": "line 2: 2 columns, not record, start and stop",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_regions_are_named_by_line(tmp_path, line):
    path = tmp_path / "peaks.bed"
    path.write_text(f"#\n{line}\n")
    with pytest.raises(UserError) as caught:
        read_bed(path, GENOME)
    assert str(caught.value).startswith(f"{path}: {BAD[line]}")


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


@pytest.fixture
def genome(tmp_path: Path) -> Genome:
    path = tmp_path / "genome.fa"
    path.write_text(">chr1 first\nACGTACGTAC\nGT\n>chr2\nacgt\n")
    return open_genome(path)


def written(path: Path, lines: list[str]) -> Path:
    data = ("\n".join(lines) + "\n").encode() if lines else b""
    if path.suffix == ".gz":
        # As bgzip writes: members one after another, and an empty one.
        half = len(data) // 2
        data = b"".join(gzip.compress(part) for part in (data[:half], data[half:], b""))
    path.write_bytes(data)
    return path


def read(path: Path, genome: Genome) -> list[Row]:
    return list(open_variants(path).rows(genome))


@pytest.mark.parametrize("name", ["a.vcf", "a.vcf.gz"])
def test_vcf(tmp_path: Path, genome: Genome, name: str) -> None:
    path = written(tmp_path / name, VCF)
    assert open_variants(path).carried == ("QUAL", "FILTER", "INFO")
    carried = ["9", "PASS", "AF=.1,.2"]
    assert read(path, genome) == [
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
def test_tables(tmp_path: Path, genome: Genome, header: str) -> None:
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
        assert read(path, genome) == want


def test_quoted_cells(tmp_path: Path, genome: Genome) -> None:
    lines = ["chrom,pos,id,ref,alt,note", 'chr1,1,x,A,"C,G","two\twords', 'and a line"']
    path = written(tmp_path / "a.csv", lines)
    assert read(path, genome) == [
        Row(Variant("chr1", 1, "A", alt), "x", ["two words and a line"]) for alt in "CG"
    ]


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
        ("a.csv", ["chrom,pos,ref,alt", "chr1,x,A,C"], "line 2: pos 'x' is no whole number"),
        ("a.csv", ["chrom,pos,ref,alt", "chr1,1.5,A,C"], "line 2: pos '1.5' is no whole"),
        ("a.csv", ["chrom,pos,ref,alt", "chr1,1,A"], "line 2 has 3 columns, not 4"),
        ("a.csv", ["chrom,pos,ref,alt", "", "1,1,A,C"], "line 3: .* 1: did you mean chr1"),
        ("a.csv", ["chrom,pos,ref,alt", "chr1,0,A,C"], "line 2: chr1:0 A is not inside"),
        ("a.csv", ["chrom,pos,ref,alt", "chr1,-3,A,C"], "line 2: pos '-3' is no whole"),
        ("a.csv", ["chrom,pos,ref,alt", "chr1,13,A,C"], "chr1:13 A .* has the bases 1 to 12"),
        ("a.csv", ["chrom,pos,ref,alt", "chr1,12,TA,CC"], "line 2: chr1:12 TA is not inside"),
        ("a.bed", ["chr1\t0\t5"], "variants are read from .vcf, .tsv, .csv, also with .gz"),
    ],
)
def test_bad_input(tmp_path: Path, genome: Genome, name: str, lines: list[str], says: str) -> None:
    path = written(tmp_path / name, lines)
    with pytest.raises(UserError, match=says) as error:
        read(path, genome)
    assert "\n" not in str(error.value)


def test_unreadable_files(tmp_path: Path, genome: Genome) -> None:
    whole = written(tmp_path / "a.vcf.gz", VCF + VCF[3:4] * 5000).read_bytes()
    cut = tmp_path / "cut.vcf.gz"
    cut.write_bytes(whole[: len(whole) // 2 - 7])
    with pytest.raises(UserError, match=r"cut.vcf.gz: Compressed file ended"):
        read(cut, genome)
    plain = written(tmp_path / "plain.vcf", VCF).rename(tmp_path / "plain.vcf.gz")
    with pytest.raises(UserError, match=r"cannot read .*plain.vcf.gz: Not a gzipped file"):
        read(plain, genome)
    with pytest.raises(UserError, match=r"none.vcf: No such file"):
        open_variants(tmp_path / "none.vcf")
