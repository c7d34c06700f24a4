"""Draw the figures of docs/theory.md and print the numbers that the page quotes.

python docs/make_theory_figures.py
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import optimize

from maskwise import theory
from maskwise.modalities import read_features
from maskwise.theory.graphs import as_text, graph_figure
from maskwise.theory.spectra import Model

IMAGES = Path(__file__).parent / "images"
DIM = 400
RATIOS = np.linspace(0.01, 0.95, 95)
HIDDEN = {"target_hidden": True}
MODELS = {
    "isotropic": theory.isotropic(DIM),
    "spiked, signal in the spikes": theory.spiked(DIM, 30.0, rank=4, alignment=1.0),
    "power law, signal on top": theory.power_law(DIM, signal_exponent=1.0),
}


def panels(num: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(4.2 * num, 3.4), layout="constrained")
    axes = list(figure.subplots(1, num, squeeze=False)[0])
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    return figure, axes


def save(figure: Figure, name: str) -> None:
    IMAGES.mkdir(exist_ok=True)
    figure.savefig(IMAGES / name, dpi=110)
    print(f"  figure: docs/images/{name}")


def curves() -> None:
    """Risk against ratio, over d / n."""
    print("risk against ratio: power law, signal on top, noise 0.2, hidden target")
    model = MODELS["power law, signal on top"]
    figure, axes = panels(2)
    for axis, masks in zip(axes, ("static", "fresh"), strict=True):
        for n in (100, 200, 800, 3200):
            options: dict[str, Any] = {"masks": masks, **HIDDEN}
            # Off the grid of ratios where n p = d, at which the risk is infinite.
            total = theory.risk(model, RATIOS + 1e-4, n, 0.2, **options).total
            best = theory.best_ratio(model, n, 0.2, **options)
            (line,) = axis.plot(RATIOS, total, label=f"d/n = {DIM / n:g}")
            axis.plot(best.law.mean(), best.risk.total, "o", color=line.get_color())
            print(f"  {masks}, d/n {DIM / n:g}: best ratio {best.law.mean():.2f},", end=" ")
            print(f"risk {best.risk.total:.3f}, flat {best.flat[0]:.2f} to {best.flat[1]:.2f}")
        axis.set(title=f"{masks} masks", xlabel="mask ratio", ylim=(0.2, 2), yscale="log")
    axes[0].set_ylabel("test risk, nothing hidden")
    axes[1].legend(frameon=False)
    save(figure, "theory-curves.png")


def best_ratios() -> None:
    """Best fixed ratio against over-parameterisation and alignment."""
    print("best ratio: four spikes of 30, noise 0.2, hidden target")
    figure, axes = panels(2)
    excess = np.geomspace(0.1, 10, 15)
    for axis, masks in zip(axes, ("static", "fresh"), strict=True):
        for alignment in (0.0, 0.5, 1.0):
            model = theory.spiked(DIM, 30.0, rank=4, alignment=alignment)
            best = [
                theory.best_ratio(model, DIM / x, 0.2, masks=masks, **HIDDEN).law.mean()
                for x in excess
            ]
            axis.semilogx(excess, best, "o-", markersize=3, label=f"alignment {alignment:g}")
            shown = ", ".join(f"{best[i]:.2f} at {excess[i]:.2g}" for i in (0, 7, 14))
            print(f"  {masks}, alignment {alignment:g}: {shown}")
        axis.set(title=f"{masks} masks", xlabel="over-parameterisation d/n", ylim=(0, 0.8))
    axes[0].set_ylabel("best fixed ratio")
    axes[1].legend(frameon=False)
    save(figure, "theory-best-ratio.png")


def wins() -> None:
    """Where a random law beats the best fixed ratio."""
    print("gain of the best law over the best fixed ratio: power law, signal on top")
    model = MODELS["power law, signal on top"]
    sizes = np.array([100, 200, 300, 360, 440, 520, 600, 800, 1600])
    noise = np.array([0.05, 0.1, 0.2, 0.5, 1.0, 2.0])
    figure, axes = panels(3)
    settings: list[tuple[str, dict[str, Any]]] = [
        ("zeros where hidden", HIDDEN),
        ("rescaled, any law", {**HIDDEN, "rescale": True}),
        ("rescaled, U[a, b]", {**HIDDEN, "rescale": True, "family": "interval"}),
    ]
    for axis, (name, options) in zip(axes, settings, strict=True):
        found = theory.win_map(model, sizes, noise, **options)
        row, column = np.unravel_index(found.gain.argmax(), found.gain.shape)
        print(
            f"  {name}: largest gain {found.gain.max():.1%} at n {sizes[row]}, noise "
            f"{noise[column]:g}: {found.laws[row][column]} against {found.ratio[row, column]:.2f};"
            f" above 0.1 % in {np.mean(found.gain > 1e-3):.0%} of the cells"
        )
        drawn = axis.pcolormesh(100 * found.gain.T, cmap="viridis", vmin=0, vmax=10)
        axis.set_xticks(np.arange(len(sizes)) + 0.5, [f"{DIM / n:.2g}" for n in sizes])
        axis.set_yticks(np.arange(len(noise)) + 0.5, [f"{x:g}" for x in noise])
        axis.set(title=name, xlabel="d/n")
        axis.grid(visible=False)
    axes[0].set_ylabel("noise / signal")
    figure.colorbar(drawn, ax=axes, label="risk saved, %")
    save(figure, "theory-wins.png")


def tuned(model: Model, ratio: float, num_samples: float, **options: Any) -> float:
    """Return the risk at a ratio with the best ridge."""

    def cost(power: float) -> float:
        ridge = 10**power
        return float(theory.risk(model, ratio, num_samples, 0.2, ridge=ridge, **options).total)

    return float(optimize.minimize_scalar(cost, bounds=(-6, 3), method="bounded").fun)


def with_ridge() -> None:
    """What is left of masking's benefit when the ridge is tuned."""
    print("risk at the best ratio and at ratio .01 (n = 200, noise 0.2), without and with ridge")
    figure, axes = panels(len(MODELS))
    for axis, (name, model) in zip(axes, MODELS.items(), strict=True):
        for masks in ("static", "fresh"):
            plain = theory.risk(model, RATIOS, 200, 0.2, masks=masks).total
            best = np.array([tuned(model, ratio, 200, masks=masks) for ratio in RATIOS[::3]])
            (line,) = axis.plot(RATIOS, plain, label=f"{masks}, no ridge")
            axis.plot(RATIOS[::3], best, "--", color=line.get_color(), label=f"{masks}, ridge")
            print(f"  {name}, {masks}:", end=" ")
            for label, grid, curve in (("", RATIOS, plain), ("with ridge ", RATIOS[::3], best)):
                gain = 1 - curve.min() / curve[0]
                print(
                    f"{label}best {grid[curve.argmin()]:.2f}, masking saves {gain:.1%}", end="; "
                )
            # Rescaled inputs: what is left of masking when it cannot scale the solution up.
            still = [tuned(model, ratio, 200, masks=masks, rescale=True) for ratio in RATIOS[::3]]
            print(f"rescaled, with ridge, masking saves {1 - min(still) / still[0]:.1%}")
        axis.set(title=name, xlabel="mask ratio", ylim=(0.2, 1.2))
    axes[0].set_ylabel("test risk, nothing hidden")
    axes[-1].legend(frameon=False, fontsize=8)
    save(figure, "theory-ridge.png")


def mask_graphs() -> None:
    """What mask graphs say, in two exact worlds and estimated from handwritten digits."""
    prototypes = ["00001111", "11110000"]
    digits = read_features("digits")
    curves = {
        "exact, global": theory.mask_graphs(theory.bit_world(prototypes, 0.15)),
        "exact, local pairs": theory.mask_graphs(
            theory.bit_world(prototypes, 0.05, unit=2, unit_flip=0.25)
        ),
        "digits, estimated": theory.estimate_mask_graphs(
            digits.values, digits.labels, num_masks=16
        ),
    }
    laws = ["fixed:0.5", "uniform:0.2,0.8"]
    for name, curve in curves.items():
        print(f"mask graphs, {name}\n{as_text(curve, laws)}")
    save(graph_figure(curves, laws), "mask-graph.png")


if __name__ == "__main__":
    curves()
    best_ratios()
    wins()
    with_ridge()
    mask_graphs()
