"""The masked language model: predict hidden tokens from visible ones; encode whole sequences."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.layers.transformer import Attention, mean_over
from maskwise.masks import Mask
from maskwise.objectives.corruption import Shares, check_shares, corrupt
from maskwise.objectives.regularise import VisiblePool
from maskwise.rng import Keys, Stream
from maskwise.settings import settings
from maskwise.text.text import Text
from maskwise.tokens.sequence import SequenceNetwork

# Logits held at once: vocabularies are large.
MOST_LOGITS = 2**25


@settings
class TextModel:
    """The shape of a masked language model."""

    width: int = 256
    """width of the tokens"""
    depth: int = 6
    """blocks"""
    heads: int = 4
    """attention heads"""
    mlp_ratio: float = 4.0
    """size of the gated MLPs, as the ratio of a plain MLP with as many weights"""
    corruption: Shares = (1.0, 0.0, 0.0)
    """shares of the hidden tokens that become the mask token, become a random token and stay
    (BERT: 0.8,0.1,0.1)"""
    predict_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """share of the hidden tokens that training predicts"""
    hf: str | None = None
    """train this masked language model of transformers instead (a folder or hub name), with its
    tokenizer; width, depth, heads and mlp_ratio are not used"""
    pretrained: bool = False
    """go on from the weights of `hf`; else they are random"""

    def __post_init__(self) -> None:
        for name in ("width", "depth", "heads"):
            if getattr(self, name) < 1:
                raise UserError(f"model.{name} must be at least 1, not {getattr(self, name)}")
        check_shares(self.corruption)
        if self.pretrained and self.hf is None:
            raise UserError("model.pretrained needs --model.hf, which says whose weights")
        if self.mlp_ratio <= 0:
            raise UserError(f"model.mlp_ratio must be above 0, not {self.mlp_ratio:g}")

    def network(self, modality: Text, attention: Attention) -> SequenceNetwork:
        """Return the transformer that these settings describe."""
        shape = self.width, self.depth, self.heads, self.mlp_ratio
        return SequenceNetwork(modality.num_tokens, *shape, attention)


class LanguageModel(nn.Module):
    """A masked language model with its tokens.

    Samples of texts are token ids, int64 [B, L]; of DNA codes of bases, uint8 [B, W], or ids. Only
    what a text, or a sequence, can hold has a probability: special tokens, but that of unknown
    words, have none, and are never hidden.

    Args:
        modality: how samples become tokens.
        config: the shape of the model.
        attention: "auto", "sdpa" or "plain"; equal up to rounding.
        network: what computes features and logits; default: what `config` describes.

    Example:
        >>> from maskwise.text.tokenizer import train_tokenizer
        >>> text = train_tokenizer(["the cat sat on the mat"] * 9, vocab_size=300, length=8)
        >>> model = LanguageModel(text, TextModel(width=16, depth=1, heads=2))
        >>> model.encode(text.tokenize(["the cat", "a mat"]).ids).shape
        torch.Size([2, 16])
    """

    def __init__(
        self,
        modality: Any,
        config: Any,
        attention: Attention = "auto",
        network: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.modality, self.config = modality, config
        self.network: Any = network or config.network(modality, attention)

    @property
    def has_class_token(self) -> bool:
        """Whether a row begins with a token that belongs to no text."""
        return bool(self.modality.start)

    @property
    def num_layers(self) -> int:
        """Layers that `encode` can read."""
        return self.network.num_layers

    def forward(self, batch: Tensor, mask: Mask, predicted: Mask | None = None) -> Tensor:
        """Return logits at the hidden positions, row by row, [n, V].

        Args:
            batch: samples; what they hold at hidden positions is not used.
            mask: hidden positions [B, L], which become the mask token.
            predicted: a part of the hidden positions; default: all of them.
        """
        ids = self.modality.ids(batch).masked_fill(mask.hidden, self.modality.mask)
        return self.network.logits(*self._read(ids), predicted or mask)

    def sample_losses(self, batch: Tensor, mask: Mask, predicted: Mask, keys: Keys) -> Tensor:
        """Return each sample's mean cross-entropy over its predicted tokens, float32 [B].

        Where the tokens of the modality have weights, it is the weighted mean.

        Args:
            batch: samples.
            mask: hidden positions [B, L].
            predicted: the part of them that is predicted.
            keys: whose corruption.
        """
        return self.losses_and_features(batch, mask, predicted, keys)[0]

    def losses_and_features(
        self,
        batch: Tensor,
        mask: Mask,
        predicted: Mask,
        keys: Keys,
        pool: VisiblePool = "mean",
        layers: Sequence[int] = (),
    ) -> tuple[Tensor, list[Tensor]]:
        """Return `sample_losses`, and what `visible_features` returns of some layers.

        The latter as the model is trained: where hidden tokens are replaced or stay, as they are.
        """
        ids = self.modality.ids(batch)
        seen = corrupt(
            ids,
            mask.hidden,
            keys,
            mask=self.modality.mask,
            alphabet=self.modality.alphabet.to(ids.device),
            shares=self.config.corruption,
        )
        asked = *self._read(seen), predicted, ids[predicted.hidden]
        tokens: list[Tensor] = []
        if layers:
            losses, tokens = self.network.losses_and_features(*asked, layers)
        else:  # which need not compute the last layer of every token
            losses = self.network.losses(*asked)
        counted = self.eligible(batch) & ~mask.hidden
        features = [self._pooled(each, counted, pool) for each in tokens]
        rows = predicted.hidden.nonzero()[:, 0]
        weights = self.modality.weights(batch)
        if weights is None:
            total = predicted.num_hidden.clamp(min=1)
        else:
            losses = losses * weights[predicted.hidden]
            # Where nothing counts, the sample has weight 0 in the loss of the batch.
            total = torch.where(predicted.hidden, weights, 0).sum(dim=1).clamp(min=1e-6)
        return losses.new_zeros(len(ids)).index_add(0, rows, losses) / total, features

    def visible_features(
        self, batch: Tensor, mask: Mask, pool: VisiblePool = "mean", layer: int = -1
    ) -> Tensor:
        """Return features of masked samples, [B, D].

        Args:
            batch: samples.
            mask: hidden positions [B, L], which become the mask token.
            pool: "mean" of the visible tokens, or the "class" token in front of them.
            layer: which layer, -1 = the last.
        """
        ids = self.modality.ids(batch).masked_fill(mask.hidden, self.modality.mask)
        tokens = self.network.features(*self._read(ids), self._layer(layer))
        return self._pooled(tokens, self.eligible(batch) & ~mask.hidden, pool)

    def num_encoded(self, mask: Mask) -> int:
        """Return how many positions of a batch the network sees: all of them."""
        return mask.hidden.numel()

    def features(self, batch: Tensor, layer: int = -1) -> Tensor:
        """Return the features of every token after a layer, [B, L, width]; nothing is hidden."""
        return self.network.features(*self._read(self.modality.ids(batch)), self._layer(layer))

    def _layer(self, layer: int) -> int:
        if not -self.num_layers <= layer < self.num_layers:
            raise UserError(f"layer {layer} is outside 0..{self.num_layers - 1} (or -1 = last)")
        return layer

    def encode(
        self, batch: Tensor, pool: Literal["mean", "class", "both"] = "mean", layer: int = -1
    ) -> Tensor:
        """Return features of whole texts or sequences, one in each row; nothing is ever hidden.

        Args:
            batch: samples.
            pool: "mean" of the tokens of the text, the "class" token in front of it, or "both"
                side by side.
            layer: which layer, -1 = the last.
        """
        return self._pooled(self.features(batch, layer), self.eligible(batch), pool)

    def _pooled(self, features: Tensor, counted: Tensor, pool: str) -> Tensor:
        """Return the mean of the tokens that count [B, L], the first token, or both."""
        if pool != "mean" and not self.has_class_token:
            raise UserError(f"pool '{pool}' needs a token in front of texts: use mean")
        mean = mean_over(features, counted)
        parts = {"mean": [mean], "class": [features[:, 0]], "both": [features[:, 0], mean]}
        return torch.cat(parts[pool], dim=1)

    def eligible(self, batch: Tensor) -> Tensor:
        """Return which tokens may be hidden, bool [B, L]: neither special ones nor padding."""
        return self.modality.eligible(batch)

    def conditional_log_prob(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Return log p(x_t | x_R) of every hidden token, float32 [B, L]; -inf for special ones."""
        ids = self.modality.ids(x)
        found = [
            predicted.gather(1, wanted[:, None])[:, 0]
            for predicted, wanted in self.predictions(ids, hidden, ids)
        ]
        values = torch.cat(found).to(x.device)
        return torch.zeros(hidden.shape, device=x.device).masked_scatter(hidden, values)

    def conditional_sample(self, x: Tensor, hidden: Tensor, keys: Keys) -> Tensor:
        """Return ids with each hidden token drawn for itself, by the inverse of its CDF."""
        ids = self.modality.ids(x)
        u = keys.open_uniform(Stream.SAMPLE, ids.shape[1])
        drawn = []
        for predicted, level in self.predictions(ids, hidden, u):
            cumulative = predicted.double().exp().cumsum(dim=1)
            # u in (0, 1) meets no token without probability, be it the first or the last.
            drawn.append((cumulative < level[:, None] * cumulative[:, -1:]).sum(dim=1))
        return ids.masked_scatter(hidden, torch.cat(drawn).to(ids.device))

    def predictions(
        self, x: Tensor, hidden: Tensor, other: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Give log-probabilities of all tokens where hidden, [n, V], and `other` there, [n].

        Some rows at a time.
        """
        device = next(self.parameters()).device
        most = max(1, int(hidden.sum(dim=1).max())) * len(self.modality.alphabet)
        num = max(1, MOST_LOGITS // most)
        each = (part.to(device).split(num) for part in (x, hidden, other))
        for rows, row_hidden, row_other in zip(*each, strict=True):
            logits = self.possible_logits(rows, Mask(row_hidden))
            yield logits.log_softmax(dim=1), row_other[row_hidden]

    def possible_logits(self, batch: Tensor, mask: Mask, predicted: Mask | None = None) -> Tensor:
        """Return `forward` in float32 over the modality's tokens; -inf for special tokens."""
        alphabet = self.modality.alphabet.to(batch.device)
        logits = self(batch, mask, predicted).float()[:, : len(alphabet)]
        return logits.masked_fill(~alphabet, -torch.inf)

    def _read(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return what the network embeds, and the documents of packed or padded rows.

        The latter are None where each row is one document.
        """
        documents = self.modality.documents(ids)
        inputs = self.modality.inputs(ids)
        return inputs, None if bool((documents == 1).all()) else documents
