"""What a report calls things: plain words that a kind of data leaves in its run folders."""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from maskwise.errors import UserError
from maskwise.files import read_json
from maskwise.settings import from_dict, settings

NAME = "words.json"


@settings
class LossWords:
    """Of the loss, or the error, by hidden ratio; {} stands for the target of the run."""

    title: str = "Loss by ratio"
    name: str = "Loss"
    axis: str = "loss of a hidden position"
    head: str = ""
    """above the values in a table; none: the axis"""
    table: str = ""
    """the values in a table's caption; none: the axis"""
    what: str = "Mean loss at hidden positions"
    samples: str = "held-out samples"
    detail: str = ""
    """what else is said of the values, before the pattern"""
    form: Annotated[str, Field(pattern=r"^\.[0-9][fg]$")] = ".4g"
    """how values are written"""
    tabled: bool = True
    """whether baselines and runs stand side by side in tables too"""
    between: tuple[str, ...] = ()
    """settings of the data without which values cannot be compared"""
    pattern: bool = True
    """whether values under different patterns cannot be compared"""
    differ: str = "data or pattern"
    """what runs whose values cannot be compared may differ in"""
    known: Mapping[str, str] = field(default_factory=dict)
    """baselines that know only how frequent something is: name -> what they are"""
    headline: float | None = None
    """a ratio at which the loss is always measured, told at the top of the page; none: no ratio"""
    digits: int = 3
    """of the loss at the top of the page"""


@settings
class LikelihoodWords:
    """Of the likelihood; likelihood.json may call the first four by names of its own."""

    sample: str = "sample"
    position: str = "position"
    dimension: str = "dimension"
    anchor: str = "independent normals"
    kind: str = "likelihood"
    """what an order gives: a density, a probability"""
    compare: str = ""
    """between which models values can be compared: sentences, with a space at the end"""
    dashed: str = "what is known without looking at the sample"
    tested: str = "test samples"


@settings
class ProbeWords:
    """Of probes and fine-tuning."""

    samples: str = "samples"
    """what is classified"""
    labelled: bool = False
    """whether the data has labels of its own, so that the page tells of their absence"""
    measures: tuple[Literal["macro_f1", "mcc", "auroc"], ...] = ("mcc", "auroc")
    """what is shown beside the accuracy: what the literature reports; where macro-F1 is, it is
    what runs are told by"""


@settings
class Words:
    """What a report says of one kind of data; the defaults are for data that says nothing."""

    counted: tuple[str, ...] = ("samples seen", "values read", "predicted values")
    """what training has counted: samples, positions that were encoded, positions predicted"""
    shown: Literal["", "pictures", "tokens", "rows"] = ""
    """what samples.npz or samples.json holds and how it is shown; none: no samples are"""
    aligned: bool = False
    """whether tokens stand below each other"""
    more: str = ""
    """what could be measured if labels or files were given"""
    more_options: str = ""
    """the options of ``maskwise evaluate`` that give them"""
    loss: LossWords = LossWords()
    likelihood: LikelihoodWords = LikelihoodWords()
    probes: ProbeWords = ProbeWords()


GENERIC = Words()


def read(folder: Path) -> Words:
    """Read the words of a run folder; one without its file says nothing special.

    Raises:
        UserError: a damaged file.
    """
    path = folder / NAME
    if not path.is_file():
        return GENERIC
    values = read_json(path)
    try:
        return from_dict(Words, values)
    except UserError as error:
        raise UserError(f"{path} is damaged: {error}; evaluate the run to make it again") from None
