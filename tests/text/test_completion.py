from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.text.completion import complete, tokens_with_gaps
from maskwise.text.text import Text
from maskwise.tokens.model import LanguageModel

Make = Callable[..., LanguageModel]


def written(text: Text, ids: Tensor) -> list[str]:
    return [text.tokenizer.id_to_token(int(i)) for i in ids[0]]


def test_gaps_stand_for_tokens_with_the_space_in_front(words: Text) -> None:
    ids, gaps = tokens_with_gaps(words, "the [MASK] sat  on the <mask>.")
    names = written(words, ids)
    assert names[:3] == ["[CLS]", "Ġthe", "[MASK]"]
    assert names[3].startswith("Ġs")
    assert names[-3:] == ["[MASK]", ".", "[SEP]"]
    assert gaps[0].nonzero()[:, 0].tolist() == [2, len(names) - 3]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("[MASK]", ["[MASK]"]),
        (" [MASK] ", ["[MASK]"]),
        ("[MASK] the[MASK]", ["[MASK]", "Ġthe", "[MASK]"]),
        ("[MASK][MASK] cat", ["[MASK]", "[MASK]", "Ġcat"]),
        ("dog[MASK]s a", ["Ġdog", "[MASK]", "s", "Ġa"]),
        ("[MASK], a", ["[MASK]", ",", "Ġa"]),
        ("a\n[MASK] cat", ["Ġa", "[MASK]", "Ġcat"]),
    ],
)
def test_tokens_around_gaps_are_those_of_running_text(
    words: Text, text: str, tokens: list[str]
) -> None:
    ids, _ = tokens_with_gaps(words, text)
    assert written(words, ids)[1:-1] == tokens


class Cycle(nn.Module):
    """Says that a token is 1 + the one on the left, less sure where that one is hidden."""

    num_layers = 1

    def __init__(self, text: Text) -> None:
        super().__init__()
        self.mask, self.num = text.mask, text.num_tokens
        self.unused = nn.Parameter(torch.zeros(1))

    def logits(self, ids: Tensor, documents: Tensor | None, where: Mask) -> Tensor:
        rows, places = where.hidden.nonzero(as_tuple=True)
        left = ids[rows, places - 1]
        logits = torch.zeros(len(left), self.num)
        known = left != self.mask
        logits[torch.arange(len(left)), torch.where(known, left + 1, 100)] = 3.0 + 2.0 * known
        return logits


def test_fills_the_surest_first_and_then_agrees_with_it(
    make_language_model: Make, words: Text
) -> None:
    model = make_language_model(Cycle(words))
    [a] = words.encode(["a"])[0].ids
    found = complete(model, "a [MASK] [MASK] [MASK]", num=2)
    names = [words.tokenizer.decode([int(a) + step]) for step in range(4)]
    assert found.text == words.decode([int(a) + step for step in range(4)])
    # Alternatives are those while every gap is open.
    assert found.alternatives[0][0].token == names[1]
    usual = words.tokenizer.decode([100])
    assert [gap[0].token for gap in found.alternatives[1:]] == [usual, usual]
    num = int(words.alphabet.sum())
    sure, unsure = (torch.tensor(x).exp() / (torch.tensor(x).exp() + num - 1) for x in (5.0, 3.0))
    assert found.alternatives[0][0].probability == pytest.approx(float(sure), rel=1e-5)
    assert found.alternatives[1][0].probability == pytest.approx(float(unsure), rel=1e-5)
    assert model.training


def test_alternatives_are_the_conditionals(make_language_model: Make, words: Text) -> None:
    model = make_language_model()
    text = "the [MASK] sat on [MASK]."
    found = complete(model, text, num=1000)
    ids, gaps = tokens_with_gaps(words, text)
    unknown = words.tokenizer.token_to_id("[UNK]")
    [first, _] = gaps.nonzero()[:, 1].tolist()
    # All but the token of unknown words.
    assert [len(gap) for gap in found.alternatives] == [int(words.alphabet.sum()) - 1] * 2
    log_probs = torch.cat([each for each, _ in model.predictions(ids, gaps, ids)])
    for gap, lost in zip(found.alternatives, log_probs[:, unknown].exp().tolist(), strict=True):
        values = [each.probability for each in gap]
        assert sum(values) == pytest.approx(1 - lost, rel=1e-4)
        assert values == sorted(values, reverse=True)
    cat = words.encode(["cat"])[0].ids
    [token] = cat.tolist()
    ids[0, first] = token
    with torch.no_grad():
        want = float(model.conditional_log_prob(ids, gaps)[0, first].exp())
    [got] = [each.probability for each in found.alternatives[0] if each.token == " cat"]
    assert got == pytest.approx(want, rel=1e-4)


def test_refuses_texts_without_gaps_or_too_long(make_language_model: Make, words: Text) -> None:
    model = make_language_model()
    with pytest.raises(UserError, match=r"has no \[MASK\] to fill: the cat"):
        complete(model, "the cat")
    with pytest.raises(UserError, match="num 0 is too small"):
        complete(model, "[MASK]", num=0)
    object.__setattr__(words, "longest", 24)
    try:
        with pytest.raises(UserError, match="43 tokens, more than 24: make it shorter"):
            complete(model, "[MASK]" + " the" * 40)
    finally:
        object.__setattr__(words, "longest", None)
