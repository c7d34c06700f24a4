"""Insertions and deletions against a computation of one window, base and allele at a time."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from maskwise.dna.bases import decode, encode, reverse_complement
from maskwise.dna.fasta import Genome, genome_of
from maskwise.dna.indels import FLANK, edit_of, score_indels
from maskwise.dna.model import DNAModelSettings
from maskwise.dna.places import Variant
from maskwise.dna.tokens import DNA
from maskwise.dna.variant_scores import score_variants
from maskwise.dna.variant_tables import baselines
from maskwise.modalities import build
from maskwise.tokens.model import LanguageModel

LETTERS = "".join(np.random.default_rng(0).choice(list("ACGTacgt"), 120))
GENOME = genome_of([LETTERS, "ACGTAAAAAAGC"], ["r", "short"])


def make(tokens: str = "bases", window: int = 48, equivariant: bool = False) -> LanguageModel:
    config = DNAModelSettings(width=8, depth=2, kernel=5, equivariant=equivariant)
    model: LanguageModel = build(DNA(window, tokens), config, seed=3)
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(2)  # enough for scores of different places to differ
    return model.eval()


def changed(letters: str, variant: Variant) -> str:
    start, alt = variant.pos - 1, variant.alt.replace("-", "")
    return letters[:start] + alt + letters[start + len(variant.ref) :]


def stretch(letters: str, variant: Variant) -> tuple[int, int]:
    """Return over which bases of the reference a change can be moved, by trying all places."""
    other = changed(letters, variant).upper()
    longer = len(other) - len(letters)
    size = abs(longer)
    places = []
    for start in range(len(letters) + 1):
        part = other[start : start + size] if longer > 0 else ""
        end = start if longer > 0 else start + size
        if letters[:start].upper() + part + letters[end:].upper() == other:
            places.append((start, end))
    return min(places)[0], max(places)[1]


def pseudo_likelihood(model: LanguageModel, text: str, low: int, high: int) -> float:
    """Return the sum of log p(token | all others) of tokens with a base from low to high."""
    k = int(model.tokenizer.tokens[-1]) if model.tokenizer.tokens.startswith("kmers") else 1
    ids = model.tokenizer.ids(torch.from_numpy(encode(text))[None])
    asked = torch.tensor(
        [
            token
            for token in range(ids.shape[1])
            if token * k < high + FLANK and (token + 1) * k > max(low - FLANK, 0)
            if bool(model.tokenizer.eligible(ids)[0, token])
        ]
    )
    hidden = torch.eye(ids.shape[1], dtype=torch.bool)[asked]
    with torch.no_grad():
        found = model.conditional_log_prob(ids.expand(len(asked), -1), hidden)
    return float(found[hidden].double().sum())


def one_by_one(model: LanguageModel, letters: str, variant: Variant) -> list[float]:
    other = changed(letters, variant)
    longer = len(other) - len(letters)
    low, high = stretch(letters, variant)
    width = min(model.tokenizer.window - max(longer, 0), len(letters))
    found = []
    for turn in (False, True):
        texts = [letters, other]
        at, to = low, high
        if turn:
            texts = [decode(reverse_complement(encode(text))) for text in texts]
            at, to = len(letters) - high, len(letters) - low
        begin = at - (width - (to - at)) // 2
        begin = max(0, min(begin, len(letters) - width))
        at, to = at - begin, to - begin
        windows = texts[0][begin : begin + width], texts[1][begin : begin + width + longer]
        old = pseudo_likelihood(model, windows[0], at, to)
        new = pseudo_likelihood(model, windows[1], at, to + longer)
        found.append(new - old)
    return found


def indels() -> list[Variant]:
    found = []
    for pos, size in itertools.product((1, 2, 40, 77, 118), (1, 2, 5)):
        ref = LETTERS[pos - 1 : pos + size].upper()
        if len(ref) == size + 1:
            found.append(Variant("r", pos, ref, ref[0]))
        found.append(Variant("r", pos, ref[0], ref[0] + "ACGGT"[:size]))
    return found


@pytest.mark.parametrize("tokens", ["bases", "kmers:3", "overlapping:3"])
def test_equals_scoring_one_by_one(tokens: str) -> None:
    model, variants = make(tokens), indels()
    found = score_variants(model, GENOME, variants, batch_size=16)
    want = np.array([one_by_one(model, LETTERS, each) for each in variants])
    assert set(found.status) == {"scored"}
    assert set(found.method) == {"pseudo-likelihood ratio"}
    np.testing.assert_allclose(np.stack([found.forward, found.reverse], 1), want, atol=1e-4)
    np.testing.assert_allclose(found.score, want.mean(1), atol=1e-4)
    assert len(np.unique(want.round(3))) > 0.8 * want.size


def test_a_record_shorter_than_the_window_is_used_whole() -> None:
    model, letters = make(), "ACGTAAAAAAGC"
    variants = [Variant("short", 4, "TA", "T"), Variant("short", 4, "T", "TAA")]
    found = score_variants(model, GENOME, variants)
    want = [np.mean(one_by_one(model, letters, each)) for each in variants]
    np.testing.assert_allclose(found.score, want, atol=1e-4)


def test_how_a_change_is_written_does_not_matter() -> None:
    model = make()
    # One of six A less, seven ways; two more, three ways.
    less = [Variant("short", pos, "A", "-") for pos in range(5, 11)]
    less.append(Variant("short", 3, "GTA", "gt"))
    more = [Variant("short", 4, "T", "TAA"), Variant("short", 10, "AG", "AAAG")]
    more.append(Variant("short", 7, "A", "AAA"))
    found = score_variants(model, GENOME, [*less, *more])
    assert set(found.status) == {"scored"}
    assert len(set(found.score[:7].tolist())) == 1
    assert len(set(found.score[7:].tolist())) == 1
    assert found.score[0] != found.score[7]


def test_the_stretch_is_all_over_which_a_change_can_be_moved() -> None:
    edit = edit_of(Variant("short", 7, "A", "AA"), GENOME, room=20)
    assert (edit.start, decode(edit.ref), decode(edit.alt)) == (4, "AAAAAA", "AAAAAAA")
    near = edit_of(Variant("short", 7, "A", "AA"), GENOME, room=2)
    assert (near.start, decode(near.ref), decode(near.alt)) == (4, "AAAA", "AAAAA")
    both = edit_of(Variant("short", 2, "CGT", "CAAT"), GENOME, room=20)
    assert (both.start, decode(both.ref), decode(both.alt)) == (2, "G", "AA")
    for variant in indels():
        if len(changed(LETTERS, variant)) != len(LETTERS):
            low, high = stretch(LETTERS, variant)
            found = edit_of(variant, GENOME, room=48)
            assert (found.start, found.start + len(found.ref)) == (low, high)


@pytest.mark.parametrize("tokens", ["bases", "overlapping:3"])
def test_the_other_strand_has_the_same_scores(tokens: str) -> None:
    model, variants = make(tokens), indels()
    turned = genome_of([decode(reverse_complement(encode(LETTERS)))], ["r"])
    others = [
        Variant(
            "r",
            len(LETTERS) + 2 - each.pos - len(each.ref),
            *(decode(reverse_complement(encode(bases))) for bases in (each.ref, each.alt)),
        )
        for each in variants
    ]
    found, other = (
        score_variants(model, *each) for each in ((GENOME, variants), (turned, others))
    )
    np.testing.assert_allclose(other.score, found.score, atol=1e-4)
    np.testing.assert_allclose(other.forward, found.reverse, atol=1e-4)
    assert np.abs(found.forward - found.reverse).max() > 1e-2


def test_an_equivariant_model_gives_the_same_on_both_strands() -> None:
    found = score_variants(make(equivariant=True), GENOME, indels())
    np.testing.assert_allclose(found.forward, found.reverse, atol=1e-4)


def test_unknown_bases_do_not_count() -> None:
    genome = genome_of(["ACGTACGTNNNNACGTACGT"], ["r"])
    variant = Variant("r", 5, "AC", "A")
    model = make()
    [score] = score_variants(model, genome, [variant]).score
    assert score == pytest.approx(np.mean(one_by_one(model, "ACGTACGTNNNNACGTACGT", variant)))
    # K-mers beside a gap are others in the two windows.
    assert score_variants(make("kmers:3"), genome, [variant]).status == ["unknown base"]


def test_what_does_not_fit_in_a_window(tmp_path: Path) -> None:
    genome: Genome = genome_of(["C" + "A" * 60 + "G", LETTERS], ["run", "r"])
    model = make(window=24)
    ratios, fits = score_indels(model, genome, [Variant("run", 30, "A", "AA")])
    assert (np.isnan(ratios).all(), fits) == (True, [False])
    found = score_variants(
        model, genome, [Variant("run", 30, "A", "AA"), Variant("r", 9, LETTERS[8], "-")]
    )
    assert found.status == ["longer than the window", "scored"]
    assert found.method == ["", "pseudo-likelihood ratio"]


def test_baselines_of_insertions_and_deletions() -> None:
    variants = [Variant("r", 9, LETTERS[8:11], "-"), Variant("r", 9, "A", "AGC")]
    found = baselines(GENOME, variants, 10)
    assert found["transversions"].tolist() == [0, 0]
    gc = sum(letter in "GCgc" for letter in LETTERS[8:11])
    assert found["change of GC"].tolist() == [-gc, 2]
