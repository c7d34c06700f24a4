"""Sample masks and reconstructions as strips of small images, inlined as PNG."""

import base64
import io
from collections.abc import Mapping

import numpy as np
from markupsafe import Markup

from maskwise.report.blocks import Figure, Section, percent, unmade
from maskwise.report.curves import target_of
from maskwise.report.folder import Run

MOST = 8
# Slate rather than neutral: on grey images a hidden patch must not pass for a grey one.
HIDDEN_COLOR = np.array([0.47, 0.53, 0.64])
LEAK = "uses true patch statistics: leaks, display only"


def section(run: Run) -> Section:
    """Return the section of one run's page."""
    empty = Section("samples", "Masks and reconstructions")
    if not run.samples:
        return unmade(empty, "samples.npz", run.evaluate_command)
    target = target_of(run)
    text = f"The model predicts {target} pixel values of each hidden patch."
    if target == "normalised":
        text += (
            " To show them, a patch's mean and spread must come from somewhere: from its visible "
            "neighbours (third row, honest), or from the true patch (last row), which "
            "shows the predicted shape alone."
        )
    channels = run.samples["images"].shape[-1]
    if channels not in (1, 3):
        text += (
            f" The images have {channels} channels; {'3 are' if channels > 3 else '1 is'} shown."
        )
    return Section(empty.slug, empty.title, text, figures=figures(run.samples, target))


def figures(samples: Mapping[str, np.ndarray], target: str) -> tuple[Figure, ...]:
    """Return one figure for each ratio: original, masked, and the hidden patches filled in.

    Args:
        samples: images [n, H, W, C] in [0, 1]; ratios [R]; hidden [R, n, H, W];
            filled_visible and filled_true [R, n, H, W, C].
        target: "normalised" or "raw"; a raw target needs no patch statistics.
    """
    images = _rgb(samples["images"][:MOST])
    made = []
    for index, ratio in enumerate(samples["ratios"]):
        hidden = samples["hidden"][index][:MOST, ..., None]
        rows = [
            ("original", images),
            ("masked", np.where(hidden, HIDDEN_COLOR, images)),
        ]
        if target == "raw":
            rows.append(("predicted", _rgb(samples["filled_visible"][index][:MOST])))
        else:
            name = "predicted; brightness and contrast from visible neighbours"
            rows.append((name, _rgb(samples["filled_visible"][index][:MOST])))
            rows.append((f"predicted; {LEAK}", _rgb(samples["filled_true"][index][:MOST])))
        body = Markup("").join(
            Markup('<div class="strip"><span>{}</span><img src="{}" alt="{}"></div>').format(
                name, png_uri(strip), f"{len(strip)} images at ratio {ratio:.2f}: {name}"
            )
            for name, strip in rows
        )
        realised = percent(float(hidden.mean()))
        made.append(
            Figure(
                body=body,
                title=f"Ratio {ratio:.2f}",
                caption=f"{realised} of the pixels are hidden, in slate in the second row.",
            )
        )
    return tuple(made)


def png_uri(images: np.ndarray) -> str:
    """Return images [n, H, W, 3] in [0, 1] side by side, with clear gaps, as a PNG data URI.

    Pixels are repeated up to at least 64 a side, so that viewers which smooth stay sharp.
    """
    from matplotlib.image import imsave

    n, height, width, _ = images.shape
    times = max(1, -(-64 // max(height, width)))
    large = images.repeat(times, axis=1).repeat(times, axis=2)
    gap = max(2, width * times // 12)
    sheet = np.zeros((height * times, n * (width * times + gap) - gap, 4))
    for index, image in enumerate(large):
        left = index * (width * times + gap)
        sheet[:, left : left + width * times] = np.dstack([image, np.ones(image.shape[:2])])
    data = io.BytesIO()
    pixels = (sheet * 255).round().astype(np.uint8)
    imsave(data, pixels, format="png", metadata={"Software": "maskwise"})
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def _rgb(images: np.ndarray) -> np.ndarray:
    """Three display channels of [..., C]: the first three, or the first as grey."""
    channels = images[..., :3] if images.shape[-1] >= 3 else images[..., :1].repeat(3, axis=-1)
    return np.clip(np.nan_to_num(channels.astype(float)), 0, 1)
