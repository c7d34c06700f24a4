"""The variances of what a model of features predicts, which make its predictions densities."""

from torch import Tensor

from maskwise.columns.model import TabularModel
from maskwise.columns.tabular import TabularRows
from maskwise.measure.noise import fit_variances

LEAST = 1e-6


def fit_feature_noise(model: TabularModel, rows: TabularRows, **options: int) -> None:
    """Set the variances of the model's conditional densities of numbers, if it has any.

    Args:
        model: its device is used, and its training mode is restored.
        rows: training samples.
        **options: `num_samples`, `seed` and `batch_size` of `fit_variances`.
    """
    if model.tokenizer.loss != "mse" or not model.is_number.any():
        return

    def squares_of(samples: Tensor, hidden: Tensor) -> Tensor:
        return 2 * model.losses(samples, hidden)[..., None]

    buffers, numbers = (model.log_variance, model.log_spread), model.is_number
    fit_variances(model, buffers, rows, squares_of, least=LEAST, numbers=numbers, **options)
