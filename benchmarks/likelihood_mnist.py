"""A latent-variable model of binary MNIST: a linear VAE beside masked prediction.

    python -m benchmarks.likelihood_mnist --data MNIST-FOLDER --out runs/likelihood-mnist

p(x_t = 1 | z) = sigmoid(w_t'z + b_t) with two latent variables. All methods train the same decoder
from the same initial values with Adam at 1e-2 on the same batches; the log-likelihood is computed
by a grid of 20 x 20 points, normalised, and again by 40 x 40. Masked prediction conditions on the
visible pixels by that grid; the VAE has a linear encoder with a diagonal covariance, one sample of
z and the analytic divergence. Pixels above half of their range are ones.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.likelihood_ppca import panels, shown
from maskwise import masks
from maskwise.images.data import ImageDataSettings, load
from maskwise.images.images import ImageSource, first_shuffled
from maskwise.likelihood import BernoulliLatent, loss
from maskwise.report.figures import run_style
from maskwise.rng import shuffled

EXACT, VAE = "exact log-likelihood", "linear VAE"
METHODS = (EXACT, "likelihood", "fixed:0.5", "fixed:0.15", VAE)
WIDTH, BATCH = 2, 50
POINTS, MORE_POINTS = 20, 40
# The ELBO at the end is a mean over this many draws of z.
DRAWS = 20


class Run(NamedTuple):
    """Nats per image."""

    epochs: list[int]
    train: list[float]
    test: list[float]
    more_points: float
    """the last `test`, by the finer grid"""
    elbo: tuple[float, float] | None
    """of training and test images, with a VAE"""


class Encoder(NamedTuple):
    """q(z | x) = N(mean, exp(log variance)), both linear in x: [D, 2 K] and [2 K]."""

    weights: Tensor
    bias: Tensor

    def elbo(self, model: BernoulliLatent, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return E_q log p(x | z) - KL(q || p), the first by one sample of z: [B]."""
        mean, log_variance = (x @ self.weights + self.bias).chunk(2, dim=1)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
        z = mean + (0.5 * log_variance).exp() * noise
        logits = z @ model.weights.T + model.bias
        error = binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=1)
        divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=1)
        return -error - divergence


def binary(source: ImageSource) -> Tensor:
    """Return images of 0..255 as zeros and ones, float64 [N, D]."""
    return (source.get(np.arange(len(source))) > 127).flatten(1).double()


def initial(dim: int, seed: int) -> tuple[BernoulliLatent, Encoder]:
    """Return a decoder and an encoder to be trained: the same for any method."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(dim, 3 * WIDTH, generator=generator, dtype=torch.float64)
    encoder = Encoder(0.01 * normal[:, WIDTH:], normal.new_zeros(2 * WIDTH))
    model = BernoulliLatent(0.1 * normal[:, :WIDTH], normal.new_zeros(dim), POINTS)
    for tensor in (model.weights, model.bias, *encoder):
        tensor.requires_grad_()
    return model, encoder


def average(x: Tensor, model: BernoulliLatent) -> float:
    """Return the exact log-likelihood, nats per image."""
    with torch.no_grad():
        return float(model.log_prob(x).mean())


def train(method: str, x: Tensor, x_test: Tensor, epochs: int, seed: int) -> Run:
    """Train one decoder; the log-likelihood is looked at some thirty times."""
    dim = x.shape[1]
    model, encoder = initial(dim, seed)
    trained = [model.weights, model.bias, *(encoder if method == VAE else ())]
    optimizer = torch.optim.Adam(trained, lr=1e-2)
    generator = torch.Generator().manual_seed(1000 + seed)

    def value(ids: Tensor, epoch: int) -> Tensor:
        if method == EXACT:
            return -model.log_prob(x[ids]).mean() / dim
        if method == VAE:
            return -encoder.elbo(model, x[ids], generator).mean() / dim
        drawn: dict[str, Any] = {"scope": "sample", "sampling": "stratified"}
        mask = masks.draw(method, (dim,), sample_ids=ids, seed=seed, epoch=epoch, **drawn)
        return loss(model, x[ids], mask)

    found = Run([], [], [], math.nan, None)
    every = max(1, epochs // 30)
    for epoch in range(epochs + 1):
        if epoch % every == 0 or epoch == epochs:
            found.epochs.append(epoch)
            found.train.append(average(x, model))
            found.test.append(average(x_test, model))
        if epoch < epochs:
            for ids in shuffled(len(x), seed=seed, epoch=epoch).split(BATCH):
                optimizer.zero_grad()
                value(ids, epoch).backward()
                optimizer.step()
    with torch.no_grad():
        bounds = [
            float(sum(encoder.elbo(model, each, generator).mean() for _ in range(DRAWS)) / DRAWS)
            for each in (x, x_test)
        ]
    more = average(x_test, BernoulliLatent(model.weights, model.bias, MORE_POINTS))
    return found._replace(more_points=more, elbo=(bounds[0], bounds[1]) if method == VAE else None)


def compare(
    x: Tensor,
    x_test: Tensor,
    epochs: int,
    seeds: int,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, list[Run]]:
    """Return a run of each seed for each method."""
    runs: dict[str, list[Run]] = {method: [] for method in METHODS}
    for seed in range(seeds):
        for method in METHODS:
            run = train(method, x, x_test, epochs, seed)
            report(f"{method} seed {seed}: {run.test[-1]:.2f} nats per test image")
            runs[method].append(run)
    return runs


def table(runs: dict[str, list[Run]], dim: int) -> str:
    """Return final log-likelihoods, and their differences from the exact control's."""
    lines = [
        "| trained by | log p, training images | log p, test images | bits per pixel, test"
        f" | {MORE_POINTS} points per axis: change | ELBO, training | ELBO, test |",
        "|---" * 7 + "|",
    ]
    last = {
        method: np.array([[run.train[-1], run.test[-1]] for run in found])
        for method, found in runs.items()
    }
    for method, found in runs.items():
        fit, test = last[method].T
        finer = np.array([run.more_points for run in found]) - test
        cells = [shown(fit, 2), shown(test, 2), shown(-test / dim / math.log(2), 4)]
        cells.append(shown(finer, 3))
        bounds = np.array([run.elbo for run in found if run.elbo])
        cells += [shown(each, 2) for each in bounds.T] if len(bounds) else ["-", "-"]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    lines += ["", f"Difference from `{EXACT}`, paired over seeds, training and test images:", ""]
    for method in runs:
        if method != EXACT:
            fit, test = (last[method] - last[EXACT]).T
            lines.append(f"- {method}: {shown(fit, 2)}, {shown(test, 2)}")
    return "\n".join(lines)


def draw(runs: dict[str, list[Run]], path: Path) -> None:
    """Write log-likelihoods against epochs, means over seeds."""

    def plot(axes: Any, split: str) -> None:
        for place, (method, found) in enumerate(runs.items()):
            values = np.mean([getattr(run, split) for run in found], axis=0)
            axes.plot(found[0].epochs[1:], values[1:], label=method, **run_style(place))
        axes.set(xlabel="epoch", ylabel="log p(x), nats per image", title=f"{split} images")

    panels(path, ["train", "test"], plot, size=(4.4, 3.6))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="a folder of MNIST files")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the figure")
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    splits = load(ImageDataSettings(source=arguments.data, limit=1000))
    x, x_test = binary(splits.train), binary(first_shuffled(splits.test, 500))
    runs = compare(x, x_test, arguments.epochs, arguments.seeds, print)
    print(table(runs, x.shape[1]))
    draw(runs, arguments.out / "mnist.png")


if __name__ == "__main__":
    main()
