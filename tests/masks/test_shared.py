"""Masks that a whole step shares."""

import torch

from maskwise.masks import draw


def test_all_samples_hide_the_same_positions_and_every_step_others() -> None:
    steps = [
        draw("fixed:0.5", (40,), sample_ids=torch.arange(8), seed=3, step=step, pattern="shared")
        for step in range(20)
    ]
    assert all((mask.hidden == mask.hidden[:1]).all() for mask in steps)
    assert len({tuple(mask.hidden[0].tolist()) for mask in steps}) == 20
    other = draw("fixed:0.5", (40,), sample_ids=torch.arange(8), seed=4, pattern="shared")
    assert not torch.equal(other.hidden, steps[0].hidden)


def test_ratios_of_samples_make_nested_masks() -> None:
    mask = draw(
        "uniform:0.1,0.9",
        (50,),
        sample_ids=torch.arange(12),
        seed=0,
        pattern="shared",
        scope="sample",
    )
    rows = mask.hidden[mask.num_hidden.argsort()]
    assert (rows[:-1] <= rows[1:]).all()
    assert (mask.num_hidden.unique()).numel() > 6


def test_what_is_not_eligible_stays_visible() -> None:
    eligible = torch.rand(6, 30, generator=torch.Generator().manual_seed(0)) < 0.5
    mask = draw(
        "fixed:0.5",
        (30,),
        sample_ids=torch.arange(6),
        seed=0,
        pattern="shared",
        eligible=eligible,
    )
    assert not (mask.hidden & ~eligible).any()
    # Of positions that both may hide, samples differ only where one has more to hide.
    both = eligible[0] & eligible[1]
    low, high = mask.hidden[:2][:, both]
    assert (low <= high).all() or (high <= low).all()


def test_every_position_is_hidden_as_often_as_any_other() -> None:
    ids, num = torch.arange(1), 1500
    hidden = torch.zeros(8)
    for step in range(num):
        mask = draw("fixed:0.25", (8,), sample_ids=ids, seed=1, step=step, pattern="shared")
        hidden += mask.hidden[0]
    # Five standard deviations of a binomial.
    assert (hidden / num - 0.25).abs().max() < 5 * (0.25 * 0.75 / num) ** 0.5
