"""Networks over features: an MLP with a bottleneck, and a transformer with a token each."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from maskwise.columns.tabular import ColumnTokenizer
from maskwise.errors import UserError
from maskwise.layers.transformer import Attention, Transformer, mean_over
from maskwise.settings import settings


@settings
class TabularModelSettings:
    """The shape of a masked model of features."""

    kind: Literal["mlp", "transformer"] = "mlp"
    """an MLP with a bottleneck, or a transformer with a token for each feature"""
    width: PositiveInt = 256
    """width of the blocks"""
    depth: PositiveInt = 2
    """blocks; of the MLP on the way to the code, and as many back"""
    code: PositiveInt = 64
    """width of the bottleneck (mlp)"""
    heads: PositiveInt = 4
    """attention heads (transformer)"""
    mlp_ratio: Annotated[float, Field(gt=0)] = 2.0
    """width of the MLPs over that of the tokens (transformer)"""
    corruption: Literal["indicator", "zero", "permute"] = "indicator"
    """what stands for a hidden value in training: a sign that it is hidden, zero without a sign,
    or the value of another sample of the batch, which keeps the feature's distribution"""
    norm: bool = True
    """LayerNorm in the blocks of an mlp: tables are learned better with it, cells without"""
    linear: NonNegativeInt = 0
    """how often a linear path around the code fills in blank numbers; 0 = there is none (mlp of
    numbers that are no counts)"""
    predict_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """share of the hidden values that training predicts"""

    @property
    def num_layers(self) -> int:
        """Layers that can be read: the blocks, and the code of an mlp."""
        return self.depth + (self.kind == "mlp")


class Reading(NamedTuple):
    """What a network is shown of a batch."""

    values: Tensor
    """numbers, float32 [B, F]; 0 where there is none"""
    categories: Tensor
    """one of each feature's, side by side, float32 [B, S]; all 0 where it is not shown"""
    blank: Tensor
    """features that are hidden or were not measured, bool [B, F]"""
    batch: Tensor | None
    """which batch a sample is of, int64 [B], -1 = not known; None = samples do not say"""


class Output(NamedTuple):
    """What a network says of every feature."""

    numbers: Tensor
    """parameters of each feature's number, float32 [B, F, P]"""
    logits: Tensor
    """of all categories, float32 [B, S]"""


class ColumnNetwork(nn.Module, ABC):
    """What a model of columns computes with."""

    @property
    @abstractmethod
    def num_layers(self) -> int:
        """Layers whose features can be read."""

    @property
    def trunk(self) -> nn.Module:
        """The part that makes features."""
        return self

    @abstractmethod
    def features(self, shown: Reading, layer: int = -1) -> Tensor:
        """Return the features of samples after a layer, [B, D]."""

    @abstractmethod
    def said(self, shown: Reading, layers: Sequence[int]) -> tuple[Output, Tensor, list[Tensor]]:
        """Return the output, the states that it is made of, and the features of some layers."""

    def forward(self, shown: Reading) -> Output:
        """Return what the network says of every feature."""
        return self.said(shown, ())[0]


class MLP(ColumnNetwork):
    """Blocks of a linear layer, LayerNorm and GELU down to a code, and up again.

    It reads numbers, one-hot categories and, if asked, which features are blank. The batch of a
    sample is told to the decoder only, so the code need not say it.

    A linear path may lead around the code. One map A from all features to all predicts numbers,
    fills blank ones with what it predicts, and again:

        x <- x where visible, A x + b where blank.

    Of normal data the expectation of what is blank is a fixed point of such a map: the regression
    of each feature on all others. The blocks then learn what is left.

    Args:
        sizes: categories of each feature, 0 = a number.
        num_parameters: P, for each number.
        num_batches: of the data; 0 = none.
        shape: width, depth, code, norm, linear, and whether it reads which features are blank.

    Example:
        >>> network = MLP((0, 0, 3), 1, 0, TabularModelSettings(width=8, depth=1, code=4))
        >>> shown = Reading(torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(2, 3) > 0, None)
        >>> numbers, logits = network(shown)
        >>> numbers.shape, logits.shape, network.features(shown).shape
        (torch.Size([2, 3, 1]), torch.Size([2, 3]), torch.Size([2, 4]))
    """

    def __init__(
        self,
        sizes: Sequence[int],
        num_parameters: int,
        num_batches: int,
        shape: TabularModelSettings,
    ) -> None:
        super().__init__()
        width, depth, code, norm = shape.width, shape.depth, shape.code, shape.norm
        self.num_parameters, self.times = num_parameters, shape.linear
        self.indicator = shape.corruption == "indicator"
        num = len(sizes)
        num_inputs = num + sum(sizes) + (num if self.indicator else 0)
        self.encoder = nn.ModuleList(
            _block(num_inputs if index == 0 else width, width, norm) for index in range(depth)
        )
        self.code = nn.Linear(width, code)
        self.batch = nn.Embedding(num_batches, code) if num_batches else None
        self.decoder = nn.Sequential(
            *(_block(code if index == 0 else width, width, norm) for index in range(depth))
        )
        self.numbers = nn.Linear(width, num * num_parameters)
        self.logits = nn.Linear(width, sum(sizes)) if any(sizes) else None
        self.linear = nn.Linear(num + sum(sizes), num + sum(sizes)) if self.times else None
        if self.linear is not None:
            nn.init.zeros_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)

    @property
    def num_layers(self) -> int:
        """Blocks on the way to the code, and the code."""
        return len(self.encoder) + 1

    @property
    def trunk(self) -> nn.Module:
        """The blocks on the way to the code."""
        return self.encoder

    def features(self, shown: Reading, layer: int = -1) -> Tensor:
        """Return the output of a layer on the way to the code, or the code, [B, D]."""
        return self._outputs(shown, [layer])[0]

    def _outputs(self, shown: Reading, layers: Sequence[int]) -> list[Tensor]:
        parts = [shown.values, shown.categories]
        if self.indicator:
            parts.append(shown.blank.to(shown.values.dtype))
        found = [torch.cat(parts, dim=1)]
        for block in self.encoder:
            found.append(block(found[-1]))
        found.append(self.code(found[-1]))
        return [found[1:][layer] for layer in layers]

    def said(self, shown: Reading, layers: Sequence[int]) -> tuple[Output, Tensor, list[Tensor]]:
        """Return what the network says of every feature, the code, and the output of layers."""
        *found, code = self._outputs(shown, [*layers, -1])
        return self._with_linear(self.decode(code, shown.batch), shown), code, found

    def _with_linear(self, output: Output, shown: Reading) -> Output:
        """Add what the linear path says."""
        if self.linear is None:
            return output
        values, num = shown.values, shown.values.shape[1]
        for _ in range(self.times):
            found = self.linear(torch.cat([values, shown.categories], dim=1))
            values = torch.where(shown.blank, found[:, :num], shown.values)
        return Output(output.numbers + found[:, :num, None], output.logits + found[:, num:])

    def decode(self, code: Tensor, batch: Tensor | None = None) -> Output:
        """Return what a code says of every feature; `batch` as in what is read."""
        x = self.decoder(code + _of_batch(batch, self.batch, code))
        numbers = self.numbers(x).view(len(x), -1, self.num_parameters)
        logits = x[:, :0] if self.logits is None else self.logits(x)
        return Output(numbers, logits)


class FeatureTransformer(ColumnNetwork):
    """A transformer whose tokens are the features of a sample.

    A token is the embedding of its feature plus that of its value: the number times a vector of
    the feature, a vector for each category, or the mask token where the feature is blank.

    Args:
        sizes: categories of each feature, 0 = a number.
        num_parameters: P, for each number.
        num_batches: of the data; 0 = none.
        shape: width, depth, heads, mlp_ratio, and whether blank features become a mask token.
        attention: see `maskwise.layers.transformer.attend`.

    Source: Gorishniy et al., Revisiting deep learning models for tabular data (arXiv 2106.11959),
    for the embedding of values.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        num_parameters: int,
        num_batches: int,
        shape: TabularModelSettings,
        attention: Attention,
    ) -> None:
        super().__init__()
        num, width, indicator = len(sizes), shape.width, shape.corruption == "indicator"
        owner = [feature for feature, size in enumerate(sizes) for _ in range(size)]
        self.owner = nn.Buffer(torch.tensor(owner, dtype=torch.int64), persistent=False)
        self.names = nn.Parameter(nn.init.normal_(torch.empty(num, width), std=0.02))
        self.values = nn.Parameter(nn.init.normal_(torch.empty(num, width), std=width**-0.5))
        self.categories = nn.Parameter(
            nn.init.normal_(torch.empty(len(owner), width), std=width**-0.5)
        )
        self.mask_token = (
            nn.Parameter(nn.init.normal_(torch.empty(width), std=0.02)) if indicator else None
        )
        self.encoder = Transformer(width, shape.depth, shape.heads, shape.mlp_ratio, attention)
        self.batch = nn.Embedding(num_batches, width) if num_batches else None
        self.numbers = nn.Parameter(
            nn.init.normal_(torch.empty(num_parameters, num, width), std=width**-0.5)
        )
        self.number_bias = nn.Parameter(torch.zeros(num, num_parameters))
        self.logits = nn.Parameter(
            nn.init.normal_(torch.empty(len(owner), width), std=width**-0.5)
        )
        self.logit_bias = nn.Parameter(torch.zeros(len(owner)))

    @property
    def num_layers(self) -> int:
        """Blocks."""
        return len(self.encoder.blocks)

    @property
    def trunk(self) -> nn.Module:
        """The blocks."""
        return self.encoder

    def tokens(self, shown: Reading, layers: Sequence[int]) -> list[Tensor]:
        """Return the features' tokens after some blocks, [B, F, D] each."""
        x = shown.values[..., None] * self.values
        if len(self.owner):
            # The categories of a feature add up, and one of them is shown at most.
            each = shown.categories[..., None] * self.categories
            x = x.index_add(1, self.owner, each.to(x.dtype))
        if self.mask_token is not None:
            x = torch.where(shown.blank[..., None], self.mask_token, x)
        return self.encoder.outputs(x + self.names, layers)

    def features(self, shown: Reading, layer: int = -1) -> Tensor:
        """Return the mean of the tokens of shown features after a block, [B, D]."""
        return mean_over(self.tokens(shown, [layer])[0], ~shown.blank)

    def said(self, shown: Reading, layers: Sequence[int]) -> tuple[Output, Tensor, list[Tensor]]:
        """Return what the network says of every feature, tokens, and `features` of layers."""
        *found, states = self.tokens(shown, [*layers, -1])
        x = states + _of_batch(shown.batch, self.batch, states)[:, None]
        numbers = torch.einsum("bfd,pfd->bfp", x, self.numbers) + self.number_bias
        logits = (x[:, self.owner] * self.logits).sum(dim=-1) + self.logit_bias
        features = [mean_over(each, ~shown.blank) for each in found]
        return Output(numbers, logits), states, features


def network_of(
    tokenizer: ColumnTokenizer, shape: TabularModelSettings, attention: Attention
) -> ColumnNetwork:
    """Return the network that settings describe.

    Raises:
        UserError: a linear path where there can be none.
    """
    if shape.linear and (shape.kind != "mlp" or tokenizer.loss != "mse"):
        raise UserError(f"linear {shape.linear}: only an mlp of no counts has a linear path")
    data = tokenizer.sizes, 2 if tokenizer.loss == "zinb" else 1, tokenizer.num_batches
    return (
        MLP(*data, shape) if shape.kind == "mlp" else FeatureTransformer(*data, shape, attention)
    )


def _block(num_inputs: int, width: int, norm: bool) -> nn.Sequential:
    linear = nn.Linear(num_inputs, width)
    return nn.Sequential(linear, *([nn.LayerNorm(width)] if norm else []), nn.GELU())


def _of_batch(batch: Tensor | None, embed: nn.Embedding | None, x: Tensor) -> Tensor:
    """Return what was learned of each sample's batch, [B, D]: 0 where it is not known."""
    if embed is None or batch is None:
        return x.new_zeros(len(x), x.shape[-1])
    return embed(batch.clamp(min=0)) * (batch >= 0)[:, None]
