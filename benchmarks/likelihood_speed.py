"""How fast are PPCA's conditionals: low-rank and batched, against dense linear algebra.

    python -m benchmarks.likelihood_speed [--samples 1000] [--dense 100] [--noise 0.2]

Each sample has a mask of its own, its ratio uniform on (0, 1). The dense side works on one sample
at a time: Cholesky of the visible block of the covariance, one triangular solve for all hidden
positions, and only the diagonal of their covariance. It does a part of the samples, evenly
spread over the ratios, and its time is scaled to all of them. Both run on one thread.
"""

import argparse
import math
import time

import numpy as np
import torch
from torch import Tensor

from maskwise.likelihood import PPCA

DIM, WIDTH = 784, 50
ROUNDS = 5


def dense(x: Tensor, hidden: Tensor, covariance: Tensor) -> Tensor:
    """Return log p(x_t | x_R) of one sample's hidden positions."""
    visible = ~hidden
    rows = covariance[visible]
    root = torch.linalg.cholesky(rows[:, visible])
    right = torch.cat([rows[:, hidden], x[visible, None]], dim=1)
    half = torch.linalg.solve_triangular(root, right, upper=False)
    cross, white = half[:, :-1], half[:, -1]
    variance = covariance.diagonal()[hidden] - cross.square().sum(dim=0)
    error = x[hidden] - white @ cross
    return -0.5 * (math.log(2 * math.pi) + variance.log() + error.square() / variance)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--dense", type=int, default=100, help="samples of the dense side")
    parser.add_argument("--noise", type=float, default=0.2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    loadings = torch.randn(DIM, WIDTH, generator=generator, dtype=torch.float64)
    model = PPCA(loadings, arguments.noise)
    x = model.sample(arguments.samples)
    # Ratios in order, so that every k-th sample has about the same ones.
    ratios = torch.rand(len(x), generator=generator).sort().values
    hidden = torch.rand(len(x), DIM, generator=generator) < ratios[:, None]
    part = torch.linspace(0, len(x) - 1, min(arguments.dense, len(x))).long()
    covariance = loadings @ loadings.T + arguments.noise * torch.eye(DIM, dtype=torch.float64)

    times = np.empty((2, ROUNDS))
    for number in range(ROUNDS):
        start = time.perf_counter()
        fast = model.conditional_log_prob(x, hidden)
        middle = time.perf_counter()
        slow = [dense(x[i], hidden[i], covariance) for i in part]
        times[:, number] = middle - start, time.perf_counter() - middle
    times[1] *= len(x) / len(part)
    gaps = [(fast[i, hidden[i]] - found).abs() for i, found in zip(part, slow, strict=True)]
    print(f"{len(x)} samples, D = {DIM}, K = {WIDTH}, noise {arguments.noise:g}, 1 thread")
    print(f"{'low-rank, s':<52}{np.median(times[0]):>10.3f}")
    print(f"{f'dense, s, scaled from {len(part)} samples':<52}{np.median(times[1]):>10.3f}")
    print(f"{'dense / low-rank (asked: at least 20)':<52}{np.median(times[1] / times[0]):>10.1f}")
    print(f"{'largest difference, nats (asked: at most 1e-9)':<52}{torch.cat(gaps).max():>10.1e}")


if __name__ == "__main__":
    main()
