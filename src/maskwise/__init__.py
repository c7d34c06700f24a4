"""maskwise: masked pretraining with the mask ratio as a law.

Names are loaded when first used, so that importing maskwise costs nothing.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

# The public names and where each lives.
_WHERE = {
    "pretrain": "maskwise.api",
    "evaluate": "maskwise.api",
    "inspect": "maskwise.api",
    "measure_likelihood": "maskwise.api",
    "load": "maskwise.api",
    "attach": "maskwise.attaching.attached",
    "export": "maskwise.sharing",
    "check_draws": "maskwise.tables.drawn",
    "missingness": "maskwise.tables.missingness",
    "push_to_hub": "maskwise.sharing",
    "pool": "maskwise.measure.pooling",
    "Run": "maskwise.run",
    "StopTraining": "maskwise.train.metrics",
    "UserError": "maskwise.errors",
}
_MODULES = (
    "diagnostics",
    "integrations",
    "laws",
    "likelihood",
    "masks",
    "objectives",
    "report",
    "rng",
    "theory",
)

__all__ = [
    "Run",
    "StopTraining",
    "UserError",
    "attach",
    "check_draws",
    "diagnostics",
    "evaluate",
    "export",
    "inspect",
    "integrations",
    "laws",
    "likelihood",
    "load",
    "masks",
    "measure_likelihood",
    "missingness",
    "objectives",
    "pool",
    "pretrain",
    "push_to_hub",
    "theory",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"maskwise.{name}")
    raise AttributeError(f"module 'maskwise' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE, *_MODULES])
