"""What a model of DNA is worth: loss by ratio, probes, fine-tuning, likelihood; and baselines."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from maskwise.dna.bases import NOTHING, NUM_BASES, C, G, reverse_complement
from maskwise.dna.data import DNASplits
from maskwise.dna.samples import tiles
from maskwise.dna.tasks import SequenceTask, parse_dna_task, read_dna_task
from maskwise.dna.tokens import DNA
from maskwise.errors import UserError
from maskwise.measure.features import (
    ALWAYS,
    Ratio,
    data_entry,
    frozen,
    in_batches,
    models_of,
    random_subset,
    same_length,
)
from maskwise.measure.finetuning import FineTuneSettings, Samples, tuned_row
from maskwise.measure.losses import Held
from maskwise.measure.probes import probe_row
from maskwise.measure.protocols import CHOSEN, ScoringName
from maskwise.modality import Entries, Source
from maskwise.predict.parts import VisibleSettings
from maskwise.rng import Stream, uniforms
from maskwise.settings import settings
from maskwise.tokens.curve import padded, partial_rows
from maskwise.tokens.evaluation import each_layer, held_tokens, losses_by_ratio, measured, shares
from maskwise.tokens.model import LanguageModel

KMER = 4
BATCH = 128  # windows or tiles at once


@settings
class DNAEvaluateSettings(VisibleSettings):
    """How a model of DNA is evaluated."""

    numbers: ClassVar[bool] = False

    ratios: tuple[Ratio, ...] = (0.05, 0.15, 0.3, 0.5, 0.7, 0.9)
    """Hidden fractions at which the loss is measured; 0.15 is always among them."""
    num_windows: PositiveInt = 1024
    """Held-out windows at most, chosen at random."""
    probes: tuple[str, ...] = ()
    """Labelled sequences to probe the frozen model on, as FILE (cross-validated), TRAIN:TEST, or
    with NAME= in front; FASTA files of a class each are joined by +."""
    layers: tuple[int, ...] = (-1,)
    """Layers that are probed, 0 = the first, -1 = the last; none = all."""
    protocols: tuple[ScoringName, ...] = ("logistic", "knn")
    """Probes of labelled sequences."""
    num_train: Annotated[int, Field(ge=2)] = 10_000
    """Labelled sequences to train on at most, chosen at random."""
    num_test: PositiveInt = 10_000
    """Labelled sequences to test on at most, chosen at random."""
    baselines: bool = True
    """Also probe and fine-tune the untrained model, and probe sequences without a model."""
    finetune: FineTuneSettings = FineTuneSettings()
    """Fine-tuning of the whole model."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the choice of samples, the masks, the folds and the bootstrap."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for text in (*self.probes, *self.finetune.tasks):
            parse_dna_task(text)


def evaluate_dna(
    model: LanguageModel[DNA],
    splits: DNASplits,
    config: DNAEvaluateSettings,
    *,
    pattern: str,
    untrained: LanguageModel[DNA] | None = None,
) -> Entries:
    """Return the entries of result.json: data, reconstruction, probes and fine-tuning.

    Nothing depends on the training seed or law, so results of different runs are comparable.
    The train part gives baselines of the losses, and so does the model before training.
    """
    seed, dna = config.seed, model.tokenizer
    models = models_of(model, untrained, baselines=config.baselines)
    some = random_subset(len(splits.test), config.num_windows, seed)
    index = _with_tokens(dna, splits.test, some)
    chosen = random_subset(len(splits.train), config.num_train, seed)
    sizes = (config.num_train, config.num_test)
    tasks = [read_dna_task(text, *sizes, seed) for text in config.probes]
    tuned = [read_dna_task(text, *sizes, seed) for text in config.finetune.tasks]
    return {
        "data": data_entry(splits, [dna.window]),
        "reconstruction": losses_by_ratio(
            *(model, splits.test, index, (*config.ratios, ALWAYS), pattern, seed),
            _floors(dna, splits, chosen),
        ),
        "probes": [row for task in tasks for row in dna_probes(models, task, config)],
        "partial": [row for task in tasks for row in dna_parts(model, task, config)],
        "finetuning": [
            tuned_row(name, model, sequence_samples(model, task), config.finetune)
            for task in tuned
            for name, model in models.items()
        ],
    }


def dna_probes(
    models: Mapping[str, LanguageModel[DNA]], task: SequenceTask, config: DNAEvaluateSettings
) -> list[Entries]:
    """Return the rows of the table of probes, under every model and layer, and of baselines."""
    rows, seed = [], config.seed
    for name, model, layer in each_layer(models, config.layers, task.name):
        x = embed_sequences(model, task.sequences, layer)
        rows += [probe_row(name, x, task, CHOSEN[each], seed) for each in config.protocols]
    if config.baselines:
        for name, x in baseline_features(task.sequences).items():
            rows.append(probe_row(name, x, task, CHOSEN["logistic"], seed))
    return [{"task": task.name} | row for row in rows]


def dna_parts(
    model: LanguageModel[DNA], task: SequenceTask, config: DNAEvaluateSettings
) -> list[Entries]:
    """Return the rows of "partial" in result.json: sequences of which a part is visible.

    Of long ones the middle, and of cross-validation the first fold.
    """
    rows = padded(_padded(_middles(model, task)), model.tokenizer.window, NOTHING)
    known = model.eligible(rows).any(dim=1).numpy()
    train, test = (fold[known[fold]] for fold in task.folds[0])
    return partial_rows(
        *(model, (rows[train], rows[test]), (task.y[train], task.y[test]), task.name, config),
        baselines=config.baselines,
        seed=config.seed,
    )


def _middles(model: LanguageModel[DNA], task: SequenceTask) -> list[np.ndarray]:
    """Return the bases in the middle of sequences that are longer than a window."""
    window = model.tokenizer.window
    return [codes[max(0, (len(codes) - window) // 2) :][:window] for codes in task.sequences]


def _floors(dna: DNA, splits: DNASplits, index: np.ndarray) -> dict[str, Tensor]:
    """Return what each token costs if nothing but frequencies is known, [V] by name, in nats.

    Those of its bases, -sum_i log p(b_i), and of the token itself, where tokens are longer.
    """
    of_bases = shares(DNA(window=splits.train.width), splits.train, index)
    costs = dict(zip("ACGT", (-of_bases.log()).tolist(), strict=False))
    letters = dna.spell(range(len(dna.alphabet)))
    composed = [sum(costs.get(base, 0.0) for base in token) for token in letters]
    found = {"base composition": torch.tensor(composed, dtype=torch.float64)}
    if any(len(token) > 1 for token in letters):
        found["unigram"] = -shares(dna, splits.train, index).log()
    return found


def _with_tokens(dna: DNA, source: Source, index: np.ndarray) -> np.ndarray:
    """Return those of the windows that have a token to hide: of k-mers, some have none."""
    some = [dna.eligible(source.get(batch)).any(dim=1) for batch in in_batches(index, BATCH)]
    return index[torch.cat(some).numpy()]


def sequence_samples(model: LanguageModel[DNA], task: SequenceTask) -> Samples[LanguageModel[DNA]]:
    """Return sequences as a model takes them: of long ones the middle, on a random strand."""
    train, test = task.folds[0]
    if len(np.unique(task.y[test])) < 2:
        raise UserError(f"task '{task.name}': the first fold has one class: give TRAIN:TEST")
    window = model.tokenizer.window
    sequences = _middles(model, task)
    known = model.tokenizer.eligible(_padded(sequences)).any(dim=1)
    if not known.all():
        what = (
            f"sequence {int(known.int().argmin()) + 1} has no token of known bases: leave it out"
        )
        raise UserError(f"task '{task.name}': {what}")
    lengths = torch.tensor([len(sequences[place]) for place in train])

    def rows(index: Tensor, seed: int, epoch: int) -> Tensor:
        turned = uniforms(seed, Stream.STRAND, epoch=epoch, sample_ids=index) < 0.5
        chosen = zip((sequences[place] for place in train[index.numpy()]), turned, strict=True)
        return _padded([reverse_complement(codes) if other else codes for codes, other in chosen])

    notes = ["first fold as test" if len(task.folds) > 1 else task.note]
    if num_cut := sum(len(codes) > window for codes in task.sequences):
        notes.append(f"{num_cut} sequences cut to the {window} bases in their middle")
    return Samples(
        *(task.name, task.y[train], task.y[test], len(task.classes), lengths),
        rows,
        lambda tuned: embed_sequences(tuned, [sequences[place] for place in test]),
        "; ".join(filter(None, notes)),
    )


def _padded(sequences: Sequence[np.ndarray]) -> Tensor:
    """Return codes as rows of equal width, uint8 [B, W], with nothing after their ends."""
    rows = [torch.from_numpy(codes.copy()) for codes in sequences]
    return pad_sequence(rows, batch_first=True, padding_value=NOTHING)


def dna_likelihood(
    model: LanguageModel[DNA], splits: DNASplits, law: str, **options: int | None
) -> Entries:
    """Return what likelihood.json holds, for windows of the test part; see `measure`."""
    dna = model.tokenizer
    position = "base" if dna.tokens == "bases" else "token"
    words = {"sample": "window", "position": position, "dimension": "base"}

    def held(index: np.ndarray) -> Held:
        ids = dna.ids(splits.test.get(_with_tokens(dna, splits.test, index)))
        sizes = torch.tensor([len(letters) for letters in dna.spell(range(len(dna.alphabet)))])
        num_dims = (sizes[ids] * dna.eligible(ids)).sum(dim=1).double().mean()
        return held_tokens(model, ids, words)._replace(num_dims=float(num_dims))

    return measured(model, held, len(splits.test), splits.name, law, **options)


def embed_sequences(
    model: LanguageModel[DNA], sequences: Sequence[np.ndarray], layer: int = -1
) -> np.ndarray:
    """Return features of sequences, float32 [N, D]; nothing is hidden, lengths are not normalised.

    The mean over the positions of both strands, so that a sequence, uint8 codes, and its reverse
    complement have the same. Strands longer than the model's window are cut into as few tiles of
    about equal lengths as fit; batches of tiles hold equal lengths.
    """
    if not len(sequences):
        raise UserError("no sequences: give at least one")
    dna = model.tokenizer
    pairs = [(place, tile) for place, codes in enumerate(sequences) for tile in tiles(dna, codes)]
    owner, parts = np.array([place for place, _ in pairs]), [tile for _, tile in pairs]
    sums, counts = np.zeros((len(sequences), model.network.width)), np.zeros(len(sequences))
    with frozen(model) as device:
        for index in same_length([len(part) for part in parts], BATCH):
            batch = torch.from_numpy(np.stack([parts[place] for place in index])).to(device)
            num = model.eligible(batch).sum(dim=1).cpu().numpy()
            if not num.any():  # perhaps shorter than a token
                continue
            encoded = model.encode(batch, layer=layer).float().cpu().numpy()
            np.add.at(sums, owner[index], encoded * num[:, None])
            np.add.at(counts, owner[index], num)
    if not counts.all():
        place = int(counts.argmin())
        raise UserError(f"sequence {place + 1} has no token of known bases: leave it out")
    return (sums / counts[:, None]).astype(np.float32)


def baseline_features(sequences: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Return the features of every baseline by name, each float32 [N, D].

    One-hot bases, [N, 4 W], are only of sequences of equal length; unknown ones are none.

    >>> from maskwise.dna.bases import encode
    >>> found = baseline_features([encode("ACGTNN"), encode("ggANNN")])
    >>> found["GC content"].round(2).tolist(), found["one-hot bases"].shape
    ([[0.5], [0.6700000166893005]], (2, 24))
    """
    found = {
        "GC content": kmer_frequencies(sequences, 1)[:, [C, G]].sum(axis=1, keepdims=True),
        f"{KMER}-mer frequencies": kmer_frequencies(sequences),
    }
    if len({len(codes) for codes in sequences}) == 1:
        which = np.stack(sequences)[..., None] & 7 == np.arange(NUM_BASES)
        found["one-hot bases"] = which.reshape(len(sequences), -1).astype(np.float32)
    return found


def kmer_frequencies(sequences: Sequence[np.ndarray], k: int = KMER) -> np.ndarray:
    """Return the share of each k-mer among the overlapping k-mers of a strand, float32 [N, 4^k].

    K-mers with an unknown base do not count; where none is left, all shares are 0.

    >>> from maskwise.dna.bases import encode
    >>> kmer_frequencies([encode("AACNA")], k=2)[0, :4].tolist()  # AA, AC, AG, AT
    [0.5, 0.5, 0.0, 0.0]
    """
    found = np.zeros((len(sequences), NUM_BASES**k), dtype=np.float32)
    places = NUM_BASES ** np.arange(k)[::-1]
    for counts, codes in zip(found, sequences, strict=True):
        if len(codes) < k:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(codes & 7, k)
        known = windows[(windows < NUM_BASES).all(axis=1)]
        counts[:] = np.bincount(known @ places, minlength=len(counts)) / max(len(known), 1)
    return found
