import pytest
import torch
import torch.nn.functional as F

from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.objectives.cross_entropy import losses_of
from maskwise.tokens.network import SequenceNetwork, rotate

TOKENS, LENGTH, DEPTH = 30, 12, 3


def network(attention="auto", **changes):
    shape = {"width": 16, "depth": DEPTH, "heads": 2, "mlp_ratio": 2.0} | changes
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(3)
        made = SequenceNetwork(TOKENS, attention=attention, **shape)
        # Initial weights are so small that a test of what they carry could not see it.
        for parameter in made.parameters():
            if parameter.ndim == 2:
                parameter.data.mul_(20)
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
    return torch.randint(5, TOKENS, (3, LENGTH), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def documents():
    """Rows of one, two and three documents; the last two have padding."""
    return torch.tensor(
        [[1] * 12, [1] * 5 + [2] * 5 + [0] * 2, [1, 1, 1, 2, 2, 3, 3, 3, 3, 0, 0, 0]]
    )


@pytest.fixture
def where():
    hidden = torch.rand(3, LENGTH, generator=torch.Generator().manual_seed(1)) < 0.4
    return Mask(hidden)


def close(a, b):
    return torch.allclose(a, b, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_nothing_crosses_documents(net, ids, documents):
    everything = net.features(ids, documents)
    for row in range(3):
        for document in range(1, int(documents[row].max()) + 1):
            inside = documents[row] == document
            other = torch.where(inside, ids[row], (ids[row] + 7) % TOKENS)
            again = net.features(other[None], documents[row : row + 1])[0]
            assert close(again[inside], everything[row, inside])
            # It is the document as it stands alone, wherever in the row.
            alone = net.features(ids[row, inside][None])[0]
            assert close(alone, everything[row, inside])
            # And what is within a document does matter.
            within = torch.where(inside, (ids[row] + 7) % TOKENS, ids[row])
            again = net.features(within[None], documents[row : row + 1])[0]
            assert not close(again[inside], everything[row, inside])


@torch.no_grad()
def test_every_token_of_a_document_reaches_every_other(net, ids):
    first = net.features(ids)
    for place in range(LENGTH):
        changed = ids.clone()
        changed[:, place] = (changed[:, place] + 3) % TOKENS
        assert ((net.features(changed) - first).abs().amax(dim=2) > 1e-4).all()


@torch.no_grad()
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("layer", [-1, 0, 1])
def test_wanted_tokens_are_those_of_all(net, ids, documents, packed, layer):
    documents = documents if packed else None
    wanted = torch.tensor([[0, 3, 11], [4, 5, 5], [8, 2, 0]])
    some = net.outputs(ids, documents, [layer], wanted)[0]
    everything = net.features(ids, documents, layer)
    assert close(some, everything.gather(1, wanted[..., None].expand(-1, -1, 16)))


@torch.no_grad()
def test_layers(net, ids):
    by_layer = [net.features(ids, layer=layer) for layer in range(net.num_layers)]
    assert torch.equal(by_layer[-1], net.features(ids))
    assert torch.equal(by_layer[0], net.features(ids, layer=-DEPTH))
    assert not close(by_layer[0], by_layer[1])


@pytest.mark.parametrize("packed", [False, True])
def test_plain_equals_sdpa(ids, documents, where, packed):
    documents = documents if packed else None
    found = []
    for attention in ("plain", "sdpa"):
        net = network(attention)
        # Padding attends to itself alone; nothing is asked of it.
        losses = losses_of(net.at(ids, documents, where)[1], ids[where.hidden])
        gradients = torch.autograd.grad(losses.sum(), list(net.parameters()))
        found.append((losses, *gradients))
    for plain, sdpa in zip(*found, strict=True):
        assert torch.allclose(plain, sdpa, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_logits_are_row_by_row(net, ids, documents, where):
    logits = net.logits(ids, documents, where)
    x = net.head_norm(F.gelu(net.head(net.features(ids, documents))))
    assert close(logits, (x @ net.embed.weight.T + net.bias)[where.hidden])
    losses = losses_of(net.at(ids, documents, where)[1], ids[where.hidden])
    assert close(losses, F.cross_entropy(logits, ids[where.hidden], reduction="none"))
    # The same number hidden in every row, and nothing hidden at all.
    even = Mask(torch.arange(LENGTH).expand(3, -1) < 4)
    assert close(net.logits(ids, None, even), (head(net, ids))[even.hidden])
    assert net.logits(ids, None, Mask(torch.zeros(3, LENGTH, dtype=torch.bool))).shape == (0, 30)


def head(net, ids):
    x = net.head_norm(F.gelu(net.head(net.features(ids))))
    return x @ net.embed.weight.T + net.bias


@torch.no_grad()
def test_rotary_positions_are_relative(net, ids):
    """Padding in front moves all positions, and changes nothing."""
    moved = torch.cat([ids[:, :5], ids], dim=1)
    documents = torch.ones_like(moved)
    documents[:, :5] = 0
    assert close(net.features(moved, documents)[:, 5:], net.features(ids))
    # But order matters.
    assert not close(net.features(ids.flip(1)).flip(1), net.features(ids))


def test_rotation():
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(2, 3, 6, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    positions = torch.arange(6)
    turned = rotate(q, positions)
    for t in range(6):
        for pair in range(4):
            angle = t * 10_000.0 ** (-pair / 4)
            turn = torch.polar(torch.tensor(1.0).double(), torch.tensor(angle).double())
            expected = torch.complex(q[..., t, pair], q[..., t, pair + 4]) * turn
            found = torch.complex(turned[..., t, pair], turned[..., t, pair + 4])
            assert torch.allclose(found, expected, atol=1e-6)
    scores = turned @ rotate(k, positions).transpose(-2, -1)
    later = rotate(q, positions + 9) @ rotate(k, positions + 9).transpose(-2, -1)
    assert torch.allclose(scores, later, atol=1e-5)
    rows = torch.stack([positions, positions + 9])
    assert torch.allclose(rotate(q, rows)[0], turned[0])
    assert torch.allclose(rotate(q, rows)[1], rotate(q, positions + 9)[1])
    q.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: rotate(x, positions), q[:1, :1], atol=1e-4)


@pytest.mark.parametrize(("width", "heads"), [(15, 2), (16, 3), (6, 2)])
def test_bad_shapes(width, heads):
    with pytest.raises(UserError, match=f"width {width} over {heads} heads"):
        network(width=width, heads=heads)


def test_other_tokens_are_read_than_predicted(ids, documents, where):
    net = network(num_inputs=50)
    assert net.embed.weight.shape == (50, 16)
    logits = net.logits(ids + 20, documents, where)
    x = net.head_norm(F.gelu(net.head(net.features(ids + 20, documents))))
    assert close(logits, (x @ net.unembed.weight.T + net.bias)[where.hidden])
    losses = losses_of(net.at(ids + 20, documents, where)[1], ids[where.hidden])
    assert close(losses, F.cross_entropy(logits, ids[where.hidden], reduction="none"))
    losses.sum().backward()
    assert net.unembed.weight.grad.abs().max() > 0


@pytest.mark.parametrize("inputs", [None, TOKENS])
def test_output_weights_are_the_embedding(inputs):
    net = network(num_inputs=inputs)
    assert net.output[0] is net.embed.weight
    assert net.state_dict().keys() == network().state_dict().keys()
