"""Fine-tuning on sequences of DNA with labels."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from maskwise.dna.bases import NOTHING, reverse_complement
from maskwise.dna.features import embed_sequences
from maskwise.dna.tasks import SequenceTask
from maskwise.errors import UserError
from maskwise.measure.finetuning import FineTuneSettings, Samples, tuned_row
from maskwise.modality import Entries
from maskwise.rng import Stream, uniforms
from maskwise.tokens.model import LanguageModel


def finetune_sequences(
    models: Mapping[str, LanguageModel], task: SequenceTask, config: FineTuneSettings
) -> list[Entries]:
    """Return accuracy, Matthews correlation and AUROC of fine-tuned models, see `tuned_row`.

    Of a task that is cross-validated, the first fold is the test.

    Args:
        models: what to fine-tune, by name.
        task: the sequences and their split.
        config: how.
    """
    return [
        tuned_row(name, model, sequence_samples(model, task), config)
        for name, model in models.items()
    ]


def sequence_samples(model: LanguageModel, task: SequenceTask) -> Samples[LanguageModel]:
    """Return sequences as a model takes them; of long ones the middle, as wide as its window.

    In training each sequence is read on a random strand in each epoch; in testing on both.

    Raises:
        UserError: the test has a single class, or a sequence no token of known bases.
    """
    train, test = task.folds[0]
    if len(np.unique(task.y[test])) < 2:
        raise UserError(f"task '{task.name}': the first fold has one class: give TRAIN:TEST")
    window = model.tokenizer.window
    sequences = [_middle(codes, window) for codes in task.sequences]
    known = model.tokenizer.eligible(_padded(sequences)).any(dim=1)
    if not known.all():
        place = int(known.int().argmin())
        raise UserError(
            f"task '{task.name}': sequence {place} has no token of known bases: leave it out"
        )
    lengths = torch.tensor([len(sequences[place]) for place in train])

    def rows(index: Tensor, seed: int, epoch: int) -> Tensor:
        turned = uniforms(seed, Stream.STRAND, epoch=epoch, sample_ids=index) < 0.5
        chosen = zip((sequences[place] for place in train[index.numpy()]), turned, strict=True)
        return _padded([reverse_complement(codes) if other else codes for codes, other in chosen])

    num_cut = sum(len(codes) > window for codes in task.sequences)
    notes = (
        "first fold as test" if len(task.folds) > 1 else task.note,
        f"{num_cut} sequences cut to the {window} bases in their middle" if num_cut else "",
    )
    return Samples(
        task.name,
        task.y[train],
        task.y[test],
        len(task.classes),
        lengths,
        rows,
        lambda tuned: embed_sequences(tuned, [sequences[place] for place in test]),
        "; ".join(filter(None, notes)),
    )


def _middle(codes: np.ndarray, width: int) -> np.ndarray:
    """Return the middle `width` bases.

    >>> _middle(np.arange(5), 3), _middle(np.arange(2), 3)
    (array([1, 2, 3]), array([0, 1]))
    """
    start = max(0, (len(codes) - width) // 2)
    return codes[start : start + width]


def _padded(sequences: Sequence[np.ndarray]) -> Tensor:
    """Return codes as rows of equal width, uint8 [B, W], with nothing after their ends."""
    rows = np.full((len(sequences), max(map(len, sequences))), NOTHING, dtype=np.uint8)
    for row, codes in zip(rows, sequences, strict=True):
        row[: len(codes)] = codes
    return torch.from_numpy(rows)
