"""Libraries of others: imported, or the test is skipped where they are not installed."""

import importlib
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest
import torch

APART = Path(sys.prefix) / "peers"
"""where the Makefile installs those that other tests should not see"""


def peer(name: str) -> ModuleType:
    """Import a library, or skip; torchvision, which many need, also beside a CPU build of torch.

    Its published wheels have operators for CUDA builds only, and do not import without them.
    Nothing here calls any, so it is enough that they are declared.
    """
    boxes = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            torch.library.define(f"torchvision::{operator}", boxes)
    if APART.is_dir() and str(APART) not in sys.path:
        sys.path.append(str(APART))
        importlib.invalidate_caches()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, exc_type=ImportError)
