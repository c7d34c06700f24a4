"""A tokenizer that somebody else made: no id of it takes all memory, no pattern for ever."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import permutations, product
from typing import TYPE_CHECKING, TypeVar

from maskwise.errors import UserError
from maskwise.files import Entries

if TYPE_CHECKING:  # it is an extra
    from collections.abc import Callable

    from tokenizers import Tokenizer

T = TypeVar("T")
MOST_GAPS = 1 << 16  # ids below the largest that no token has
_PARTS = ("normalizer", "pre_tokenizer", "decoder")
# What of these parts can search or grow.
_RISKY = ('"Regex"', '"Replace"', '"Precompiled"')
_SECONDS = 5  # of a processor, since others may be busy
_MEMORY = 4 << 30
_PATIENCE = 12  # seconds of waiting for each of these
# Letters, digits, spaces and marks that patterns often name.
_USUAL = "aA1 \n_-.é中!"
_TRY = """
import json, sys
sys.path[:], seconds, memory, made, texts = json.load(sys.stdin)
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
except (ImportError, OSError, ValueError):
    pass
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_str(json.dumps(made))
for text in texts:
    tokenizer.encode(text)
    if tokenizer.decoder is not None:
        tokenizer.decoder.decode([text])
"""


def calling(do: "Callable[[], T]") -> T:
    """Return what the library does; it has errors of one kind, and none for panics.

    Raises:
        UserError: an error of the library, its first line.
    """
    try:
        return do()
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise UserError(str(error).split("\n")[0]) from None
        raise


def check_ids(tokenizer: "Tokenizer", added_tokens: Iterable[Entries] = ()) -> None:
    """Refuse a tokenizer whose ids are shared, leave large gaps or are not those of its file.

    Before anything else is asked of it: to describe it, the library counts up to the largest.

    Args:
        tokenizer: as the library reads it.
        added_tokens: of its tokenizer.json.

    Raises:
        UserError: such ids.
    """
    vocab = tokenizer.get_vocab(with_added_tokens=True)
    names = {number: name for name, number in vocab.items()}
    largest = max(names, default=0)
    if largest >= len(names) + MOST_GAPS:
        raise UserError(
            f"token {names[largest]!r} has the id {largest:,}, though there are {len(names):,}"
            " tokens: number them from 0"
        )
    for added in added_tokens:
        found = vocab.get(added["content"])
        if found != added["id"]:
            raise UserError(
                f"token {added['content']!r} has the id {added['id']} in the file, and {found} as"
                " it is read: number added tokens from the last of the others"
            )
    if len(names) < len(vocab):
        twice = next(name for name, number in vocab.items() if names[number] != name)
        raise UserError(f"tokens {twice!r} and {names[vocab[twice]]!r} have the id {vocab[twice]}")


def check_patterns(values: Entries) -> None:
    """Refuse a tokenizer whose patterns take too long, or too much memory, on simple texts.

    They are tried in a process of its own, on repeated characters. What they may do to others is
    bounded by the library, which gives up a search after some tenths of a second.

    Args:
        values: of a tokenizer.json.

    Raises:
        UserError: such patterns.
    """
    described = json.dumps({part: values.get(part) for part in _PARTS})
    if any(part in described for part in _RISKY) and not _passes(described):
        raise UserError(
            "its patterns (normalizer, pre_tokenizer or decoder) fail on simple texts, or take"
            f" more than {_SECONDS} s or {_MEMORY >> 30} GiB for them: give another tokenizer"
        )


@lru_cache(maxsize=16)
def _passes(described: str) -> bool:
    model = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
    steps = json.loads(described)
    made = {"version": "1.0", "added_tokens": [], "model": model, **steps}
    texts = list(_texts(steps))
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _TRY],
            input=json.dumps([sys.path, _SECONDS, _MEMORY, made, texts]),
            capture_output=True,
            encoding="utf-8",
            timeout=_SECONDS * _PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _texts(steps: Entries) -> Iterator[str]:
    """Give texts that a pattern may search in vain: repeated characters, some of its own.

    All of these stand behind, on another line: a search that lacks one of them ends at once.
    """
    named = [each for each in dict.fromkeys("".join(_patterns(steps))) if each not in _USUAL]
    every = [*_USUAL, *named[:24]]
    behind = "\n" + "".join(each * 2 for each in every) + "!"
    yield from (each * 200 + end + behind for each, end in product(every, every))
    some = [*_USUAL[:4], *named[:10]]
    yield from (f"{one}{other}" * 100 + "!" + behind for one, other in permutations(some, 2))
    yield from (each * 1000 + behind for each in every)


def _patterns(steps: object) -> Iterator[str]:
    """Give what steps search for, and what they put there."""
    if isinstance(steps, dict):
        for key, value in steps.items():
            if isinstance(value, str) and key in ("Regex", "String", "content"):
                yield value
            else:
                yield from _patterns(value)
    elif isinstance(steps, list):
        for each in steps:
            yield from _patterns(each)
