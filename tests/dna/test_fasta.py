"""Reading any base of FASTA files."""

import gzip
import lzma
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise.dna.bases import NOTHING, encode
from maskwise.dna.fasta import genome_of, open_genome
from maskwise.errors import UserError

GENERATOR = np.random.default_rng(0)
SEQUENCES = {
    name: "".join(GENERATOR.choice(list("ACGTacgtNnRy"), size=size))
    for name, size in (("one", 1000), ("two", 7), ("three", 1), ("four", 130))
}
COMPRESS = {".fa": bytes, ".fna.gz": gzip.compress, ".FASTA.xz": lzma.compress}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "cache"))


def fasta(sequences, line=60, newline="\n", last="\n"):
    lines = []
    for name, letters in sequences.items():
        lines.append(f">{name} and what it is")
        lines += [letters[start : start + line] for start in range(0, len(letters), line)]
    return (newline.join(lines) + last).encode()


def write(path, data):
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def expected(letters, start, width):
    places = range(start, start + width)
    inside = encode("".join(letters[place] for place in places if 0 <= place < len(letters)))
    left = min(max(-start, 0), width)
    padded = [NOTHING] * left + inside.tolist()
    return padded + [NOTHING] * (width - len(padded))


def check(genome, sequences, widths=(1, 5, 60, 250)):
    generator = np.random.default_rng(1)
    assert genome.names == tuple(sequences)
    assert genome.lengths.tolist() == [len(letters) for letters in sequences.values()]
    records = generator.integers(0, len(sequences), 40)
    starts = generator.integers(-70, 1100, 40) % (genome.lengths[records] + 70) - 35
    for width in widths:
        codes = genome.read(records, starts, width)
        assert codes.dtype == np.uint8
        rows = zip(records.tolist(), starts.tolist(), strict=True)
        wanted = [expected(sequences[genome.names[r]], start, width) for r, start in rows]
        assert codes.tolist() == wanted


@pytest.mark.parametrize("line", [1, 7, 60, 61, 5000])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("last", ["\n", ""])
def test_windows_are_slices_of_the_text(tmp_path, line, newline, suffix, last):
    data = fasta(SEQUENCES, line, newline, last)
    path = write(tmp_path / f"genome{suffix}", COMPRESS[suffix](data))
    for _ in range(2):  # fresh, and from the cache
        check(open_genome(path), SEQUENCES)
    assert {file.name for file in tmp_path.iterdir()} == {"cache", path.name}


def test_block_gzip_is_many_members(tmp_path):
    data = fasta(SEQUENCES)
    members = b"".join(gzip.compress(data[start : start + 100]) for start in range(0, 2000, 100))
    check(open_genome(write(tmp_path / "genome.fa.bgz", members)), SEQUENCES)


@given(st.lists(st.text("ACGTNacgtnRy", min_size=1, max_size=40), min_size=1, max_size=5))
def test_sequences_in_memory(sequences):
    named = {f"sequence{number}": text for number, text in enumerate(sequences, start=1)}
    genome = genome_of(sequences)
    check(genome, named, (1, 9, 50))
    letters = "".join(sequences)
    assert genome.counts == {
        "bases": sum(letter in "ACGTacgt" for letter in letters),
        "unknown": sum(letter in "Nn" for letter in letters),
        "ambiguous": sum(letter in "Ry" for letter in letters),
        "repeats": sum(letter in "acgt" for letter in letters),
        "uracil": 0,
        "empty_records": 0,
    }


def test_reading_ends_where_it_is_told_to():
    genome = genome_of(["ACGTACGT", "AAAA"])
    codes = genome.read(np.array([0, 1]), np.array([2, 0]), 4, np.array([4, 0]))
    assert codes.tolist() == [[2, 3, NOTHING, NOTHING], [NOTHING] * 4]
    assert genome.read(np.array([], dtype=int), np.array([], dtype=int), 4).shape == (0, 4)


def test_a_fingerprint_tells_sequences_apart_not_files(tmp_path):
    plain = open_genome(write(tmp_path / "a.fa", fasta(SEQUENCES)))
    packed = open_genome(write(tmp_path / "b.fa.gz", gzip.compress(fasta(SEQUENCES, 7))))
    assert plain.fingerprint == packed.fingerprint
    changed = SEQUENCES | {"one": SEQUENCES["one"].swapcase()}
    renamed = {name.upper(): letters for name, letters in SEQUENCES.items()}
    others = {genome_of(list(s.values()), list(s)).fingerprint for s in (changed, renamed)}
    assert len(others | {plain.fingerprint}) == 3
    same = genome_of(list(SEQUENCES.values()), list(SEQUENCES))
    assert same.fingerprint == plain.fingerprint


def test_long_records_are_looked_at_in_chunks(tmp_path, monkeypatch):
    whole = genome_of([SEQUENCES["one"]], ["one"])
    monkeypatch.setattr("maskwise.dna.fasta._CHUNK", 100)
    monkeypatch.setattr("maskwise.dna.indexing._PART", 64)
    for line in (9, 60, 400, 5000):
        for suffix in COMPRESS:
            data = COMPRESS[suffix](fasta({"one": SEQUENCES["one"]}, line))
            genome = open_genome(write(tmp_path / f"{line}{suffix}", data))
            assert (genome.counts, genome.fingerprint) == (whole.counts, whole.fingerprint)
            check(genome, {"one": SEQUENCES["one"]})
    bad = SEQUENCES["one"][:777] + "E" + SEQUENCES["one"][778:]
    with pytest.raises(UserError, match=r"record one \(position 778: 'E'"):
        genome_of([bad], ["one"])


def test_a_folder_of_files(tmp_path):
    folder = tmp_path / "genome"
    folder.mkdir()
    write(folder / "b.fa", ">b\nACGT\n")
    write(folder / "a.fna.gz", gzip.compress(b">a\nTTTTT\n>empty\n"))
    write(folder / "notes.txt", "no FASTA")
    genome = open_genome(folder)
    assert genome.names == ("a", "b")
    assert genome.counts["empty_records"] == 1
    codes = genome.read(np.array([1, 0, 1]), np.array([0, 3, 1]), 3)
    assert codes.tolist() == [[0, 1, 2], [3, 3, NOTHING], [1, 2, 3]]
    write(folder / "c.fa", ">b\nACGT\n")
    with pytest.raises(UserError, match=r"c\.fa: record b is in .*b\.fa too"):
        open_genome(folder)


def test_records_are_found_by_name():
    genome = genome_of(["A", "C", "G"], ["chr1", "chr2", "MT"])
    assert [genome.record(name) for name in ("MT", "chr1")] == [2, 0]
    with pytest.raises(UserError, match="no record named chr_2: did you mean chr2"):
        genome.record("chr_2")
    with pytest.raises(UserError, match="no record named scaffold: its records are chr1, chr2"):
        genome.record("scaffold")


def test_contigs_have_other_names(caplog):
    genome = genome_of(["A", "C", "G"], ["chr1", "X", "MT"])
    names = "1", "Chr1", "chrX", "x", "chrM", "M", "chrMT", "MT"
    assert [genome.find(name) for name in names] == [0, 0, 1, 1, 2, 2, 2, 2]
    caplog.clear()
    with caplog.at_level("INFO", "maskwise"):
        genome.tell_renamed("a.bed")
        genome.tell_renamed("a.bed")
    told = "a.bed: 7 contigs are matched by other names: 1 is chr1, Chr1 is chr1, chrX is X, ..."
    assert caplog.messages == [told]
    both = genome_of(["A", "C", "G"], ["chr1", "1", "chrM"])
    names = "chr1", "1", "Chr1", "2", "MT"
    assert [both.find(name) for name in names] == [0, 1, None, None, 2]


def test_records_that_are_no_dna_are_named_or_left_out(tmp_path, caplog):
    text = ">a\nACGT\n>p\nMKVL\n>b\nTT\n>g\nA-C\n>empty\n>a\nC\n"
    path = write(tmp_path / "a.fa", text[: text.rindex(">")])
    with pytest.raises(UserError, match=r"a\.fa: 2 cannot be read: record p .*, record g "):
        open_genome(path)
    caplog.clear()
    genome = open_genome(path, "skip")
    check(genome, {"a": "ACGT", "b": "TT"}, (1, 5))
    assert genome.counts["bases"] == 6
    assert any("2 that cannot be read left out: record p" in each for each in caplog.messages)
    everything = open_genome(write(tmp_path / "b.fa", text), every=True)
    assert everything.names == ("a", "p", "b", "g", "empty", "a")
    assert set(everything.broken) == {1, 3}
    assert everything.broken[1].startswith("position 4: 'L' is no letter of DNA but of a protein")
    with pytest.raises(UserError, match="two records are named a"):
        open_genome(tmp_path / "b.fa", "skip")


@pytest.mark.parametrize("name", ["r.fastq", "r.fq.gz", "r.fa"])
def test_reads(tmp_path, name):
    data = b"@one 1\nACGT\n+\n>@;+\n@two\nacN\n+two\n!!!\n\n"
    path = write(tmp_path / name, gzip.compress(data) if name.endswith("gz") else data)
    check(open_genome(path), {"one": "ACGT", "two": "acN"}, (1, 5))


def test_rna_and_other_encodings(tmp_path):
    path = write(tmp_path / "a.fa", "\ufeff>r\u00e9 x\r\nacgu\r\nUU\r\n".encode())
    genome = open_genome(path)
    check(genome, {"r\u00e9": "acgtTT"}, (1, 7))
    assert genome.counts["uracil"] == 3
    latin = open_genome(write(tmp_path / "b.fa", ">r\u00e9\nAC\n".encode("latin-1")))
    assert latin.names == ("r\u00e9",)


def test_a_file_of_bgzip_that_ends_between_two_blocks(tmp_path):
    def block(data):
        packed = gzip.compress(data, mtime=0)
        extra = b"\x06\x00BC\x02\x00" + (len(packed) + 7).to_bytes(2, "little")
        return b"\x1f\x8b\x08\x04" + packed[4:10] + extra + packed[10:]

    end = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
    whole = block(b">a\nACGT\n") + block(b">b\nTT\n") + end
    check(open_genome(write(tmp_path / "a.fa.gz", whole)), {"a": "ACGT", "b": "TT"}, (1, 5))
    cut = write(tmp_path / "cut.fa.gz", block(b">a\nACGT\n"))
    with pytest.raises(UserError, match=r"cut\.fa\.gz is cut off: the end that bgzip writes"):
        open_genome(cut)


def test_hidden_files_are_no_genome(tmp_path):
    (tmp_path / "genome").mkdir()
    write(tmp_path / "genome" / "a.fa", ">a\nACGT\n")
    write(tmp_path / "genome" / "._a.fa", b"\x00\x05")
    check(open_genome(tmp_path / "genome"), {"a": "ACGT"}, (1, 5))


@pytest.mark.parametrize("index", ["a\t6\t3\t4\t5\n", "a\t6\t3\t4\t6\n", "\x00\x01\n", ""])
def test_an_index_beside_the_file_is_neither_used_nor_changed(tmp_path, index):
    path = write(tmp_path / "genome.fa", ">a\nACGT\nAC\n>b\nTT\n")
    beside = write(tmp_path / "genome.fa.fai", index)
    check(open_genome(path), {"a": "ACGTAC", "b": "TT"})
    assert beside.read_text() == index


ENDS = st.sampled_from(["\n", "\n", "\n", "\r\n", " \n", "\n\n", "\n \t"])
LINES = st.lists(st.tuples(st.text("ACGTacgtNnRy", min_size=1, max_size=9), ENDS), max_size=8)


@given(st.lists(LINES, min_size=1, max_size=4), st.sampled_from(["", "\n", "\n\n\n"]))
def test_lines_may_be_of_any_lengths(records, last):
    named = {f"r{n}": "".join(letters for letters, _ in lines) for n, lines in enumerate(records)}
    texts = ("".join(letters + end for letters, end in lines).strip() for lines in records)
    data = "\n".join(f">{name}\n{text}" for name, text in zip(named, texts, strict=True)) + last
    kept = {name: letters for name, letters in named.items() if letters}
    with TemporaryDirectory() as folder, mock.patch.dict(os.environ, MASKWISE_CACHE=folder):
        path = write(Path(folder) / "genome.fa", data)
        if kept:
            check(open_genome(path), kept, (1, 9, 50))


def test_readers_of_one_genome_do_not_disturb_each_other(tmp_path):
    """They share a file, as processes do after a fork, but no place in it."""
    genome = open_genome(write(tmp_path / "genome.fa", fasta(SEQUENCES)))

    def read(start):
        return genome.read(np.array([0]), np.array([start]), 60)[0].tolist()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read, range(900)))
    assert found == [expected(SEQUENCES["one"], start, 60) for start in range(900)]


def test_a_changed_file_is_read_anew(tmp_path):
    path = write(tmp_path / "genome.fa", ">a\nACGT\n")
    first = open_genome(path)
    write(path, ">a\nACGA\n")
    os.utime(path, ns=(path.stat().st_mtime_ns + 1,) * 2)
    assert open_genome(path).fingerprint != first.fingerprint


@pytest.mark.parametrize(
    "text",
    [
        ">a\nACGT\nAC\nACGT\n>b\nTT\n",  # lines of unequal length
        ">a\nACG T\nACACGT\n\n\n\n>b\nT\nT\n",
        "\n\n>a\nACGT\n\nACACGT\n>b\nTT",
        "; a comment\n>a\nACGTACACGT\n>b\nTT\n\n\n",
        ">a\nACGT\r\nACACG\nT\n>b\nTT\n",
        ">a\nACGT\r\nACACG\r\nT\n>b\nTT\n",
        ">a\xff\nACGTACACGT\n>b\nTT\n".replace("a\xff", "a \xff"),
        ">\ta\n  ACGTAC\n  ACGT\n>b\nTT\n",
    ],
)
def test_files_that_are_untidy(tmp_path, text):
    path = write(tmp_path / "genome.fa", text.encode("latin-1"))
    check(open_genome(path), {"a": "ACGTACACGT", "b": "TT"})


LINE_60 = ">a\n" + "\n".join(["ACGTACGTAC" * 6] * 5)
BAD = {
    "protein": (
        LINE_60 + "\nACGMKVLE\n",
        r"record a \(position 307: 'L' is no letter of DNA but of a protein",
    ),
    "gap": (">a\nAC-T\n", r"record a \(position 3: '-' is no letter"),
    "untidy": (">a\nACG\nA\nAC-T\n", r"record a \(position 7: '-' is no letter"),
    "within": (">a\nAC>T\n", r"record a \(position 3: '>' is no letter"),
    "duplicates": (">a\nAC\n>b\nA\n>a x\nAC\n", "two records are named a: rename"),
    "empty": ("", "no FASTA file: it has no line that begins with >"),
    "blank": ("\n\n", "no FASTA file: it has no line that begins with >"),
    "no letters": (">a\n>b\n", "no letters of DNA: all 2 records are empty"),
    "fastq that is cut off": (
        "@a\nACGT\n+\nFFFF\n@b\nAC\n+\n",
        "no FASTQ file: the record at line 5 has no four lines",
    ),
    "qualities are lacking": ("@a\nACGT\n+\nFFF\n", "no FASTQ file: the record at line 1 has no"),
    "old Macs": (">a\rACGT\r>b\rAC\r", "has the line ends of old Macs"),
    "GenBank": ("LOCUS       NC_1  9 bp DNA\n", "no FASTA file: it is GenBank: convert it"),
    "2bit": (b"\x43\x27\x41\x1a\0\0\0\0", "no FASTA file: it is 2bit: twoBitToFa makes"),
    "variants": ("##fileformat=VCFv4.2\n", "no FASTA file: it is VCF"),
    "genes": ("chr1\tx\tgene\t1\t9\t.\t+\t.\tID=1\n", "it is GTF or GFF, which counts from 1"),
    "regions": ("track name=a\nchr1\t0\t9\n", "no FASTA file: it is BED"),
    "UTF-16": (">a\nACGT\n".encode("utf-16"), "no FASTA file: it is text in UTF-16: save it as"),
    "a page": ("<!DOCTYPE html>\n<html>", "it is a page of the web: what was downloaded is no"),
    "text": ("ACGT\n>a\nACGT\n", "no FASTA file: line 1 comes before"),
    "nameless": (">\nACGT\n", "line 1: a record without a name"),
    "binary": (b"\x1f\x8b\xff\x00", "no FASTA file: it is compressed by gzip: give it"),
    "binary letters": (b">a\nAC\xff\n", r"record a \(position 3: '\?' is no letter"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("suffix", [".fa", ".fa.gz"])
def test_bad_files(tmp_path, kind, suffix):
    data, message = BAD[kind]
    data = data.encode() if isinstance(data, str) else data
    path = write(tmp_path / f"genome{suffix}", gzip.compress(data) if ".gz" in suffix else data)
    for _ in range(2):  # nothing wrong is kept
        with pytest.raises(UserError, match=message) as caught:
            open_genome(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".fna.gz", ".FASTA.xz"])
def test_what_is_cut_off_or_not_there(tmp_path, suffix):
    data = COMPRESS[suffix](fasta(SEQUENCES))
    path = write(tmp_path / f"cut{suffix}", data[:-20])
    with pytest.raises(UserError, match=r"cannot read .*cut"):
        open_genome(path)
    plain = write(tmp_path / f"plain{suffix}", fasta(SEQUENCES))
    with pytest.raises(UserError, match=r"cannot read .*plain"):
        open_genome(plain)
    with pytest.raises(UserError, match="no such file or folder"):
        open_genome(tmp_path / "nowhere.fa")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"no FASTA files here \(looked for \.fa, \.fasta"):
        open_genome(tmp_path / "folder")


def test_a_damaged_cache_is_told(tmp_path):
    path = write(tmp_path / "genome.fa", fasta(SEQUENCES))
    open_genome(path)
    [index] = (tmp_path / "cache").rglob("letters.fai")
    index.write_text("nonsense")
    with pytest.raises(UserError, match="is damaged: delete that folder"):
        open_genome(path)


def test_bad_sequences_in_memory():
    with pytest.raises(
        UserError, match=r"sequences: 2 cannot be read: record sequence2 \(position 3: 'Z' is no"
    ):
        genome_of(["ACG", "ACZ", "A-"])
    with pytest.raises(UserError, match="same name"):
        genome_of(["ACG", "ACG"], ["a", "a"])
    for sequences in ([], [""]):
        with pytest.raises(UserError, match="no letters of DNA"):
            genome_of(sequences)
    with pytest.raises(UserError, match="holds spaces or line breaks"):
        genome_of(["AC GT"])
    assert genome_of(["", "ac"]).counts["empty_records"] == 1
