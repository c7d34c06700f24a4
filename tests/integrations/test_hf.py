import itertools
import math

import pytest
import torch

from maskwise.errors import UserError
from maskwise.integrations import hf
from maskwise.likelihood import check_leak, fill, log_likelihood
from maskwise.rng import Keys
from maskwise.tokens import model as language

WORDS = ["the", "a", "cat", "dog", "mat", "sat", "lay", "on", "by", "and", "saw", "ran"]
TEXTS = ["the cat sat", "a dog saw the cat on a mat", "the mouse ran by"]


@pytest.fixture
def lm(language_model):
    return hf.load(language_model, device="cpu")


@pytest.fixture
def text(lm):
    return lm.tokenizer.tokenize(TEXTS)


def unknown(lm):
    names = lm.tokenizer.tokenizer.get_vocab()
    return names.get("[UNK]", names.get("<unk>"))


def encode(lm, sentence):
    return lm.tokenizer.tokenizer.encode(sentence).ids


@torch.no_grad()
def by_hand(lm, row, hidden):
    """{word id: log p} at each hidden position of one row without padding."""
    names = lm.tokenizer.tokenizer.get_vocab()
    words = [*(names[word] for word in WORDS), unknown(lm)]
    ids = [lm.tokenizer.mask if t in hidden else int(i) for t, i in enumerate(row)]
    logits = lm.network.model(input_ids=torch.tensor([ids])).logits[0].double()
    found = {}
    for t in hidden:
        total = sum(logits[t, word].exp() for word in words)
        found[t] = {word: float((logits[t, word].exp() / total).log()) for word in words}
    return found


def one_row(lm, sentence):
    return torch.tensor(encode(lm, sentence))


def mask_of(row, *positions):
    hidden = torch.zeros(1, len(row), dtype=torch.bool)
    hidden[0, list(positions)] = True
    return hidden


@torch.no_grad()
def test_log_probs_are_those_of_the_words_that_a_text_can_hold(lm):
    row = one_row(lm, TEXTS[1])
    for hidden in ([3], [1, 2, 5], range(1, len(row) - 1)):
        found = lm.conditional_log_prob(row[None], mask_of(row, *hidden))[0]
        expected = by_hand(lm, row, list(hidden))
        for t in hidden:
            assert float(found[t]) == pytest.approx(expected[t][int(row[t])], abs=1e-5)
    # They differ from word to word, or the test would see little.
    assert len({round(value, 2) for value in expected[1].values()}) > 8


@torch.no_grad()
def test_normalised_over_the_alphabet(lm):
    row = one_row(lm, TEXTS[0])
    everything = torch.arange(lm.tokenizer.num_tokens)
    x = row.repeat(len(everything), 1)
    x[:, 2] = everything
    found = lm.conditional_log_prob(x, mask_of(row, 2).expand(len(x), -1))[:, 2]
    assert float(found.exp().sum()) == pytest.approx(1, abs=1e-6)
    assert torch.equal(found > -torch.inf, lm.tokenizer.alphabet)
    assert int(lm.tokenizer.alphabet.sum()) == len(WORDS) + 1


@torch.no_grad()
def test_padding_changes_nothing(lm, text):
    hidden = text.eligible & (torch.arange(text.ids.shape[1]) % 3 != 0)
    together = lm.conditional_log_prob(text.ids, hidden)
    for row, sentence in enumerate(TEXTS):
        alone = lm.tokenizer.tokenize([sentence])
        num = alone.ids.shape[1]
        found = lm.conditional_log_prob(alone.ids, hidden[row : row + 1, :num])
        assert torch.allclose(found[0], together[row, :num], atol=1e-5)


def test_what_is_hidden_is_not_read(lm, text):
    check_leak(lm, text.ids, eligible=text.eligible, num=3)
    hidden = mask_of(text.ids[1], 2, 3)
    rows = text.ids[1].repeat(3, 1)
    # Not even whether it is padding.
    rows[1, 3], rows[2, 3] = lm.tokenizer.pad, lm.tokenizer.mask
    found = lm.conditional_log_prob(rows, hidden.expand(3, -1))[:, 2]
    torch.testing.assert_close(found, found[:1].expand(3))


@torch.no_grad()
def mean_over_orders(lm, row, positions):
    """The area by its definition: the chain rule, averaged over all orders."""
    totals = []
    for order in itertools.permutations(positions):
        total = 0.0
        for place, t in enumerate(order):
            total += by_hand(lm, row, order[place:])[t][int(row[t])]
        totals.append(total)
    return sum(totals) / len(totals)


def test_likelihood_of_texts_of_different_lengths(lm):
    text = lm.tokenizer.tokenize(["the cat sat", "a dog ran by"])
    found = log_likelihood(lm, text.ids, "exhaustive")
    for row, num in enumerate((3, 4)):
        alone = text.ids[row, : num + 2]
        expected = mean_over_orders(lm, alone, range(1, num + 1))
        assert float(found.per_sample[row]) == pytest.approx(expected, abs=1e-4)
    assert found.num_dims == 7
    some = log_likelihood(lm, text.ids, passes=400, eligible=text.eligible)
    assert abs(some.value - found.value) < 4 * some.stderr


def test_likelihood_given_a_context(lm):
    row = one_row(lm, "the cat sat on a mat")
    target = mask_of(row, 4, 5, 6)
    found = log_likelihood(lm, row[None], "exhaustive", eligible=target)
    assert found.value == pytest.approx(mean_over_orders(lm, row, [4, 5, 6]), abs=1e-4)


def test_hidden_special_tokens_have_no_probability(lm):
    row = one_row(lm, TEXTS[0])
    every = torch.ones_like(row, dtype=torch.bool)
    assert log_likelihood(lm, row[None], passes=4, eligible=every).value == -math.inf
    assert log_likelihood(lm, row[None], passes=4).value > -math.inf


def test_uniform_predictor(lm, text):
    for parameter in lm.parameters():
        parameter.data.zero_()
    found = log_likelihood(lm, text.ids, eligible=text.eligible)
    lengths = torch.tensor([3, 8, 4])
    expected = -lengths * math.log(len(WORDS) + 1)
    assert torch.allclose(found.per_sample, expected.double(), rtol=1e-6)
    assert found.perplexity == pytest.approx(13)
    assert found.stderr < 1e-5


def test_documents(lm, text):
    assert text.ids.shape == text.eligible.shape == (3, 10)
    assert text.eligible.sum(dim=1).tolist() == [3, 8, 4]
    assert text.num_bytes.tolist() == [len(sentence) for sentence in TEXTS]
    assert not text.eligible[:, 0].any()
    assert (text.ids[0, 5:] == lm.tokenizer.pad).all()
    # An unknown word is part of the text.
    assert int(text.ids[2, 2]) == unknown(lm)
    assert text.eligible[2, 2]
    short = lm.tokenizer.tokenize(["the cat sat on a mat", "où"], length=5)
    assert short.eligible.sum(dim=1).tolist() == [3, 1]
    assert short.num_bytes.tolist() == [len("the cat sat "), 3]


def test_windows(lm):
    running = "the cat sat on\na mat, ça and the dog ran by. a"
    ids, eligible, num_bytes = lm.tokenizer.windows(running, length=6)
    assert ids.shape == (3, 6)
    frame = torch.tensor([False, True, True, True, True, False])
    assert torch.equal(eligible, frame.expand(3, 6))
    whole = encode(lm, running)[1:-1]
    assert ids[:, 1:-1].flatten().tolist() == whole[:12]
    start, end = encode(lm, "the")[:: len("ab")]
    assert ids[:, 0].tolist() == [start] * 3
    assert ids[:, -1].tolist() == [end] * 3
    parts = ["the cat sat on\n", "a mat, ça ", "and the dog ran "]
    assert num_bytes.tolist() == [len(part.encode()) for part in parts]
    assert lm.tokenizer.windows("the cat " * 100).ids.shape == (200 // 18, 20)
    # What is left over would be a whole window, and all bytes are counted.
    assert int(lm.tokenizer.windows("the cat " * 18, 11).num_bytes.sum()) == 8 * 18


def test_draws_follow_the_conditionals(lm):
    row = one_row(lm, TEXTS[1])
    num = 4000
    hidden = mask_of(row, 2, 4).expand(num, -1)
    drawn = lm.conditional_sample(row.repeat(num, 1), hidden, Keys(0, 0, torch.arange(num)))
    assert torch.equal(drawn[~hidden], row.repeat(num, 1)[~hidden])
    for t, expected in by_hand(lm, row, [2, 4]).items():
        counts = drawn[:, t].bincount(minlength=len(lm.tokenizer.alphabet))
        assert int(counts[~lm.tokenizer.alphabet].sum()) == 0
        for word, log_prob in expected.items():
            p = math.exp(log_prob)
            assert abs(int(counts[word]) / num - p) < 4.5 * math.sqrt(p * (1 - p) / num) + 1e-9


def test_filling_in(lm, text):
    first = fill(lm, text.ids, text.eligible, seed=1)
    assert torch.equal(first[~text.eligible], text.ids[~text.eligible])
    assert lm.eligible(first)[text.eligible].all()
    assert torch.equal(first, fill(lm, text.ids, text.eligible, seed=1, batch_size=2))
    assert not torch.equal(first, fill(lm, text.ids, text.eligible, seed=2))


@torch.no_grad()
def test_few_rows_at_a_time(lm, text, monkeypatch):
    keys = Keys(0, 0, torch.arange(3))
    found = lm.conditional_log_prob(text.ids, text.eligible)
    drawn = lm.conditional_sample(text.ids, text.eligible, keys)
    monkeypatch.setattr(language, "MOST_LOGITS", 1)
    again = lm.conditional_log_prob(text.ids, text.eligible)
    assert torch.allclose(found, again, atol=1e-5)
    assert torch.equal(drawn, lm.conditional_sample(text.ids, text.eligible, keys))


def test_dropout_is_off(lm, text):
    assert not lm.training
    lm.train()
    with pytest.raises(UserError, match="training mode"):
        log_likelihood(lm, text.ids, eligible=text.eligible)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda lm: lm.tokenizer.windows("the cat sat"),
            "the text has 3 tokens, too few for a window of 18",
        ),
        (lambda lm: lm.tokenizer.windows("the cat", 2), "length 2 is outside 3..20"),
        (lambda lm: lm.tokenizer.windows("the cat", 21), "length 21 is outside 3..20"),
        (lambda lm: lm.tokenizer.tokenize(["the", " "]), "text 2 has no token: leave it out"),
        (lambda lm: lm.tokenizer.tokenize([]), "no texts"),
    ],
)
def test_bad_input(lm, call, says):
    with pytest.raises(UserError, match=says):
        call(lm)
