"""Laws in masked language models, whose masks are made before the forward."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import maskwise as mw
from maskwise import laws
from maskwise.text.ngrams import Ngrams
from tests.attaching.tiny import CLS, MASK, NUM, PAD, SEP, UNK, Letters, TinyForMaskedLM, texts
from tests.integrations.conftest import SENTENCES
from tests.lazy import lazy

transformers = lazy("transformers")

SMALL = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 70,
    "pad_token_id": 0,
}
KINDS = {
    "Bert": {},
    "Roberta": {},
    "DistilBert": {"dim": 8, "n_layers": 1, "n_heads": 2, "hidden_dim": 8},
    "ModernBert": {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3},
    "Electra": {"embedding_size": 8},
    "DebertaV2": {},
}


def make(name, num_tokens, **more):
    """Build a tiny model of transformers by the name of its kind."""
    kind = getattr(transformers, f"{name}ForMaskedLM")
    config = kind.config_class(vocab_size=num_tokens, **SMALL | KINDS.get(name, {}) | more)
    return kind(config).train()


def attach(model, law="uniform:0.2,0.8", **more):
    return mw.attach(model, law, tokenizer=Letters(), **more)


def seen(model, ids, attention, **more):
    """Return what the model saw, and what it was to predict."""
    model(input_ids=ids, attention_mask=attention, **more)
    return model.seen


@pytest.mark.parametrize("name", KINDS)
def test_models_of_transformers_are_trained_on_what_a_law_hides(name, tokenizer):
    model = make(name, len(tokenizer))
    batch = tokenizer(SENTENCES[:4], padding=True, return_tensors="pt")
    batch.pop("token_type_ids", None)
    given = []
    with mw.attach(model, "uniform:0.2,0.8", tokenizer=tokenizer) as attached:
        model.register_forward_pre_hook(
            lambda its, args, kwargs: given.append(kwargs), with_kwargs=True
        )
        out = model(**batch)
    labels = given[0]["labels"]
    hidden = labels != -100
    assert torch.equal(hidden, attached.hidden)
    assert torch.equal(labels[hidden], batch["input_ids"][hidden])
    assert (given[0]["input_ids"][hidden] == 4).all()
    assert torch.equal(given[0]["input_ids"][~hidden], batch["input_ids"][~hidden])
    assert not hidden[batch["input_ids"] < 4].any()
    words = (batch["attention_mask"].sum(dim=1) - 2).numpy()
    [(step, asked, realised)] = attached.log
    assert step == 0
    assert hidden.sum(dim=1).tolist() == laws.num_hidden(laws.Fixed(asked), 0.5, words).tolist()
    assert realised == pytest.approx(float((hidden.sum(dim=1) / torch.tensor(words)).mean()))
    expected = F.cross_entropy(out.logits[hidden], labels[hidden])
    assert float(out.loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_special_tokens_and_padding_are_never_hidden():
    model = TinyForMaskedLM()
    ids, attention = texts(batch=8)
    ids[:, 3] = UNK  # an unknown word is text
    closed = torch.zeros_like(ids)
    closed[:, 3] = closed[:, 5] = 1
    found = torch.zeros_like(ids, dtype=torch.bool)
    with attach(model, "uniform:0.3,1") as attached:
        for _ in range(40):
            found |= seen(model, ids, attention, special_tokens_mask=closed)[1] != -100
    open_ = (ids > SEP) & (attention == 1)
    open_[:, 3], open_[:, 5] = True, False
    assert torch.equal(found, open_)
    assert [each.step for each in attached.log] == list(range(40))


def test_each_step_has_new_masks_of_the_ratio_of_its_step():
    model, again = TinyForMaskedLM(), TinyForMaskedLM()
    ids, _ = texts()
    attention = torch.ones_like(ids)
    with attach(model, seed=2) as attached, attach(again, seed=2) as other:
        masks = [seen(model, ids, attention)[1] for _ in range(5)]
        other.at(3)
        assert torch.equal(seen(again, ids, attention)[1], masks[3])
        assert not torch.equal(seen(again, ids, attention)[1], masks[3])
        assert other.log[0] == attached.log[3]
    law = laws.parse("uniform:0.2,0.8")
    for (_, asked, _), labels in zip(attached.log, masks, strict=True):
        counts = laws.num_hidden(laws.Fixed(asked), 0.5, (ids > SEP).sum(dim=1))
        assert (labels != -100).sum(dim=1).tolist() == counts.tolist()
        assert law.low <= asked <= law.high


def test_scope_sample_has_a_ratio_for_each():
    model = TinyForMaskedLM()
    ids, _ = texts(batch=200, length=42)
    with attach(model, scope="sample") as attached:
        hidden = seen(model, ids, None)[1] != -100
    ratios = (hidden.sum(dim=1) / (ids > SEP).sum(dim=1)).numpy()
    assert np.mean(ratios) == pytest.approx(0.5, abs=4 * 0.173 / 200**0.5)
    assert np.std(ratios) == pytest.approx(0.6 / 12**0.5, rel=0.15)
    assert attached.log[0].asked == 0.5
    assert attached.log[0].realised == pytest.approx(float(ratios.mean()))


def test_shares_of_what_is_hidden():
    model = TinyForMaskedLM()
    ids, _ = texts(batch=300, length=42)
    with attach(model, 0.5, shares=(0.8, 0.1, 0.1)):
        shown, labels = seen(model, ids, None)
    hidden = labels != -100
    masked = shown[hidden] == MASK
    kept = shown[hidden] == ids[hidden]
    num = int(hidden.sum())
    assert num == 150 * (20 + 10)
    # A random token is by chance the one that was there.
    chance = 0.1 / (NUM - 4)
    for share, expected in ((masked, 0.8), (kept, 0.1 + chance)):
        error = (expected * (1 - expected) / num) ** 0.5
        assert float(share.float().mean()) == pytest.approx(expected, abs=4 * error)
    drawn = shown[hidden][~masked & ~kept]
    assert set(drawn.tolist()) == {UNK, *range(SEP + 2, NUM)}


@pytest.mark.parametrize("pattern", ["words", "spans:2", "ngrams"])
def test_patterns_of_texts(pattern, tokenizer):
    model = make("Bert", len(tokenizer))
    batch = tokenizer(SENTENCES[:9], padding=True, return_tensors="pt")
    more = {}
    if pattern == "ngrams":
        ids = tokenizer("the mat", add_special_tokens=False)["input_ids"]
        more["ngrams"] = Ngrams.of([(ids, [True, *[False] * (len(ids) - 2), True])])
    words = [batch.word_ids(row) for row in range(9)]
    with mw.attach(model, 0.4, tokenizer=tokenizer, pattern=pattern, **more) as attached:
        for _ in range(3):
            model(**batch)
            for row, hidden in enumerate(attached.hidden.tolist()):
                states = {}
                for word, state in zip(words[row], hidden, strict=True):
                    states.setdefault(word, set()).add(state)
                assert states.pop(None) == {False}
                assert all(len(each) == 1 for each in states.values())
    if pattern == "ngrams":
        the_mat = [place for place in range(9) if "on the mat" in SENTENCES[place]]
        for row in the_mat:
            tokens = batch["input_ids"][row].tolist()
            at = next(at for at in range(30) if tokens[at : at + len(ids)] == ids)
            assert len(set(attached.hidden[row, at : at + len(ids)].tolist())) == 1


def test_words_may_be_given_and_spans_are_of_tokens_without():
    model = TinyForMaskedLM()
    ids, attention = texts(length=22)
    words = torch.arange(22).div(4, rounding_mode="floor").expand(4, -1)
    with attach(model, 0.5, pattern="words"):
        hidden = seen(model, ids, attention, word_ids=words)[1] != -100
        for word in range(1, 5):
            part = hidden[0, 4 * word : 4 * word + 4]
            assert part.all() or not part.any()
        with pytest.raises(mw.UserError, match=r"words needs words, .* or take pattern='spans'"):
            model(ids, attention)
    with attach(model, 0.5, pattern="spans:5"):
        hidden = seen(model, ids, None)[1] != -100
        assert hidden.sum(dim=1).tolist() == [10, 5, 10, 5]
        changes = (hidden[0, 1:] != hidden[0, :-1]).sum()
        assert changes <= 6


def test_in_eval_mode_it_is_untouched_or_has_a_ratio_with_the_same_masks_always():
    model = TinyForMaskedLM().eval()
    ids, attention = texts(batch=6)
    with attach(model):
        assert seen(model, ids, attention)[0] is ids
        assert seen(model, ids, attention, labels=ids)[1] is ids
    with attach(model, eval_ratio=0.5) as attached:
        shown, labels = seen(model, ids, attention)
        assert (labels != -100).sum(dim=1).tolist() == [9, 5] * 3
        assert torch.equal(shown == MASK, labels != -100)
        for row in range(6):
            short = int(attention[row].sum())
            again = seen(model, ids[row : row + 1, :short], None)[1]
            assert torch.equal(again[0], labels[row, :short])
        assert not attached.log
        model.train()
        seen(model, ids, attention)
        model.eval()
        assert torch.equal(seen(model, ids, attention)[1], labels)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"labels": torch.zeros(2, 3, dtype=torch.int64)}, "its tokens are masked already: leave"),
        ({"input_ids": torch.zeros(3, dtype=torch.int64)}, "input_ids [3]: masks need token ids"),
        ({"input_ids": None}, "gives TinyForMaskedLM no input_ids"),
        ({"input_ids": torch.full((1, 4), NUM)}, "are in 24..24, and the tokenizer has ids 0..23"),
        ({"input_ids": torch.full((1, 4), CLS)}, "none of the 1 samples of a batch has a token"),
    ],
)
def test_calls_that_cannot_be_masked(more, told):
    model = TinyForMaskedLM()
    with attach(model) as attached, pytest.raises(mw.UserError) as error:
        model(**{"input_ids": torch.full((2, 3), 9)} | more)
    assert told in str(error.value)
    assert not attached.log


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            {"tokenizer": None},
            "give tokenizer=, so that they are made for it, or attach the law to",
        ),
        ({"pattern": "block"}, "pattern block is for images; texts have scattered, words"),
        ({"pattern": "ngrams"}, "'ngrams' and the argument ngrams= need each other"),
        ({"shares": (0.5, 0.1, 0.1)}, "sum to 0.7: make the sum 1"),
        ({"ladder": 2, "scope": "sample"}, "leave ladder or scope='sample' out"),
    ],
)
def test_what_cannot_work_is_said(more, told):
    with pytest.raises(mw.UserError) as error:
        mw.attach(TinyForMaskedLM(), 0.3, **{"tokenizer": Letters()} | more)
    assert told in str(error.value)


def test_a_tokenizer_without_a_mask_and_options_of_others():
    other = Letters()
    other.mask_token_id = None
    with pytest.raises(mw.UserError, match="no mask token: it is not of a masked model"):
        mw.attach(TinyForMaskedLM(), 0.3, tokenizer=other)
    model = torch.nn.Linear(2, 2)
    model.mask_ratio = 0.5
    with pytest.raises(mw.UserError, match="shares are for language models: leave them out"):
        mw.attach(model, 0.3, set_ratio="mask_ratio", shares=(1, 0, 0))


@pytest.fixture(scope="module")
def esm(tmp_path_factory):
    """ESM as it is pretrained, and its tokenizer, which is a slow one."""
    letters = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWC", "<mask>"]
    file = tmp_path_factory.mktemp("esm") / "vocab.txt"
    file.write_text("\n".join(letters))
    tokens = transformers.EsmTokenizer(str(file))
    special = {"mask_token_id": 24, "pad_token_id": 1, "position_embedding_type": "rotary"}
    return lambda: (make("Esm", 25, token_dropout=True, **special), tokens)


def sizes(model, ids):
    """Return how large a visible token of each row is beside its row of the table."""
    found = []
    module = model.esm.embeddings
    handle = module.register_forward_hook(
        lambda its, args, out: found.append(out[0] if isinstance(out, tuple) else out)
    )
    with torch.no_grad():
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
    handle.remove()
    table = module.word_embeddings.weight[ids[:, 0]].detach()
    return (found[0][:, 0] / table).mean(dim=1)


def test_esm_rescales_by_what_is_hidden_and_no_constant_mends_it(esm):
    """With m hidden a visible token is (1 - c) / (1 - m) of itself, and 1 - c with nothing hidden.

    The quotient of both, by which training differs from use,
    does not have c: its mean under a uniform law is ln((1 - a) / (1 - b)) / (b - a).
    """
    model, tokens = esm()
    ids = torch.tensor(tokens("LAGVSERTIDPKQNFYMHWC" * 5)["input_ids"])[None]
    eligible = ids.shape[1] - 2
    plain = float(sizes(model.eval(), ids))
    assert plain == pytest.approx(1 - 0.15 * 0.8)
    for num in (10, 90):
        masked = ids.clone()
        masked[0, 1 : 1 + num] = 24
        assert float(sizes(model, masked)) / plain == pytest.approx(1 / (1 - num / len(ids[0])))
    ratios = laws.parse("uniform:0.1,0.9").draw((np.arange(64) + 0.5) / 64)
    rows = ids.repeat(64, 1)
    rows[torch.arange(ids.shape[1]) < 1 + torch.tensor(ratios * eligible)[:, None].round()] = 24
    rows[:, 0] = ids[0, 0]
    bias = float((sizes(model, rows) / plain).mean())
    low, high = (ratio * eligible / (eligible + 2) for ratio in (0.1, 0.9))
    expected = np.log((1 - low) / (1 - high)) / (high - low)
    assert expected == pytest.approx(2.6, abs=0.01)
    assert bias == pytest.approx(expected, rel=0.01)


def test_esm_is_refused_or_mended(esm):
    model, tokens = esm()
    with pytest.raises(mw.UserError, match=r"9 times larger .*: give mend=True to mend it"):
        mw.attach(model, "uniform:0.1,0.9", tokenizer=tokens)
    batch = tokens(["LAGVSERTIDPKQNFYMHWC"] * 2, return_tensors="pt")
    with mw.attach(model, "uniform:0.1,0.9", tokenizer=tokens, mend=True, seed=1) as attached:
        loss = model(**batch).loss
    loss.backward()
    assert len(attached.log) == 1
    assert not model.config.token_dropout
    table = model.esm.embeddings.word_embeddings.weight
    assert not table[24].any()
    ids = batch["input_ids"]
    masked = ids.clone()
    masked[1, 1:19] = 24
    assert sizes(model.eval(), masked).tolist() == pytest.approx([1, 1])
    mw.attach(model, "uniform:0.1,0.9", tokenizer=tokens).detach()


def test_padding_of_any_number():
    """The padding that a batch has does not matter for what is hidden."""
    model = TinyForMaskedLM()
    ids, attention = texts()
    longer = F.pad(ids, (0, 7), value=PAD)
    with attach(model, 0.4) as attached:
        short = seen(model, ids, attention)[1]
        attached.at(0)
        long = seen(model, longer, F.pad(attention, (0, 7)))[1]
    assert torch.equal(long[:, :20], short)
    assert (long[:, 20:] == -100).all()
