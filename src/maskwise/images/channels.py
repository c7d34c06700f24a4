"""What channels are standardised with where that is given, and does not come from the images."""

from collections.abc import Sequence

import torch
from torch import Tensor

from maskwise.errors import UserError, option

FAR = 30.0
"""standard deviations from the mean given, beyond which it is that of something else"""


def given_channels(
    mean: Sequence[float], std: Sequence[float], white: float, own_mean: Tensor, own_std: Tensor
) -> tuple[Tensor, Tensor]:
    """Return means and standard deviations of channels in raw units, float64 [C].

    Args:
        mean: as shares of white, one for each channel or for all; three become their mean for
            images of one channel.
        std: likewise.
        white: its value in raw units.
        own_mean: those of the images, in raw units, [C].
        own_std: likewise.

    Raises:
        UserError: another number of them, or those of values of another size.

    >>> own = torch.tensor([100.0]), torch.tensor([50.0])
    >>> given_channels((0.2, 0.4, 0.6), (0.5,), 255.0, *own)[0].tolist()
    [102.0]
    """
    given_mean, given_std = (_of(each, len(own_mean), white) for each in (mean, std))
    far = ((own_mean - given_mean).abs() + own_std) / given_std
    if far.max() > FAR:
        worst = int(far.argmax())
        raise UserError(
            f"data.mean and data.std leave channel {worst + 1} of the images at"
            f" {(own_mean - given_mean)[worst] / given_std[worst]:.4g} on average, with a standard"
            f" deviation of {own_std[worst] / given_std[worst]:.4g}: they are those of other"
            f" values, so scale the images to 0..1 or 8 bits, or take their own, by"
            f" {option('data.mean', 'none')} {option('data.std', 'none')}"
        )
    return given_mean, given_std


def _of(values: Sequence[float], channels: int, white: float) -> Tensor:
    given = torch.tensor(values, dtype=torch.float64) * white
    if len(values) == 3 and channels == 1:
        return given.mean(0, keepdim=True)
    if len(values) not in (1, channels):
        raise UserError(
            f"data.mean and data.std have {len(values)} numbers, and images {channels} channels:"
            f" give one for each, or {option('data.mean', 'none')} {option('data.std', 'none')}"
            " for those of the images"
        )
    return given.expand(channels)
