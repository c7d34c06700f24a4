"""What hidden features cost: numbers, categories and counts."""

import torch
from torch import Tensor


def count_losses(
    counts: Tensor, log_mean: Tensor, log_dispersion: Tensor, dropout: Tensor | None = None
) -> Tensor:
    """Return minus the log-probability of counts, in nats.

    Negative binomial with mean m and inverse dispersion t, whose variance is m + m² / t:

        log p(x) = log G(x + t) - log G(t) - log x! + t log(t / (t + m)) + x log(m / (t + m)).

    With `dropout` logits z it is zero-inflated: a count is 0 with probability sigmoid(z), and
    negative binomial otherwise.

    Args:
        counts: x, of any shape.
        log_mean: log m, of that shape.
        log_dispersion: log t, of that shape.
        dropout: z, of that shape, or None.

    Source: Lopez et al., Deep generative modeling for single-cell transcriptomics (Nature Methods
    15, 2018), Methods.

    >>> one, t = torch.ones(1), torch.tensor([2.0])
    >>> count_losses(one, one.log(), t.log()).exp().reciprocal()  # 2 x 4/9 x 1/3
    tensor([0.2963])
    """
    dispersion = log_dispersion.exp()
    log_total = torch.logaddexp(log_dispersion, log_mean)
    at_zero = dispersion * (log_dispersion - log_total)
    log_prob = at_zero + counts * (log_mean - log_total)
    log_prob = log_prob + torch.lgamma(counts + dispersion) - torch.lgamma(dispersion)
    log_prob = log_prob - torch.lgamma(counts + 1)
    if dropout is None:
        return -log_prob
    kept = torch.nn.functional.logsigmoid(-dropout)
    zero = torch.logaddexp(torch.nn.functional.logsigmoid(dropout), kept + at_zero)
    return -torch.where(counts == 0, zero, kept + log_prob)


def category_log_probs(logits: Tensor, places: Tensor) -> Tensor:
    """Return log-probabilities of the categories of each feature.

    Args:
        logits: of all categories of all features, side by side, [B, S].
        places: int64 [C, K], where the categories of each feature stand among them; -1 = it has
            fewer than K.

    Returns:
        [B, C, K], -inf where there is no category.

    >>> logits = torch.tensor([[0.0, 0.0, 5.0]])
    >>> category_log_probs(logits, torch.tensor([[0, 1], [2, -1]])).exp()
    tensor([[[0.5000, 0.5000],
             [1.0000, 0.0000]]])
    """
    each = logits[:, places.clamp(min=0)].masked_fill(places < 0, -torch.inf)
    return each.log_softmax(dim=-1)
