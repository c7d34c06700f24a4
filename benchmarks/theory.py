"""How fast is the closed form: against simulation, and against the linear algebra it needs.

    python -m benchmarks.theory [--dim 20000] [--dense 2000]

Every line is measured in this run. A simulation's time is that of the repeats which a standard
error of 1 % takes, without what is done once, such as factoring the covariance.
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from scipy import linalg

from maskwise import theory

RATIOS = np.linspace(0.01, 0.99, 99)
NINE = (np.linspace(0.1, 0.9, 9), np.full(9, 1 / 9))
SIMULATED = 800
FEW, MANY = 4, 20


def seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """Return the median time of `work`."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def show(name: str, value: float) -> None:
    print(f"{name:<62}{value:>12.4g}", flush=True)


def spectral(dim: int) -> None:
    model = theory.power_law(dim)

    def curve() -> object:
        return theory.risk(model, RATIOS, dim // 4, 0.2)

    took = seconds(curve)
    show(f"99 ratios, d = {dim}, s", took)
    # One pass over the eigenvalues is the least that any method needs.
    values = model.eigenvalues
    show("  in passes over the eigenvalues, each", took / 99 / seconds(lambda: (1 / values).sum()))
    peaks = []
    for size in (dim, 2 * dim):
        larger = theory.power_law(size)
        tracemalloc.start()
        theory.risk(larger, 0.3, size // 4, 0.2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    show("  memory beside the model, bytes per eigenvalue", peaks[0] / dim)
    show("  memory at 2 d / memory at d", peaks[1] / peaks[0])


def dense(dim: int) -> None:
    model = theory.latent_factor(dim, 10)
    matrix = model.matrix
    took = seconds(lambda: theory.risk(model, NINE, dim // 2, 0.2), rounds=1)
    show(f"a law of 9 ratios, dense, d = {dim}, n = d/2, s", took)

    def inverse() -> object:
        return linalg.lapack.dpotri(linalg.cho_factor(matrix, lower=True)[0], lower=True)

    show("  in Cholesky inverses", took / seconds(inverse))


def against_simulation(name: str, model: theory.Covariance) -> None:
    def formula() -> float:
        return float(theory.risk(model, NINE, model.dim // 2, 0.2).total)

    def simulated(repeats: int) -> theory.Simulation:
        return theory.simulate(model, NINE, model.dim // 2, 0.2, repeats=repeats)

    found = simulated(MANY)
    more = seconds(lambda: simulated(MANY)) - seconds(lambda: simulated(FEW))
    needed = MANY * (found.stderr / (0.01 * found.mean)) ** 2
    precise = more / (MANY - FEW) * needed
    took = seconds(formula)
    show(f"{name}, d = {model.dim}, n = d/2: formula, s", took)
    show("  simulation to 1 %, repeats", needed)
    show("  simulation to 1 %, s", precise)
    show("  simulation / formula", precise / took)
    show("  simulated - formula, in standard errors", (found.mean - formula()) / found.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dim", type=int, default=20_000)
    parser.add_argument("--dense", type=int, default=2_000)
    arguments = parser.parse_args()
    spectral(arguments.dim)
    dense(arguments.dense)
    against_simulation("AR(1), sums over eigenvalues", theory.ar1(SIMULATED, 0.7))
    against_simulation("latent factor, dense", theory.latent_factor(SIMULATED, 10))


if __name__ == "__main__":
    main()
