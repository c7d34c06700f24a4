"""PPCA problems that the likelihood benchmarks share, and how they show numbers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.compare_laws import interval
from maskwise.files import write_png
from maskwise.likelihood import PPCA

NOISE = 0.2


def problem(num: int, dim: int, components: int, seed: int) -> tuple[PPCA, Tensor]:
    """Return a PPCA with standard normal loadings, and samples of it."""
    generator = torch.Generator().manual_seed(seed)
    loadings = torch.randn(dim, components, generator=generator, dtype=torch.float64)
    model = PPCA(loadings, NOISE)
    return model, model.sample(num, seed)


def closed_form(x: Tensor, components: int) -> PPCA:
    """Return the model of the greatest likelihood with the noise and the mean of the truth."""
    return PPCA.fit(x, components, NOISE, torch.zeros(x.shape[1]))


def expected_score(model: PPCA, size: int, num_masks: int = 1000) -> float:
    """Return E[S(x; M)] for samples of the model itself: exact but for the choice of masks.

    It is minus the entropy of one hidden position given the visible ones, which needs their
    variances only.
    """
    dim = len(model.mean)
    generator = torch.Generator().manual_seed(size)
    hidden = torch.rand(num_masks, dim, generator=generator).argsort(dim=1) < size
    _, variance = model.conditional_moments(torch.zeros(num_masks, dim), hidden)
    return float(-0.5 * ((2 * torch.pi * variance[hidden]).log() + 1).mean())


def expected_log_prob(model: PPCA) -> float:
    """Return E[log p(x)] for samples of the model itself."""
    return float(model.log_prob(model.mean[None])) - 0.5 * len(model.mean)


def shown(values: NDArray[np.float64], digits: int = 3) -> str:
    """Return a mean and half of its 95 % interval over seeds.

    >>> shown(np.array([1.0, 2.0, 3.0]))
    '2.000 ± 2.484'
    """
    return "{:.{digits}f} ± {:.{digits}f}".format(*interval(values), digits=digits)


def panels(
    path: Path,
    names: Sequence[Any],
    plot: Callable[[Any, Any], None],
    *,
    share: bool = False,
    size: tuple[float, float] = (3.8, 3.4),
) -> None:
    """Write a figure of panels beside each other, each drawn by `plot(axes, name)`.

    With `share` they have one vertical axis, and one legend below.
    """
    import matplotlib
    from matplotlib.figure import Figure

    from maskwise.report.figures import RC

    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(size[0] * len(names), size[1]), layout="constrained")
        grid = figure.subplots(1, len(names), squeeze=False, sharey=share)[0]
        for axes, name in zip(grid, names, strict=True):
            plot(axes, name)
            if share:
                axes.label_outer()
            else:
                axes.legend()
        if share:
            legend = grid[0].get_legend_handles_labels()
            figure.legend(*legend, loc="outside lower center", ncols=2, fontsize=8)
        write_png(path, figure)
