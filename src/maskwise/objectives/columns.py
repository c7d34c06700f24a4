"""The objective of models of columns: what hidden numbers, categories and counts cost."""

from typing import Literal

import torch
from torch import Tensor

from maskwise.masks import Mask
from maskwise.modality import Answer, Objective

Loss = Literal["mse", "nb", "zinb"]


class ColumnLikelihood(Objective):
    """What predicted columns cost: see `column_losses`."""

    categories: Tensor

    def __init__(self, loss: Loss, categories: Tensor) -> None:
        super().__init__()
        self.loss = loss
        self.register_buffer("categories", categories, persistent=False)

    def forward(self, samples: Tensor, answer: Answer, predicted: Mask) -> Tensor:
        """Return each sample's mean loss, float32 [B]."""
        said = self.loss, self.categories, answer.prediction, answer.tokens
        losses = column_losses(*said, predicted.hidden)
        return losses.sum(dim=1) / predicted.num_hidden.clamp(min=1)


def column_losses(
    loss: Loss, categories: Tensor, prediction: tuple[Tensor, ...], values: Tensor, wanted: Tensor
) -> Tensor:
    """Return what every wanted value costs, in nats up to a constant, float32 [B, F]; else 0.

    A number costs half its squared error, minus the log-density of a normal of variance 1; a
    category its cross-entropy; a count minus its log-probability.

    Args:
        loss: "mse" of numbers; "nb" or "zinb" of counts.
        categories: int64 [C], which columns are categories.
        prediction: log-probabilities of categories [B, C, K], and of each number, [B, F]: its
            mean, or the parameters of `count_losses`.
        values: numbers, counts and codes, [B, F]; NaN where nothing was measured.
        wanted: bool [B, F], nothing that was not measured.
    """
    log_probs, *parameters = prediction
    # Zero for what is missing: NaN would reach gradients even where it is not wanted.
    values = values.nan_to_num(0.0)
    if loss == "mse":
        costs = 0.5 * (parameters[0] - values).square()
    else:
        chosen = [part.masked_select(wanted) for part in (values, *parameters)]
        costs = values.new_zeros(values.shape).masked_scatter(wanted, count_losses(*chosen))
    if len(categories):
        codes = values[:, categories].long()[..., None]
        of = -log_probs.gather(2, codes)[..., 0]
        costs = costs.index_copy(1, categories, of.to(costs.dtype))
    return torch.where(wanted, costs, 0.0)


def count_losses(
    counts: Tensor, log_mean: Tensor, log_dispersion: Tensor, dropout: Tensor | None = None
) -> Tensor:
    """Return minus the log-probability of counts, in nats.

    Negative binomial with mean m and inverse dispersion t, whose variance is m + m² / t:

        log p(x) = log G(x + t) - log G(t) - log x! + t log(t / (t + m)) + x log(m / (t + m)).

    With `dropout` logits z it is zero-inflated: a count is 0 with probability sigmoid(z), and
    negative binomial otherwise.

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
    """Return log-probabilities of the categories of each feature, [B, C, K]; -inf where none is.

    Of logits [B, S] of all categories of all features; int64 `places` [C, K] say where those of a
    feature stand among them, -1 = it has fewer than K.

    >>> logits = torch.tensor([[0.0, 0.0, 5.0]])
    >>> category_log_probs(logits, torch.tensor([[0, 1], [2, -1]])).exp()
    tensor([[[0.5000, 0.5000],
             [1.0000, 0.0000]]])
    """
    each = logits[:, places.clamp(min=0)].masked_fill(places < 0, -torch.inf)
    return each.log_softmax(dim=-1)
