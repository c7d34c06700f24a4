"""The configuration of a run, in groups named by what they may change, and its devices."""

import logging
import math
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import nn

from maskwise import laws, masks
from maskwise.errors import UserError, option
from maskwise.laws import Reduction, Scope
from maskwise.masks import Sampling
from maskwise.measure.representation import DiagnoseSettings
from maskwise.objectives.regularise import RegulariseSettings
from maskwise.settings import settings
from maskwise.train.trackers import Name

if TYPE_CHECKING:  # it takes a second to import, and only those who train need it
    from lightning_fabric import Fabric

Share = Annotated[float, Field(ge=0, le=1)]
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_of(budget: str) -> float | None:
    """Return how many seconds a budget is; None: it has no end.

    Raises:
        UserError: it is no time.

    >>> seconds_of("10m"), seconds_of("1.5h"), seconds_of("none")
    (600.0, 5400.0, None)
    """
    if budget == "none":
        return None
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd])", budget)
    seconds = float(found[1]) * SECONDS[found[2]] if found else 0.0
    if not 0 < seconds < math.inf:
        raise UserError(f"train.budget {budget!r} is no time: give 90s, 10m, 2h or none")
    return seconds


def _budget(text: str) -> str:
    text = text.strip().lower()
    seconds_of(text)
    return text


@settings
class TrainSettings:
    """How the model is trained."""

    steps: PositiveInt = 2000
    """optimizer steps"""
    budget: Annotated[str, AfterValidator(_budget)] = "none"
    """time that training may take, as 90s, 10m or 2h: steps, and for data of your own the size of
    the model, are chosen to fit, unless they are given; none: no choice. Data of your own: 10m"""
    batch_size: PositiveInt = 128
    """samples in an optimizer step, over all devices and micro-batches; at most half of the
    training samples, unless it is given"""
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
    checkpoints: PositiveInt = 2
    """how many are kept: the newest"""


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Say whether a parameter has weight decay; biases, norms, tokens and positions do not."""
    return parameter.ndim > 1 and not name.endswith(("token", "positions", "bias"))


@settings
class EfficiencySettings:
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
    timeout: PositiveInt = 1800
    """seconds that devices wait for each other"""
    log: tuple[Name, ...] = ("auto",)
    """where training is told beside metrics.jsonl: tensorboard, wandb, csv (metrics.csv), several
    with commas between, none; auto: TensorBoard, if it is installed"""
    workers: NonNegativeInt | None = None
    """processes that read samples ahead; none: one per core for files that are decoded on demand,
    else 0"""


def _law(text: str) -> str:
    return str(laws.parse(text))


def _pattern(text: str) -> str:
    masks.parse_pattern(text)
    return text


LawText = Annotated[str, AfterValidator(_law)]


@settings
class RunSettings:
    """Everything that decides what a run does. Each modality has its own data, model, evaluate."""

    modality: str
    """kind of data"""
    data: Any
    model: object
    evaluate: object
    law: LawText = "uniform:0.1,0.9"
    """the law of the mask ratio"""
    pattern: Annotated[str, AfterValidator(_pattern)] = "scattered"
    """which positions are hidden, given how many"""
    regularise: RegulariseSettings = Field(default_factory=RegulariseSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    diagnose: DiagnoseSettings = Field(default_factory=DiagnoseSettings)
    efficiency: EfficiencySettings = Field(default_factory=EfficiencySettings)
    seed: NonNegativeInt = 0
    """decides the initial weights, the order of the data and the masks"""

    def __post_init__(self) -> None:
        ranks = self.efficiency.devices * self.efficiency.nodes
        if self.train.batch_size % (ranks * self.train.accumulate):
            raise UserError(
                f"train.batch_size {self.train.batch_size} is not a multiple of {ranks} devices x"
                f" {self.train.accumulate} micro-batches"
            )


def connect(efficiency: EfficiencySettings) -> "Fabric":
    """Return the devices that the configuration asks for, not yet launched."""
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    several = efficiency.devices * efficiency.nodes > 1
    ddp = DDPStrategy(timeout=timedelta(seconds=efficiency.timeout)) if several else None
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    return Fabric(
        accelerator=efficiency.accelerator,
        devices=efficiency.devices,
        num_nodes=efficiency.nodes,
        strategy=ddp or efficiency.strategy,
        precision="bf16-mixed" if efficiency.precision == "bf16" else "32-true",
    )


def launch(fabric: "Fabric", efficiency: EfficiencySettings) -> None:
    """Start the devices.

    Raises:
        UserError: they do not find each other.
    """
    try:
        fabric.launch()
    except torch.distributed.DistNetworkError as error:
        raise UserError(
            f"devices did not meet within {efficiency.timeout} s ({str(error).splitlines()[0]}):"
            f" raise {option('efficiency.timeout')}, or look at the network"
        ) from None
