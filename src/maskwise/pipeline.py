"""The functions that a modality brings to a run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from maskwise.train.config import Config


@dataclass(frozen=True)
class Pipeline:
    """The functions that a modality brings to a run."""

    config: type[Config]
    """the configuration of its runs"""
    load: Callable[[Any, Config], Any]
    """(data given from Python or None, configuration) -> splits, with `train`, `test`, `name`"""
    describe: Callable[[Any, Config], tuple[Any, Config]]
    """(splits, configuration) -> modality, configuration completed from the data"""
    fingerprint: Callable[[Any], dict[str, Any]]
    """splits -> what must be the same when a run is resumed"""
    settle: Callable[[Any, Any, Config], None]
    """(model, splits, configuration): what is fitted when training has ended"""
    evaluate: Callable[[Any, Any, Config, Any], dict[str, Any]]
    """(model, splits, configuration, untrained model) -> entries of result.json"""
    samples: Callable[..., None]
    """(run folder, model, splits, configuration): writes what the report shows"""
    likelihood: Callable[..., dict[str, Any]]
    """(model, splits, configuration, num_samples, passes, seed) -> likelihood.json"""
    embed: Callable[..., Any]
    """(model, data given from Python, configuration, pool, layer) -> features [N, D]"""
    read: Callable[[Config], Any]
    """configuration -> all samples of its source, as `embed` takes them"""
