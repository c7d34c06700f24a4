"""Ask the theory which ratio to hide in a table of yours, before anything is trained.

python examples/advise.py
"""

import numpy as np
from sklearn.datasets import load_breast_cancer

from maskwise import theory


def main() -> None:
    table = load_breast_cancer()

    print("every column in turn, from the others:")
    advice = theory.advise(table.data)  # [569, 30], an array or a sparse matrix
    print(advice)
    best = advice.rows[0].best
    print(f"\nrisk {best.risk.total:.3f}, of which {best.risk.irreducible:.3f} is noise")

    print("\nthe diagnosis, from all columns:")
    print(theory.advise(table.data, table.target, num_samples=100).sentence)

    print("\na law of your own, for ten times as many samples:")
    model = theory.estimate(table.data)
    laws = ["fixed:0.15", "uniform:0.1,0.5", "cosine"]
    found = theory.risk(model, laws, 5690, target_hidden=True)
    for law, total in zip(laws, np.atleast_1d(found.total), strict=True):
        print(f"  {law:<16} {total:.3f}")


if __name__ == "__main__":
    main()
