"""A table that comes with scikit-learn, for trying things out."""

import numpy as np


def breast_cancer() -> dict[str, np.ndarray]:
    """Return the columns of scikit-learn's 569 tumours: 30 measurements and the diagnosis.

    Source: Street, Wolberg and Mangasarian, Nuclear feature extraction for breast tumor diagnosis
    (SPIE 1905, 1993).

    >>> columns = breast_cancer()
    >>> len(columns), len(columns["mean radius"]), columns["diagnosis"][0]
    (31, 569, 'malignant')
    """
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    columns = dict(zip(map(str, data.feature_names), data.data.T, strict=True))
    return columns | {"diagnosis": data.target_names[data.target].astype(object)}
