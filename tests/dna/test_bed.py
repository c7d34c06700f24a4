"""Regions of BED files, checked against their genome."""

import gzip

import pytest

from maskwise.dna.bed import read_bed
from maskwise.dna.fasta import genome_of
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
    assert regions.names == ("peak one", "chr1:0-100", "chr1:7-8")


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
