import numpy as np
import pytest
import torch

from maskwise import masks
from maskwise.errors import UserError
from maskwise.images.images import array_source
from maskwise.modalities import find
from maskwise.train.batches import Batches
from maskwise.train.loop import plan_of, prepare


def numbered(num=50):
    """Images that are all their own number."""
    return array_source(
        np.broadcast_to(np.arange(num, dtype=np.uint8)[:, None, None, None], (num, 2, 2, 1)).copy()
    )


def test_an_epoch_is_a_shuffle_without_its_partial_batch():
    batches = Batches(numbered(), batch_size=8, seed=0)
    read = list(batches.read(0, 18, 0))
    assert [batch.step for batch in read] == list(range(18))
    assert [batch.epoch for batch in read] == [0] * 6 + [1] * 6 + [2] * 6
    epochs = [torch.cat([b.ids for b in read[first : first + 6]]) for first in (0, 6, 12)]
    for ids in epochs:
        assert len(set(ids.tolist())) == 48
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[0].sort().values, torch.arange(48))
    for batch in read:
        assert torch.equal(batch.samples[:, 0, 0, 0].long(), batch.ids)
        assert torch.equal(batch.peers, batch.ids)


def test_a_seed_decides_the_order():
    first, again, other = (
        torch.cat([b.ids for b in Batches(numbered(), batch_size=10, seed=s).read(0, 10, 0)])
        for s in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_reading_later_is_the_tail():
    batches = Batches(numbered(), batch_size=8, seed=0)
    whole = [batch.ids.tolist() for batch in batches.read(0, 15, 0)]
    assert [batch.ids.tolist() for batch in batches.read(4, 15, 0)] == whole[4:]


def test_workers_change_nothing():
    batches = Batches(numbered(), batch_size=8, seed=0)
    for alone, helped in zip(batches.read(2, 12, 0), batches.read(2, 12, 2), strict=True):
        assert (alone.step, alone.epoch) == (helped.step, helped.epoch)
        assert torch.equal(alone.ids, helped.ids)
        assert torch.equal(alone.samples, helped.samples)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_sample_is_told_as_it_is(workers):
    def read(rows):
        if 7 in rows:
            raise UserError("seven.png: unreadable image")
        return np.zeros((len(rows), 2, 2, 1), np.uint8)

    source = numbered()
    source = type(source)(source.shape, read, source.rows, None, None)
    with pytest.raises(UserError, match=r"^seven\.png: unreadable image$"):
        list(Batches(source, batch_size=8, seed=0).read(0, 6, workers))


def test_fewer_samples_than_a_batch():
    with pytest.raises(
        UserError, match=r"50 training samples are fewer than a batch of 51: lower"
    ):
        Batches(numbered(), batch_size=51, seed=0)


SAMPLING = [("step", "independent")] + [
    ("sample", sampling) for sampling in ("independent", "stratified", "antithetic")
]


@pytest.mark.parametrize(("scope", "sampling"), SAMPLING)
@pytest.mark.parametrize("pattern", ["scattered", "block"])
def test_masks_and_samples_do_not_depend_on_ranks(
    digits, tiny, new_model, scope, sampling, pattern
):
    config = tiny(
        {
            "train.scope": scope,
            "train.sampling": sampling,
            "pattern": pattern,
            "data.crop_scale": (0.3, 1.0),
            "data.flip": True,
            "model.predict_fraction": 0.5,
        }
    )
    model, cpu = new_model(config), torch.device("cpu")
    plan = plan_of(config, find("images").augment(config))

    def steps(rank, ranks):
        batches = Batches(digits, batch_size=16, seed=0, rank=rank, ranks=ranks)
        return [prepare(batch, model, plan, cpu) for batch in batches.read(88, 92, 0)]

    ratios = []
    for whole, first, second in zip(steps(0, 1), steps(0, 2), steps(1, 2), strict=True):
        seen = torch.cat([first.samples, second.samples])
        torch.testing.assert_close(whole.samples, seen, atol=1e-3, rtol=0)
        for part in ("mask", "predicted"):
            both = torch.cat([getattr(each, part).hidden for each in (first, second)])
            assert torch.equal(getattr(whole, part).hidden, both)
        ratios.append(whole.mask.ratio.tolist())
    assert len({ratio for row in ratios for ratio in row}) > 2
    if scope == "step":
        assert all(len(set(row)) == 1 for row in ratios)


def test_a_step_draws_by_its_place_in_training(digits, tiny, new_model):
    config = tiny({"law": "scheduled:linear,0.25..0.75", "train.steps": 200, "seed": 3})
    model, cpu = new_model(config), torch.device("cpu")
    batches = Batches(digits, batch_size=16, seed=3)
    for step in (0, 50, 100, 150, 199):
        [batch] = batches.read(step, step + 1, 0)
        part = prepare(batch, model, plan_of(config), cpu)
        mask = part.mask
        assert part.predicted is mask
        assert mask.num_hidden.tolist() == [round(16 * (0.25 + 0.5 * step / 200))] * 16
        expected = masks.draw(
            f"fixed:{float(mask.ratio[0])}", (4, 4), sample_ids=batch.ids, seed=3, epoch=step // 89
        )
        assert torch.equal(mask.hidden, expected.hidden)
