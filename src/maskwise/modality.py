"""What a kind of data is: the protocols that a run asks for, and the record that brings them.

The rooms above this one know of a kind of data what stands here, and nothing else.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.files import Entries as Entries
from maskwise.given import Items, Streamed
from maskwise.inspection import Inspection
from maskwise.layers.transformer import Attention
from maskwise.masks import Mask
from maskwise.rng import Keys
from maskwise.samples import Features as Features
from maskwise.samples import Given as Given
from maskwise.samples import Incomplete as Incomplete
from maskwise.samples import Indices as Indices
from maskwise.samples import Known as Known
from maskwise.samples import Labelled as Labelled
from maskwise.samples import Samples as Samples
from maskwise.samples import Source as Source
from maskwise.samples import Splits as Splits
from maskwise.words import GENERIC, Words

EncoderFactory = Callable[[], nn.Module]
Augment = Callable[[Tensor, Keys], Tensor]
"""(samples, their keys) -> samples as training sees them"""
Scorer = Callable[["MaskedModel", Tensor], Tensor]
"""(model, samples) -> scores of their positions [B, L], for patterns that need them"""
Pool = Literal["mean", "class", "both"]
"""features of a sample: the mean of its positions, its class token, or both side by side"""
VisiblePool = Literal["mean", "class"]
"""features of a masked sample: the mean of its visible positions, or the class token"""
Blanks = Literal["zeros", "all"]
"""which values are imputed"""


class Tokenizer(Protocol):
    """How samples become tokens, and what of them may be hidden."""

    @property
    def modality(self) -> str:
        """The name of the kind of data."""

    @property
    def grid(self) -> tuple[int, ...]:
        """Positions along each axis; their product is L."""

    def eligible(self, batch: Tensor, keys: Keys | None = None) -> Tensor | None:
        """Return what may be hidden, bool [B, L], None = all: in a step with `keys`, or ever."""

    def weights(self, batch: Tensor) -> Tensor | None:
        """Return what each position counts in the loss, float32 [B, L]; None = all the same."""

    def save(self, folder: Path) -> Entries:
        """Return plain values that `load` reads; write what else it needs."""


@dataclass(frozen=True)
class Scale:
    """What a training on data of one's own takes where only its time is given.

    Args:
        epochs: how often it shows a sample at most.
        smaller: models smaller than the default, as dotted settings, from large to small; each
            takes about a quarter of the time of the one before.
    """

    epochs: float = 200
    smaller: Sequence[Entries] = ()

    @property
    def keys(self) -> frozenset[str]:
        """The settings that make a model smaller."""
        return frozenset(key for each in self.smaller for key in each)


C = TypeVar("C")
"""the settings of a run"""
S = TypeVar("S")
"""splits"""
T = TypeVar("T")
"""a tokenizer"""
P = TypeVar("P")
"""the settings of a model"""
M = TypeVar("M", bound="MaskedModel")
"""a masked model"""
F = TypeVar("F")


@dataclass(frozen=True)
class Init(Generic[C, M]):
    """How models of a kind start from weights that are there, as the setting model.init names."""

    settings: Callable[[C, Path, Collection[str]], C]
    """(settings, where the weights are, dotted settings that are given) -> settings that fit them;
    raises UserError where those given do not, and reads no more than it takes to know"""
    load: Callable[[M, Path], str]
    """(model of such settings, where the weights are) -> what was taken, left and resized, in
    words; the model has the weights"""
    keys: frozenset[str] = frozenset()
    """dotted settings that `settings` may complete, beside those of the model"""


@dataclass(frozen=True, kw_only=True)
class Modality(Generic[C, S, T, P, M]):
    """A kind of data: all that a run, the reports and the commands ask of it.

    What a kind cannot do is None: whoever is asked for it says so at once.
    """

    name: str
    title: str
    """what a model is called"""
    settings: type[C]
    """of its runs: `data`, `model` and `evaluate` are its own groups"""
    recipes: Mapping[str, Callable[[], C]]
    """complete settings, by name"""
    own: Callable[[str], C]
    """the settings for a source of one's own"""
    scale: Scale = Scale()
    """how these follow from the time that training may take"""

    words: Words = GENERIC
    """what reports say of it"""

    # Which sources are of this kind.
    sources: str
    """one line on what it reads"""
    endings: frozenset[str] = frozenset()
    """of its files, without those of compression"""
    related: frozenset[str] = frozenset()
    """of files by themselves that this kind does not read, but says what to do with"""
    folders: Literal["none", "flat", "deep"] = "deep"
    """whether a folder of such files is a source: never, files directly in it, or all below it"""
    several: bool = False
    """whether a source may be several files, joined by + or a pattern"""
    precedence: int = 0
    """of kinds to which a source could belong, the highest has it"""
    owns: Callable[[Path], bool] | None = None
    """whether a file of such an ending is really of this kind; None: it is"""
    holds: Callable[[Path], bool] | None = None
    """whether a file or folder of none of these endings is of this kind, by what is inside"""
    telling: frozenset[str] = frozenset()
    """settings that only data of this kind have"""
    of_hub: Callable[[str], bool] = lambda source: False
    """whether a data set of the hub, as hf:NAME, is"""
    of_memory: Callable[[object], bool] = lambda data: False
    """whether data given from Python are, a data set as `Items` and a stream as `Streamed`, where
    these are read"""
    of_items: Callable[[Items, C], Given] | None = None
    """(a data set from Python, settings) -> its samples, as `load` and the others take them"""
    of_stream: Callable[[Streamed, C], S] | None = None
    """(a stream from Python, settings) -> splits of its first samples; their `stream` is the
    `StreamSource` that is trained on"""

    # A run, from its data to its result.
    inspect: Callable[[Given, C], Inspection] | None = None
    """(data given from Python or None, settings) -> what a dry look at them finds; None: what
    loading them says"""
    load: Callable[[Given, C], S]
    """(data given from Python or None, settings) -> splits"""
    describe: Callable[[S, C], tuple[T, C]]
    """(splits, settings) -> tokenizer, settings completed from the data"""
    fingerprint: Callable[[S], Entries] | None = None
    """what must be the same when a run is resumed"""
    build: Callable[[T, P, Attention, nn.Module | None], M]
    """(tokenizer, settings of the model, attention, encoder of one's own) -> model"""
    augment: Callable[[C], Augment | None] | None = None
    """how training changes samples; it returns None where settings ask for no change"""
    observed: Callable[[S], Tensor | None] | None = None
    """(splits) -> what rows to train on lack, bool [M, L], for masks that are copies of it; None:
    no row lacks anything"""
    init: Init[C, M] | None = None
    """how a model starts from weights that are there"""
    settle: Callable[[M, S, C], None] = lambda model, splits, config: None
    """what is fitted when training has ended"""
    evaluate: Callable[[M, S, C, M | None], Entries]
    """(model, splits, settings, untrained model) -> entries of result.json"""
    samples: Callable[[Path, M, S, C], None] | None = None
    """writes what the report shows into the run folder"""

    example: Callable[[], tuple[Given, Entries]] | None = None
    """some samples that are made up, and settings for them, on which an encoder can be tried"""

    # A model's folder.
    restore: Callable[[Path, Entries], T]
    """(folder, what `Tokenizer.save` returned) -> tokenizer"""
    parts: Callable[[M], Entries] = lambda model: {}
    """what else it takes to build a model again"""
    encoder_of_parts: Callable[[Entries], EncoderFactory | None] = lambda parts: None
    """what makes the encoder that `parts` tell of"""

    # What a model is used for.
    suited: Callable[[M, Given, C], tuple[M, C]] = lambda model, given, config: (model, config)
    """(model, data given from Python or None, settings) -> the model for samples of a size that
    settings ask for; and settings under which samples have its size, where they ask for none"""
    resized: Callable[[M, tuple[int, ...]], M] | None = None
    """(model, the size of a sample: all axes of it, or some of the last ones) -> the same model
    for samples of that size; None: samples of these models have one size"""
    embed: Callable[[M, Given, C, Pool, int], np.ndarray]
    """(model, data given from Python, settings, pool, layer) -> features [N, D]"""
    read: Callable[[C], Samples]
    """all samples of a source"""
    incomplete: Callable[[M, Given, C], Incomplete] | None = None
    """(model, data given from Python or None, settings) -> samples of which parts may lack"""
    labelled: Callable[[M, Given, C, str | None, Known], Labelled] | None = None
    """(model, data given from Python or None, settings, a column that says what is known of
    samples, None = what the settings or the data name, where that is) -> samples to learn from"""
    source_settings: Callable[[str, str | None], Entries] | None = None
    """(source, genome or the like) -> the settings that say which samples are meant"""
    likelihood: Callable[..., Entries] | None = None
    """(model, splits, law, num_samples, passes, seed) -> likelihood.json"""
    impute: Callable[[M, Given, C], Given] | None = None
    """(model, data given from Python, settings) -> the data with missing values filled in"""
    impute_file: Callable[[M, Path, Path, C, Blanks], str] | None = None
    """(model, source, file to write, settings, entries) -> what was written, in a line"""
    embed_file: Callable[[M, Path, Path, C, int], str] | None = None
    """(model, source, annotated file to write, settings, layer) -> what was written"""
    exports: Mapping[str, Callable[[M, Path], None]] = field(default_factory=dict)
    """formats of other programs by name: (model, an empty folder) -> writes its files"""

    likelihood_of_file: Callable[..., Entries] | None = None
    """(model, file, length, num_samples, passes, seed) -> values as in likelihood.json"""
    foreign: Callable[[str], M] | None = None
    """(place) -> a model of another library"""
    features: Callable[[str, Entries, str | None, bool], Features | None] | None = None
    """(source, settings of the data, target, whether that holds classes) -> samples by features,
    or None where the source is of another kind"""

    @property
    def model_settings(self) -> type[P]:
        """The settings class of its models."""
        [kind] = [each.type for each in fields(self.settings) if each.name == "model"]  # type: ignore[arg-type]
        assert isinstance(kind, type)
        return kind

    def needed(self, found: F | None, what: str) -> F:
        """Return a capability.

        Raises:
            UserError: the kind lacks it.
        """
        if found is None:
            raise UserError(f"models of {self.name} do not {what}")
        return found


class ModelSettings(Protocol):
    """What training asks of the settings of a model."""

    @property
    def predict_fraction(self) -> float:
        """Share of the hidden positions that training predicts."""


class Answer(NamedTuple):
    """What a model says of masked samples."""

    tokens: Tensor
    """what the samples became, where objectives find their targets: [B, L] or [B, L, P]"""
    states: Tensor
    """what the head reads: of the predicted positions, [B, H, D] or row by row [n, D]; of models
    without positions that of the samples, [B, D]"""
    prediction: tuple[Tensor, ...]
    """what the head says, as the objectives of this model read it"""
    features: list[Tensor]
    """of the layers that were asked for, [B, D] each"""


class MaskedModel(nn.Module, ABC):
    """Predicts what is hidden of samples from what is visible; encodes whole samples.

    Below, `samples` are a batch as its source gives them, [B, ...], and `mask` says what of their
    L positions is hidden; what samples hold there is not used.
    """

    tokenizer: Tokenizer
    config: ModelSettings

    @property
    @abstractmethod
    def num_layers(self) -> int:
        """Layers whose features can be read."""

    @property
    @abstractmethod
    def has_class_token(self) -> bool:
        """Whether a token of no position stands for the sample, as pool "class" needs it."""

    @property
    @abstractmethod
    def trunk(self) -> nn.Module:
        """The part that makes features, whose matrices may be kept orthogonal."""

    @abstractmethod
    def answer(
        self,
        samples: Tensor,
        mask: Mask,
        predicted: Mask,
        keys: Keys,
        pool: VisiblePool = "mean",
        layers: Sequence[int] = (),
    ) -> Answer:
        """Return what the model says in a step of training.

        Args:
            samples: [B, ...].
            mask: hidden positions.
            predicted: the part of them that is predicted.
            keys: of the samples, whose randomness is what replaces hidden values.
            pool: which features of a masked sample.
            layers: of which layers, -1 = the last; all in the pass that predicts.
        """

    @abstractmethod
    def objective(self) -> "Objective":
        """Return what this model minimises unless it is told otherwise."""

    @abstractmethod
    def encode(self, samples: Tensor, pool: Pool = "mean", layer: int = -1) -> Tensor:
        """Return features of whole samples, [B, D], or [B, 2 D] for "both"; nothing is hidden."""

    @abstractmethod
    def visible_features(
        self, samples: Tensor, mask: Mask, pool: VisiblePool = "mean", layer: int = -1
    ) -> Tensor:
        """Return features of masked samples, [B, D]."""

    @abstractmethod
    def num_encoded(self, mask: Mask) -> int:
        """Return how many positions of a batch the encoder sees."""

    def eligible(self, samples: Tensor) -> Tensor | None:
        """Return what may be hidden, bool [B, L]; None = all."""
        return self.tokenizer.eligible(samples)


class Objective(nn.Module, ABC):
    """What training minimises: it owns the target and the loss.

    What it learns or keeps itself, parameters and buffers, is trained and saved with the model.
    """

    @abstractmethod
    def forward(self, samples: Tensor, answer: Answer, predicted: Mask) -> Tensor:
        """Return the loss of each sample, float32 [B]: a mean over its predicted positions.

        Args:
            samples: as the model was given them, [B, ...].
            answer: what it said of them.
            predicted: which positions it was asked for.
        """

    def follow(self, model: MaskedModel) -> None:
        """Do what an update of the model asks for; a teacher, which follows it, moves here."""
