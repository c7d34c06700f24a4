"""A tokenizer in a file: tokenizer.json, as the library tokenizers writes it."""

from pathlib import Path
from typing import TYPE_CHECKING

from maskwise.errors import UserError, require
from maskwise.files import atomic

if TYPE_CHECKING:  # it is an extra
    from tokenizers import Tokenizer

FILE = "tokenizer.json"


def read_tokenizer(path: Path) -> "Tokenizer":
    """Read a tokenizer.json.

    Raises:
        UserError: the file is missing or damaged, or tokenizers is not installed.
    """
    tokenizers = require("tokenizers", path, "text")
    try:
        return tokenizers.Tokenizer.from_str(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # tokenizers raises nothing more specific
        reason = str(error).split("\n")[0]
        raise UserError(f"{path} is no tokenizer.json: {reason}") from None


def write_tokenizer(path: Path, tokenizer: "Tokenizer") -> None:
    """Write a tokenizer.json, which is complete or absent."""
    with atomic(path) as temporary:
        temporary.write_text(tokenizer.to_str(), "utf-8")
