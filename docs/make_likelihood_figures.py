"""Draw the figure at the top of docs/likelihood.md: a score curve, its area, and fixed ratios."""

from pathlib import Path

import matplotlib
import torch
from matplotlib.figure import Figure

from maskwise.files import write_png
from maskwise.likelihood import PPCA, crossing_ratio, score_curve
from maskwise.report.figures import BLUE, GREEN, INK, ORANGE, RC


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    model = PPCA(torch.randn(100, 5, generator=generator, dtype=torch.float64), 0.2)
    x = model.sample(200)
    curve = score_curve(model, x, num_masks=16)
    exact = float(model.log_prob(x).mean())
    ratios, scores = curve.ratios, curve.scores
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        axes = figure.subplots()
        axes.fill_between(ratios, scores, 0, color=BLUE, alpha=0.15, linewidth=0)
        axes.plot(ratios, scores, color=BLUE, label="score S")
        axes.axhline(exact / 100, color=INK, linestyle=":", label="log p(x) / D")
        for ratio, color in ((0.15, GREEN), (0.95, ORANGE)):
            score = scores[round(100 * ratio) - 1]
            axes.plot([0, 1], [score, score], color=color, linestyle="--", linewidth=1)
            text = f"fixed:{ratio:g} reads {100 * score:.0f} nats"
            axes.annotate(text, (0.02, score + 0.03), color=color)
        text = f"area {curve.area:.1f} nats, log-likelihood {exact:.1f} nats"
        axes.annotate(text, (0.3, -0.35), color=BLUE)
        axes.axvline(crossing_ratio(curve), color=INK, linewidth=0.8)
        axes.annotate("crossing", (crossing_ratio(curve) - 0.1, -2.1), color=INK)
        axes.set(xlabel="hidden ratio", ylabel="nats per hidden position", xlim=(0, 1))
        axes.set_ylim(top=0)
        axes.legend(loc="lower left")
        write_png(Path(__file__).parent / "images" / "likelihood-curve.png", figure)


if __name__ == "__main__":
    main()
