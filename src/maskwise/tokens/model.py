"""The masked language model: predict hidden tokens from visible ones; encode whole sequences."""

import copy
from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, Self, TypeVar, cast

import torch
from torch import Tensor, nn

from maskwise.layers.transformer import Attention, mean_over
from maskwise.masks import Mask
from maskwise.modality import Answer, MaskedModel, ModelSettings, Pool, Tokenizer, VisiblePool
from maskwise.objectives.cross_entropy import CrossEntropy, Shares, corrupt
from maskwise.rng import Keys, Stream
from maskwise.settings import check_layer, check_pool
from maskwise.tokens.network import TokenNetwork

# Logits held at once: vocabularies are large.
MOST_LOGITS = 2**25


class SymbolTokenizer(Tokenizer, Protocol):
    """What a language model asks of its data."""

    @property
    def start(self) -> tuple[int, ...]:
        """Tokens in front of every row's text or sequence."""

    @property
    def mask(self) -> int:
        """The token of what is hidden."""

    @property
    def alphabet(self) -> Tensor:
        """Which tokens a sample can hold and be predicted to hold, bool [V]."""

    def ids(self, batch: Tensor) -> Tensor:
        """Return token ids, int64 [B, L]."""

    def inputs(self, ids: Tensor) -> Tensor:
        """Return what a network embeds for token ids, some of them hidden, int64 [B, L]."""

    def documents(self, ids: Tensor) -> Tensor:
        """Return which document of its row a token is of, int64 [B, L]; 0 = padding."""

    def eligible(self, batch: Tensor, keys: Keys | None = None) -> Tensor:
        """Return what may be hidden, bool [B, L]."""

    def spell(self, ids: Sequence[int]) -> list[str]:
        """Return what each token says behind those before it."""

    def spell_next(self, before: Sequence[int], token: int) -> str:
        """Return what a token says behind others."""


Symbols = TypeVar("Symbols", bound=SymbolTokenizer)
Read = TypeVar("Read", bound=SymbolTokenizer, contravariant=True)


class LanguageSettings(ModelSettings, Protocol[Read]):
    """The shape of a language model."""

    @property
    def corruption(self) -> Shares:
        """Shares of the hidden tokens that become the mask token, a random token, and stay."""

    def network(
        self, tokenizer: Read, attention: Attention, own: nn.Module | None = None
    ) -> TokenNetwork:
        """Return the network that these settings describe, for what reads its samples.

        With a module of one's `own` it is that between embedding and head, see `OwnNetwork`.
        """


class LanguageModel(MaskedModel, Generic[Symbols]):
    """A masked language model with its tokens.

    Samples of texts are token ids, int64 [B, L]; of DNA codes of bases, uint8 [B, W], or ids. Only
    what a text, or a sequence, can hold has a probability: special tokens, but that of unknown
    words, have none, and are never hidden.

    Features and logits are computed by `network`, a `TokenNetwork`; by default by the one that
    `config` describes, in which any other module has the place of the blocks (`OwnNetwork`).

    Example:
        >>> from maskwise.text.model import TextModelSettings
        >>> from maskwise.text.text import train_tokenizer
        >>> text = train_tokenizer(["the cat sat on the mat"] * 9, vocab_size=300, length=8)
        >>> model = LanguageModel(text, TextModelSettings(width=16, depth=1, heads=2))
        >>> model.encode(text.tokenize(["the cat", "a mat"]).ids).shape
        torch.Size([2, 16])
    """

    tokenizer: Symbols
    config: LanguageSettings[Symbols]

    def __init__(
        self,
        tokenizer: Symbols,
        config: LanguageSettings[Symbols],
        attention: Attention = "auto",
        network: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.tokenizer, self.config = tokenizer, config
        if not hasattr(network, "logits"):  # it says logits itself, or is a part of what does
            network = config.network(tokenizer, attention, network)
        self.network = cast(TokenNetwork, network)

    def reading(self, tokenizer: Symbols) -> Self:
        """Return a model that reads rows of another length; the weights are shared."""
        made = copy.copy(self)
        made.tokenizer = tokenizer
        return made

    @property
    def has_class_token(self) -> bool:
        """Whether a row begins with a token that belongs to no text."""
        return bool(self.tokenizer.start)

    @property
    def num_layers(self) -> int:
        return self.network.num_layers

    @property
    def trunk(self) -> nn.Module:
        return self.network

    def forward(self, batch: Tensor, mask: Mask, predicted: Mask | None = None) -> Tensor:
        """Return logits at the hidden positions, or a part of them, row by row, [n, V]."""
        ids = self.tokenizer.ids(batch).masked_fill(mask.hidden, self.tokenizer.mask)
        return self.network.logits(*self._read(ids), predicted or mask)

    def answer(
        self,
        samples: Tensor,
        mask: Mask,
        predicted: Mask,
        keys: Keys,
        pool: VisiblePool = "mean",
        layers: Sequence[int] = (),
    ) -> Answer:
        """Return what the model says; its prediction is logits, or what makes them.

        Features are those of the model as it is trained: where hidden tokens are replaced or stay,
        as they are.
        """
        tokens, shares = self.tokenizer, self.config.corruption
        ids = tokens.ids(samples)
        seen = corrupt(
            *(ids, mask.hidden, keys), mask=tokens.mask, alphabet=tokens.alphabet, shares=shares
        )
        states, prediction, found = self.network.at(*self._read(seen), predicted, layers)
        counted = self.eligible(samples) & ~mask.hidden
        features = [self._pooled(each, counted, pool) for each in found]
        return Answer(ids, states, prediction, features)

    def objective(self) -> CrossEntropy:
        return CrossEntropy(self.tokenizer.weights)

    def visible_features(
        self, samples: Tensor, mask: Mask, pool: VisiblePool = "mean", layer: int = -1
    ) -> Tensor:
        """Return features of masked samples, [B, D]; what is hidden becomes the mask token."""
        ids = self.tokenizer.ids(samples).masked_fill(mask.hidden, self.tokenizer.mask)
        counted = self.eligible(samples) & ~mask.hidden
        return self._pooled(self.features(ids, layer), counted, pool)

    def num_encoded(self, mask: Mask) -> int:
        return mask.hidden.numel()

    def features(self, batch: Tensor, layer: int = -1) -> Tensor:
        """Return the features of every token after a layer, [B, L, width]; nothing is hidden."""
        check_layer("layer", layer, self.num_layers)
        return self.network.features(*self._read(self.tokenizer.ids(batch)), layer)

    def encode(self, samples: Tensor, pool: Pool = "mean", layer: int = -1) -> Tensor:
        """Return features of whole texts or sequences, one in each row; nothing is ever hidden.

        They are the "mean" of the tokens, the "class" token in front, or "both" side by side.
        """
        return self._pooled(self.features(samples, layer), self.eligible(samples), pool)

    def _pooled(self, features: Tensor, counted: Tensor, pool: str) -> Tensor:
        """Return the mean of the tokens that count [B, L], the first token, or both."""
        check_pool(pool, self.has_class_token)
        mean = mean_over(features, counted)
        parts = {"mean": [mean], "class": [features[:, 0]], "both": [features[:, 0], mean]}
        return torch.cat(parts[pool], dim=1)

    def eligible(self, samples: Tensor) -> Tensor:
        return self.tokenizer.eligible(samples)

    def conditional_log_prob(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Return log p(x_t | x_R) of every hidden token, float32 [B, L]; -inf for special ones."""
        ids = self.tokenizer.ids(x)
        found = [
            predicted.gather(1, wanted[:, None])[:, 0]
            for predicted, wanted in self.predictions(ids, hidden, ids)
        ]
        values = torch.cat(found).to(x.device)
        return torch.zeros(hidden.shape, device=x.device).masked_scatter(hidden, values)

    def conditional_sample(self, x: Tensor, hidden: Tensor, keys: Keys) -> Tensor:
        """Return ids with each hidden token drawn for itself, by the inverse of its CDF."""
        ids = self.tokenizer.ids(x)
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
        """Give log-probabilities where hidden, [n, V], and `other` there, [n]; by some rows."""
        device = next(self.parameters()).device
        most = max(1, int(hidden.sum(dim=1).max())) * len(self.tokenizer.alphabet)
        num = max(1, MOST_LOGITS // most)
        each = (part.to(device).split(num) for part in (x, hidden, other))
        for rows, row_hidden, row_other in zip(*each, strict=True):
            logits = self.possible_logits(rows, Mask(row_hidden))
            yield logits.log_softmax(dim=1), row_other[row_hidden]

    def possible_logits(self, batch: Tensor, mask: Mask, predicted: Mask | None = None) -> Tensor:
        """Return `forward` in float32 over the tokenizer's tokens; -inf for special tokens."""
        alphabet = self.tokenizer.alphabet.to(batch.device)
        logits = self(batch, mask, predicted).float()[:, : len(alphabet)]
        return logits.masked_fill(~alphabet, -torch.inf)

    def _read(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return what the network embeds, and documents, None where each row is one."""
        documents = self.tokenizer.documents(ids)
        inputs = self.tokenizer.inputs(ids)
        return inputs, None if bool((documents == 1).all()) else documents
