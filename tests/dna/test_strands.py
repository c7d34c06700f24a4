import pytest
import torch
import torch.nn.functional as F

from maskwise.dna.model import BothStrands, ConvNetwork
from maskwise.masks import Mask
from maskwise.objectives.cross_entropy import losses_of
from maskwise.tokens.network import SequenceNetwork

WIDTH, LENGTH = 16, 20
# Bases, unknown, nothing, mask.
COMPLEMENT = torch.tensor([3, 2, 1, 0, 4, 5, 6])
# Pairs of bases, read where single ones are predicted: AA -> TT, AC -> GT, ...
PAIRS = torch.cat([15 - torch.arange(16).view(4, 4).T.flatten(), torch.arange(16, 19)])
MAKE = {
    "transformer": lambda inputs: SequenceNetwork(7, WIDTH, 2, 2, 2.0, num_inputs=inputs),
    "conv": lambda inputs: ConvNetwork(7, WIDTH, 3, num_inputs=inputs),
}


def one_strand(kind, inputs=None):
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(4)
        made = MAKE[kind](inputs)
        # Initial weights are so small that a test of what they carry could not see it.
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.data.mul_(6)
            else:
                parameter.data += 0.3 * torch.randn(
                    parameter.shape, generator=torch.default_generator
                )
    return made.eval()


@pytest.fixture(params=list(MAKE))
def kind(request):
    return request.param


@pytest.fixture
def net(kind):
    return BothStrands(one_strand(kind), COMPLEMENT, COMPLEMENT)


@pytest.fixture(params=[False, True], ids=["whole", "padded"])
def documents(request):
    found = torch.ones(3, LENGTH, dtype=torch.int64)
    found[1, 14:] = 0
    found[2, :3] = 0
    return found if request.param else None


@pytest.fixture
def where():
    """Other numbers hidden in each row: 5, 9 and 1, none of them in padding."""
    hidden = torch.zeros(3, LENGTH, dtype=torch.bool)
    hidden[0, [0, 3, 4, 11, 19]] = True
    hidden[1, :9] = True
    hidden[2, 7] = True
    return Mask(hidden)


@pytest.fixture
def ids():
    return draw(4)


def draw(num):
    return torch.randint(0, num, (3, LENGTH), generator=torch.Generator().manual_seed(0))


def flipped(documents):
    return None if documents is None else documents.flip(1)


def on_grid(values, where):
    """Put values of hidden positions, row by row, where they belong."""
    grid = values.new_zeros(*where.hidden.shape, *values.shape[1:])
    grid[where.hidden] = values
    return grid


def feature_gap(network, ids, documents, complement=COMPLEMENT):
    """How far features of the other strand are from those of this one, turned around."""
    one = network.features(ids, documents)
    other = network.features(complement[ids].flip(1), flipped(documents)).flip(1)
    swapped = torch.cat(other.chunk(2, dim=2)[::-1], dim=2)
    counted = torch.ones_like(ids, dtype=torch.bool) if documents is None else documents == 1
    return (one - swapped)[counted].abs().max().item()


def logit_gap(network, ids, documents, where, complement=COMPLEMENT):
    one = on_grid(network.logits(ids, documents, where), where)
    turned = Mask(where.hidden.flip(1))
    other = network.logits(complement[ids].flip(1), flipped(documents), turned)
    return (one - on_grid(other, turned).flip(1)[..., COMPLEMENT]).abs().max().item()


@torch.no_grad()
def test_both_strands_are_one(net, kind, ids, documents, where):
    assert feature_gap(net, ids, documents) < 1e-5
    assert logit_gap(net, ids, documents, where) < 1e-5
    # A network that reads one strand is not.
    assert feature_gap(net.network, ids, documents) > 0.1
    assert logit_gap(net.network, ids, documents, where) > 0.1


@torch.no_grad()
def test_other_tokens_are_read_than_predicted(kind, documents, where):
    net = BothStrands(one_strand(kind, len(PAIRS)), COMPLEMENT, PAIRS)
    ids = draw(16)
    assert feature_gap(net, ids, documents, PAIRS) < 1e-5
    assert logit_gap(net, ids, documents, where, PAIRS) < 1e-5
    assert logit_gap(net.network, ids, documents, where, PAIRS) > 0.1
    assert net.logits(ids, documents, where).shape == (15, 7)


@torch.no_grad()
def test_logits_are_the_mean_of_both_strands(net, ids, documents, where):
    own = net.network.logits(ids, documents, where)
    turned = Mask(where.hidden.flip(1))
    other = net.network.logits(COMPLEMENT[ids].flip(1), flipped(documents), turned)
    other = on_grid(other, turned).flip(1)[where.hidden][:, COMPLEMENT]
    logits = net.logits(ids, documents, where)
    assert torch.allclose(logits, (own + other) / 2, atol=1e-5)
    targets = ids[where.hidden]
    losses = losses_of(net.at(ids, documents, where)[1], targets)
    assert torch.allclose(losses, F.cross_entropy(logits, targets, reduction="none"), atol=1e-5)


@torch.no_grad()
def test_features_are_those_of_each_strand(net, ids, documents):
    found = net.features(ids, documents, layer=0)
    assert found.shape == (3, LENGTH, net.width)
    own = net.network.features(ids, documents, layer=0)
    other = net.network.features(COMPLEMENT[ids].flip(1), flipped(documents), layer=0).flip(1)
    assert torch.allclose(found, torch.cat([own, other], dim=2), atol=1e-5)
    assert net.num_layers == net.network.num_layers


@torch.no_grad()
def test_hidden_tokens_alone_are_those_of_all(net, ids, documents, where):
    everything = net.logits(ids, documents, Mask(torch.ones_like(where.hidden)))
    some = net.logits(ids, documents, where)
    assert torch.allclose(some, everything.view(3, LENGTH, 7)[where.hidden], atol=1e-5)
    wanted = torch.tensor([[0, 19], [4, 4], [7, 3]])
    features = net.features(ids, documents)
    picked = features.gather(1, wanted[..., None].expand(-1, -1, net.width))
    assert torch.allclose(net.outputs(ids, documents, [-1], wanted)[0], picked, atol=1e-5)


def test_gradients_are_those_of_both_strands(net, ids, where):
    """A batch and its reverse complement ask for the same change, and of every weight."""

    def gradients(read, asked, targets):
        loss = losses_of(net.at(read, None, asked)[1], targets).sum()
        return torch.autograd.grad(loss, list(net.parameters()))

    turned = Mask(where.hidden.flip(1))
    other = COMPLEMENT[ids].flip(1)
    one = gradients(ids, where, ids[where.hidden])
    two = gradients(other, turned, other[turned.hidden])
    for a, b in zip(one, two, strict=True):
        assert a.abs().max() > 0
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-4)


def test_nothing_more_is_stored(net):
    """Complements belong to the tokens, not to the weights."""
    assert set(net.state_dict()) == {f"network.{name}" for name in net.network.state_dict()}
