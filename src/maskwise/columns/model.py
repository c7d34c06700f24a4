"""The masked model of samples by features: single cells and tables."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from maskwise.columns.networks import (
    MLP,
    ColumnLikelihood,
    ColumnNetwork,
    Output,
    Reading,
    category_log_probs,
    column_losses,
    network_of,
)
from maskwise.columns.tabular import ColumnTokenizer, TabularModelSettings, measured
from maskwise.errors import UserError
from maskwise.layers.transformer import Attention
from maskwise.masks import Mask
from maskwise.modality import Answer, MaskedModel, Pool, VisiblePool
from maskwise.rng import Keys, Stream
from maskwise.settings import check_layer, check_pool

__all__ = ["TabularModel", "TabularModelSettings"]

MOST = 10.0  # log of how many times its average a count is expected to be


class TabularModel(MaskedModel):
    """Predict hidden features from visible ones; encode whole samples.

    What was not measured (NaN) is handled as hidden and never predicted.

    Args:
        tokenizer: what the features are.
        config: the shape of the model.
        attention: "auto", "sdpa" or "plain"; equal up to rounding.
        network: a `ColumnNetwork`, or a module of one's own that goes into the one that `config`
            describes, see `MLP` and `FeatureTransformer`; default: that one as it is.

    Example:
        >>> from maskwise.cells.cells import Cells
        >>> shape = TabularModelSettings(width=8, depth=1, code=4)
        >>> model = TabularModel(Cells(("CD3E", "CD19", "LYZ")), shape)
        >>> model.encode(torch.rand(5, 3)).shape
        torch.Size([5, 4])
    """

    tokenizer: ColumnTokenizer
    config: TabularModelSettings
    has_class_token = False

    def __init__(
        self,
        tokenizer: ColumnTokenizer,
        config: TabularModelSettings,
        attention: Attention = "auto",
        network: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.tokenizer, self.config = tokenizer, config
        if not isinstance(network, ColumnNetwork):
            network = network_of(tokenizer, config, attention, network)
        self.network = network
        # These are known, also where weights have shapes only.
        sizes, num = torch.tensor(tokenizer.sizes, device="cpu"), len(tokenizer.sizes)
        columns = sizes.nonzero()[:, 0]
        code = torch.arange(int(sizes.max()), device="cpu")
        first = (sizes.cumsum(dim=0) - sizes)[columns, None]
        places = torch.where(code < sizes[columns, None], first + code, -1)
        self.columns = nn.Buffer(columns, persistent=False)
        self.places = nn.Buffer(places, persistent=False)
        self.is_number = nn.Buffer(sizes == 0, persistent=False)
        self.log_dispersion = nn.Parameter(torch.zeros(num)) if tokenizer.loss != "mse" else None
        # Of a number when 1..F features are blank; `fit_feature_noise` sets it.
        self.log_variance = nn.Buffer(torch.full((num,), torch.inf))
        self.log_spread = nn.Buffer(torch.zeros(num))

    @property
    def length(self) -> int:
        """Features of a sample, F."""
        return len(self.tokenizer.sizes)

    @property
    def num_layers(self) -> int:
        return self.network.num_layers

    @property
    def trunk(self) -> nn.Module:
        return self.network.trunk

    def forward(self, batch: Tensor, hidden: Tensor) -> Output:
        """Return what the network says of every feature.

        Args:
            batch: samples, [B, F] or [B, F + 1].
            hidden: bool [B, F]; what they hold there is not used.
        """
        return self.network(self._read(batch, hidden))

    def answer(
        self,
        samples: Tensor,
        mask: Mask,
        predicted: Mask,
        keys: Keys,
        pool: VisiblePool = "mean",
        layers: Sequence[int] = (),
    ) -> Answer:
        """Return what the model says; its prediction is what `column_losses` reads.

        The keys say whose values are permuted.
        """
        check_pool(pool, self.has_class_token)
        shown = self._read(samples, mask.hidden, keys)
        output, states, features = self.network.said(shown, layers)
        prediction = self._prediction(output, samples, mask.hidden)
        return Answer(samples[:, : self.length], states, prediction, features)

    def objective(self) -> ColumnLikelihood:
        return ColumnLikelihood(self.tokenizer.loss, self.columns)

    def visible_features(
        self, samples: Tensor, mask: Mask, pool: VisiblePool = "mean", layer: int = -1
    ) -> Tensor:
        return self._features(samples, mask.hidden, pool, layer)

    def losses(self, batch: Tensor, hidden: Tensor) -> Tensor:
        """Return the loss of every hidden feature, float32 [B, F]; 0 where visible."""
        said = self._prediction(self(batch, hidden), batch, hidden)
        wanted = hidden & self.tokenizer.eligible(batch)
        values = batch[:, : self.length]
        return column_losses(self.tokenizer.loss, self.columns, said, values, wanted)

    def num_encoded(self, mask: Mask) -> int:
        return mask.hidden.numel()  # the network reads all of them

    def encode(self, samples: Tensor, pool: Pool = "mean", layer: int = -1) -> Tensor:
        """Return features of whole samples, [B, D]; nothing is hidden but what was not measured.

        Args:
            samples: float32 [B, F], or [B, F + 1].
            pool: "mean", the only one: of the tokens of a transformer; the MLP has one vector.
            layer: which layer, -1 = the last: of the MLP the code.
        """
        return self._features(
            samples, torch.zeros_like(self.tokenizer.eligible(samples)), pool, layer
        )

    def _features(self, batch: Tensor, hidden: Tensor, pool: str, layer: int) -> Tensor:
        check_pool(pool, self.has_class_token)
        check_layer("layer", layer, self.num_layers)
        return self.network.features(self._read(batch, hidden), layer)

    def predict(self, batch: Tensor, hidden: Tensor) -> Tensor:
        """Return what every feature is expected to be given the visible ones, float32 [B, F].

        Numbers and counts are means; of a category the code of the most probable one. What is said
        of a visible feature has seen that feature.

        Args:
            batch: samples.
            hidden: bool [B, F].
        """
        log_probs, found, *others = self._prediction(self(batch, hidden), batch, hidden)
        if self.tokenizer.loss != "mse":
            found = found.exp()
        if self.tokenizer.loss == "zinb":
            found = found * torch.sigmoid(-others[1])
        return self._with_categories(found, log_probs)

    def decode(self, code: Tensor) -> Tensor:
        """Return the samples that codes stand for, float32 [B, F], as `predict` does.

        Args:
            code: what `encode` returns, [B, D].

        Raises:
            UserError: a transformer has no code, of a linear path it says too little, and counts
                have a library size too.
        """
        if self.config.kind != "mlp" or self.config.linear or self.tokenizer.loss != "mse":
            raise UserError("only an mlp of no counts, without a linear path, decodes a code")
        assert isinstance(self.network, MLP)
        output = self.network.decode(code)
        return self._with_categories(output.numbers[..., 0].float(), self._log_probs(output))

    def reconstruct(self, batch: Tensor, hidden: Tensor) -> Tensor:
        """Return the samples with hidden and missing features filled in by `predict`."""
        blank = hidden | ~measured(batch, self.length)
        return self.mix(batch, self.predict(batch, hidden), blank)

    def conditional_log_prob(self, batch: Tensor, hidden: Tensor) -> Tensor:
        """Return log p(x_j | x_R) of each hidden feature given the visible ones, nats [B, F].

        Numbers are normal around what `predict` says, in the units of the data. Their variances
        are products of one number for each number of blank features and one for each feature:

            log p(x_j | x_R) = log N(x_j; m_j(x_R), v_M s_j) - log_scale_j.

        Categories and counts have probabilities. Features that were not measured have 0.

        Args:
            batch: samples.
            hidden: bool [B, F].

        Raises:
            UserError: there are numbers, and `fit_feature_noise` has not been called.
        """
        costs = self.losses(batch, hidden)
        if self.tokenizer.loss != "mse" or not self.is_number.any():
            return -costs
        log_variance = self._log_variances(batch, hidden)
        normal = math.log(2 * math.pi) / 2 + log_variance / 2 + costs * (-log_variance).exp()
        normal = normal + self.tokenizer.log_scale.to(costs.device)
        wanted = hidden & self.tokenizer.eligible(batch)
        return -torch.where(wanted, torch.where(self.is_number, normal, costs), 0.0)

    def conditional_sample(self, batch: Tensor, hidden: Tensor, keys: Keys) -> Tensor:
        """Return samples with each hidden feature drawn from its own conditional."""
        u = keys.open_uniform(Stream.SAMPLE, self.length)
        output = self(batch, hidden)
        log_probs, *parameters = self._prediction(output, batch, hidden)
        if self.tokenizer.loss != "mse":
            drawn = _draw_counts(u, *parameters)
        else:
            noise = torch.special.ndtri(u).to(output.numbers.dtype)
            deviation = (self._log_variances(batch, hidden) / 2).exp()
            drawn = output.numbers[..., 0] + deviation * noise
        if len(self.columns):
            cumulative = log_probs.double().exp().cumsum(dim=-1)
            level = u[:, self.columns, None] * cumulative[..., -1:]
            drawn[:, self.columns] = (cumulative < level).sum(dim=-1).to(drawn.dtype)
        return self.mix(batch, drawn, hidden)

    def mix(self, batch: Tensor, other: Tensor, hidden: Tensor) -> Tensor:
        """Return samples with the hidden features of another batch."""
        values = torch.where(hidden, other[:, : self.length], batch[:, : self.length])
        return torch.cat([values, batch[:, self.length :]], dim=1)

    def empty(self, num: int) -> Tensor:
        """Return `num` samples that hold nothing yet; of no batch, where there are batches."""
        samples = self.log_spread.new_zeros(num, self.length + bool(self.tokenizer.num_batches))
        samples[:, self.length :] = -1
        return samples

    def _read(self, batch: Tensor, hidden: Tensor, keys: Keys | None = None) -> Reading:
        """Return what the network is shown."""
        known = measured(batch, self.length)
        blank = hidden | ~known
        values = self.tokenizer.inputs(batch, blank)
        if self.config.corruption == "permute" and keys is not None:
            everything = self.tokenizer.inputs(batch, ~known)
            order = keys.bits(Stream.PERMUTE, self.length).argsort(dim=0)
            there = known.gather(0, order)
            values = torch.where(hidden & there, everything.gather(0, order), values)
            blank = blank & ~(hidden & there)
        shown = values.new_zeros(values.shape[0], sum(self.tokenizer.sizes))
        if len(self.columns):
            at = self.places[:, 0] + values[:, self.columns].long()
            shown.scatter_(1, at, (~blank[:, self.columns]).to(shown.dtype))
        of = batch[:, self.length].long() if self.tokenizer.num_batches else None
        return Reading(torch.where(self.is_number, values, 0.0), shown, blank, of)

    def _prediction(self, output: Output, batch: Tensor, hidden: Tensor) -> tuple[Tensor, ...]:
        """Return what `column_losses` reads: of counts log-means are before zero inflation."""
        log_probs, first = self._log_probs(output), output.numbers[..., 0].float()
        if self.log_dispersion is None:
            return log_probs, first
        log_mean = self.tokenizer.log_library(batch, hidden) + first.clamp(max=MOST)
        found = log_probs, log_mean, self.log_dispersion.expand_as(log_mean)
        return (*found, output.numbers[..., 1].float()) if self.tokenizer.loss == "zinb" else found

    def _with_categories(self, found: Tensor, log_probs: Tensor) -> Tensor:
        """Set the most probable categories in what is expected, [B, F]."""
        if len(self.columns):
            found[:, self.columns] = log_probs.argmax(dim=-1).to(found.dtype)
        return found

    def _log_probs(self, output: Output) -> Tensor:
        """Return log-probabilities of categories, [B, C, K]."""
        if not len(self.columns):
            return output.logits[..., None]
        return category_log_probs(output.logits.float(), self.places)

    def _log_variances(self, batch: Tensor, hidden: Tensor) -> Tensor:
        """Return log-variances of hidden numbers, [B, F]."""
        if not self.log_variance.isfinite().all():
            raise UserError(
                "this model has no likelihood yet: call maskwise.columns.losses."
                "fit_feature_noise(model, rows) with training samples first"
            )
        num_blank = (hidden | ~measured(batch, self.length)).sum(dim=1)
        return self.log_variance[(num_blank - 1).clamp(min=0)][:, None] + self.log_spread


def _draw_counts(
    u: Tensor, log_mean: Tensor, log_dispersion: Tensor, dropout: Tensor | None = None
) -> Tensor:
    """Return counts drawn by the inverse of their CDF, float32 [B, F]."""
    from scipy.stats import nbinom

    mean, dispersion = (each.double().exp().cpu().numpy() for each in (log_mean, log_dispersion))
    level = u.cpu()
    if dropout is not None:
        zero = torch.sigmoid(dropout).double().cpu()
        level = ((level - zero) / (1 - zero)).clamp(min=0)
    drawn = nbinom.ppf(level.numpy(), dispersion, dispersion / (dispersion + mean))
    return torch.from_numpy(drawn).to(log_mean).clamp(min=0)
