"""The model of patches: hide positions by dropping or replacing them, predict what was there."""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwise.layers.transformer import Attention, Transformer, gather, mean_over, sincos_positions
from maskwise.masks import Mask
from maskwise.modality import Answer, VisiblePool
from maskwise.objectives.reconstruction import Reconstruction
from maskwise.patches.density import PatchDensity
from maskwise.patches.own import own_encoder
from maskwise.patches.own_encoder import Reader
from maskwise.patches.settings import PatchModelSettings as PatchModelSettings
from maskwise.patches.tokenizer import PatchTokenizer as PatchTokenizer
from maskwise.patches.tokenizer import Statistics as Statistics
from maskwise.rng import Keys
from maskwise.settings import check_layer, check_pool

Pool = Literal["mean", "class", "both", "none"]


class PatchModel(PatchDensity):
    """Predict hidden tokens from visible ones; encode whole samples.

    Below, a batch is what the tokenizer tokenizes, and `hidden` is bool [B, L].

    Args:
        tokenizer: how samples become tokens.
        config: the shape of the model.
        attention: "auto", "sdpa" or "plain"; equal up to rounding.
        encoder: a module of one's own, which `own_encoder` describes; default: the transformer
            that `config` describes.

    Example:
        >>> from maskwise.images.images import Images
        >>> images = Images(patch=(2, 2), channels=1, height=4, width=4, mean=(0.,), std=(1.,))
        >>> shape = PatchModelSettings(width=8, depth=1, heads=2, decoder_width=8)
        >>> model = PatchModel(images, shape)
        >>> model.encode(torch.zeros(3, 1, 4, 4)).shape
        torch.Size([3, 8])
    """

    config: PatchModelSettings

    def __init__(
        self,
        tokenizer: PatchTokenizer,
        config: PatchModelSettings,
        attention: Attention = "auto",
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.tokenizer, self.config = tokenizer, config
        own = None if encoder is None else own_encoder(encoder, tokenizer, config)
        reader = own if isinstance(own, Reader) else None
        self.width = config.width if reader is None else reader.width
        self.class_token, more = None, (config.mlp_ratio, attention, config.eps)
        if reader is None:
            self.embed = nn.Linear(tokenizer.token_dim, self.width)
            self.positions = _positions(tokenizer.grid, self.width, config)
            if config.class_token:
                self.class_token = nn.Parameter(torch.zeros(1, 1, self.width))
        shape = self.width, config.depth, config.heads
        self.encoder = Transformer(*shape, *more) if own is None else own
        if config.mode == "drop":
            hidden = states = config.decoder_width
            self.to_decoder = nn.Linear(self.width, states)
            self.decoder_positions = _positions(tokenizer.grid, states, config)
            self.decoder = Transformer(states, config.decoder_depth, config.decoder_heads, *more)
        else:
            hidden = self.width if reader is None else tokenizer.token_dim
            states = self.width if reader is None else reader.num_states
        self.mask_token = nn.Parameter(torch.zeros(1, 1, hidden))
        self.head = nn.Linear(states, tokenizer.token_dim)
        # Of a hidden value, standardised, when 1..L positions are hidden; `fit_noise` sets it.
        self.log_variance = nn.Buffer(torch.full((self.length,), torch.inf))
        self.log_spread = nn.Buffer(torch.zeros(self.length, tokenizer.token_dim))
        self._initialise()

    def _initialise(self) -> None:
        """Xavier-uniform weights, zero biases, small normal tokens and positions (MAE)."""
        ours = isinstance(self.encoder, Transformer)
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear) and (ours or not name.startswith("encoder.")):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for parameter in (self.class_token, self.mask_token):
            if parameter is not None:
                nn.init.normal_(parameter, std=0.02)

    @property
    def reader(self) -> Reader | None:
        """The encoder, where it embeds tokens itself."""
        return self.encoder if isinstance(self.encoder, Reader) else None

    @property
    def has_class_token(self) -> bool:
        return self.class_token is not None if self.reader is None else self.reader.has_class_token

    @property
    def num_prefix(self) -> int:
        """Tokens of no position, in front of the others."""
        return int(self.has_class_token) if self.reader is None else self.reader.num_prefix

    @property
    def length(self) -> int:
        """Positions of a sample, L."""
        return math.prod(self.tokenizer.grid)

    @property
    def values_per_position(self) -> int:
        """Values in a position, whose density `conditional_log_prob` is."""
        return self.tokenizer.token_dim

    @property
    def num_layers(self) -> int:
        if isinstance(self.encoder, Transformer):
            return len(self.encoder.blocks)
        return 1 if self.reader is None else self.reader.num_layers

    @property
    def trunk(self) -> nn.Module:
        return self.encoder

    def forward(self, tokens: Tensor, mask: Mask, predicted: Mask | None = None) -> Tensor:
        """Return predictions in target space at `predicted.hidden_idx`, [B, H, token_dim].

        `tokens` [B, L, token_dim] are what the tokenizer made of a batch; `predicted` is a part of
        the hidden positions, by default all of them.
        """
        return self.head(self._states(tokens, mask, predicted or mask, ())[0])

    def answer(
        self,
        samples: Tensor,
        mask: Mask,
        predicted: Mask,
        keys: Keys,
        pool: VisiblePool = "mean",
        layers: Sequence[int] = (),
    ) -> Answer:
        """Return what the model says; its prediction is one tensor, [B, H, token_dim].

        Keys are not used: hidden positions all look the same.
        """
        tokens = self.tokenizer.tokenize(samples)
        states, found = self._states(tokens, mask, predicted, layers)
        prediction = self.head(states)
        features = [self._pooled(each, self._seen(mask), pool) for each in found]
        return Answer(tokens, states, (prediction,), features)

    def objective(self) -> Reconstruction:
        """Return the reconstruction of what the tokenizer makes of tokens."""
        return Reconstruction(self.tokenizer.target_of)

    def _states(
        self, tokens: Tensor, mask: Mask, predicted: Mask, layers: Sequence[int]
    ) -> tuple[Tensor, list[Tensor]]:
        """Return what the head reads, and what the encoder's `layers` said."""
        *found, encoded = self._encoded(tokens, mask, [*layers, -1])
        if self.config.mode == "drop":
            return self._decode(encoded, mask, predicted), found
        every = self._pooled(encoded, None, "none")
        every = every if self.reader is None else self.reader.spread(every)
        return gather(every, predicted.hidden_idx), found

    def _encoded(self, tokens: Tensor, mask: Mask, layers: Sequence[int]) -> list[Tensor]:
        """Return what the encoder's layers say of masked samples: the class token comes first.

        In drop mode of visible positions, else of all.
        """
        drop = self.config.mode == "drop"
        if self.reader is not None:
            if not drop:
                tokens = torch.where(mask.hidden[..., None], self.mask_token, tokens)
            return self._outputs(tokens, layers, mask=mask if drop else None)
        if drop:
            seen = mask.visible_idx
            visible = self.embed(gather(tokens, seen)) + _at(self.positions, seen)
            return self._outputs(visible, layers, mask.visible_valid)
        tokens = torch.where(mask.hidden[..., None], self.mask_token, self.embed(tokens))
        return self._outputs(tokens + self.positions, layers)

    def _outputs(
        self,
        tokens: Tensor,
        layers: Sequence[int],
        valid: Tensor | None = None,
        mask: Mask | None = None,
    ) -> list[Tensor]:
        """Return what the encoder makes of embedded tokens; a reader embeds them itself."""
        for layer in layers:
            check_layer("layer", layer, self.num_layers)
        if self.reader is not None:
            return self.reader.outputs(tokens, mask, layers)
        if self.class_token is not None:
            front = self.class_token.expand(
                tokens.shape[0], -1, -1
            )  # len() would fix it in a graph
            tokens = torch.cat([front, tokens], dim=1)
            valid = None if valid is None else F.pad(valid, (1, 0), value=True)
        if isinstance(self.encoder, Transformer):
            return self.encoder.outputs(tokens, layers, valid)
        return [self.encoder(tokens)] * len(layers)

    def visible_features(
        self, batch: Tensor, mask: Mask, pool: VisiblePool = "mean", layer: int = -1
    ) -> Tensor:
        """Return features of masked samples, [B, width]; any layer has the final LayerNorm."""
        [encoded] = self._encoded(self.tokenizer.tokenize(batch), mask, [layer])
        return self._pooled(encoded, self._seen(mask), pool)

    def _seen(self, mask: Mask) -> Tensor | None:
        """Return which encoded positions are visible ones; None = all."""
        return mask.visible_valid if self.config.mode == "drop" else ~mask.hidden

    def _pooled(self, encoded: Tensor, seen: Tensor | None, pool: Pool) -> Tensor:
        """Return the mean of the positions that are `seen` (None = all), or what `pool` says."""
        check_pool(pool, self.has_class_token, get_args(Pool))
        if pool == "class":
            return encoded[:, 0]
        patches = encoded[:, self.num_prefix :]
        if pool == "none":
            return patches
        mean = patches.mean(1) if seen is None else mean_over(patches, seen)
        return mean if pool == "mean" else torch.cat([encoded[:, 0], mean], dim=1)

    def num_encoded(self, mask: Mask) -> int:
        """Return how many positions of a batch the encoder sees."""
        if self.config.mode == "drop":
            return int((~mask.hidden).sum())
        return mask.hidden.numel()

    def _decode(self, encoded: Tensor, mask: Mask, predicted: Mask) -> Tensor:
        """Decode encoded visible tokens with mask tokens; return what those became."""
        seen, asked = mask.visible_idx, predicted.hidden_idx
        encoded = self.to_decoder(encoded)
        num = self.num_prefix
        placed = encoded[:, num:] + _at(self.decoder_positions, seen)
        queries = self.mask_token + _at(self.decoder_positions, asked)
        parts, valid = (encoded[:, :num], placed, queries), None
        counted = (None, mask.visible_valid, predicted.hidden_valid)
        if any(each is not None for each in counted):
            every = [_all_valid(*each) for each in zip(parts, counted, strict=True)]
            valid = torch.cat(every, dim=1)
        return self.decoder(torch.cat(parts, dim=1), valid, num_last=queries.shape[1])

    def encode(self, batch: Tensor, pool: Pool = "mean", layer: int = -1) -> Tensor:
        """Return features of whole samples; nothing is ever hidden.

        They are the "mean" of the positions or the "class" token, [B, width], or "both" side by
        side; "none" gives every position, [B, L, width]. The final LayerNorm is applied to any
        layer.
        """
        tokens = self.tokenizer.tokenize(batch)
        if self.reader is None:
            tokens = self.embed(tokens) + self.positions
        [encoded] = self._outputs(tokens, [layer])
        return self._pooled(encoded, None, pool)

    def predict(self, batch: Tensor, mask: Mask) -> tuple[Tensor, Tensor]:
        """Return (prediction, target) at `mask.hidden_idx`, each [B, H, token_dim]."""
        tokens = self.tokenizer.tokenize(batch)
        target = self.tokenizer.target_of(gather(tokens, mask.hidden_idx))
        return self(tokens, mask), target

    def reconstruct(
        self, batch: Tensor, hidden: Tensor, statistics: Statistics = "visible"
    ) -> Tensor:
        """Return the samples with hidden positions replaced by predictions, in raw units.

        For normalised targets, statistics "visible" takes a patch's mean and variance from visible
        patches nearby, "true" its own (which leaks; for display only).
        """
        mask = Mask(hidden)
        prediction = self(self.tokenizer.tokenize(batch), mask)
        full = prediction.new_zeros(*hidden.shape, prediction.shape[-1])
        full.scatter_(1, mask.hidden_idx[..., None].expand_as(prediction), prediction)
        return self.tokenizer.fill(batch, full, hidden, statistics)


def _positions(grid: tuple[int, ...], width: int, config: PatchModelSettings) -> Tensor:
    if config.positions == "learned":
        return nn.Parameter(nn.init.normal_(torch.empty(1, math.prod(grid), width), std=0.02))
    made = sincos_positions(grid, width, config.position_grid)
    # Those of other weights are not of our formula, so they are kept with the model.
    return nn.Buffer(made[None], persistent=config.positions == "fixed")


def _at(positions: Tensor, index: Tensor) -> Tensor:
    """Pick position embeddings [1, L, D] at positions [B, K]: [B, K, D]."""
    return F.embedding(index, positions[0])


def _all_valid(tokens: Tensor, valid: Tensor | None) -> Tensor:
    return tokens.new_ones(tokens.shape[:2], dtype=torch.bool) if valid is None else valid
