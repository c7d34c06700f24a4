import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwise.errors import UserError
from maskwise.text.text import PARTIAL, Text, load_tokenizer, of_transformers, train_tokenizer

tokenizers = pytest.importorskip("tokenizers")
WORDS = ["the", "cat", "sat", "on", "the", "mat", "and", "the", "old", "dog", "didn't", "bark"]
CORPUS = [" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))] * 3


@pytest.fixture(scope="module")
def text() -> Text:
    return train_tokenizer(CORPUS, vocab_size=320, length=16)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_survives(text, value):
    """Byte-level tokens know every character; only composition (NFC) changes."""
    import unicodedata

    [found] = text.encode([value])
    kept = text.tokenizer.decode(found.ids.tolist(), skip_special_tokens=False)
    assert kept.strip() == unicodedata.normalize("NFC", value).strip()
    assert len(found.ids) == len(found.starts) == len(found.offsets)
    assert bool(text.alphabet[found.ids].all())


def test_tokens_are_trained_and_framed(text):
    assert 265 < text.num_tokens <= 320
    ids = text.tokenize(["the cat", "a mat and a dog"]).ids
    assert ids[:, 0].tolist() == [text.start[0]] * 2
    assert (ids == text.stop[0]).sum(1).tolist() == [1, 1]
    assert text.decode(ids[0]) == "the cat"
    assert text.decode(ids[1]) == "a mat and a dog"
    assert text.eligible(ids).sum(1).tolist() == [
        len(each.ids) for each in text.encode(["the cat", "a mat and a dog"])
    ]
    lower = train_tokenizer(CORPUS, vocab_size=300, length=16, lowercase=True)
    assert lower.decode(lower.tokenize(["The CAT"]).ids[0]) == "the cat"


def test_special_tokens_within_a_text_are_text(text):
    ids = text.tokenize(["the [MASK] [CLS] cat"], length=40).ids
    assert not (ids == text.mask).any()
    assert (ids == text.start[0]).sum() == 1
    assert text.decode(ids[0]) == "the [MASK] [CLS] cat"


def test_words_begin_where_they_begin(text):
    [found] = text.encode(["the unbelievable old cat"])
    words = np.split(found.ids, np.flatnonzero(found.starts)[1:])
    assert [text.decode(word) for word in words] == ["the", "unbelievable", "old", "cat"]
    assert max(map(len, words)) > 1


@pytest.mark.parametrize("kind", ["wordpiece", "metaspace", "no pre-tokenizer"])
def test_words_of_other_tokenizers(kind):
    """Words are told apart by any fast tokenizer, or else by white space."""
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if kind == "wordpiece":
        vocab += ["the", "un", "##old", "cat"]
        model = tokenizers.models.WordPiece({t: i for i, t in enumerate(vocab)}, unk_token="[UNK]")
        made = tokenizers.Tokenizer(model)
        made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        pieces = [["the"], ["un", "##old"], ["cat"]]
    else:
        vocab += [*"theunoldca", "▁", " "]
        made = tokenizers.Tokenizer(
            tokenizers.models.BPE({t: i for i, t in enumerate(vocab)}, [], unk_token="[UNK]")
        )
        space = " "
        if kind == "metaspace":
            made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
            space = "▁"
        first = [*"the"] if kind != "metaspace" else ["▁", *"the"]
        pieces = [first, [space, *"unold"], [space, *"cat"]]
    made.add_special_tokens(["[PAD]", "[CLS]", "[SEP]", "[MASK]"])
    text = Text(made, 16, mask=4, pad=0, start=(2,), stop=(3,), special=(0, 2, 3, 4))
    [found] = text.encode(["the unold cat"])
    tokens = [vocab[i] for i in found.ids]
    words = np.split(np.array(tokens), np.flatnonzero(found.starts)[1:])
    if kind == "no pre-tokenizer":  # the space before a word begins it, or ends the one before
        assert [len("".join(word).strip()) for word in words] == [3, 5, 3]
    else:
        assert [word.tolist() for word in words] == pieces


def test_documents_are_numbered(text):
    start, stop, pad = text.start[0], text.stop[0], text.pad
    ids = torch.tensor([[start, 9, stop, start, 8, 7, stop, pad], [start, *[9] * 6, stop]])
    assert text.documents(ids).tolist() == [[1, 1, 1, 2, 2, 2, 2, 0], [1] * 8]


def test_windows_cut_running_text(text):
    running = " ".join(CORPUS)
    found = text.windows(running, length=10)
    assert found.ids.shape[1] == 10
    [whole] = text.encode([running])
    assert found.ids[:, 1:-1].flatten().tolist() == whole.ids[: 8 * len(found.ids)].tolist()
    assert len(found.ids) == len(whole.ids) // 8
    dropped = whole.offsets[8 * len(found.ids)] if len(whole.ids) % 8 else len(running)
    assert int(found.num_bytes.sum()) == dropped
    with pytest.raises(UserError, match="too few for a window of 8: give more text"):
        text.windows("the cat", length=10)


def test_long_texts_are_cut(text):
    found = text.tokenize(["the cat sat on the mat and the dog"], length=5)
    assert found.ids.shape == (1, 5)
    assert int(found.num_bytes) == len("the cat sat")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda text: text.tokenize([]), "no texts: give at least one"),
        (lambda text: text.tokenize(["a", ""]), "text 2 has no token: leave it out"),
        (lambda text: text.room(2), r"length 2 is outside 3\.\.1000000"),
        (lambda text: text.with_length(1), "length 1 is outside"),
    ],
)
def test_refusals(text, call, says):
    with pytest.raises(UserError, match=says):
        call(text)


def test_a_tokenizer_survives_its_folder(text, tmp_path):
    values = json.loads(json.dumps(text.save(tmp_path)))
    again = Text.load(tmp_path, values)
    assert again.tokenize(CORPUS[:3]).ids.tolist() == text.tokenize(CORPUS[:3]).ids.tolist()
    assert (again.special, again.start, again.mask) == (text.special, text.start, text.mask)


def test_a_tokenizer_file_is_used_by_its_special_names(text, tmp_path):
    text.tokenizer.save(str(tmp_path / "tokenizer.json"))
    again = load_tokenizer(str(tmp_path / "tokenizer.json"), 16)
    assert (again.mask, again.pad, again.start, again.stop, again.special) == (
        *(text.mask, text.pad, text.start, text.stop, text.special),
    )


def test_tokenizers_that_cannot_be_used(tmp_path, text):
    bare = tokenizers.Tokenizer(tokenizers.models.BPE())
    bare.save(str(tmp_path / "bare.json"))
    with pytest.raises(UserError, match=r"bare\.json: there is no mask token \(\[MASK\] or <mask"):
        load_tokenizer(str(tmp_path / "bare.json"), 16)
    (tmp_path / "broken.json").write_text("{}", "utf-8")
    with pytest.raises(UserError, match=r"broken\.json is no tokenizer\.json"):
        load_tokenizer(str(tmp_path / "broken.json"), 16)
    with pytest.raises(UserError, match="vocab_size 100 is too small: bytes and specials are 261"):
        train_tokenizer(CORPUS, vocab_size=100, length=16)


def test_a_tokenizer_of_transformers(text):
    transformers = pytest.importorskip("transformers")
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=text.tokenizer,
        mask_token="[MASK]",
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
    again = of_transformers(fast, 16)
    assert again.mask == text.mask
    assert again.special == text.special
    assert (again.start, again.stop) == ((), ())  # this one frames nothing
    ids = again.tokenize(["the cat"]).ids
    assert again.documents(ids).tolist() == [[1] * ids.shape[1]]
    fast.mask_token = None
    with pytest.raises(UserError, match="has no mask token"):
        of_transformers(fast, 16)


# Every token is a byte, or nearly so.
BYTES = train_tokenizer(["a"], vocab_size=261, length=8)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters=PARTIAL), min_size=1))
def test_what_tokens_spell_joins_to_the_text(written):
    [found] = BYTES.encode([written])
    parts = BYTES.spell(found.ids.tolist())
    assert len(parts) == len(found.ids)
    assert "".join(parts) == BYTES.tokenizer.decode(found.ids.tolist())
    assert PARTIAL not in "".join(parts)
    json.dumps(parts, ensure_ascii=False).encode()


def test_parts_of_words_are_spelled_with_the_spaces_of_the_text():
    vocab = {name: place for place, name in enumerate(["[UNK]", "the", "cat", "##s", ".", "[M]"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.decoder = tokenizers.decoders.WordPiece()
    text = Text(tokenizer, length=8, mask=5, pad=-1, start=(), stop=(), special=(5,))
    assert text.spell([1, 2, 3, 0, 4]) == ["the", " cat", "s", " [UNK]", "."]
    assert text.spell_next([1, 2], 3) == "s"
