import math

import pytest
import torch

from maskwise.errors import UserError
from maskwise.layers.transformer import Block, Transformer, attend, sincos_positions


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def transformer():
    def make(attention="auto", depth=2):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            return Transformer(16, depth, 2, 4.0, attention).eval()

    return make


VALID = torch.tensor([[True] * 5 + [False] * 2, [True] * 7, [False] * 6 + [True]])


@pytest.mark.parametrize("valid", [None, VALID])
def test_written_out_attention_equals_torch(valid):
    q, k, v = random(3, 2, 4, 8), random(3, 2, 7, 8, seed=1), random(3, 2, 7, 8, seed=2)
    plain, fused = (attend(q, k, v, valid, kind) for kind in ("plain", "sdpa"))
    torch.testing.assert_close(plain, fused, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(attend(q, k, v, valid, "auto"), plain)


def test_attention_is_the_equation():
    q, k, v = random(1, 1, 3, 4), random(1, 1, 5, 4, seed=1), random(1, 1, 5, 4, seed=2)
    out = attend(q, k, v, None, "plain")[0, 0]
    for i in range(3):
        scores = [math.exp(float(q[0, 0, i] @ k[0, 0, j]) / 2) for j in range(5)]
        expected = sum(s * v[0, 0, j] for j, s in enumerate(scores)) / sum(scores)
        torch.testing.assert_close(out[i], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attention", ["plain", "sdpa"])
def test_invalid_tokens_have_no_influence(transformer, attention):
    model = transformer(attention)
    x = random(3, 7, 16)
    other = torch.where(VALID[..., None], x, 100 * random(3, 7, 16, seed=5))
    first, second = model(x, VALID), model(other, VALID)
    torch.testing.assert_close(first[VALID], second[VALID], atol=1e-6, rtol=1e-6)
    # Taking them out altogether gives the same.
    torch.testing.assert_close(first[:1, :5], model(x[:1, :5]), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(model(x)[0, :5], first[0, :5], atol=1e-3)


@pytest.mark.parametrize("valid", [None, VALID])
@pytest.mark.parametrize("num_last", [1, 3, 7])
def test_the_last_tokens_are_the_tail_of_all(transformer, valid, num_last):
    model = transformer()
    x = random(3, 7, 16)
    full = model(x, valid)
    torch.testing.assert_close(model(x, valid, num_last), full[:, -num_last:])


def test_a_layer_is_the_stack_cut_after_it(transformer):
    model = transformer(depth=3)
    x = random(2, 5, 16)
    first, second, third, last = model.outputs(x, [0, 1, 2, -1])
    torch.testing.assert_close(second, model.norm(model.blocks[1](model.blocks[0](x))))
    assert torch.equal(last, third)
    assert torch.equal(last, model(x))
    assert not torch.allclose(first, second)


def test_width_must_divide_into_heads():
    with pytest.raises(UserError, match="width 16 is not a multiple of 3 heads"):
        Block(16, 3, 4.0, "auto")


def test_sincos_known_values():
    positions = sincos_positions((3,), 4)
    # Frequencies 1 and 10000^(-1/2) = 0.01; sines first, then cosines.
    expected = [[math.sin(x), math.sin(x / 100), math.cos(x), math.cos(x / 100)] for x in range(3)]
    torch.testing.assert_close(positions, torch.tensor(expected))


def test_sincos_axes_on_a_grid_that_is_not_square():
    rows, columns = 3, 5
    positions = sincos_positions((rows, columns), 12).view(rows, columns, 12)
    by_row, by_column = positions[..., :6], positions[..., 6:]
    for r in range(rows):
        for c in range(columns):
            torch.testing.assert_close(by_row[r, c], sincos_positions((rows,), 6)[r])
            torch.testing.assert_close(by_column[r, c], sincos_positions((columns,), 6)[c])
    turned = sincos_positions((columns, rows), 12).view(columns, rows, 12)
    swapped = torch.cat([turned[..., 6:], turned[..., :6]], dim=-1).transpose(0, 1)
    torch.testing.assert_close(positions, swapped)


def test_every_position_differs():
    positions = sincos_positions((4, 3, 5), 12)
    assert positions.shape == (60, 12)
    assert torch.cdist(positions, positions).fill_diagonal_(1).min() > 1e-2


@pytest.mark.parametrize(("grid", "width"), [((4,), 5), ((2, 2), 6), ((2, 2, 2), 8)])
def test_a_width_that_does_not_split(grid, width):
    with pytest.raises(UserError, match=f"width {width} is not a multiple of {2 * len(grid)}"):
        sincos_positions(grid, width)
