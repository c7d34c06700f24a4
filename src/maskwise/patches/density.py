"""What a model of patches says of hidden ones beside its prediction: densities, and draws."""

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.modality import MaskedModel
from maskwise.patches.tokenizer import PatchTokenizer, Statistics
from maskwise.rng import Keys, Stream


class PatchDensity(MaskedModel):
    """A model whose hidden values are independent normals around what it fills in."""

    tokenizer: PatchTokenizer
    head: nn.Linear
    log_variance: Tensor
    log_spread: Tensor

    @property
    @abstractmethod
    def length(self) -> int:
        """Positions of a sample, L."""

    @abstractmethod
    def reconstruct(
        self, batch: Tensor, hidden: Tensor, statistics: Statistics = "visible"
    ) -> Tensor:
        """Return the samples with hidden positions replaced by predictions, in raw units."""

    def conditional_log_prob(self, batch: Tensor, hidden: Tensor) -> Tensor:
        """Return the log-density of each hidden position given the visible ones, [B, L] in nats.

        The P values of a hidden token x_t are normal around what `reconstruct` fills in. Their
        variances are products of one number for each number of hidden positions, and one for each
        value of each position:

            log p(x_t | x_R) = sum_i log N(x_ti; m_ti(x_R), v_M s_ti) - log_scale

        The last term turns the density of standardised values into that of raw ones, so that it
        does not depend on how the model standardises.

        Raises:
            UserError: `fit_noise` has not been called.
        """
        mean, log_variance = self._hidden_normal(batch, hidden)
        squares = (self.tokenizer.tokenize(batch) - mean).square()
        each = math.log(2 * math.pi) + log_variance + squares * (-log_variance).exp()
        return -0.5 * each.sum(-1) - self.tokenizer.log_scale

    def conditional_sample(self, batch: Tensor, hidden: Tensor, keys: Keys) -> Tensor:
        """Return the batch with each hidden position drawn from its own conditional density."""
        mean, log_variance = self._hidden_normal(batch, hidden)
        uniform = keys.open_uniform(Stream.SAMPLE, mean[0].numel())
        noise = torch.special.ndtri(uniform).to(mean).view_as(mean)
        drawn = mean + (log_variance / 2).exp() * noise
        return self.mix(batch, self.tokenizer.untokenize(drawn), hidden)

    def mix(self, batch: Tensor, other: Tensor, hidden: Tensor) -> Tensor:
        """Return the batch with the hidden positions of another one."""
        return torch.where(self.tokenizer.spread(hidden), other, batch)

    def empty(self, num: int) -> Tensor:
        """Return `num` samples that hold nothing yet."""
        shape = (num, self.length, self.tokenizer.token_dim)
        return self.tokenizer.untokenize(self.head.weight.new_zeros(shape))

    def _hidden_normal(self, batch: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and log-variances of standardised tokens, [B, L, token_dim] each."""
        if not self.log_variance.isfinite().all():
            raise UserError(
                "this model has no likelihood yet: call maskwise.patches.losses.fit_noise"
                "(model, source) with training images first"
            )
        mean = self.tokenizer.tokenize(self.reconstruct(batch, hidden))
        # A sample that hides nothing is asked for nothing: any variance will do.
        by_size = self.log_variance[(hidden.sum(dim=1) - 1).clamp(min=0)]
        return mean, by_size[:, None, None] + self.log_spread
