"""Which samples are unlike what a model knows."""

from typing import Any

import torch
from torch import Tensor

from maskwise.likelihood.contract import ConditionalModel, samples
from maskwise.likelihood.estimators import log_likelihood


def score_samples(
    model: ConditionalModel,
    x: Any,
    *,
    passes: int = 64,
    seed: int = 0,
    eligible: Any = None,
    batch_size: int = 1024,
) -> Tensor:
    """Return each sample's log-likelihood, float64 [B], in nats: low scores are anomalies.

    `log_likelihood` with the same masks for all samples, so that no sample looks odd because its
    masks were hard; a score does not depend on the batch. Arguments are those of `log_likelihood`.

    Example:
        >>> from maskwise.likelihood import PPCA
        >>> model = PPCA(loadings=torch.ones(4, 1), noise=0.1)
        >>> usual, odd = score_samples(model, [[1.0, 1.2, 0.9, 1.0], [1.0, -1.0, 1.0, 1.0]])
        >>> bool(odd < usual)
        True
    """
    x = samples(x)
    return log_likelihood(
        model,
        x,
        passes=passes,
        seed=seed,
        eligible=eligible,
        sample_ids=torch.zeros(len(x), dtype=torch.int64),
        batch_size=batch_size,
    ).per_sample
