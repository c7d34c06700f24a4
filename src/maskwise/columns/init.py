"""Which weights of a model of features belong to which: what a start from other data asks."""

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from maskwise.columns.tabular import ColumnTokenizer, TabularModelSettings
from maskwise.files import Entries
from maskwise.modality import Init
from maskwise.train.rows import Labels, Slots, from_runs

T = TypeVar("T", bound=ColumnTokenizer)
SHAPE = ("kind", "width", "depth", "code", "heads", "mlp_ratio", "corruption", "norm", "linear")


def from_columns(
    kind: str,
    restore: Callable[[Path, Entries], T],
    what: str,
    categories: Callable[[T], Sequence[Sequence[Hashable]]] = lambda tokenizer: (),
    batches: Callable[[T], Sequence[str]] = lambda tokenizer: (),
) -> Init[Any, Any]:
    """Return how models of features start from runs on other data of their kind.

    Args:
        kind: its name.
        restore: see `Modality.restore`.
        what: features are called.
        categories: of each feature, those of a number are none.
        batches: names of the batches that samples know.
    """
    return from_runs(
        kind,
        restore=restore,
        shape=SHAPE,
        settings=TabularModelSettings,
        slots=lambda tokenizer, config: column_slots(
            tokenizer, config, categories(tokenizer), batches(tokenizer)
        ),
        what=what,
    )


def column_slots(
    tokenizer: ColumnTokenizer,
    config: TabularModelSettings,
    categories: Sequence[Sequence[Hashable]] = (),
    batches: Sequence[str] = (),
) -> Slots:
    """Return which rows and columns of a model's weights belong to which feature.

    Args:
        tokenizer: what the features are.
        config: the shape of the model.
        categories: of each feature.
        batches: names of the batches.
    """
    names, pairs = tokenizer.names, zip(tokenizer.names, categories, strict=False)
    own = [(name,) for name in names]
    each = [(name, one) for name, many in pairs for one in many]
    parameters = range(2 if tokenizer.loss == "zinb" else 1)
    found: dict[str, dict[int, Labels]] = {"log_dispersion": {0: own}}
    found["network.batch.weight"] = {0: [(None, name) for name in batches]}
    if config.kind == "transformer":
        found |= {f"network.{name}": {0: own} for name in ("names", "values", "number_bias")}
        found |= {f"network.{name}": {0: each} for name in ("categories", "logits", "logit_bias")}
        return found | {"network.numbers": {1: own}}
    blanks = [(name, "blank", True) for name in names] if config.corruption == "indicator" else []
    numbers = [(name, "number", parameter) for name in names for parameter in parameters]
    found["network.encoder.0.0.weight"] = {1: [*own, *each, *blanks]}
    for part, labels in (("numbers", numbers), ("logits", each), ("linear", [*own, *each])):
        found |= {f"network.{part}.{end}": {0: labels} for end in ("weight", "bias")}
    return found | {"network.linear.weight": {0: [*own, *each], 1: [*own, *each]}}
