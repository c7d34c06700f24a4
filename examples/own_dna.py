"""Pretrain on sequences of your own, find the sequences most like another, and score a variant.

Needs `pip install "maskwise[dna]"`. Any list of sequences, or a FASTA file, goes in their place.
"""

import tempfile

import numpy as np

import maskwise as mw
from maskwise.dna.fasta import genome_of
from maskwise.dna.places import Variant
from maskwise.dna.variant_scores import score_variants

MOTIF = "CCACCAGGGGGCGCTA"


def made_up(num: int) -> list[str]:
    """Return random sequences of 60 bases with a motif in the middle."""
    rng = np.random.default_rng(0)
    sides = ["".join(rng.choice(list("ACGT"), 44)) for _ in range(num)]
    return [side[:22] + MOTIF + side[22:] for side in sides]


def main() -> None:
    sequences = made_up(400)
    with tempfile.TemporaryDirectory() as folder:
        run = mw.pretrain(
            sequences,
            modality="dna",
            law="uniform:0.05,0.5",
            out=f"{folder}/run",
            model={"width": 16, "depth": 2, "equivariant": True},
            train={"steps": 40, "batch_size": 32, "lr": 5e-3},
            evaluate={"num_windows": 32, "ratios": (0.15, 0.5), "baselines": False},
        )
        found = run.result["reconstruction"]
        for name, curve in {"model": found["curve"], **found["baselines"]}.items():
            told = {point["ratio"]: round(point["error"], 3) for point in curve}
            print(f"{name}: {told} nats per base")

        some = [MOTIF, "TAGCGCCCCCTGGTGG", "ACGTACGTACGTACGT", "ACGTACGAACGTACGT"]
        z = run.embed(some)
        z = (z - z.mean(axis=0)) / np.linalg.norm(z - z.mean(axis=0), axis=1, keepdims=True)
        nearest = (z @ z.T - 2 * np.eye(len(z))).argmax(axis=1)
        for one, index in zip(some, nearest, strict=True):
            print(f"{one}: nearest is {some[index]}")

        genome = genome_of(sequences[:1], names=["one"])
        variant = Variant("one", 30, sequences[0][29], "A")  # position 30, counted from 1
        scores = score_variants(run.model(), genome, [variant])
        print(f"{variant.ref}>{variant.alt}: {scores.score[0]:.3f} nats")


if __name__ == "__main__":
    main()
