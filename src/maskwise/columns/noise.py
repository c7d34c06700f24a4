"""The variances of what a model of features predicts, which make its predictions densities."""

import numpy as np
import torch

from maskwise.columns.model import TabularModel
from maskwise.columns.tabular import Rows, measured
from maskwise.masks.select import hide_lowest
from maskwise.measure.features import frozen, random_subset
from maskwise.patches.noise import RATIOS, factors
from maskwise.rng import Keys, Stream

LEAST = 1e-6


def fit_feature_noise(
    model: TabularModel,
    rows: Rows,
    *,
    num_samples: int = 512,
    seed: int = 0,
    batch_size: int = 256,
) -> None:
    """Set the variances of the model's conditional densities of numbers.

    The squared error of a hidden number has a mean that depends on how many features are blank,
    v_M, and on which feature it is, s_j: both factors are fitted by their maximum of the
    likelihood in turn, as `fit_noise` does for images. Numbers of blank features that no row has
    take the nearest one's factor, and features that no row has the mean one.

    Args:
        model: its device is used, and its training mode is restored.
        rows: training samples.
        num_samples: how many of them at most, chosen at random.
        seed: of the choice and of the masks.
        batch_size: samples seen at once.
    """
    if model.modality.loss != "mse" or not model.is_number.any():
        return
    length, index = model.length, random_subset(len(rows), num_samples, seed)
    sizes = sorted({max(round(ratio * length), 1) for ratio in RATIOS})
    squares = torch.zeros(len(sizes), length, 1, dtype=torch.float64)
    counts = torch.zeros(len(sizes), length, 1, dtype=torch.float64)
    with frozen(model) as device:
        for start in range(0, len(index), batch_size):
            chosen = index[start : start + batch_size]
            ids = torch.from_numpy(chosen).to(device)
            samples = rows.get(chosen).to(device)
            known = measured(samples, length)
            scores = Keys(seed, 0, ids).bits(Stream.SCORE, length)
            for place, size in enumerate(sizes):
                # What is missing is blank in any case, and counts.
                more = (size - (~known).sum(dim=1)).clamp(min=0)
                hidden = hide_lowest(scores, torch.minimum(more, known.sum(dim=1)), known)
                wanted = hidden & model.is_number
                squares[place, :, 0] += (
                    2
                    * torch.where(wanted, model.losses(samples, hidden), 0.0).sum(0).double().cpu()
                )
                counts[place, :, 0] += wanted.sum(0).cpu()
    # Where all rows lack something, no few are blank.
    met, known = counts.sum(dim=(1, 2)) > 0, counts.sum(dim=(0, 2)) > 0
    if not met.any():
        return
    by_size, by_value = factors(squares[met], counts[met], LEAST)
    by_value[~known] = by_value[known].mean()
    places = np.array(sizes)[met.numpy()]
    log_variance = np.interp(np.arange(1, length + 1), places, by_size.log().numpy())
    model.log_variance.copy_(torch.from_numpy(log_variance))
    model.log_spread.copy_(by_value[:, 0].log())
