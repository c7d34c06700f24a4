"""Which masks to train with where values are missing.

`python -m benchmarks.imputation.training_masks`, about ten minutes on one core.

Of complete tables that scikit-learn ships, three values in ten are hidden, completely at random
(MCAR), by what is seen (MAR), by what is not (MNAR), or in runs of neighbouring columns (block).
`MaskedAutoencoder` learns the table with these gaps under each pattern of masks, with a law that
knows nothing of the gaps and with theirs, and fills them. The error is the root mean square of
standardised values that were hidden; beside it are the columns' means and the closed form.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from maskwise.integrations.sklearn import MaskedAutoencoder, MaskedImputer
from maskwise.masks import hide

SETS = ("breast_cancer", "wine")
MECHANISMS = ("MCAR", "MAR", "MNAR", "block")
PATTERNS = ("scattered", "proportional", "copied")
LAWS = ("uniform:0.1,0.9", "observed")
SHARE = 0.3
WIDTH, LR = 64, 3e-3
STEPS = 400


def table(name: str) -> np.ndarray:
    """Return a standardised table, [N, D]."""
    from sklearn import datasets

    values = np.asarray(getattr(datasets, f"load_{name}")().data, dtype=float)
    return np.asarray((values - values.mean(axis=0)) / values.std(axis=0))


def filled(method: str, holes: np.ndarray, seed: int, steps: int) -> np.ndarray:
    """Return a table whose gaps are filled by a method, "PATTERN LAW" or one of the baselines."""
    if method == "mean":
        return np.where(np.isnan(holes), np.nanmean(holes, axis=0), holes)
    if method == "closed form":
        return np.asarray(MaskedImputer(random_state=seed).fit_transform(holes))
    pattern, law = method.split()
    model = MaskedAutoencoder(law, width=WIDTH, lr=LR, steps=steps, random_state=seed)
    model.set_params(pattern=pattern)
    return np.asarray(model.fit(holes).impute(holes))


def errors(
    values: np.ndarray, mechanism: str, methods: Sequence[str], seed: int, steps: int = STEPS
) -> dict[str, float]:
    """Return the error of each method where values are hidden by a mechanism."""
    hidden = hide(values, mechanism, SHARE, seed)
    holes = np.where(hidden, np.nan, values)
    found = {}
    for method in methods:
        off = (filled(method, holes, seed, steps) - values)[hidden]
        found[method] = float(np.sqrt(np.mean(np.square(off))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    methods = [f"{pattern} {law}" for pattern in PATTERNS for law in LAWS]
    methods = ["mean", "closed form", *methods]
    ranks: dict[tuple[str, str], list[int]] = defaultdict(list)
    for name in given.sets:
        values = table(name)
        print(
            f"\n{name}, {len(values)} x {values.shape[1]}, {given.seeds} seeds: error", flush=True
        )
        print(f"{'':32}" + "".join(f"{each:>16}" for each in MECHANISMS))
        every: dict[str, list[str]] = defaultdict(list)
        for mechanism in MECHANISMS:
            seeds = range(given.seeds)
            found = [errors(values, mechanism, methods, seed, given.steps) for seed in seeds]
            for method in methods:
                each = np.array([of[method] for of in found])
                stderr = each.std(ddof=1) / np.sqrt(len(each)) if len(each) > 1 else np.nan
                every[method].append(f"{each.mean():.3f} ± {stderr:.3f}")
                ranks[method, mechanism] += [
                    1 + sum(of[other] < of[method] for other in methods) for of in found
                ]
        for method in methods:
            print(f"{method:32}" + "".join(f"{each:>16}" for each in every[method]), flush=True)
    print(f"\nmean rank of {len(methods)}\n{'':32}" + "".join(f"{m:>16}" for m in MECHANISMS))
    for method in methods:
        row = "".join(f"{np.mean(ranks[method, each]):16.2f}" for each in MECHANISMS)
        print(f"{method:32}{row}")


if __name__ == "__main__":
    main()
