"""What terms against collapsed features cost: a training step with each over one without.

    python -m benchmarks.regularised_step [--rounds 20] [--device cpu|cuda]

The step is that of `benchmarks.step`: ViT-Tiny, ratio .75, batch 64, terms on the class token.
Below, the uniformity of many wide features by one d x d matrix against the N x N matrix of all
cosines, which is the textbook way; values and gradients are equal.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.step import maskwise_step, measure
from maskwise.objectives import RegulariseSettings, uniformity

TERMS = {
    "uniformity": RegulariseSettings(pool="class", uniformity="0.01"),
    "coding rate": RegulariseSettings(pool="class", coding_rate="0.01"),
    "variance, covariance": RegulariseSettings(pool="class", variance="1", covariance="0.04"),
    "KoLeo": RegulariseSettings(pool="class", koleo="0.1"),
    "MAGMA": RegulariseSettings(pool="class", magma="0.1"),
    "local dimension": RegulariseSettings(pool="class", local_dimension="0.01"),
    "orthogonality": RegulariseSettings(orthogonality="0.0001"),
}
NUM, WIDTH = 4096, 768


def all_cosines(z: Tensor) -> Tensor:
    """Return the mean squared cosine of different samples, from an N x N matrix."""
    z = F.normalize(z, dim=1)
    return ((z @ z.T).square().sum() - len(z)) / (len(z) * (len(z) - 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    arguments = parser.parse_args()
    rounds, device = arguments.rounds, arguments.device
    plain = maskwise_step("fixed:0.75", "fp32", device)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {device}")
    for name, config in TERMS.items():
        with_term = maskwise_step("fixed:0.75", "fp32", device, config)
        times = measure({"plain": plain, "with": with_term}, rounds)
        ratio = np.median(times["with"] / times["plain"])
        print(f"step with {name} / without{'':<{22 - len(name)}} {ratio:8.3f}")
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(NUM, WIDTH, generator=generator).to(device).requires_grad_()

    def gradient(term: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.autograd.grad(term(z), z)[0]

    torch.testing.assert_close(gradient(uniformity), gradient(all_cosines), rtol=1e-3, atol=1e-9)
    times = measure(
        {
            "all cosines": lambda _: float(gradient(all_cosines).sum()),
            "gram": lambda _: float(gradient(uniformity).sum()),
        },
        rounds,
    )
    ratio = np.median(times["all cosines"] / times["gram"])
    print(f"N x N / d x d at N = {NUM}, d = {WIDTH}{'':<12} {ratio:8.3f}")


if __name__ == "__main__":
    main()
