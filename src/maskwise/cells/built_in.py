"""Cells that come with scanpy, for trying things out."""

from typing import Any

from maskwise.errors import UserError


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
