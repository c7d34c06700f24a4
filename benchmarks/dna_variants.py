"""Time the scores of variants: all at once, and one variant and one strand at a time.

    python -m benchmarks.dna_variants [--positions 200] [--rounds 3]

Every alternative of each of some positions in a row, as in saturation mutagenesis, with a model of
random weights. Both sides run in turn on one thread; the ratio is the median over rounds.
"""

import argparse
import time
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch

from benchmarks.step import measure
from maskwise.dna.bases import encode, reverse_complement
from maskwise.dna.fasta import Genome, genome_of
from maskwise.dna.model import DNAModelSettings
from maskwise.dna.places import Variant
from maskwise.dna.tokens import DNA
from maskwise.dna.variant_scores import score_variants
from maskwise.masks import Mask
from maskwise.modalities import build
from maskwise.tokens.model import LanguageModel

WINDOW = 129  # odd, so that a base has as many on either side


def variants_of(letters: str, positions: Sequence[int]) -> list[Variant]:
    """Return the three alternatives at each position."""
    return [
        Variant("one", place + 1, letters[place], alt)
        for place in positions
        for alt in "ACGT".replace(letters[place], "")
    ]


@torch.no_grad()
def one_by_one(
    model: LanguageModel[DNA], genome: Genome, variants: Sequence[Variant]
) -> np.ndarray:
    """Return scores from a call of the model for each variant and strand."""
    scores = []
    half = WINDOW // 2
    hidden = Mask(torch.arange(WINDOW)[None] == half)
    for each in variants:
        start = np.array([each.pos - 1 - half])
        codes = torch.from_numpy(genome.read(np.array([0]), start, WINDOW))
        found = []
        for strand in (codes, reverse_complement(codes)):
            ref, alt = (torch.from_numpy(encode(base)) for base in (each.ref, each.alt))
            if strand is not codes:
                ref, alt = reverse_complement(ref), reverse_complement(alt)
            log_probs = model.possible_logits(strand, hidden).log_softmax(1)[0]
            found.append(float(log_probs[int(alt)] - log_probs[int(ref)]))
        scores.append(np.mean(found))
    return np.array(scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--positions", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    num = arguments.positions + 2 * WINDOW
    letters = "".join(np.random.default_rng(0).choice(list("ACGT"), num))
    genome = genome_of([letters], names=["one"])
    variants = variants_of(letters, range(WINDOW, WINDOW + arguments.positions))
    model = build(DNA(WINDOW), DNAModelSettings(width=64, depth=6), seed=0).eval()
    together = score_variants(model, genome, variants).score
    difference = np.abs(together - one_by_one(model, genome, variants)).max()
    print(f"{len(variants)} variants, largest difference {difference:.1e} nats")
    steps = {
        "together": lambda _: score_variants(model, genome, variants),
        "one by one": lambda _: one_by_one(model, genome, variants),
    }
    times = measure(cast(Any, steps), arguments.rounds, clock=time.process_time)
    gain = times["one by one"] / times["together"]
    for name, seconds in times.items():
        print(f"{name:<12} {len(variants) / np.median(seconds):8,.0f} variants/s")
    print(f"together is {np.median(gain):.1f}x as fast")


if __name__ == "__main__":
    main()
