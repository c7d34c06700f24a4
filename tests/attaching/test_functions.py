"""Laws of functions that mask."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch

import maskwise as mw
from maskwise import laws
from tests.peers import peer


def hide(values, mask_ratio=0.15, mask_value=-1):
    """Hide the first columns."""
    values = values.clone()
    values[:, : int(values.shape[1] * mask_ratio)] = mask_value
    return values


ONES = torch.ones(200, 1000)


def shares(found):
    return (found < 0).float().mean(dim=1).numpy()


def test_each_call_has_the_ratio_of_its_number():
    lawful = mw.attach(hide, "uniform:0.2,0.9", seed=4)
    assert lawful.__name__ == "hide"
    found = [lawful(ONES), lawful(ONES, 0.15), lawful(values=ONES, mask_value=-3)]
    asked = [step.asked for step in lawful.log]
    assert [step.step for step in lawful.log] == [0, 1, 2]
    for part, ratio in zip(found, asked, strict=True):
        assert np.allclose(shares(part), ratio, atol=1e-3)
    assert found[2].min() == -3
    other = mw.attach(lambda x, mask_ratio: mask_ratio, "uniform:0.2,0.9", seed=4)
    assert [other(1), other(1), other(1)] == asked
    lawful.detach()
    assert np.allclose(shares(lawful(ONES)), 0.15)


def test_rows_have_ratios_of_their_own():
    law = laws.parse("uniform:0.2,0.9")
    lawful = mw.attach(hide, law, scope="sample")
    first, second = shares(lawful(ONES)), shares(lawful(values=ONES))
    assert len(np.unique(first)) > 150
    assert not np.allclose(first, second)
    assert abs(first.mean() - 0.55) < 4 * 0.7 / 12**0.5 / 200**0.5
    assert lawful.log[0].realised == pytest.approx(first.mean(), abs=1e-3)


def test_the_argument_may_be_named():
    with pytest.raises(mw.UserError, match=r"function share has arguments x, part: give the name"):
        mw.attach(share, 0.5)
    assert mw.attach(share, 0.5, set_ratio="part")(1) == 0.5
    with pytest.raises(mw.UserError, match=r"hide makes its masks itself: leave pattern='block'"):
        mw.attach(hide, 0.5, pattern="block")
    with pytest.raises(mw.UserError, match=r"share gives no tensor for each row"):
        mw.attach(share, 0.5, set_ratio="part", scope="sample")([1, 2])


def share(x, part=0.1):
    return part


@pytest.fixture
def random_token_mask():
    peer("lightly")
    from lightly.models import utils

    return utils.random_token_mask


def test_token_masks_of_lightly_have_the_ratio(random_token_mask):
    lawful = mw.attach(random_token_mask, "uniform:0.2,0.9")
    for _ in range(4):
        stay, hidden = lawful(size=(3, 17))
        assert stay.shape[1] == 1 + int(16 * (1 - lawful.log[-1].asked))
        assert hidden.shape[1] == 17 - stay.shape[1]


@pytest.mark.parametrize("first", [False, True])
def test_token_masks_of_lightly_may_be_ours(random_token_mask, first):
    size = (3, 16 + (not first))
    lawful = mw.attach(random_token_mask, "uniform:0.2,0.9", pattern="block", seed=1)
    plain = lawful.owner(size, 0.5, first, "cpu")
    stay, hidden = lawful(size=size, mask_class_token=first, device="cpu")
    assert [each.dtype for each in plain] == [stay.dtype, hidden.dtype]
    mask = mw.masks.draw(
        "uniform:0.2,0.9", (4, 4), sample_ids=torch.arange(3), seed=1, pattern="block"
    )
    found = torch.zeros(size, dtype=torch.bool).scatter_(1, hidden, True)
    assert torch.equal(found[:, not first :], mask.hidden)
    assert torch.equal(~found, torch.zeros_like(found).scatter_(1, stay, True))
    if not first:
        assert not stay[:, 0].any()
    with pytest.raises(mw.UserError, match="needs equal counts in a minibatch"):
        mw.attach(random_token_mask, 0.5, scope="sample")


def test_values_of_scgpt(monkeypatch):
    # torchtext, of which it takes a vocabulary, has no build for today's torch.
    for name in ("torchtext", "torchtext.vocab", "torchtext._torchtext"):
        monkeypatch.setitem(sys.modules, name, Stub(name))
    peer("scgpt.tokenizer.gene_tokenizer")
    from scgpt.tokenizer.gene_tokenizer import random_mask_value

    values = torch.cat([torch.ones(50, 40), torch.zeros(50, 10)], dim=1)
    lawful = mw.attach(random_mask_value, "uniform:0.2,0.9", scope="sample")
    hidden = lawful(values, mask_value=-1, pad_value=0) < 0
    assert not hidden[:, 40:].any()
    assert len(set(hidden.sum(1).tolist())) > 10
    assert lawful.log[0].realised == pytest.approx(float(hidden[:, :40].float().mean()), abs=0.02)


class Stub(ModuleType):
    """A module of which anything can be imported."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})
