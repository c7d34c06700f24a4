"""The spread of estimates of the log-likelihood at equal numbers of passes, scheme by scheme.

    python -m benchmarks.likelihood_variance

A pass is one masked input. Data and model are PPCA, so that the truth is known: D = 20 with two
components and D = 200 with five, noise 0.2. Each scheme estimates the same samples many times;
printed is the standard deviation of an estimate, and its ratio to that of one mask per size.
"systematic" is the default of `maskwise.likelihood.log_likelihood`; the others are published
schemes, written here as masks [R, passes, D] and weights of the log-probabilities.
"""

import argparse
import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from maskwise.likelihood import PPCA, chain_rule, log_likelihood
from maskwise.masks.mask import hide_lowest

SETUPS = ((20, 2, 20), (20, 2, 64), (200, 5, 64), (200, 5, 200))  # positions, components, passes
Drawn = tuple[Tensor, Tensor]


def uniform(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def exact_counts(generator: torch.Generator, sizes: Tensor, length: int) -> Tensor:
    """Return masks that hide `sizes` [R, n] positions at random, [R, n, D]."""
    scores = uniform(generator, sizes.numel(), length)
    every = torch.ones_like(scores, dtype=torch.bool)
    return hide_lowest(scores, sizes.flatten(), every).view(*sizes.shape, length)


def counted(
    spread: Callable[[torch.Generator, int, int], Tensor],
) -> Callable[[torch.Generator, int, int, int], Drawn]:
    """Return a scheme of sizes ceil(D u), weight D / M, for uniforms u [R, n]."""

    def scheme(generator: torch.Generator, times: int, passes: int, length: int) -> Drawn:
        u = spread(generator, times, passes)
        sizes = (u * length).floor().long().clamp(max=length - 1) + 1
        return exact_counts(generator, sizes, length), length / sizes

    return scheme


def iid(generator: torch.Generator, times: int, passes: int) -> Tensor:
    return uniform(generator, times, passes)


def stratified(generator: torch.Generator, times: int, passes: int) -> Tensor:
    return (torch.arange(passes) + uniform(generator, times, passes)) / passes


def systematic(generator: torch.Generator, times: int, passes: int) -> Tensor:
    return (torch.arange(passes) + uniform(generator, times, 1)) / passes


def per_size(generator: torch.Generator, times: int, passes: int, length: int) -> Drawn:
    """One mask of each size, or as many of each as the passes allow."""
    sizes = torch.arange(1, length + 1).repeat(passes // length).expand(times, -1)
    return exact_counts(generator, sizes, length), length / sizes


def bernoulli(
    spread: Callable[[torch.Generator, int, int], Tensor], by_count: bool
) -> Callable[[torch.Generator, int, int, int], Drawn]:
    """Return masked diffusion's scheme, with weight 1 / t or its mean (D + 1) / M."""

    def scheme(generator: torch.Generator, times: int, passes: int, length: int) -> Drawn:
        t = spread(generator, times, passes)
        hidden = uniform(generator, times, passes, length) < t[..., None]
        sizes = hidden.sum(dim=2).clamp(min=1)
        return hidden, (length + 1) / sizes if by_count else 1 / t

    return scheme


def one_token(generator: torch.Generator, times: int, passes: int, length: int) -> Drawn:
    """Independent sizes; of the hidden positions one is predicted, weight D."""
    hidden, _ = counted(iid)(generator, times, passes, length)
    scores = torch.where(hidden, uniform(generator, times, passes, length), -1.0)
    return hidden, length * (scores == scores.amax(dim=2, keepdim=True)).double()


def complementary(generator: torch.Generator, times: int, passes: int, length: int) -> Drawn:
    """A mask and its complement, t uniform, weight (D + 1) / M."""
    t = uniform(generator, times, passes // 2)
    hidden = uniform(generator, times, passes // 2, length) < t[..., None]
    hidden = torch.cat([hidden, ~hidden], dim=1)
    return hidden, (length + 1) / hidden.sum(dim=2).clamp(min=1)


def nested(generator: torch.Generator, times: int, passes: int, length: int) -> Drawn:
    """What follows in one order, at each of its places; all hidden positions are predicted."""
    order = uniform(generator, times, passes // length, length).argsort(dim=2).argsort(dim=2)
    hidden = order[:, :, None] >= torch.arange(length)[:, None]
    sizes = torch.arange(length, 0, -1).repeat(passes // length)
    return hidden.flatten(1, 2), (length / sizes).expand(times, -1)


# Whether a scheme needs a pass for each size, and what it draws.
SCHEMES: dict[str, tuple[bool, Callable[[torch.Generator, int, int, int], Drawn]]] = {
    "one mask per size (arXiv 2306.00520)": (True, per_size),
    "stratified sizes": (False, counted(stratified)),
    "systematic sizes": (False, counted(systematic)),
    "independent sizes": (False, counted(iid)),
    "Bernoulli(t), 1/t, independent t": (False, bernoulli(iid, False)),
    "Bernoulli(t), 1/t, systematic t": (False, bernoulli(systematic, False)),
    "Bernoulli(t), (D + 1)/M, systematic t": (False, bernoulli(systematic, True)),
    "one random hidden token, x D": (False, one_token),
    "complementary pairs, (D + 1)/M": (False, complementary),
    "nested masks of one order": (True, nested),
}


def published(
    scheme: Callable[[torch.Generator, int, int, int], Drawn],
    model: PPCA,
    x: Tensor,
    passes: int,
    times: int,
) -> Tensor:
    """Return estimates of one sample [1, D], [times]."""
    generator = torch.Generator().manual_seed(0)
    found = []
    # A few repetitions at a time: 1/t needs many for its heavy tail, memory does not.
    for part in torch.arange(times).split(max(1, 400_000 // (passes * x.shape[1]))):
        hidden, weights = scheme(generator, len(part), passes, x.shape[1])
        rows = hidden.flatten(0, 1)
        scores = model.conditional_log_prob(x.expand(len(rows), -1), rows)
        scores = torch.where(rows, scores, 0.0).view(hidden.shape)
        each = weights if weights.ndim == 3 else weights[..., None]
        found.append((each * scores).sum(dim=2).mean(dim=1))
    return torch.cat(found)


def spreads(length: int, components: int, passes: int, num: int, times: int) -> dict[str, float]:
    """Return the root mean square over samples of each scheme's standard deviation."""
    generator = torch.Generator().manual_seed(1)
    loadings = torch.randn(length, components, generator=generator, dtype=torch.float64)
    model = PPCA(loadings, 0.2)
    samples = model.sample(num, seed=1).split(1)
    print(f"log-likelihood of a sample: {float(model.log_prob(torch.cat(samples)).mean()):.1f}")
    found: dict[str, list[float]] = {}
    for x in samples:
        rows = x.expand(times, -1)
        found.setdefault("systematic (default of maskwise)", []).append(
            float(log_likelihood(model, rows, passes=passes).per_sample.var())
        )
        for name, (every_size, scheme) in SCHEMES.items():
            if not every_size or passes % length == 0:
                values = published(scheme, model, x, passes, times)
                found.setdefault(name, []).append(float(values.var()))
        if passes % length == 0:
            # One order for each repetition; further orders of a compatible model change nothing.
            orders = uniform(generator, min(times, 100), length).argsort(dim=1)
            values = chain_rule(model, x.expand(len(orders), -1), orders)
            found.setdefault("chain rule along one order", []).append(float(values.var()))
    return {name: math.sqrt(sum(each) / len(each)) for name, each in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--times", type=int, default=300, help="estimates of each sample")
    arguments = parser.parse_args()
    columns = []
    for length, components, passes in SETUPS:
        start = time.perf_counter()
        print(f"D = {length}, K = {components}, {passes} passes:", end=" ", flush=True)
        columns.append(spreads(length, components, passes, arguments.samples, arguments.times))
        print(f"  {time.perf_counter() - start:.0f} s")
    head = [f"D = {length}, {passes} passes" for length, _, passes in SETUPS]
    print(f"\n| scheme | {' | '.join(head)} |\n{'|---' * (len(head) + 1)}|")
    names = dict.fromkeys(name for column in reversed(columns) for name in column)
    for name in names:
        cells = [f"{column[name]:.2f}" if name in column else "" for column in columns]
        print(f"| {name} | {' | '.join(cells)} |")
    error = 1 / math.sqrt(2 * arguments.samples * arguments.times)
    print(
        f"\nEach figure is the standard deviation of an estimate in nats, over {arguments.samples}"
        f" samples x {arguments.times} repetitions: good to about {error:.0%}, those with 1/t"
        " less, since their variance is infinite."
    )


if __name__ == "__main__":
    main()
