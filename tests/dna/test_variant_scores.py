import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from maskwise.dna.bases import decode, encode, reverse_complement
from maskwise.dna.fasta import Genome, open_genome
from maskwise.dna.model import DNAModelSettings
from maskwise.dna.places import Variant
from maskwise.dna.tokens import DNA, Pieces
from maskwise.dna.variant_scores import score_variants
from maskwise.dna.variant_status import judge
from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.modalities import build
from maskwise.tokens.model import LanguageModel

TOKENS = ["bases", "kmers:3", "overlapping:3"]
GenomeOf = Callable[[dict[str, str]], Genome]


@pytest.fixture
def genome_of(tmp_path: Path) -> GenomeOf:
    def make(records: dict[str, str]) -> Genome:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.fa"
        path.write_text("".join(f">{name}\n{letters}\n" for name, letters in records.items()))
        return open_genome(path)

    return make


def make(tokens: str = "bases", window: int = 16, equivariant: bool = False) -> LanguageModel:
    config = DNAModelSettings(width=8, depth=2, kernel=5, equivariant=equivariant)
    model: LanguageModel = build(DNA(window, tokens), config, seed=3)
    with torch.no_grad():
        for weights in model.parameters():
            # Enough for scores of different places to differ.
            weights.mul_(2)
    return model.eval()


def letters(num: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGTacgt"), num))


RECORDS = {"one": letters(90), "short": letters(11, 1), "two": letters(40, 2)}


def substitutions(records: dict[str, str], lengths: tuple[int, ...] = (1,)) -> list[Variant]:
    """Return all substitutions of one base, and one of each other length at each place."""
    found = []
    for name, sequence in records.items():
        for length in lengths:
            for pos in range(1, len(sequence) + 2 - length):
                ref = sequence[pos - 1 : pos - 1 + length].upper()
                alts = {"C" * length, "T" + ref[1:-1] + "G", ref[::-1]}
                alts = set("ACGT") if length == 1 else {alt for alt in alts if len(alt) == length}
                found += [Variant(name, pos, ref, alt) for alt in sorted(alts - {ref})]
    return found


def one_by_one(model: LanguageModel, sequence: str, variant: Variant) -> list[float]:
    """Score a variant on each strand: one window, one strand and one allele at a time."""
    ref, alt = variant.ref.upper(), variant.alt.upper()
    differ = [i for i in range(len(ref)) if ref[i] != alt[i]]
    first, last = variant.pos - 1 + differ[0], variant.pos - 1 + differ[-1]
    k = int(model.tokenizer.tokens[-1]) if model.tokenizer.tokens.startswith("kmers") else 1
    width = min(model.tokenizer.window, len(sequence)) // k * k
    width -= k == 1 and width < len(sequence) and width % 2 == 0
    start, stop = variant.pos - 1, variant.pos - 1 + len(ref)
    other = sequence[:start] + alt + sequence[stop:]
    found = []
    for turn in (False, True):
        if turn:
            both = [decode(reverse_complement(encode(text))) for text in (sequence, other)]
            first, last = len(sequence) - 1 - last, len(sequence) - 1 - first
        else:
            both = [sequence, other]
        begin = first - (width - (last - first + 1)) // 2
        begin = max(0, min(begin, len(sequence) - width))
        codes = [torch.from_numpy(encode(text[begin : begin + width]))[None] for text in both]
        ids = [model.tokenizer.ids(each) for each in codes]
        hidden = ids[0] != ids[1]
        with torch.no_grad():
            old, new = (model.conditional_log_prob(each, hidden).sum() for each in ids)
        found.append(float(new - old))
    return found


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("window", [15, 16])
def test_equals_scoring_one_by_one(genome_of: GenomeOf, tokens: str, window: int) -> None:
    model = make(tokens, window)
    variants = substitutions(RECORDS, (1, 2, 4))
    np.random.default_rng(0).shuffle(variants)  # type: ignore[arg-type]
    variants = [Variant(*each) for each in variants[:150]]
    found = score_variants(model, genome_of(RECORDS), variants, batch_size=32)
    want = np.array([one_by_one(model, RECORDS[each.chrom], each) for each in variants])
    assert set(found.status) == {"scored"}
    np.testing.assert_allclose(np.stack([found.forward, found.reverse], 1), want, atol=2e-5)
    np.testing.assert_allclose(found.score, want.mean(1), atol=2e-5)
    assert len(np.unique(want.round(4))) > 0.9 * want.size


class Neighbour(nn.Module):
    """The probabilities of a base are those of a table, by the base on its left."""

    num_layers = 1

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.table = nn.Parameter(torch.rand(7, 7, generator=generator).log())

    def logits(self, ids: Tensor, documents: Tensor | None, where: Mask) -> Tensor:
        rows, places = where.hidden.nonzero(as_tuple=True)
        return self.table[ids[rows, places - 1]]


def test_known_conditionals(genome_of: GenomeOf) -> None:
    model = LanguageModel(DNA(window=5), DNAModelSettings(), network=Neighbour())
    table = model.network.table.detach().exp()
    a, c, g, t = range(4)
    genome = genome_of({"r": "TTTACGTTTT"})
    found = score_variants(model, genome, [Variant("r", 5, "C", "G"), Variant("r", 5, "c", "t")])
    # ... A [C] G ...; on the other strand C [G] T.
    forward = [table[a, g] / table[a, c], table[a, t] / table[a, c]]
    reverse = [table[c, c] / table[c, g], table[c, a] / table[c, g]]
    np.testing.assert_allclose(found.forward, np.log(forward), rtol=1e-5)
    np.testing.assert_allclose(found.reverse, np.log(reverse), rtol=1e-5)
    np.testing.assert_allclose(found.score, (found.forward + found.reverse) / 2)
    # Bases that change together are hidden together: the second sees the mask token.
    [pair] = score_variants(model, genome, [Variant("r", 4, "ACG", "CTG")]).forward
    assert pair == pytest.approx(
        float((table[t, c] / table[t, a] * table[6, t] / table[6, c]).log())
    )


@pytest.mark.parametrize("tokens", TOKENS)
def test_the_other_strand_has_the_same_scores(genome_of: GenomeOf, tokens: str) -> None:
    model = make(tokens)
    variants = substitutions(RECORDS, (1, 2, 5))
    turned = {name: decode(reverse_complement(encode(s))) for name, s in RECORDS.items()}
    others = [
        Variant(
            each.chrom,
            len(RECORDS[each.chrom]) + 2 - each.pos - len(each.ref),
            *(decode(reverse_complement(encode(bases))) for bases in (each.ref, each.alt)),
        )
        for each in variants
    ]
    found = score_variants(model, genome_of(RECORDS), variants)
    other = score_variants(model, genome_of(turned), others)
    np.testing.assert_allclose(other.score, found.score, atol=2e-5)
    np.testing.assert_allclose(other.forward, found.reverse, atol=2e-5)
    assert np.abs(found.forward - found.reverse).max() > 1e-2


def test_an_equivariant_model_gives_the_same_on_both_strands(genome_of: GenomeOf) -> None:
    found = score_variants(make(equivariant=True), genome_of(RECORDS), substitutions(RECORDS))
    np.testing.assert_allclose(found.forward, found.reverse, atol=2e-5)
    assert found.score.std() > 1e-2


def test_how_an_allele_is_written_does_not_matter(genome_of: GenomeOf) -> None:
    name, pos = "one", 30
    base, behind = RECORDS[name][pos - 1].upper(), RECORDS[name][pos].upper()
    alt = "G" if base != "G" else "T"
    written = [(base, alt), (base.lower(), alt.lower()), (base + behind, alt + behind)]
    found = score_variants(
        make(), genome_of(RECORDS), [Variant(name, pos, *each) for each in written]
    )
    np.testing.assert_array_equal(found.score, found.score[0])


def test_alternatives_of_a_place_share_a_masked_input(
    genome_of: GenomeOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = make(), []
    forward = model.forward
    monkeypatch.setattr(
        model, "forward", lambda batch, *rest: rows.append(len(batch)) or forward(batch, *rest)
    )
    variants = substitutions({"two": RECORDS["two"]})
    assert len(variants) == 120
    score_variants(model, genome_of(RECORDS), variants, batch_size=25)
    assert rows == [50, 30]


@pytest.mark.parametrize(
    ("pos", "ref", "alt", "status"),
    [
        (5, "A", "G", "scored"),
        (5, "A", "AT", "scored"),
        (5, "AC", "A", "scored"),
        (5, "A", "-", "scored"),
        (5, "-", "A", "place of the insertion unclear"),
        (5, "A", "*", "symbolic allele"),
        (5, "A", "<DEL>", "symbolic allele"),
        (5, "A", "<CNV>", "symbolic allele"),
        (5, "A", "A[r:9[", "symbolic allele"),
        (5, "A", ".", "no alternative"),
        (5, "A", "R", "not A, C, G or T"),
        (5, "A", "N", "not A, C, G or T"),
        (5, "A", "", "no alternative"),
        (5, "N", "A", "not A, C, G or T"),
        (5, "AC", "GTT", "scored"),
        (5, "ATG", "A", "reference is ACG"),
        (19, "GTA", "G", "unknown base"),
        (0, "N", "A", "telomere"),
        (35, "N", "A", "telomere"),
        (34, "TA", "T", "outside its record"),
        (99, "A", "C", "outside its record"),
        (5, "A", "A" * 17, "longer than the window"),
        (5, "A", "C" * 15 + "A", "scored"),
        (5, "A", "U", "not A, C, G or T"),
        (5, "A", "a", "no change"),
        (1, "ACGTACGTACGTACGTA", "TCGTACGTACGTACGTT", "longer than the window"),
        (5, "T", "G", "reference is A"),
        (5, "AG", "TT", "reference is AC"),
        (21, "A", "C", "unknown base"),
        (20, "TA", "CC", "unknown base"),
    ],
)
def test_statuses(genome_of: GenomeOf, pos: int, ref: str, alt: str, status: str) -> None:
    genome = genome_of({"r": "ACGT" * 5 + "NR" + "ACGT" * 3})
    right = [Variant("r", 1 + 4 * place, "a", base) for place in range(5) for base in "CGT"]
    found = score_variants(make(), genome, [*right, Variant("r", pos, ref, alt)])
    assert found.status[:-1] == ["scored"] * 15
    assert found.status[-1] == status
    assert np.isfinite(found.score[:-1]).all()
    values = np.array([found.score[-1], found.forward[-1], found.reverse[-1]])
    assert np.isfinite(values).all() if status == "scored" else np.isnan(values).all()


def test_kmers_beside_unknown_bases(genome_of: GenomeOf) -> None:
    genome = genome_of({"r": "ACGTACGTACNNACGTACGTAC", "tiny": "AC"})
    variants = [
        Variant("r", 10, "C", "A"),
        Variant("r", 3, "G", "A"),
        Variant("tiny", 1, "A", "C"),
    ]
    found = score_variants(make("kmers:3", window=9), genome, variants)
    assert found.status == ["unknown base", "scored", "longer than the window"]
    assert np.isnan(found.score).tolist() == [True, False, True]
    assert score_variants(make(), genome, variants).status == ["scored"] * 3


def test_few_references_that_disagree_are_counted(
    genome_of: GenomeOf, caplog: pytest.LogCaptureFixture
) -> None:
    genome = genome_of({"r": "ACGT" * 10})
    caplog.clear()  # of what opening it has logged
    wrong = [Variant("r", 2, "G", "A"), *[Variant("r", 6, "GG", "T")] * 6]
    variants = [Variant("r", 1 + 4 * place, "A", "C") for place in range(9)] * 6
    deletions = [Variant("r", 1, "T" * 99, "T")] * 5
    with caplog.at_level(logging.WARNING, "maskwise"):
        score_variants(make(), genome, [*variants, *deletions])
    assert not caplog.messages
    with caplog.at_level(logging.WARNING, "maskwise"):
        found = score_variants(make(), genome, [*variants, *deletions, *wrong[:6]])
    assert found.status[-1] == "reference is CG"
    [message] = caplog.messages
    assert message.startswith("6 of 60 references disagree with the genome and get no score")
    assert message.endswith("first r:2 has G, the genome C")
    with pytest.raises(UserError, match=r"7 of 61 references disagree .* r:2 has G, the genome C"):
        score_variants(make(), genome, [*variants, *deletions, *wrong])
    # Of fewer than 50 nobody can tell whether it is the genome.
    assert score_variants(make(), genome, wrong).status == [
        "reference is C",
        *["reference is CG"] * 6,
    ]
    other = [Variant("contig", 1, "A", "C")] * 50
    with pytest.raises(
        UserError, match=r"none of 50 variants is on a contig of .*: they are on con"
    ):
        score_variants(make(), genome, other)
    assert score_variants(make(), genome, other[1:]).status == ["unknown contig"] * 49


def test_bad_input(genome_of: GenomeOf) -> None:
    genome = genome_of({"chr1": "ACGT" * 10})
    pieces = DNA(16, "pieces:99", kind=Pieces(tokenizer=None, density=0.5))
    with pytest.raises(UserError, match="tokens pieces:99 have no fixed bases"):
        judge(pieces, genome, [Variant("chr1", 1, "A", "C")])


def test_nothing_to_score(genome_of: GenomeOf) -> None:
    found = score_variants(make(), genome_of(RECORDS), [])
    assert [len(each) for each in found] == [0, 0, 0, 0, 0]


def test_training_mode_is_kept(genome_of: GenomeOf) -> None:
    model = make().train()
    score_variants(model, genome_of(RECORDS), substitutions({"short": RECORDS["short"]}))
    assert model.training
