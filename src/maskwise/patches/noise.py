"""The variance of what a model predicts, which makes its predictions a density."""

import math

import torch
from torch import Tensor

from maskwise.measure.likelihoods import fit_variances
from maskwise.modality import Source
from maskwise.patches.model import PatchModel


def fit_noise(model: PatchModel, source: Source, **options: int) -> None:
    """Set the variances of the model's conditional densities.

    Args:
        model: its device is used, and its training mode is restored.
        source: training samples.
        **options: `num_samples`, `seed` and `batch_size` of `fit_variances`.
    """
    tokenize = model.tokenizer.tokenize

    def squares_of(samples: Tensor, hidden: Tensor) -> Tensor:
        return (tokenize(model.reconstruct(samples, hidden)) - tokenize(samples)).square()

    buffers, least = (model.log_variance, model.log_spread), _least(model, source.get([0]).dtype)
    fit_variances(model, buffers, source, squares_of, least=least, numbers=None, **options)


def _least(model: PatchModel, dtype: torch.dtype) -> float:
    """Return a variance that keeps densities finite.

    Bytes are rounded: an error of less than that, 1/12 level², is an accident.
    """
    if dtype != torch.uint8:
        return 1e-6
    return math.exp(-2 * model.tokenizer.log_scale / model.tokenizer.token_dim) / 12
