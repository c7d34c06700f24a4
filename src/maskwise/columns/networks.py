"""Networks over features, an MLP with a bottleneck and a transformer; what they minimise."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from maskwise.columns.tabular import ColumnTokenizer, Loss, TabularModelSettings
from maskwise.errors import UserError
from maskwise.layers.transformer import Attention, Transformer, mean_over
from maskwise.layers.trying import require_reads
from maskwise.masks import Mask
from maskwise.modality import Answer, Objective


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

    own = True
    """whether a folder of its weights, without its code, is no model"""

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
        """Return the features of samples after a layer, [B, D]: a code, or mean tokens."""

    @abstractmethod
    def said(self, shown: Reading, layers: Sequence[int]) -> tuple[Output, Tensor, list[Tensor]]:
        """Return the output, the states that it is made of, and the features of some layers."""

    def forward(self, shown: Reading) -> Output:
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
        own: a module of one's own in place of the blocks down to the code, from all that is read,
            side by side, to `width` features.

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
        own: nn.Module | None = None,
    ) -> None:
        super().__init__()
        width, depth, code, norm = shape.width, shape.depth, shape.code, shape.norm
        self.num_parameters, self.times = num_parameters, shape.linear
        self.indicator = shape.corruption == "indicator"
        num = len(sizes)
        num_inputs = num + sum(sizes) + num * self.indicator
        if own is not None:
            what = f"{num} values, {sum(sizes)} categories" + f", {num} blanks" * self.indicator
            require_reads(own, torch.zeros(2, num_inputs), what, width)
        blocks = _blocks(norm, num_inputs, *[width] * depth) if own is None else [own]
        self.own, self.encoder = own is not None, nn.ModuleList(blocks)
        self.code = nn.Linear(width, code)
        self.batch = nn.Embedding(num_batches, code) if num_batches else None
        self.decoder = nn.Sequential(*_blocks(norm, code, *[width] * depth))
        self.numbers = nn.Linear(width, num * num_parameters)
        self.logits = nn.Linear(width, sum(sizes)) if any(sizes) else None
        self.linear = nn.Linear(num + sum(sizes), num + sum(sizes)) if self.times else None
        if self.linear is not None:
            nn.init.zeros_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)

    @property
    def num_layers(self) -> int:
        return len(self.encoder) + 1

    @property
    def trunk(self) -> nn.Module:
        return self.encoder

    def features(self, shown: Reading, layer: int = -1) -> Tensor:
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
        own: a module of one's own in place of the blocks, from tokens [B, F, width] to as many.

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
        own: nn.Module | None = None,
    ) -> None:
        super().__init__()
        num, width, indicator = len(sizes), shape.width, shape.corruption == "indicator"
        owner = [feature for feature, size in enumerate(sizes) for _ in range(size)]
        self.owner = nn.Buffer(torch.tensor(owner, dtype=torch.int64), persistent=False)
        self.names = _normal(0.02, num, width)
        self.values = _normal(width**-0.5, num, width)
        self.categories = _normal(width**-0.5, len(owner), width)
        self.mask_token = _normal(0.02, width) if indicator else None
        if own is not None:
            require_reads(own, torch.zeros(2, num, width), "tokens")
        self.own = own is not None
        self.encoder = (
            Transformer(width, shape.depth, shape.heads, shape.mlp_ratio, attention)
            if own is None
            else own
        )
        self.batch = nn.Embedding(num_batches, width) if num_batches else None
        self.numbers = _normal(width**-0.5, num_parameters, num, width)
        self.number_bias = nn.Parameter(torch.zeros(num, num_parameters))
        self.logits = _normal(width**-0.5, len(owner), width)
        self.logit_bias = nn.Parameter(torch.zeros(len(owner)))

    @property
    def num_layers(self) -> int:
        return len(self.encoder.blocks) if isinstance(self.encoder, Transformer) else 1

    @property
    def trunk(self) -> nn.Module:
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
        x = x + self.names
        if isinstance(self.encoder, Transformer):
            return self.encoder.outputs(x, layers)
        return [self.encoder(x)] * len(layers)

    def features(self, shown: Reading, layer: int = -1) -> Tensor:
        return mean_over(self.tokens(shown, [layer])[0], ~shown.blank)

    def said(self, shown: Reading, layers: Sequence[int]) -> tuple[Output, Tensor, list[Tensor]]:
        *found, states = self.tokens(shown, [*layers, -1])
        x = states + _of_batch(shown.batch, self.batch, states)[:, None]
        numbers = torch.einsum("bfd,pfd->bfp", x, self.numbers) + self.number_bias
        logits = (x[:, self.owner] * self.logits).sum(dim=-1) + self.logit_bias
        features = [mean_over(each, ~shown.blank) for each in found]
        return Output(numbers, logits), states, features


def network_of(
    tokenizer: ColumnTokenizer,
    shape: TabularModelSettings,
    attention: Attention,
    own: nn.Module | None = None,
) -> ColumnNetwork:
    """Return the network that settings describe, or with a module of one's `own` in it.

    Raises:
        UserError: a linear path where there can be none, or a module that does not fit.
    """
    if shape.linear and (shape.kind != "mlp" or tokenizer.loss != "mse"):
        raise UserError(f"linear {shape.linear}: only an mlp of no counts has a linear path")
    data = tokenizer.sizes, 2 if tokenizer.loss == "zinb" else 1, tokenizer.num_batches
    if shape.kind == "mlp":
        return MLP(*data, shape, own)
    return FeatureTransformer(*data, shape, attention, own)


def _blocks(norm: bool, *widths: int) -> list[nn.Sequential]:
    return [
        nn.Sequential(nn.Linear(low, high), *([nn.LayerNorm(high)] if norm else []), nn.GELU())
        for low, high in pairwise(widths)
    ]


def _normal(std: float, *shape: int) -> nn.Parameter:
    return nn.Parameter(nn.init.normal_(torch.empty(shape), std=std))


def _of_batch(batch: Tensor | None, embed: nn.Embedding | None, x: Tensor) -> Tensor:
    """Return what was learned of each sample's batch, [B, D]: 0 where it is not known."""
    if embed is None or batch is None:
        return x.new_zeros(len(x), x.shape[-1])
    return embed(batch.clamp(min=0)) * (batch >= 0)[:, None]


class ColumnLikelihood(Objective):
    """What predicted columns cost: see `column_losses`.

    Args:
        loss: of numbers.
        categories: int64 [C], which columns are categories.
    """

    def __init__(self, loss: Loss, categories: Tensor) -> None:
        super().__init__()
        self.loss = loss
        self.categories = nn.Buffer(categories, persistent=False)

    def forward(self, samples: Tensor, answer: Answer, predicted: Mask) -> Tensor:
        said = self.loss, self.categories, answer.prediction
        losses = column_losses(*said, answer.tokens, predicted.hidden)
        return losses.sum(dim=1) / predicted.num_hidden.clamp(min=1)


def column_losses(
    loss: Loss, categories: Tensor, prediction: tuple[Tensor, ...], values: Tensor, wanted: Tensor
) -> Tensor:
    """Return what every wanted value costs, in nats up to a constant, float32 [B, F]; else 0.

    A number costs half its squared error, minus the log-density of a normal of variance 1; a
    category its cross-entropy; a count minus its log-probability.

    Args:
        loss: "mse" of numbers; "nb" or "zinb" of counts.
        categories: int64 [C], which columns are categories.
        prediction: log-probabilities of categories [B, C, K], and of each number, [B, F]: its
            mean, or the parameters of `count_losses`.
        values: numbers, counts and codes, [B, F]; NaN where nothing was measured.
        wanted: bool [B, F], nothing that was not measured.
    """
    log_probs, *parameters = prediction
    # Zero for what is missing: NaN would reach gradients even where it is not wanted.
    values = values.nan_to_num(0.0)
    if loss == "mse":
        costs = 0.5 * (parameters[0] - values).square()
    else:
        chosen = [part.masked_select(wanted) for part in (values, *parameters)]
        costs = values.new_zeros(values.shape).masked_scatter(wanted, count_losses(*chosen))
    if len(categories):
        codes = values[:, categories].long()[..., None]
        of = -log_probs.gather(2, codes)[..., 0]
        costs = costs.index_copy(1, categories, of.to(costs.dtype))
    return torch.where(wanted, costs, 0.0)


def count_losses(
    counts: Tensor, log_mean: Tensor, log_dispersion: Tensor, dropout: Tensor | None = None
) -> Tensor:
    """Return minus the log-probability of counts, in nats.

    Negative binomial with mean m and inverse dispersion t, whose variance is m + m² / t:

        log p(x) = log G(x + t) - log G(t) - log x! + t log(t / (t + m)) + x log(m / (t + m)).

    With `dropout` logits z it is zero-inflated: a count is 0 with probability sigmoid(z), and
    negative binomial otherwise.

    Args:
        counts: x, of any shape.
        log_mean: log m, of that shape.
        log_dispersion: log t, of that shape.
        dropout: z, of that shape, or None.

    Source: Lopez et al., Deep generative modeling for single-cell transcriptomics (Nature Methods
    15, 2018), Methods.

    >>> one, t = torch.ones(1), torch.tensor([2.0])
    >>> count_losses(one, one.log(), t.log()).exp().reciprocal()  # 2 x 4/9 x 1/3
    tensor([0.2963])
    """
    dispersion = log_dispersion.exp()
    log_total = torch.logaddexp(log_dispersion, log_mean)
    at_zero = dispersion * (log_dispersion - log_total)
    log_prob = at_zero + counts * (log_mean - log_total)
    log_prob = log_prob + torch.lgamma(counts + dispersion) - torch.lgamma(dispersion)
    log_prob = log_prob - torch.lgamma(counts + 1)
    if dropout is None:
        return -log_prob
    kept = torch.nn.functional.logsigmoid(-dropout)
    zero = torch.logaddexp(torch.nn.functional.logsigmoid(dropout), kept + at_zero)
    return -torch.where(counts == 0, zero, kept + log_prob)


def category_log_probs(logits: Tensor, places: Tensor) -> Tensor:
    """Return log-probabilities of the categories of each feature.

    Args:
        logits: of all categories of all features, side by side, [B, S].
        places: int64 [C, K], where the categories of each feature stand among them; -1 = it has
            fewer than K.

    Returns:
        [B, C, K], -inf where there is no category.

    >>> logits = torch.tensor([[0.0, 0.0, 5.0]])
    >>> category_log_probs(logits, torch.tensor([[0, 1], [2, -1]])).exp()
    tensor([[[0.5000, 0.5000],
             [1.0000, 0.0000]]])
    """
    each = logits[:, places.clamp(min=0)].masked_fill(places < 0, -torch.inf)
    return each.log_softmax(dim=-1)
