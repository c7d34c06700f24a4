import pytest
import torch
import torch.nn.functional as F

from maskwise.dna.model import DILATIONS, ConvNetwork
from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.objectives.cross_entropy import losses_of

TOKENS, LENGTH, DEPTH = 7, 24, 3


def network(**changes):
    shape = {"width": 16, "depth": DEPTH, "mlp_ratio": 2.0, "kernel": 5} | changes
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(3)
        made = ConvNetwork(TOKENS, **shape)
        # Initial weights are so small that a test of what they carry could not see it.
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.data.mul_(8)
            else:
                parameter.data += 0.3 * torch.randn(
                    parameter.shape, generator=torch.default_generator
                )
    return made.eval()


@pytest.fixture
def net():
    return network()


@pytest.fixture
def ids():
    return torch.randint(0, 4, (3, LENGTH), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def where():
    return Mask(torch.rand(3, LENGTH, generator=torch.Generator().manual_seed(1)) < 0.4)


def close(a, b):
    return torch.allclose(a, b, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_written_out(net, ids):
    x = net.embed_norm(net.embed(ids))
    for block, dilation in zip(net.blocks, (1, 2, 4), strict=True):
        seen = F.pad(block.norm1(x), (0, 0, 2 * dilation, 2 * dilation))
        mixed = sum(
            seen[:, i * dilation : i * dilation + LENGTH] @ block.conv.weight[:, :, 0, i].T
            for i in range(5)
        )
        x = x + F.gelu(mixed)
        x = x + block.out(F.gelu(block.mlp(block.norm2(x))))
    assert close(net.features(ids), net.norm(x))


@torch.no_grad()
@pytest.mark.parametrize(("front", "behind"), [(0, 7), (6, 0), (5, 3)])
def test_padding_is_as_if_not_there(net, ids, front, behind):
    documents = torch.ones_like(ids)
    documents[:, :front] = 0
    documents[:, LENGTH - behind :] = 0
    kept = slice(front, LENGTH - behind)
    padded = net.features(ids, documents)[:, kept]
    assert close(padded, net.features(ids[:, kept]))
    # What stands there would matter.
    assert not close(net.features(ids)[:, kept], padded)


@torch.no_grad()
def test_rows_without_padding_among_padded_ones(net, ids):
    documents = torch.ones_like(ids)
    documents[1, 9:] = 0
    assert close(net.features(ids, documents)[[0, 2]], net.features(ids)[[0, 2]])
    assert torch.equal(net.features(ids, torch.ones_like(ids)), net.features(ids))


@pytest.mark.parametrize(("depth", "kernel"), [(1, 3), (2, 9), (3, 5), (8, 3)])
def test_receptive_field(depth, kernel):
    net = network(depth=depth, kernel=kernel)
    field = 1 + (kernel - 1) * sum(DILATIONS[index % len(DILATIONS)] for index in range(depth))
    length = field + 20
    middle = length // 2
    ids = torch.zeros(1, length, dtype=torch.int64)
    seen = []
    net.embed.register_forward_hook(lambda _, __, output: seen.append(output))
    features = net.features(ids)
    # Not the sum of all features, whose gradient a norm in front makes 0.
    [gradient] = torch.autograd.grad(features[0, middle].square()[::2].sum(), seen)
    reached = gradient[0].abs().amax(dim=1).nonzero()[:, 0]
    assert reached.min() == middle - field // 2
    assert reached.max() == middle + field // 2


@torch.no_grad()
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("layer", [-1, 0, 1])
def test_wanted_tokens_are_those_of_all(net, ids, padded, layer):
    documents = torch.ones_like(ids)
    documents[0, 15:] = 0
    documents = documents if padded else None
    wanted = torch.tensor([[0, 3, 11], [4, 5, 5], [23, 2, 0]])
    some = net.outputs(ids, documents, [layer], wanted)[0]
    everything = net.features(ids, documents, layer)
    assert close(some, everything.gather(1, wanted[..., None].expand(-1, -1, 16)))


@torch.no_grad()
def test_layers(net, ids):
    by_layer = [net.features(ids, layer=layer) for layer in range(net.num_layers)]
    assert torch.equal(by_layer[-1], net.features(ids))
    assert torch.equal(by_layer[0], net.features(ids, layer=-DEPTH))
    assert not close(by_layer[0], by_layer[1])


@torch.no_grad()
@pytest.mark.parametrize("inputs", [None, 20])
def test_logits_are_row_by_row(ids, where, inputs):
    net = network(num_inputs=inputs)
    logits = net.logits(ids, None, where)
    x = net.head_norm(F.gelu(net.head(net.features(ids))))
    weight = net.embed.weight if inputs is None else net.unembed.weight
    assert weight.shape == (TOKENS, 16)
    assert close(logits, (x @ weight.T + net.bias)[where.hidden])
    losses = losses_of(net.at(ids, None, where)[1], ids[where.hidden])
    assert close(losses, F.cross_entropy(logits, ids[where.hidden], reduction="none"))


def test_every_weight_has_a_gradient(net, ids, where):
    losses_of(net.at(ids, None, where)[1], ids[where.hidden]).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_packed_rows_are_refused(net, ids):
    documents = torch.ones_like(ids)
    documents[0, 12:] = 2
    with pytest.raises(UserError, match="do not pack"):
        net.features(ids, documents)


@pytest.mark.parametrize("kernel", [0, 1, 4, -3])
def test_bad_kernels(kernel):
    with pytest.raises(UserError, match=f"not {kernel}"):
        network(kernel=kernel)
