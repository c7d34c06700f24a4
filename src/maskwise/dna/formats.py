"""What a file is that should hold sequences, regions or variants and does not, and the way out."""

import re
from pathlib import Path

from maskwise.errors import UserError
from maskwise.textio import OPENERS, READ_ERRORS

_START = 1 << 16  # bytes that tell what a file is
# What ends a file that bgzip wrote: an empty block.
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")

_BINARY: tuple[tuple[bytes, str], ...] = (
    (b"\x43\x27\x41\x1a", "2bit: twoBitToFa makes a FASTA file of it"),
    (b"\x1a\x41\x27\x43", "2bit: twoBitToFa makes a FASTA file of it"),
    (b"BAM\x01", "BAM: samtools fasta makes a FASTA file of it"),
    (b"CRAM", "CRAM: samtools fasta makes a FASTA file of it"),
    (b"BCF", "BCF: bcftools view -O z makes a .vcf.gz of it"),
    (b"\xeb\xf2\x89\x87", "bigBed: bigBedToBed makes a BED file of it"),
    (b"\x26\xfc\x8f\x88", "bigWig, which has values along a genome: no regions, no sequences"),
    (b"\x89HDF", "HDF5: write FASTA, BED or VCF"),
    (b"PK\x03\x04", "a zip archive: unpack it"),
    (b"BZh", "compressed by bzip2: unpack it, or compress it by gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it, or compress it by gzip"),
    (b"\x1f\x8b", "compressed by gzip: give it a name that ends in .gz"),
    (b"\xfd7zXZ", "compressed by xz: give it a name that ends in .xz"),
    (b"\xff\xfe", "text in UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16: save it as UTF-8"),
    (b"%PDF", "a PDF document"),
    (b"version https://git-lfs", "a pointer of Git LFS: run git lfs pull"),
)
_GENES = (
    ", which counts from 1 and names features: convert it, as"
    " awk -v OFS='\\t' '$1 !~ /^#/ {print $1, $4 - 1, $5}' FILE > FILE.bed"
)
_TEXTS: tuple[tuple[str, str], ...] = (
    (r">", "FASTA"),
    (r"@(HD|SQ|RG|PG|CO)\t", "SAM, or an interval list: samtools fasta, or awk, converts it"),
    (r"@[^\n]*\n[A-Za-z.*-]+\r?\n\+", "FASTQ"),
    (r"##fileformat=VCF|#CHROM\b", "VCF, which holds variants: maskwise variants scores them"),
    (r"##gff-version", "GFF" + _GENES),
    (r"LOCUS\s", "GenBank: convert it to FASTA"),
    (r"ID   \S", "EMBL: convert it to FASTA"),
    (r"\s*(<!doctype|<html|<\?xml)", "a page of the web: what was downloaded is no data"),
    (
        r"\S+:[\d,]+-[\d,]+\s*$",
        "places as START-END, which count from 1: give BED, which is from 0",
    ),
)
_GTF = re.compile(r"\S+\t[^\t]*\t[^\t]*\t\d+\t\d+\t[^\t]*\t[-+.?]\t[.\d]\t")
_BED = re.compile(r"\S+[\t ]+\d+[\t ]+\d+(\s|$)")
_LEADING = re.compile(r"(\s*(?!##(fileformat|gff))(#(?!CHROM)|track|browser)[^\n]*\n|\s*\n)*")


def what_is(path: Path) -> str:
    """Return what a file is, by its first bytes, and the way out; "" if nothing tells."""
    data = _start(path)
    for magic, what in _BINARY:
        if data.startswith(magic):
            return what
    text = data.decode("latin-1").removeprefix("\xef\xbb\xbf")
    rest = text[_leading(text) :]
    for pattern, what in _TEXTS:
        if re.match(pattern, text, re.IGNORECASE) or re.match(pattern, rest, re.MULTILINE):
            return what
    if _GTF.match(rest):
        return "GTF or GFF" + _GENES
    return "BED, which holds regions and no letters" if _BED.match(rest) else ""


def _leading(text: str) -> int:
    found = _LEADING.match(text)
    return found.end() if found else 0


def _start(path: Path) -> bytes:
    """Return the first bytes of a file, unpacked if its name says so."""
    try:
        with OPENERS.get(path.suffix.lower(), open)(path, "rb") as file:
            return bytes(file.read(_START))
    except READ_ERRORS:
        return b""


def refuse_others(path: Path, wanted: str, known: tuple[str, ...]) -> None:
    """Refuse a file that is plainly something else than what is wanted.

    Raises:
        UserError: what it is, and the way out.
    """
    what = what_is(path)
    if what and not what.startswith(known):
        raise UserError(f"{path} is no {wanted}: it is {what}")


def check_whole(path: Path) -> None:
    """Refuse a file of bgzip that was cut off between two blocks, which nothing else tells.

    Raises:
        UserError: such a file.
    """
    if path.suffix.lower() not in (".gz", ".bgz"):
        return
    try:
        with path.open("rb") as file:
            start = file.read(18)
            # An extra field called BC says that it is of bgzip.
            if len(start) < 18 or start[:4] != b"\x1f\x8b\x08\x04" or start[12:14] != b"BC":
                return
            file.seek(0, 2)
            file.seek(max(0, file.tell() - len(_BGZF_END)))
            whole = file.read() == _BGZF_END
    except OSError:
        return  # which reading it tells
    if not whole:
        raise UserError(
            f"{path} is cut off: the end that bgzip writes is missing; copy it again, or if it is"
            " whole, pack it again"
        )
