import numpy as np
import pytest
import torch
from torch import nn

from maskwise.images.drop_path import dropped_paths
from maskwise.layers.transformer import Block, Transformer


def make_blocks(num: int) -> list[Block]:
    """Blocks with weights large enough for their branches to matter."""
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        blocks = Transformer(8, num, 2, 2.0, "plain").blocks
    return [block.requires_grad_(False) for block in blocks]


def test_each_sample_keeps_or_loses_each_branch_whole() -> None:
    [_, block] = make_blocks(2)
    x = torch.randn(400, 3, 8, generator=torch.Generator().manual_seed(1))
    first = nn.Identity()
    first.project, first.mlp = nn.Identity(), nn.Identity()
    with dropped_paths([first, block], 0.4, np.random.default_rng(0)):
        found = block(x)
    # What each of the four outcomes is, with branches over 1 - p.
    heads = block.qkv(block.norm1(x)).view(400, 3, 3, 2, 4).permute(2, 0, 3, 1, 4)
    q, k, v = heads
    weights = (q @ k.transpose(-2, -1) / 2).softmax(-1)
    attended = block.project((weights @ v).transpose(1, 2).flatten(2))
    outcomes = []
    for attention in (0, 1 / 0.6):
        middle = x + attention * attended
        outcomes += [middle + mlp * block.mlp(block.norm2(middle)) for mlp in (0, 1 / 0.6)]
    match = torch.stack([(found - each).abs().amax((1, 2)) < 1e-5 for each in outcomes])
    assert (match.sum(dim=0) == 1).all()
    shares = match.float().mean(dim=1)
    # .4 x .4, .4 x .6, .6 x .4, .6 x .6, within four standard errors.
    for share, expected in zip(shares, (0.16, 0.24, 0.24, 0.36), strict=True):
        assert share == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 400) ** 0.5)


def test_the_mean_of_a_branch_stays() -> None:
    [_, block] = make_blocks(2)
    x = torch.ones(20_000, 1, 8)
    rng = np.random.default_rng(0)
    with dropped_paths([block, block], 0.3, rng):
        dropped = block.mlp(x)
    # Two hooks, of p = 0 (none) and .3.
    torch.testing.assert_close(dropped.mean(0), block.mlp(x)[0], atol=0.02, rtol=0.02)


def test_rates_rise_from_nothing_and_hooks_are_gone() -> None:
    blocks = make_blocks(3)
    x = torch.ones(500, 2, 8)
    before = [block(x) for block in blocks]
    with dropped_paths(blocks, 0.5, np.random.default_rng(0)):
        assert torch.equal(blocks[0](x), before[0])
        skipped = [float((block(x) == x).all(2).all(1).float().mean()) for block in blocks]
    # Both branches of a sample: p squared, with p = 0, .25, .5.
    assert skipped[0] == 0
    assert skipped[1:] == pytest.approx([0.0625, 0.25], abs=0.06)
    with pytest.raises(KeyError), dropped_paths(blocks, 0.5, np.random.default_rng(0)):
        raise KeyError
    assert all(torch.equal(block(x), y) for block, y in zip(blocks, before, strict=True))


def test_nothing_is_drawn_at_rate_zero_or_without_blocks() -> None:
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    with dropped_paths(make_blocks(2), 0.0, rng), dropped_paths([], 0.5, rng):
        pass
    assert rng.bit_generator.state == state
