"""Where the n-grams of a corpus begin: those of a user's list, or those that PMI finds."""

from pathlib import Path

import numpy as np

from maskwise.errors import UserError
from maskwise.text.corpus import Corpus
from maskwise.text.ngrams import Ngrams, pmi
from maskwise.text.text import Text

NUM_NGRAMS = 20_000
_COUNTED = 1 << 25  # tokens that PMI is computed from
_PART = 1 << 22  # tokens merged at once


def ngram_starts(corpus: Corpus, path: str | None) -> np.ndarray:
    """Return where units begin, uint8 [n], with words of one n-gram in one unit.

    Args:
        corpus: the tokens.
        path: a text file with one n-gram in a line; None: the 20,000 n-grams with the highest PMI.

    Raises:
        UserError: a list that cannot be read or used, or a corpus in which no n-gram is frequent.
    """
    breaks = np.zeros(len(corpus.ids), dtype=bool)
    breaks[corpus.documents[:, 0]] = True
    if path is not None:
        ngrams = read_ngrams(Path(path).expanduser(), corpus.text)
    else:
        counted = slice(0, _COUNTED)
        ngrams = pmi(
            corpus.ids[counted],
            corpus.starts[counted].astype(bool),
            NUM_NGRAMS,
            breaks=breaks[counted],
        )
    # An n-gram that runs over the border of two parts is left as it is.
    parts = [slice(first, first + _PART) for first in range(0, len(corpus.ids), _PART)]
    merged = [
        ngrams.merge(corpus.ids[part], corpus.starts[part].astype(bool), breaks[part])
        for part in parts
    ]
    return np.concatenate(merged).astype(np.uint8)


def read_ngrams(path: Path, text: Text) -> Ngrams:
    """Read a list of n-grams, one in a line.

    Raises:
        UserError: a file that cannot be read, or a line of fewer than two words.
    """
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from None
    try:
        found = text.encode([line for line in lines if line])
        return Ngrams.of([(each.ids, each.starts) for each in found])
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
