"""The likelihood of held-out cells or rows of a table under a masked model."""

from typing import Any

import torch

from maskwise.cells.cells import Cells
from maskwise.columns.losses import Marginal
from maskwise.columns.model import TabularModel
from maskwise.columns.tabular import TabularSplits
from maskwise.measure.features import frozen, random_subset
from maskwise.measure.likelihoods import (
    NUM_TRAIN,
    choose,
    curve_and_area,
    in_units,
    outside,
    points,
    units,
)


def measure_rows(
    model: TabularModel,
    splits: TabularSplits,
    law: str,
    *,
    num_samples: int = 256,
    passes: int = 64,
    seed: int = 0,
    batch_size: int = 256,
) -> dict[str, Any]:
    """Return what likelihood.json holds, for samples of the test part; arguments as for `measure`.

    Log-densities of numbers are in the units of the data, categories and counts have
    probabilities. The anchor takes every feature for itself, as training samples show it: numbers
    normal, counts negative binomial. Samples with nothing measured are left out.

    Raises:
        UserError: too few samples or passes for a standard error, or a model without noise.
    """
    index = choose(len(splits.test), num_samples, passes, seed)
    with frozen(model) as device:
        x = splits.test.get(index).to(device)
        x = x[model.eligible(x).any(dim=1)]
        curve, area = curve_and_area(model, x, passes=passes, seed=seed, batch_size=batch_size)
        eligible = model.eligible(x).cpu()
    train = random_subset(len(splits.train), NUM_TRAIN, seed)
    log_probs = Marginal(model.modality, splits.train.get(train)).log_prob(x.cpu())
    anchor = float(torch.where(eligible, log_probs, 0).double().sum(dim=1).mean())
    num_dims = float(eligible.sum(dim=1).double().mean())
    one = ("cell", "gene") if isinstance(model.modality, Cells) else ("row", "feature")
    return {
        "words": {
            **{"sample": one[0], "position": one[1], "dimension": one[1]},
            "anchor": f"independent {one[1]}s",
        },
        "data": splits.name,
        "num_samples": len(x),
        "passes": area.passes,
        "seed": seed,
        "length": curve.length,
        "num_dims": num_dims,
        "curve": points(curve),
        "area": in_units(area, num_dims),
        "anchor": {"score": anchor / num_dims, **units(anchor, num_dims)},
        "law": outside(law, curve),
    }
