"""A law in somebody else's model."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import maskwise as mw
from maskwise import laws
from maskwise.rng import Stream, uniforms


class Theirs(nn.Module):
    """Keeps the part of the columns that its ratio leaves; the ratio is in a part of it."""

    def __init__(self) -> None:
        super().__init__()
        self.masking = nn.Module()
        self.masking.mask_ratio = 0.75
        self.linear = nn.Linear(1, 1)

    def forward(self, x):
        return x[:, : round(x.shape[1] * (1 - self.masking.mask_ratio))]


X = torch.zeros(1, 1000)


def realised(model, num=8):
    return [1 - model(X).shape[1] / 1000 for _ in range(num)]


def attach(model, law="uniform:0.2,0.9", **more):
    return mw.attach(model, law, set_ratio="masking.mask_ratio", **more)


def test_each_step_has_the_ratio_that_seed_and_step_say():
    model = Theirs()
    with attach(model, seed=3) as attached:
        found = realised(model)
    u = uniforms(3, Stream.RATIO, sample_ids=torch.arange(8)).numpy()
    assert np.allclose(found, 0.2 + 0.7 * u, atol=1e-3)
    assert [step for step, _, _ in attached.log] == list(range(8))
    assert np.allclose([each.asked for each in attached.log], 0.2 + 0.7 * u)


def test_masks_of_ones_own_runs_have_the_same_ratios():
    attached = attach(Theirs(), seed=3)
    attached.at(300)
    drawn = mw.masks.draw(
        "uniform:0.2,0.9", (10**4,), sample_ids=torch.arange(1), seed=3, step=300
    )
    assert attached.ratio == pytest.approx(float(drawn.ratio[0]), abs=1e-4)


def test_in_eval_mode_the_model_has_its_own_ratio_or_a_given_one():
    model = Theirs()
    attached = attach(model)
    realised(model)
    assert model.masking.mask_ratio == 0.75
    assert realised(model.eval(), 1) == [0.75]
    attached.detach()
    attach(model, eval_ratio=0.5)
    assert realised(model, 2) == [0.5, 0.5]
    assert model.masking.mask_ratio == 0.75


def test_detached_it_is_as_before():
    model = Theirs()
    attached = attach(model)
    attached.detach()
    attached.detach()
    assert realised(model, 2) == [0.25 + 0.5] * 2
    assert not attached.log
    assert not model._forward_pre_hooks
    assert not model._forward_hooks


def test_a_forward_that_fails_leaves_the_ratio_alone():
    model = Theirs()
    attach(model)
    with pytest.raises(AttributeError):
        model(None)
    assert model.masking.mask_ratio == 0.75


def test_a_state_continues():
    model, again = Theirs(), Theirs()
    first = attach(model, seed=1)
    whole = realised(model, 3)
    state = first.state_dict()
    whole += realised(model, 3)
    second = attach(again, seed=1)
    second.load_state_dict(state)
    assert realised(again, 3) == whole[3:]
    with pytest.raises(mw.UserError, match=r"of seed 1, and this of 2: attach the same"):
        attach(Theirs(), seed=2).load_state_dict(state)


def test_steps_that_are_told_share_a_ratio():
    model = Theirs()
    attached = attach(model)
    attached.at(5)
    a, b = realised(model, 2)
    attached.at(6)
    [c] = realised(model, 1)
    assert a == b != c


def test_a_law_that_moves_needs_the_number_of_steps():
    model = Theirs()
    with attach(model, "scheduled:linear,0.2..0.6"), pytest.raises(mw.UserError, match=r"steps="):
        model(X)
    with attach(model, "scheduled:linear,0.2..0.6", steps=4):
        assert np.allclose(realised(model, 6), [0.2, 0.3, 0.4, 0.5, 0.6, 0.6])
    with attach(model, "scheduled:linear,0.2..0.6") as attached:
        attached.at(2, steps=4)
        assert np.allclose(realised(model, 1), [0.4])


def test_a_ladder_has_so_many_ratios_of_the_same_mean():
    model = Theirs()
    with attach(model, ladder=4):
        found = realised(model, 400)
    values, counts = np.unique(np.round(found, 3), return_counts=True)
    assert np.allclose(values, 0.2 + 0.7 * np.array([0.125, 0.375, 0.625, 0.875]), atol=1e-3)
    assert counts.min() > 60


def test_the_law_is_that_of_the_ratios():
    """Mean and spread over many steps are those of the law, within four standard errors."""
    law = laws.parse("beta:2,5")
    attached = attach(Theirs(), law)
    found = []
    for step in range(2000):
        attached.at(step)
        found.append(attached.ratio)
    nodes, weights = law.quadrature(64)
    spread = float(np.sqrt(weights @ (nodes - law.mean()) ** 2))
    assert abs(np.mean(found) - law.mean()) < 4 * spread / 2000**0.5
    assert np.std(found) == pytest.approx(spread, rel=0.07)


def test_a_function_may_set_the_ratio():
    model, seen = Theirs(), []
    with mw.attach(model, "fixed:0.3", set_ratio=lambda its, ratio: seen.append((its, ratio))):
        model(X)
    assert seen == [(model, 0.3)]


def test_several_copies_of_a_ratio_are_all_set():
    model = Theirs()
    model.mask_ratio = 0.5
    seen = []
    model.register_forward_hook(
        lambda its, args, out: seen.append((its.mask_ratio, its.masking.mask_ratio))
    )
    with mw.attach(model, "fixed:0.3", set_ratio=["mask_ratio", "masking.mask_ratio"]):
        model(X)
    assert seen == [(0.3, 0.3)]
    assert (model.mask_ratio, model.masking.mask_ratio) == (0.5, 0.75)


def test_a_copy_of_the_model_is_not_attached():
    model = Theirs()
    attached = attach(model)
    other = copy.deepcopy(model)
    assert realised(other, 2) == [0.75, 0.75]
    assert attached.step == 0


def test_a_compiled_model_has_the_law_and_is_told_of_its_versions(caplog):
    model = Theirs()
    compiled = torch.compile(model, backend="eager")
    attached = attach(compiled)
    [told] = [each.getMessage() for each in caplog.records if each.name == "maskwise"]
    assert "give ladder=8" in told
    caplog.clear()
    attached.detach()
    with attach(compiled, ladder=2) as attached:
        found = realised(compiled, 12)
    assert not [each for each in caplog.records if each.name == "maskwise"]
    assert np.allclose(found, [each.asked for each in attached.log], atol=1e-3)
    assert len(set(found)) == 2
    with attach(compiled, "choice:0.3,0.6"):
        assert not [each for each in caplog.records if each.name == "maskwise"]
    torch.compiler.reset()


def test_a_model_within_ddp_is_found():
    class Wrapped(nn.parallel.DistributedDataParallel):
        def __init__(self, module):
            nn.Module.__init__(self)
            self.module = module

    model = Theirs()
    with attach(Wrapped(model)):
        assert len(set(realised(model, 4))) == 4


@pytest.mark.parametrize(
    ("make", "more", "told"),
    [
        (lambda: nn.Linear(2, 2), {}, "torch.Linear is not known, and has no attribute named"),
        (Theirs, {}, "name the one that its forward reads, as set_ratio='masking.mask_ratio'"),
        (Theirs, {"set_ratio": "ratio"}, "no such attribute; attributes that look like a mask"),
        (Theirs, {"set_ratio": "masking"}, "Theirs has of type Module"),
        (lambda: 3, {}, "attach takes a model, not int"),
        (Theirs, {"set_ratio": "masking.mask_ratio", "pattern": "block"}, "leave pattern='block'"),
        (Theirs, {"set_ratio": "masking.mask_ratio", "scope": "sample"}, "leave scope='sample'"),
        (Theirs, {"set_ratio": "masking.mask_ratio", "ladder": 0}, "ladder 0 is below 1"),
        (Theirs, {"set_ratio": "masking.mask_ratio", "eval_ratio": 2}, "eval_ratio 2 is outside"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(make, more, told):
    with pytest.raises(mw.UserError) as error:
        mw.attach(make(), "uniform:0.2,0.9", **more)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_law_cannot_be_attached_twice():
    model = Theirs()
    first = attach(model)
    with pytest.raises(mw.UserError, match=r"has a law already: detach\(\) it first"):
        attach(model)
    first.detach()
    attach(model)
