"""Sequences with unknown bases, as windows of a model; and labelled ones to learn from."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from maskwise.dna.bases import INVALID, NOTHING, encode
from maskwise.dna.data import DNADataSettings
from maskwise.dna.fasta import wrong_letter
from maskwise.dna.samples import samples_of
from maskwise.dna.tasks import read_column, read_sequences
from maskwise.dna.tokens import DNA
from maskwise.errors import UserError
from maskwise.modality import Given, Incomplete, Known, Labelled
from maskwise.patches.arrays import unlabelled
from maskwise.textio import few, user_path
from maskwise.tokens.model import LanguageModel
from maskwise.train.config import RunSettings

log = logging.getLogger("maskwise")

_GAPS = str.maketrans("-.~", "NNN")


def incomplete(model: LanguageModel[DNA], given: Given, config: RunSettings) -> Incomplete:
    """Return all sequences, a window each; unknown bases, and gaps between bases, are missing.

    Of those longer than a window the middle is taken, and they are counted.

    Args:
        model: of DNA.
        given: sequences in memory, letters or codes; None: the source that the settings name.
        config: says how to read them.

    Raises:
        UserError: sequences that cannot be read.
    """
    data, dna = config.data, model.tokenizer
    assert isinstance(data, DNADataSettings)
    names: Sequence[str] | None = None
    if given is None:
        if data.source == "array":
            raise UserError("this run was given sequences: give them again, as data=")
        found, names, broken = samples_of(data, every=True)
    else:
        found, broken = _codes(given)
    if num := sum(len(codes) > dna.window for codes in found):
        log.warning("%d sequences cut to the %d bases in their middle", num, dna.window)
    windows = torch.full((len(found), dna.window), NOTHING, dtype=torch.uint8)
    for row, codes in zip(windows, found, strict=True):
        middle = codes[max(0, (len(codes) - dna.window) // 2) :][: dna.window]
        row[: len(middle)] = torch.from_numpy(middle.copy())
    sizes = (dna.ids(windows) != dna.kind.nothing).sum(dim=1).numpy()
    return Incomplete(unlabelled(windows), None, sizes, names=names, broken=broken)


def _codes(sequences: Sequence[str | np.ndarray]) -> tuple[list[np.ndarray], Mapping[int, str]]:
    """Return sequences from Python as codes, and what is wrong with others."""
    found, broken = [], dict[int, str]()
    for number, given in enumerate(sequences):
        if not isinstance(given, (str, np.ndarray)):
            kind = type(given).__name__
            raise UserError(f"sequence {number + 1} is {kind}, not str: give a list of str")
        codes = encode(given.translate(_GAPS)) if isinstance(given, str) else given
        wrong = codes == INVALID
        if isinstance(given, str) and wrong.any():
            at = int(wrong.argmax())
            broken[number] = f"position {at + 1}: {wrong_letter(min(ord(given[at]), 255))}"
        elif not len(codes):
            broken[number] = "empty"
        else:
            found.append(codes)
    if not found:
        told = few([f"{number + 1}: {why}" for number, why in broken.items()])
        raise UserError(f"none of {len(broken)} sequences can be read: {told or 'there is none'}")
    return found, broken


def labelled(
    model: LanguageModel[DNA], given: Given, config: RunSettings, column: str | None, known: Known
) -> Labelled:
    """Return labelled sequences of files, as for probes; none of them is held out.

    Args:
        model: of DNA.
        given: sequences in memory, whose labels are given apart; None: the source of the settings.
        config: says how to read them.
        column: of a table, which has the labels; None: one that is called so.
        known: whether the source is the run's own, and has labels.

    Raises:
        UserError: sequences that cannot be read, or without labels.
    """
    data = config.data
    assert isinstance(data, DNADataSettings)
    if given is None and known == "own" and column is None:
        raise UserError(
            "a run on DNA has no labels: give labelled sequences to learn from, as for probes"
            " (--train FILE, or data=)"
        )
    if given is not None or known == "apart":
        return Labelled(incomplete(model, given, config))
    paths = [user_path(part) for part in data.source.split("+")]
    rows = read_sequences(paths) if column is None else read_column(paths[0], column)
    labels = np.array([row.label for row in rows], dtype=object)
    return Labelled(incomplete(model, [row.codes for row in rows], config), labels)
