import pytest
import torch
import torch.nn.functional as F

from maskwise.objectives import cross_entropy
from maskwise.objectives.cross_entropy import token_losses

NUM, WIDTH, TOKENS = 23, 6, 40


@pytest.fixture(params=[2, 10_000], ids=["few rows at a time", "all at once"])
def parts(request, monkeypatch):
    """x, weight, bias, targets and the weight of each row."""
    monkeypatch.setitem(cross_entropy.MOST_LOGITS, "cpu", request.param * TOKENS)
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(n, WIDTH, generator=generator) for n in (NUM, TOKENS))
    bias, rows = (torch.randn(n, generator=generator) for n in (TOKENS, NUM))
    return x, weight, bias, torch.randint(TOKENS, (NUM,), generator=generator), rows


def both(parts, scale=1.0, precision=None):
    """(losses, gradients) here and in torch."""
    x, weight, bias, targets, rows = parts
    found = []
    for one in (
        token_losses,
        lambda x, w, b, t: F.cross_entropy(F.linear(x, w, b).float(), t, reduction="none"),
    ):
        leaves = [part.clone().requires_grad_() for part in (x * scale, weight, bias)]
        with torch.autocast("cpu", precision, enabled=precision is not None):
            losses = one(*leaves, targets)
        gradients = torch.autograd.grad((losses * rows).sum(), leaves)
        found.append((losses.detach(), *gradients))
    return found


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_equal_to_torch(parts, scale):
    for here, there in zip(*both(parts, scale), strict=True):
        assert here.dtype == there.dtype == torch.float32
        assert torch.allclose(here, there, rtol=1e-5, atol=1e-5)


def test_equal_to_torch_in_bf16(parts):
    for here, there in zip(*both(parts, precision=torch.bfloat16), strict=True):
        assert here.dtype == torch.float32
        assert torch.allclose(here, there, rtol=0.02, atol=0.02 * float(there.abs().max()))
    # The losses themselves are as exact as the logits.
    (here, *_), (there, *_) = both(parts, precision=torch.bfloat16)
    assert torch.allclose(here, there, rtol=1e-5, atol=1e-5)


def test_hopeless_targets_have_finite_losses():
    weight = torch.tensor([[500.0], [-500.0], [0.0]])
    losses = token_losses(torch.ones(2, 1), weight, torch.zeros(3), torch.tensor([0, 1]))
    assert losses.tolist() == [0, 1000]


def test_no_rows():
    leaves = [torch.ones(shape).requires_grad_() for shape in ((0, 2), (3, 2), (3,))]
    losses = token_losses(*leaves, torch.zeros(0, dtype=torch.int64))
    assert losses.shape == (0,)
    for gradient in torch.autograd.grad(losses.sum(), leaves):
        assert not gradient.any()
