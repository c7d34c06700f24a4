"""Cells and a table that come with libraries, for trying things out."""

from typing import Any

import numpy as np

from maskwise.errors import UserError


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


def pbmc68k() -> Any:
    """Return scanpy's 700 blood cells as AnnData: `raw` holds log-normalised expression.

    Source: Zheng et al., Massively parallel digital transcriptional profiling of single cells
    (Nature Communications 8, 2017).

    Raises:
        UserError: scanpy is not installed.
    """
    try:
        import scanpy
    except ImportError:
        raise UserError('pbmc68k comes with scanpy: pip install "maskwise[cells]"') from None
    return scanpy.datasets.pbmc68k_reduced()
