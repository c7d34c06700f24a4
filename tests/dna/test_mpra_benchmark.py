import gzip

import numpy as np
import pytest

from benchmarks import dna_mpra
from maskwise.dna.model import DNAModelSettings
from maskwise.dna.tokens import DNA
from maskwise.files import write_json
from maskwise.modalities import build
from maskwise.run import save_model

HEADER = ["Chrom", "Pos", "Ref", "Alt", "Barcodes", "DNA", "RNA", "Coefficient", "pValue"]
HEADER += ["Element", "Release"]


def rows(element, start, letters, rng):
    for place, base in enumerate(letters):
        if base != "N":
            for alt in [*"ACGT".replace(base, ""), "-"]:
                effect = f"{rng.normal():.3f}"
                cells = ["7", start + place, base, alt, 30, 1, 1, effect, 0.5, element, "GRCh38"]
                yield [str(cell) for cell in cells]


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    first, second = ("".join(rng.choice(list("ACGT"), num)) for num in (40, 25))
    lines = [HEADER, *rows("one", 1000, first, rng), *rows("two", 77, second, rng)]
    lines += [["NA", "NA", "NA", "NA", "30", "1", "1", "0.1", "0.5", "two", "GRCh38"]]
    lines += [[*line[:-1], "GRCh37"] for line in lines[1:]]
    lines[1][4] = "9"
    # No variant of the third position was measured.
    lines = [line for line in lines if line[1] != "1002"]
    path = tmp_path / "elements.tsv.gz"
    path.write_bytes(gzip.compress("".join("\t".join(line) + "\n" for line in lines).encode()))
    return path, first[:2] + "N" + first[3:], second


def test_references_and_variants(table, tmp_path):
    path, first, second = table
    said = dna_mpra.prepare(path, tmp_path / "out")
    # Of each position 3 substitutions and a deletion, but one of 9 barcodes.
    assert said.startswith(
        "2 elements, 255 variants; left out: 1 of fewer than 10 barcodes, 1 with"
    )
    fasta = (tmp_path / "out" / "elements.fa").read_text()
    assert fasta == f">one\n{first}\n>two\n{second}\n"
    lines = (tmp_path / "out" / "variants.tsv").read_text().splitlines()
    assert lines[0].split("\t") == ["chrom", "pos", "ref", "alt", "effect", "element"]
    assert lines[1].split("\t")[:3] == ["one", "1", first[0]]
    assert lines[-1].split("\t")[:4] == ["two", "25", second[-1], "-"]


def test_laws_beside_baselines(table, tmp_path, monkeypatch, capsys):
    for law in ("fixed:0.15", "uniform:0.1,0.9"):
        for seed in (0, 1):
            run = tmp_path / "runs" / f"{law[0]}{seed}"
            # Initial weights of other seeds: there must be something to tell apart.
            other = seed + 10 + 5 * (law[0] == "u")
            model = build(DNA(window=16), DNAModelSettings(width=8, depth=1, kernel=5), seed=other)
            save_model(run / "model", model)
            write_json(run / "summary.json", {"law": law, "seed": seed})
            write_json(run / "config.json", {})
    runs = sorted((tmp_path / "runs").iterdir())
    words = ["dna_mpra", table[0], *runs, "--out", tmp_path / "out", "--elements"]
    monkeypatch.setattr("sys.argv", [str(word) for word in words])
    dna_mpra.main()
    printed = capsys.readouterr().out
    both, elements = printed.split("\n\n")[1:]
    cells = [line.strip("| ").split(" | ") for line in both.splitlines()[2:]]
    assert [row[0] for row in cells] == [
        "`fixed:0.15`",
        "untrained",
        "`uniform:0.1,0.9`",
        "transversions",
        "change of GC",
        "GC content",
    ]
    assert [row[1].strip() for row in cells] == ["2", "2", "2", "", "", ""]
    assert len({row[2] for row in cells}) == 6
    assert [line.split(" | ")[0] for line in elements.splitlines()[2:]] == ["| one", "| two"]
    # Two runs have the same shape and seed as two others: one untrained model of each seed.
    assert len(list((tmp_path / "out").glob("*untrained.json"))) == 2
    # What is there is not measured again.
    monkeypatch.setattr(dna_mpra, "score_file", None)
    dna_mpra.main()
    assert capsys.readouterr().out == printed
