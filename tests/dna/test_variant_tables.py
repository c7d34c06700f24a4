import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from maskwise.dna import variant_tables
from maskwise.dna.fasta import Genome, open_genome
from maskwise.dna.model import DNAModelSettings
from maskwise.dna.places import Variant
from maskwise.dna.tokens import DNA
from maskwise.dna.variant_scores import score_variants
from maskwise.dna.variant_tables import (
    baselines,
    check_columns,
    effects_of_file,
    score_file,
    variant_effects,
)
from maskwise.errors import UserError
from maskwise.modalities import build
from maskwise.tokens.model import LanguageModel

LETTERS = "".join(np.random.default_rng(0).choice(list("ACGT"), 90))


@pytest.fixture
def model() -> LanguageModel:
    return build(DNA(window=16), DNAModelSettings(width=8, depth=2, kernel=5), seed=0)


@pytest.fixture
def genome(tmp_path: Path) -> Genome:
    path = tmp_path / "genome.fa"
    path.write_text(f">r\n{LETTERS}\n")
    return open_genome(path)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    lines = ["element,chrom,pos,ref,alt,id,effect"]
    for place, base in enumerate(LETTERS):
        others = "ACGT".replace(base, "")
        effects = [f"{value:.3f}" for value in rng.normal(size=3)]
        alts = zip([*others[:2], "-"], effects, strict=True)
        lines += [f"{place % 2},r,{place + 1},{base},{alt},v{place},{e}" for alt, e in alts]
    lines[4] = lines[4].rpartition(",")[0] + ",unknown"
    lines.append("0,r,1,t,a,wrong,1" if LETTERS[0] != "T" else "0,r,1,a,g,wrong,1")
    path = tmp_path / "variants.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def read(path: Path) -> list[dict[str, str]]:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(csv.DictReader(text.decode().splitlines(), delimiter="\t"))


def test_scores_are_those_of_the_variants(
    model: LanguageModel, genome: Genome, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "made" / "scores.tsv"
    counts, scores = score_file(model, genome, table, out)
    rows = read(out)
    names = "chrom pos id ref alt score score_forward score_reverse status method element effect"
    assert list(rows[0]) == names.split()
    variants = [Variant(r["chrom"], int(r["pos"]), r["ref"], r["alt"]) for r in rows]
    want = score_variants(model, genome, variants)
    assert [row["status"] for row in rows] == want.status
    assert rows[-1]["status"] == f"reference is {LETTERS[0]}"
    for column, values in zip(("", "_forward", "_reverse"), want[:3], strict=True):
        written = [row[f"score{column}"] for row in rows]
        assert [each == "NA" for each in written] == np.isnan(values).tolist()
        np.testing.assert_allclose(
            [float(each.replace("NA", "nan")) for each in written], values, rtol=1e-5
        )
    assert counts == {"scored": 270, "reference disagrees": 1}
    assert [row["method"].replace("NA", "") for row in rows] == want.method
    assert {how: len(values) for how, values in scores.items()} == {
        "bases hidden together": 180,
        "pseudo-likelihood ratio": 90,
    }
    for how, values in scores.items():
        made = np.array([each == how for each in want.method])
        np.testing.assert_array_equal(values, want.score[made])
    assert [row["id"] for row in rows[:6]] == ["v0"] * 3 + ["v1"] * 3
    assert rows[3]["effect"] == "unknown"
    assert sorted(path.name for path in out.parent.iterdir()) == ["scores.tsv"]


def test_parts_make_the_same_file(
    model: LanguageModel, genome: Genome, table: Path, tmp_path: Path, monkeypatch
) -> None:
    whole, parts = tmp_path / "whole.tsv", tmp_path / "parts.tsv.gz"
    score_file(model, genome, table, whole)
    monkeypatch.setattr(variant_tables, "_PART", 7)
    score_file(model, genome, table, parts)
    assert len(read(parts)) == 271
    columns = "score", "score_forward", "score_reverse"
    for row, other in zip(read(whole), read(parts), strict=True):
        values = [
            [float(each.pop(c).replace("NA", "nan")) for c in columns] for each in (row, other)
        ]
        np.testing.assert_allclose(*values, atol=1e-5)
        assert row == other
    want = effects_of_file(whole, genome, 16, "effect", "element")
    for row, other in zip(
        want, effects_of_file(parts, genome, 16, "effect", "element"), strict=True
    ):
        assert row["spearman"] == pytest.approx(other["spearman"], abs=1e-3)
    data = parts.read_bytes()
    assert data[4:8] == bytes(4)  # no time
    score_file(model, genome, table, parts)
    assert parts.read_bytes() == data


def test_effects(
    model: LanguageModel, genome: Genome, table: Path, tmp_path: Path, caplog
) -> None:
    out = tmp_path / "scores.tsv"
    score_file(model, genome, table, out)
    rows = effects_of_file(out, genome, 16, "effect", "element")
    assert caplog.messages[-2] == "1 scored variants have no number as effect"
    assert caplog.messages[-1] == "90 scored insertions and deletions are not compared"
    kept = [
        row
        for row in read(out)
        if row["method"] == "bases hidden together" and row["effect"] != "unknown"
    ]
    variants = [Variant(r["chrom"], int(r["pos"]), r["ref"], r["alt"]) for r in kept]
    scores = np.array([float(row["score"]) for row in kept])
    want = variant_effects(
        {"score": scores, **baselines(genome, variants, 16)},
        np.array([float(row["effect"]) for row in kept]),
        np.array([each.pos for each in variants]),
        [row["element"] for row in kept],
    )
    assert rows == want
    assert [row["group"] for row in rows[::4]] == ["mean of groups", "0", "1"]
    predictors = ["score", "transversions", "change of GC", "GC content"]
    assert [row["predictor"] for row in rows[:4]] == predictors
    assert [row["num"] for row in rows[::4]] == [179, 90, 89]
    [alone, *_] = effects_of_file(out, genome, 16, "effect")
    assert (alone["group"], alone["num"]) == ("all", 179)


def test_bad_input(model: LanguageModel, genome: Genome, table: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"scores.txt: scores are written as .tsv or .tsv.gz"):
        score_file(model, genome, table, tmp_path / "scores.txt")
    with pytest.raises(UserError, match="no column strand; beside the variants it has element, e"):
        check_columns(table, "effect", "strand")
    check_columns(table, "effect", None)
    out = tmp_path / "scores.tsv"
    score_file(model, genome, table, out)
    with pytest.raises(UserError, match=r"has a column \w+ already: rename it"):
        score_file(model, genome, out, tmp_path / "again.tsv")
    with pytest.raises(UserError, match="fewer than 10 scored variants"):
        effects_of_file(out, genome, 16, "status")
    text = table.read_text()
    lines = [line.replace(",r,", ",r,x") for line in text.splitlines()[1:]]
    for change, says in (
        (text.replace(",-,", ",A,").replace(",T,", ",G,"), r"references disagree with the genome"),
        (text.replace(",r,", ",contig,"), r"none of 271 variants is on a contig of .*genome.fa"),
        (
            "\n".join([text.splitlines()[0], *lines]),
            "no row can be read: the first has no position",
        ),
    ):
        table.write_text(change)
        with pytest.raises(UserError, match=says):
            score_file(model, genome, table, tmp_path / "none.tsv")
    # Nothing is left of what cannot be finished.
    assert not list(tmp_path.glob("*none*"))


def test_every_row_has_a_status(
    model: LanguageModel, genome: Genome, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = LETTERS[9]
    other = "ACGT".replace(base, "")[0]
    rows = [
        (f"r\t10\ta\t{base}\t{other}\tok", "scored"),
        (f"chrR\t10\ta\t{base}\t{other}\tok", "scored"),
        (f"r\t10\ta\t{base}\t{base}{other}\tok", "scored"),
        (f"scaffold_7\t5\ta\t{base}\tC\tok", "unknown contig"),
        ("r\t0\ta\tN\tC\tok", "telomere"),
        ("r\t-4\ta\tN\tC\tok", "no position"),
        ("r\tten\ta\tN\tC\tok", "no position"),
        ("r\t5000\ta\tN\tC\tok", "outside its record"),
        (f"r\t10\ta\t{other}\tC\tok", f"reference is {base}"),
        (f"r\t10\ta\t{base}\t<DEL>\tok", "symbolic allele"),
        (f"r\t10\ta\t{base}\t*\tok", "symbolic allele"),
        (f"r\t10\ta\t{base}\t.\tok", "no alternative"),
        (f"r\t10\ta\t{base}\tN\tok", "not A, C, G or T"),
        (f"r\t10\ta\t{base}", "another number of columns"),
    ]
    header = "#CHROM\tPOS\tID\tREF\tALT\tQUAL"
    path, out = tmp_path / "v.vcf", tmp_path / "out.tsv"
    caplog.clear()
    with caplog.at_level("INFO", "maskwise"):
        path.write_text("\n".join([header, *(row for row, _ in rows)]) + "\n")
        counts, _ = score_file(model, genome, path, out)
    written = read(out)
    assert [row["status"] for row in written] == [status for _, status in rows]
    assert [row["pos"] for row in written] == [row.split("\t")[1] for row, _ in rows]
    assert written[0]["score"] == written[1]["score"] != written[2]["score"]
    assert sum(counts.values()) == len(rows)
    assert counts["no position"] == counts["symbolic allele"] == 2
    assert f"{path}: 1 contigs are matched by other names: chrR is r" in caplog.text
    assert "1 of 4 references disagree with the genome and get no score" in caplog.text
