"""Tokenizers of others: which patterns and ids are refused."""

import json

import pytest

from maskwise.errors import UserError
from maskwise.tokens.checked import calling, check_ids, check_patterns
from tests.lazy import lazy

tokenizers = lazy("tokenizers")

# Of GPT-2, GPT-4o and Llama 3, of molecules, and numbers cut from behind.
USUAL = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(\%\([0-9]{3}\)|\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\||\(|\)|\.|=|#|-|\+|\\|\/)",
    r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))",
    r" {2,}",
]
ENDLESS = [
    r"(a+)+$",
    r"(q|qq)+$",
    r"(\w+\s?)+$",
    r"(x+x+)+y",
    r"([^b]+)+$",
    r"(ab|a|b|ba)+$",
    r"(\p{L}+|\p{N}+)+;",
    r"(.+)+\n\n$",
    r".*.*.*.*=",
]


def split(pattern):
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }


def replace(pattern, content="x"):
    return {"type": "Replace", "pattern": pattern, "content": content}


@pytest.mark.parametrize("pattern", USUAL)
def test_patterns_that_people_use(pattern):
    nothing = dict.fromkeys(("normalizer", "pre_tokenizer", "decoder"))
    check_patterns({**nothing, "pre_tokenizer": split(pattern), "normalizer": None})


@pytest.mark.parametrize("pattern", ENDLESS)
def test_patterns_without_end(pattern, monkeypatch):
    monkeypatch.setattr("maskwise.tokens.checked._SECONDS", 1)
    with pytest.raises(UserError, match=r"its patterns .* fail on simple texts, or take"):
        check_patterns({"pre_tokenizer": split(pattern)})


@pytest.mark.parametrize(
    "values",
    [
        {"normalizer": replace({"Regex": r"(a+)+$"})},
        {"decoder": {"type": "Sequence", "decoders": [replace({"Regex": r"(a+)+$"})]}},
        # Each of these steps doubles a text.
        {"normalizer": {"type": "Sequence", "normalizers": [replace({"String": "é"}, "éé")] * 40}},
    ],
)
def test_wherever_they_are(values, monkeypatch):
    monkeypatch.setattr("maskwise.tokens.checked._SECONDS", 1)
    with pytest.raises(UserError, match="fail on simple texts"):
        check_patterns(values)


def test_what_searches_nothing_is_not_tried(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError

    monkeypatch.setattr("subprocess.run", refuse)
    check_patterns({"pre_tokenizer": {"type": "ByteLevel"}, "normalizer": {"type": "NFC"}})


def tokenizer(vocab, *added):
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocab, unk_token="a"))
    made.add_special_tokens(list(added))
    return made


def test_ids():
    check_ids(tokenizer({"a": 0, "b": 900}))
    for vocab, says in (
        (
            {"a": 0, "far": 4_000_000_000},
            r"'far' has the id 4,000,000,000, though there are 2 tok",
        ),
        ({"a": 0, "b": 1, "c": 1}, "tokens '[bc]' and '[bc]' have the id 1"),
    ):
        with pytest.raises(UserError, match=says):
            check_ids(tokenizer(vocab))


def test_ids_that_the_library_would_change():
    """It numbers added tokens anew; the weights of a model would not know."""
    made = tokenizer({"a": 0}, "<mask>")
    described = json.loads(made.to_str())
    check_ids(made, described["added_tokens"])
    described["added_tokens"][0]["id"] = 7
    again = tokenizers.Tokenizer.from_str(json.dumps(described))
    with pytest.raises(UserError, match="'<mask>' has the id 7 in the file, and 1 as it is read"):
        check_ids(again, described["added_tokens"])


def test_panics_are_errors():
    class PanicException(BaseException):
        """As the library has it."""

    def fail(error):
        raise error

    with pytest.raises(UserError, match=r"^first line\Z"):
        calling(lambda: fail(PanicException("first line\nmore")))
    with pytest.raises(KeyboardInterrupt):
        calling(lambda: fail(KeyboardInterrupt()))
