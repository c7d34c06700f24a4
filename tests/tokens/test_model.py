import math

import pytest
import torch
import torch.nn.functional as F

from maskwise import masks
from maskwise.errors import UserError
from maskwise.likelihood import contract
from maskwise.masks import Mask
from maskwise.modalities import build
from maskwise.rng import Keys
from maskwise.run import load_model, save_model
from maskwise.text.model import TextModelSettings
from maskwise.text.text import train_tokenizer
from maskwise.tokens.model import LanguageModel
from maskwise.train.loop import Learner, Prepared

pytest.importorskip("tokenizers")
TEXTS = ["the cat sat on the mat", "a dog", "the old dog and the cat sat by the door"]


@pytest.fixture(scope="module")
def text():
    return train_tokenizer(TEXTS * 9, vocab_size=290, length=16)


@pytest.fixture
def make(text):
    def build_one(**changes) -> LanguageModel:
        return build(text, TextModelSettings(width=16, depth=2, heads=2, **changes), seed=0).eval()

    return build_one


@pytest.fixture
def ids(text):
    """Three texts in two rows: two packed in one row, one alone with padding."""
    first, second, third = (text.tokenize([each]).ids[0] for each in TEXTS)
    packed = torch.cat([first, second])
    size = max(len(packed), len(third))
    rows = torch.full((2, size), text.pad)
    for row, values in zip(rows, (packed, third), strict=True):
        row[: len(values)] = values
    return rows


def draw(model, ids, ratio=0.4):
    return masks.draw(
        ratio,
        (ids.shape[1],),
        sample_ids=torch.arange(len(ids)),
        seed=1,
        eligible=model.eligible(ids),
    )


KEYS = Keys(0, 0, torch.arange(2))


def test_a_sample_loss_is_the_mean_over_its_hidden_tokens(make, ids):
    model = make()
    mask = draw(model, ids)
    part = masks.subset(mask, 0.5, KEYS)
    for predicted in (mask, part):
        losses = Learner(model).losses(Prepared(ids, mask, predicted, KEYS))[0]
        seen = torch.where(mask.hidden, model.tokenizer.mask, ids)
        every = model.network.logits(seen, model.tokenizer.documents(seen), Mask(ids > -1))
        every = F.cross_entropy(every, ids.flatten(), reduction="none").view_as(ids)
        for row in range(2):
            expected = every[row][predicted.hidden[row]].mean()
            torch.testing.assert_close(losses[row], expected)
    assert int(part.num_hidden.sum()) < int(mask.num_hidden.sum())


def test_an_untrained_model_knows_nothing(make, ids):
    model = make()
    mask = draw(model, ids)
    losses = Learner(model).losses(Prepared(ids, mask, mask, KEYS))[0]
    assert losses.mean().item() == pytest.approx(math.log(model.tokenizer.num_tokens), rel=0.02)


def test_what_is_hidden_does_not_matter(make, ids):
    model = make()
    mask = draw(model, ids)
    other = torch.where(mask.hidden, 7, ids)
    assert torch.equal(model(ids, mask), model(other, mask))
    visible = (~mask.hidden & model.eligible(ids)).nonzero()[0]
    other[tuple(visible)] += 1
    assert not torch.equal(model(ids, mask), model(other, mask))


@pytest.mark.parametrize("shares", [(0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (0.5, 0.25, 0.25)])
def test_corruption(make, ids, shares):
    model = make(corruption=shares)
    mask = draw(model, ids)
    plain = make()
    losses = Learner(model).losses(Prepared(ids, mask, mask, KEYS))[0]
    assert not torch.allclose(
        losses, Learner(plain).losses(Prepared(ids, mask, mask, KEYS))[0], atol=1e-6
    )
    again = Learner(model).losses(Prepared(ids, mask, mask, Keys(0, 1, torch.arange(2))))[0]
    assert torch.equal(losses, again) == (shares[2] == 1)  # random tokens differ between epochs


def test_training_lowers_the_loss(make, ids):
    model = make().train()
    mask = draw(model, ids)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    found = []
    for _ in range(30):
        loss = Learner(model).losses(Prepared(ids, mask, mask, KEYS))[0].mean()
        loss.backward()
        assert all(p.grad is not None for p in model.parameters())
        optimizer.step()
        optimizer.zero_grad()
        found.append(float(loss.detach()))
    assert found[-1] < 0.5 * found[0]


def test_conditionals_are_distributions_over_what_a_text_can_hold(make, ids):
    model = make()
    ids = ids[1:]
    hidden = torch.zeros_like(ids, dtype=torch.bool)
    hidden[0, 2] = True
    totals = 0.0
    for token in range(model.tokenizer.num_tokens):
        changed = ids.clone()
        changed[0, 2] = token
        value = model.conditional_log_prob(changed, hidden).detach()
        assert (value[~hidden] == 0).all()
        special = not bool(model.tokenizer.alphabet[token])
        assert (value[0, 2] == -math.inf) == special
        totals += float(value[0, 2].exp())
    assert totals == pytest.approx(1, abs=1e-5)
    contract.check_leak(model, ids)


def test_draws_follow_the_conditional(make, ids):
    model = make()
    with torch.no_grad():
        model.network.bias[:30] += 4.0
    rows = ids[1:].expand(4000, -1)
    hidden = torch.zeros_like(rows, dtype=torch.bool)
    hidden[:, 2] = True
    drawn = model.conditional_sample(rows, hidden, Keys(0, 0, torch.arange(4000)))
    assert torch.equal(drawn[~hidden], rows[~hidden])
    log_prob = model.conditional_log_prob(drawn[:1], hidden[:1])[0, 2].detach()
    share = (drawn[:, 2] == drawn[0, 2]).double().mean()
    expected = float(log_prob.exp())
    assert abs(float(share) - expected) < 4 * math.sqrt(expected / 4000)
    assert bool(model.eligible(drawn)[:, 2].all())


def test_features_of_texts(make, text):
    model = make()
    found = text.tokenize(TEXTS).ids
    together = model.encode(found)
    for row, each in enumerate(TEXTS):
        torch.testing.assert_close(together[row], model.encode(text.tokenize([each]).ids)[0])
    mean, first = model.encode(found, "mean"), model.encode(found, "class")
    assert torch.equal(model.encode(found, "both"), torch.cat([first, mean], dim=1))
    assert not torch.allclose(model.encode(found, layer=0), mean)
    assert torch.equal(model.encode(found, layer=1), mean)
    with pytest.raises(UserError, match=r"layer 2 is outside 0\.\.1"):
        model.encode(found, layer=2)


def test_the_seed_decides_the_weights(text):
    config = TextModelSettings(width=16, depth=1, heads=2)
    one, same, other = (build(text, config, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["network.embed.weight"], other["network.embed.weight"])


def test_a_model_survives_its_folder(make, ids, tmp_path):
    model = make(corruption=(0.8, 0.1, 0.1))
    save_model(tmp_path, model)
    again = load_model(tmp_path)
    assert again.config == model.config
    assert torch.equal(again.features(ids), model.features(ids))
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"config\.json: cannot read .*tokenizer\.json"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"depth": 0}, "model.depth must be at least 1, not 0"),
        ({"mlp_ratio": 0.0}, "model.mlp_ratio must be above 0"),
        ({"predict_fraction": 0.0}, "predict_fraction"),
        ({"corruption": (0.8, 0.1, 0.2)}, "sum to 1.1"),
    ],
)
def test_shapes_that_cannot_be(changes, says):
    with pytest.raises(UserError, match=says):
        TextModelSettings(**changes)
