"""Texts with gaps, as rows of tokens; and labelled texts to learn from."""

import logging

import numpy as np
import torch

from maskwise.errors import UserError
from maskwise.modality import Given, Incomplete, Known, Labelled
from maskwise.patches.arrays import unlabelled
from maskwise.rows import SUFFIXES as TABLES
from maskwise.text.completion import ids_with_gaps
from maskwise.text.data import TextDataSettings
from maskwise.text.given import read_given
from maskwise.text.sources import read_samples
from maskwise.text.tasks import TEXTS, read_labelled
from maskwise.text.text import Text
from maskwise.textio import kind_of, user_path
from maskwise.tokens.files import labelled_rows
from maskwise.tokens.model import LanguageModel
from maskwise.train.config import RunSettings

log = logging.getLogger("maskwise")


def incomplete(model: LanguageModel[Text], given: Given, config: RunSettings) -> Incomplete:
    """Return all texts, a row each; a gap, [MASK] or <mask>, is a token that is missing.

    Those longer than a row of the model are cut, and counted.

    Args:
        model: of texts.
        given: texts in memory; None: the source that the settings name.
        config: says how to read them.

    Raises:
        UserError: texts that cannot be read, or not one has a token.
    """
    data, text = config.data, model.tokenizer
    assert isinstance(data, TextDataSettings)
    if given is None:
        if data.source == "array":
            raise UserError("this run was given texts: give them again, as data=")
        given, names, found = read_samples(data.source, data.how)
        broken = dict(found)
    else:
        texts, missing = read_given(given)
        names, broken = None, dict.fromkeys(missing, "no text")
        given = [each for row, each in enumerate(texts) if row not in broken]
    rows = np.setdiff1d(np.arange(len(given) + len(broken)), list(broken)).tolist()
    tokens = dict(zip(rows, ids_with_gaps(text, given), strict=True))
    broken |= {row: "no token" for row, ids in tokens.items() if not ids}
    kept = [ids for ids in tokens.values() if ids]
    if not kept:
        raise UserError(f"none of {len(broken)} texts has a token: give texts with letters")
    room = text.room()
    if num := sum(len(ids) > room for ids in kept):
        log.warning("%d texts cut at %d tokens", num, room)
    framed = torch.full((len(kept), text.length), text.pad)
    for row, ids in zip(framed, kept, strict=True):
        whole = [*text.start, *ids[:room], *text.stop]
        row[: len(whole)] = torch.tensor(whole)
    sizes = np.array([min(len(ids), room) for ids in kept])
    broken = dict(sorted(broken.items()))
    return Incomplete(unlabelled(framed), None, sizes, names=names, broken=broken)


def labelled(
    model: LanguageModel[Text], given: Given, config: RunSettings, column: str | None, known: Known
) -> Labelled:
    """Return labelled texts of a file, as for probes; none of them is held out.

    Args:
        model: of texts.
        given: texts in memory, whose labels are given apart; None: the source of the settings.
        config: says how to read them.
        column: of a table, which has the labels; None: one that is called so.
        known: whether the source is the run's own, and has labels.

    Raises:
        UserError: texts that cannot be read, or without labels.
    """
    data = config.data
    assert isinstance(data, TextDataSettings)
    path = user_path(data.source)
    if given is None and known == "own" and column is None:
        raise UserError(
            "a run on texts has no labels: give labelled ones to learn from, as for probes"
            " (--train FILE, or data=)"
        )
    if given is not None or known == "apart":
        return Labelled(incomplete(model, given, config))
    if column is None:
        texts, labels = read_labelled(path)
    elif kind_of(path) in TABLES and path.is_file():
        names = dict.fromkeys([data.column, *TEXTS])
        rows = list(labelled_rows(path, [*names], [column.strip(), column.strip().lower()]))
        texts, labels = [row[1] for row in rows], [row[2] for row in rows]
    else:
        raise UserError(f"{path} has no column '{column}': give a table ({', '.join(TABLES)})")
    return Labelled(incomplete(model, texts, config), np.array(labels, dtype=object))
