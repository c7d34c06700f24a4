"""A dry look at texts: what there is, and all that stands in the way of training."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from maskwise.errors import UserError
from maskwise.files import Entries
from maskwise.inspection import Inspection, Problem
from maskwise.text.data import TextDataSettings, is_tokenized, load, parted
from maskwise.text.given import read_given
from maskwise.text.sources import NoColumn
from maskwise.text.survey import Survey, look, of_given
from maskwise.text.text import FRAME, LEAST, MOST, load_tokenizer
from maskwise.textio import leave_out

SMALL = 1 << 22  # characters that are tokenized in a few seconds
_PER_TOKEN = 4  # characters, of most tokenizers and languages


def inspect_texts(
    given: Any,
    data: TextDataSettings,
    units: str | None,
    known: Sequence[Problem] = (),
    longest: int | None = None,
) -> Inspection:
    """Return what texts hold and what is wrong with them, by reading them once.

    Rows are counted if there are few texts, or if their tokens are known; they are kept for
    training.

    Args:
        given: texts from Python, or None.
        data: which texts, and how they are read.
        units: what masks hide as one, see `load`.
        known: problems that were found before.
        longest: tokens in a row that the model can take at most; None: any number.
    """
    problems = list(known)
    found: Entries = {}
    try:
        data = parted(data, given)
    except UserError as error:
        return Inspection(found, None, [*problems, Problem(str(error))])
    survey, data = _looked_at(data, problems, given)
    if survey is not None:
        found |= survey.entries()
        if data.heldout:
            other, _ = _looked_at(replace(data, source=data.heldout), problems)
            found |= {"held out": other.entries()} if other else {}
    data = _checked_tokenizer(data, problems, longest)
    found["tokenizer"] = data.tokenizer or f"trained, {data.vocab_size:,} tokens at most"
    if survey is None or not all(each.settings for each in problems):
        return Inspection(found, None, problems)
    if survey.characters > SMALL and (given is not None or not is_tokenized(data)):
        found["tokens, about"] = survey.characters // _PER_TOKEN
        return Inspection(found, None, problems)
    num_train = _num_rows(data, given, units, problems, found)
    return Inspection(found, num_train, problems)


def _looked_at(
    data: TextDataSettings, problems: list[Problem], given: Any = None
) -> tuple[Survey | None, TextDataSettings]:
    """Return a survey, and the settings that let it be made; add what is wrong."""
    where = data.source if given is None else "texts"
    while True:
        try:
            found = look(data.source, data.how) if given is None else of_given(read_given(given))
            break
        except NoColumn as error:
            problems.append(Problem(str(error), {"data.column": error.best} if error.best else {}))
            if not error.best:
                return None, data
            data = replace(data, column=error.best)
        except UserError as error:
            if data.encoding == "auto" or given is not None:
                problems.append(Problem(str(error)))
                return None, data
            problems.append(Problem(str(error), {"data.encoding": "auto"}))
            data = replace(data, encoding="auto")
    try:
        leave_out(where, {} if data.broken == "skip" else found.broken, "stop")
    except UserError as error:
        problems.append(Problem(str(error), {"data.broken": "skip"}))
        data = replace(data, broken="skip")
    if found.documents == found.empty:
        what = f"{found.documents} documents without a letter"
        if not found.documents:
            what = f"{found.blank} blank lines" if found.blank else "no row has one"
        problems.append(Problem(f"{where}: no text: {what}"))
    return found, data


def _checked_tokenizer(
    data: TextDataSettings, problems: list[Problem], longest: int | None
) -> TextDataSettings:
    """Return the settings with a tokenizer that works; add what is wrong."""
    if data.tokenizer is None:
        if data.vocab_size < LEAST:
            text = f"vocab_size {data.vocab_size} is too small: bytes and specials are {LEAST}"
            problems.append(Problem(text, {"data.vocab_size": str(LEAST)}))
            data = replace(data, vocab_size=LEAST)
        return _checked_length(data, FRAME, longest or MOST, problems)
    try:
        known = load_tokenizer(data.tokenizer, data.length)
    except UserError as error:
        problems.append(Problem(str(error)))
        return data
    most = min(longest or MOST, known.longest or MOST)
    return _checked_length(data, known.num_frame, most, problems)


def _checked_length(
    data: TextDataSettings, frame: int, longest: int, problems: list[Problem]
) -> TextDataSettings:
    """Return settings whose rows have room for a text between the special tokens."""
    length = min(max(data.length, frame + 1), longest)
    if length == data.length:
        return data
    told = f"length {data.length} is outside {frame + 1}..{longest}, what rows may have"
    problems.append(Problem(told, {"data.length": str(length)}))
    return replace(data, length=length)


def _num_rows(
    data: TextDataSettings, given: Any, units: str | None, problems: list[Problem], found: Entries
) -> int | None:
    """Return how many rows there are to train on, as training will have them."""
    try:
        splits = load(data, given, units=units, quiet=True)
    except UserError as error:
        problems.append(Problem(str(error)))
        return None
    found["tokens"] = splits.train.corpus.counts["tokens"]
    found["rows held out"] = len(splits.test)
    return len(splits.train)
