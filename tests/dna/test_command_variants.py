import csv

import numpy as np
import pytest

from maskwise.dna.model import DNAModelSettings
from maskwise.dna.tokens import DNA
from maskwise.images.images import Images
from maskwise.modalities import build
from maskwise.patches.model import PatchModelSettings
from maskwise.run import save_model
from maskwise.text.model import TextModelSettings
from maskwise.text.text import train_tokenizer

LETTERS = "".join(np.random.default_rng(0).choice(list("ACGT"), 60))
VCF = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


@pytest.fixture
def model(tmp_path):
    made = build(DNA(window=16), DNAModelSettings(width=8, depth=1, kernel=5), seed=0)
    save_model(tmp_path / "model", made)
    return tmp_path / "model"


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(f">chr1\n{LETTERS}\n")
    return path


@pytest.fixture
def vcf(tmp_path):
    path = tmp_path / "variants.vcf"
    with path.open("w") as file:
        file.write(VCF)
        for place, base in enumerate(LETTERS):
            alt = "ACGT".replace(base, "")[0]
            file.write(f"chr1\t{place + 1}\trs{place}\t{base}\t{alt},<DEL>\t.\t.\tX={place}\n")
    return path


def words(model, variants, fasta, out, *more):
    return ("variants", model, variants, "--fasta", fasta, "-o", out, *more)


def test_a_vcf(cli, model, vcf, fasta, tmp_path):
    out = tmp_path / "scores.tsv"
    status, printed, _ = cli(*words(model, vcf, fasta, out))
    assert status == 0
    lines = printed.splitlines()
    assert lines[0] == f"{out}: 120 variants"
    assert [line.split(maxsplit=1) for line in lines[1:3]] == [
        ["60", "scored"],
        ["60", "symbolic allele"],
    ]
    assert lines[3].startswith("log p(alt) - log p(ref), nats, bases hidden together: mean ")
    with out.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["INFO"] for row in rows] == [f"X={i}" for i in range(60) for _ in "ab"]
    scores = np.array([float(row["score"]) for row in rows[::2]])
    assert f"mean {scores.mean():.3f}, median {np.median(scores):.3f}," in lines[3]


def test_measured_effects(cli, model, fasta, tmp_path):
    table = tmp_path / "table.tsv"
    rng = np.random.default_rng(1)
    rows = [
        f"chr1\t{place + 1}\t{base}\t{alt}\t{rng.normal():.3f}\t{'ab'[place % 2]}\n"
        for place, base in enumerate(LETTERS)
        for alt in "ACGT".replace(base, "")
    ]
    table.write_text("chrom\tpos\tref\talt\teffect\telement\n" + "".join(rows))
    out = tmp_path / "scores.tsv.gz"
    more = ("--effect", "effect", "--group", "element")
    status, printed, _ = cli(*words(model, table, fasta, out, *more))
    assert status == 0
    lines = printed.splitlines()[3:]
    assert lines[0].split("  ")[0] == "group"
    assert [line.split("  ")[0] for line in lines[1::4]] == ["mean of groups", "a", "b"]
    score = lines[1].split("  ")
    assert [each.strip() for each in score if each][1:3] == ["score", "180"]
    assert lines[1].count("[") == 2
    assert len(lines) == 13
    assert out.exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--group", "INFO"], "--group is for measured effects: give --effect COLUMN too"),
        (["--effect", "beta"], "variants.vcf has no column beta; beside the variants it has QUAL"),
        (["--train.steps", "3"], "unknown option '--train.steps'"),
    ],
)
def test_bad_words(cli, model, vcf, fasta, tmp_path, more, says):
    status, out, err = cli(*words(model, vcf, fasta, tmp_path / "scores.tsv", *more))
    assert (status, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert not (tmp_path / "scores.tsv").exists()


def test_another_assembly(cli, model, vcf, fasta, tmp_path):
    fasta.write_text(f">chr1\n{LETTERS[1:]}A\n")
    status, out, err = cli(*words(model, vcf, fasta, tmp_path / "scores.tsv"))
    assert (status, out) == (2, "")
    assert "references disagree with the genome, first chr1:" in err
    fasta.write_text(f">1\n{LETTERS}\n")
    status, out, _ = cli(*words(model, vcf, fasta, tmp_path / "scores.tsv"))
    assert (status, out.splitlines()[1].split()) == (0, ["60", "scored"])
    fasta.write_text(f">contig\n{LETTERS}\n")
    status, out, err = cli(*words(model, vcf, fasta, tmp_path / "none.tsv"))
    assert (status, out) == (2, "")
    assert "none of 120 variants is on a contig of" in err
    assert not (tmp_path / "none.tsv").exists()


def test_insertions_and_deletions(cli, model, fasta, tmp_path):
    table, out = tmp_path / "indels.vcf", tmp_path / "scores.tsv"
    rows = [f"1\t{n}\t.\t{LETTERS[n - 1]}\t{LETTERS[n - 1]}GT\t.\t.\tX\n" for n in (9, 30)]
    table.write_text(VCF + "".join(rows) + f"1\t50\t.\t{LETTERS[49:52]}\t{LETTERS[49]}\t.\t.\tX\n")
    status, printed, _ = cli(*words(model, table, fasta, out))
    assert status == 0
    assert printed.splitlines()[1].split() == ["3", "scored"]
    assert "nats, pseudo-likelihood ratio: mean " in printed.splitlines()[2]
    with out.open() as file:
        found = list(csv.DictReader(file, delimiter="\t"))
    assert [row["method"] for row in found] == ["pseudo-likelihood ratio"] * 3
    for row in found:
        both = float(row["score_forward"]), float(row["score_reverse"])
        assert float(row["score"]) == pytest.approx(np.mean(both), abs=1e-4)


def test_other_models_are_refused(cli, model, vcf, fasta, tmp_path):
    text = train_tokenizer(["the cat sat on the mat"] * 9, vocab_size=300, length=16)
    save_model(
        tmp_path / "text", build(text, TextModelSettings(width=8, depth=1, heads=1), seed=0)
    )
    images = Images(patch=(2, 2), channels=1, height=4, width=4, mean=(0,), std=(1,))
    shape = PatchModelSettings(
        width=8, depth=1, heads=1, decoder_width=8, decoder_depth=1, decoder_heads=1
    )
    save_model(tmp_path / "images", build(images, shape, seed=0))
    for name, found in (("text", "a language model"), ("images", "a model of images")):
        status, _, err = cli(*words(tmp_path / name, vcf, fasta, tmp_path / "scores.tsv"))
        assert (status, err) == (
            2,
            f"maskwise: {tmp_path / name} is {found}, not a model of DNA\n",
        )
    refused = f"maskwise: {model} is a model of DNA, not a language model\n"
    assert cli("fill", model, "the [MASK]") == (2, "", refused)
    assert cli("likelihood", model, "--text", vcf) == (2, "", refused)
    status, _, err = cli("export", model, tmp_path / "made")
    assert (status, err.count("\n")) == (2, 1)
    assert "models of DNA are exported as hf-mlm that are transformers" in err
    assert not (tmp_path / "made").exists()
