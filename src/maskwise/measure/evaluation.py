"""What the evaluations of all kinds of data have in common."""

from collections.abc import Sequence
from typing import Annotated, TypeVar

from pydantic import Field

from maskwise.modality import Entries, Splits

Ratio = Annotated[float, Field(gt=0, lt=1)]
ALWAYS = 0.15  # the ratio that published results of symbols are at

M = TypeVar("M")


def models_of(model: M, untrained: M | None, *, baselines: bool) -> dict[str, M]:
    """Return what is probed and fine-tuned, by name: a model, and the same before training.

    >>> models_of(1, 0, baselines=True), models_of(1, None, baselines=True)
    ({'encoder': 1, 'untrained encoder': 0}, {'encoder': 1})
    """
    if not baselines or untrained is None:
        return {"encoder": model}
    return {"encoder": model, "untrained encoder": untrained}


def data_entry(
    splits: Splits, shape: Sequence[int], classes: Sequence[str] | None = None
) -> Entries:
    """Return the "data" entry of result.json."""
    return {
        "name": splits.name,
        "num_train": len(splits.train),
        "num_test": len(splits.test),
        "shape": list(shape),
        "classes": None if classes is None else list(classes),
    }
