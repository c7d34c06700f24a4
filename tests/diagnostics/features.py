"""Features whose singular values are known."""

import numpy as np


def orthonormal(rows, columns, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((rows, columns)))[0]


def features_of(values, num_samples, mean=0.0):
    """Return features [N, d] with these singular values after centring.

    `mean` is the length of the mean feature, along the direction of the last singular value.
    """
    values = np.asarray(values, dtype=np.float64)
    noise = np.random.default_rng(1).standard_normal((num_samples, len(values)))
    left = np.linalg.qr(np.column_stack([np.ones(num_samples), noise]))[0][:, 1:]
    right = orthonormal(len(values), len(values), seed=2)
    return left * values @ right.T + mean * right[:, -1]


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)
