"""The training loss: a law of the core decides what it estimates."""

from torch import Tensor

from maskwise.laws import Reduction
from maskwise.likelihood.contract import ConditionalModel, log_probs
from maskwise.masks import Mask
from maskwise.objectives.reconstruction import sample_weights


def loss(
    model: ConditionalModel, x: Tensor, mask: Mask, reduction: Reduction = "sample_mean"
) -> Tensor:
    """Return minus the mean log-probability of hidden positions, in nats, differentiable.

        loss = -sum_i w_i S_i / sum_i w_i,  S_i = mean_{t hidden in i} log p(x_it | x_iR)

    What it estimates is decided by the law that drew the mask, and by the reduction's weights:

    - law "likelihood": -log p(x) / D, unbiased (the cumulative loss, and masked diffusion's with
      weight 1 / ratio); scope "step" takes one size at a time, scope "sample" with stratified
      sampling spreads them over the batch;
    - "fixed:R": -S at one size, a composite likelihood, biased as an estimate of -log p(x) / D;
    - any other law: the mean of S under it.

    Args:
        model: has `conditional_log_prob`.
        x: samples [B, D, ...].
        mask: from `masks.draw`.
        reduction: see `sample_weights`.

    Example:
        >>> import torch
        >>> from maskwise import masks
        >>> from maskwise.likelihood import PPCA
        >>> model = PPCA(loadings=torch.zeros(4, 1), noise=1.0)  # independent positions
        >>> x = torch.zeros(8, 4)
        >>> ids = torch.arange(8)
        >>> mask = masks.draw("likelihood", (4,), sample_ids=ids, seed=0, scope="sample")
        >>> round(4 * float(loss(model, x, mask)), 4), round(-float(model.log_prob(x)[0]), 4)
        (3.6758, 3.6758)

    Source: arXiv 2306.00520.
    """
    weights = sample_weights(mask, reduction)
    scores = log_probs(model, x, mask.hidden).sum(dim=1) / mask.num_hidden.clamp(min=1)
    return -(weights * scores).sum() / weights.sum()
