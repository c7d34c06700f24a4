"""The configuration of a run: every choice, in groups named by what they may change."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt

from maskwise import laws, masks
from maskwise.cells.data import CellsData
from maskwise.columns.evaluation import TabularEvaluate
from maskwise.columns.model import Tabular
from maskwise.dna.data import DNAData
from maskwise.dna.evaluation import DNAEvaluate
from maskwise.dna.model import DNAModel
from maskwise.errors import UserError
from maskwise.images.data import ImageData
from maskwise.images.evaluation import Evaluate
from maskwise.laws import Reduction, Scope
from maskwise.masks import Sampling
from maskwise.measure.representation import Diagnose
from maskwise.objectives.regularise import Regularise
from maskwise.patches.model import Model
from maskwise.settings import from_dict, settings
from maskwise.tables.data import TableData
from maskwise.text.data import TextData
from maskwise.text.evaluation import TextEvaluate
from maskwise.tokens.model import TextModel

Share = Annotated[float, Field(ge=0, le=1)]


@settings
class Train:
    """How the model is trained."""

    steps: PositiveInt = 2000
    """optimizer steps"""
    batch_size: PositiveInt = 128
    """samples in an optimizer step, over all devices and micro-batches"""
    accumulate: PositiveInt = 1
    """micro-batches in a step"""
    lr: PositiveFloat = 1e-3
    """peak learning rate"""
    betas: tuple[Share, Share] = (0.9, 0.95)
    """AdamW's decay rates"""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """weight decay of matrices; biases, norms and tokens have none"""
    warmup: Share = 0.05
    """share of the steps with a rising learning rate; a cosine to zero follows"""
    clip: PositiveFloat | None = 1.0
    """largest norm of the gradient"""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """decay of an average of the weights, which then is the model that is kept"""
    scope: Scope = "step"
    """one ratio for each step or for each sample"""
    sampling: Sampling = "independent"
    """how per-sample ratios spread over a batch"""
    reduction: Reduction = "sample_mean"
    """how the losses of hidden positions become one number"""
    log_every: PositiveInt = 10
    """steps between lines of metrics.jsonl"""
    checkpoint_every: PositiveInt = 500
    """steps between checkpoints"""


@settings
class Efficiency:
    """What may change speed, and results by rounding only."""

    precision: Literal["fp32", "bf16"] = "fp32"
    """number format of the matrix products"""
    attention: Literal["auto", "sdpa", "plain"] = "auto"
    """torch's fused kernel or the equation written out; auto: plain on a CPU"""
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """where to compute"""
    devices: PositiveInt = 1
    """devices on this machine"""
    nodes: PositiveInt = 1
    """machines"""
    strategy: Literal["auto", "ddp"] = "auto"
    """how several devices share the work"""
    workers: NonNegativeInt | None = None
    """processes that read samples ahead; none: one per core for files that are decoded on demand,
    else 0"""


def _law(text: str) -> str:
    return str(laws.parse(text))


def _pattern(text: str) -> str:
    masks.parse_pattern(text)
    return text


@settings
class Config:
    """Everything that decides what a run does. Each modality has its own data, model, evaluate."""

    modality: str
    """kind of data"""
    data: Any
    model: Any
    evaluate: Any
    law: Annotated[str, AfterValidator(_law)] = "uniform:0.1,0.9"
    """the law of the mask ratio"""
    pattern: Annotated[str, AfterValidator(_pattern)] = "scattered"
    """which positions are hidden, given how many"""
    regularise: Regularise = Field(default_factory=Regularise)
    train: Train = Field(default_factory=Train)
    diagnose: Diagnose = Field(default_factory=Diagnose)
    efficiency: Efficiency = Field(default_factory=Efficiency)
    seed: NonNegativeInt = 0
    """decides the initial weights, the order of the data and the masks"""

    def __post_init__(self) -> None:
        ranks = self.efficiency.devices * self.efficiency.nodes
        if self.train.batch_size % (ranks * self.train.accumulate):
            raise UserError(
                f"train.batch_size {self.train.batch_size} is not a multiple of {ranks} devices x"
                f" {self.train.accumulate} micro-batches"
            )


def _check_layer(layer: int, depth: int) -> None:
    if not -depth <= layer < depth:
        raise UserError(f"evaluate.layer {layer} is outside 0..{depth - 1} (or -1 = last)")


@settings
class ImageConfig(Config):
    """Everything that decides what a run on images does."""

    modality: Literal["images"] = "images"
    """kind of data"""
    data: ImageData = Field(default_factory=ImageData)
    model: Model = Field(default_factory=Model)
    evaluate: Evaluate = Field(default_factory=Evaluate)
    law: Annotated[str, AfterValidator(_law)] = "uniform:0.4,0.9"
    """the law of the mask ratio"""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_layer(self.evaluate.layer, self.model.depth)
        if not (self.model.class_token or "mean" in self.evaluate.pools):
            raise UserError("evaluate.pools without 'mean' need --model.class_token true")


@settings
class TextConfig(Config):
    """Everything that decides what a run on texts does."""

    modality: Literal["text"] = "text"
    """kind of data"""
    data: TextData = Field(default_factory=TextData)
    model: TextModel = Field(default_factory=TextModel)
    evaluate: TextEvaluate = Field(default_factory=TextEvaluate)
    law: Annotated[str, AfterValidator(_law)] = "uniform:0.1,0.5"
    """the law of the mask ratio"""


@settings
class DNAConfig(Config):
    """Everything that decides what a run on DNA does."""

    modality: Literal["dna"] = "dna"
    """kind of data"""
    data: DNAData = Field(default_factory=DNAData)
    model: DNAModel = Field(default_factory=DNAModel)
    evaluate: DNAEvaluate = Field(default_factory=DNAEvaluate)
    law: Annotated[str, AfterValidator(_law)] = "uniform:0.05,0.5"
    """the law of the mask ratio"""


@settings
class CellsConfig(Config):
    """Everything that decides what a run on single cells does."""

    modality: Literal["cells"] = "cells"
    """kind of data"""
    data: CellsData = Field(default_factory=CellsData)
    model: Tabular = Field(default_factory=lambda: Tabular(corruption="zero", norm=False))
    evaluate: TabularEvaluate = Field(default_factory=TabularEvaluate)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_layer(self.evaluate.layer, self.model.num_layers)


@settings
class TablesConfig(Config):
    """Everything that decides what a run on a table does."""

    modality: Literal["tables"] = "tables"
    """kind of data"""
    data: TableData = Field(default_factory=TableData)
    model: Tabular = Field(default_factory=Tabular)
    evaluate: TabularEvaluate = Field(default_factory=TabularEvaluate)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_layer(self.evaluate.layer, self.model.num_layers)


CONFIGS: dict[str, type[Config]] = {
    "images": ImageConfig,
    "text": TextConfig,
    "dna": DNAConfig,
    "cells": CellsConfig,
    "tables": TablesConfig,
}


def read_config(values: Any) -> Config:
    """Build the configuration of a run from what its config.json holds.

    Raises:
        UserError: an unknown key or a bad value, in one line.
    """
    if not isinstance(values, dict):
        raise UserError(f"input should be a dictionary, not {type(values).__name__}")
    modality = values.get("modality")
    if modality not in CONFIGS:
        raise UserError(f"modality {modality!r} is none of {', '.join(CONFIGS)}")
    return from_dict(CONFIGS[modality], values)
