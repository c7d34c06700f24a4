import copy
import json
import sys

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load, save

from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.objectives.cross_entropy import losses_of
from maskwise.text.model import HFNetwork
from tests.lazy import lazy

lazy("transformers")


TOKENS, LENGTH, PAD = 40, 10, 3
COMMON = {"vocab_size": TOKENS, "pad_token_id": PAD}
SHAPE = {
    **COMMON,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "initializer_range": 0.3,
}
SPECIAL = {f"{name}_token_id": 1 for name in ("bos", "eos", "cls", "sep")}
CONFIGS = {
    "bert": SHAPE,
    "roberta": SHAPE,
    "modernbert": SHAPE | SPECIAL | {"initializer_cutoff_factor": 9.0},
    "distilbert": COMMON
    | {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24, "initializer_range": 0.3},
    "esm": SHAPE | {"mask_token_id": 4, "position_embedding_type": "rotary"},
}


def make(kind, **changes):
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return HFNetwork.from_config({"model_type": kind, **CONFIGS[kind], **changes})


@pytest.fixture(params=CONFIGS)
def net(request):
    return make(request.param).eval()


@pytest.fixture
def ids():
    ids = torch.randint(5, TOKENS, (3, LENGTH), generator=torch.Generator().manual_seed(0))
    ids[1, 7:] = PAD
    return ids


@pytest.fixture
def documents(ids):
    return (ids != PAD).long()


@pytest.fixture
def where(documents):
    hidden = torch.rand(3, LENGTH, generator=torch.Generator().manual_seed(1)) < 0.4
    return Mask(hidden & (documents > 0))


def gradients(net, loss):
    found = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
    return [torch.zeros(1) if gradient is None else gradient for gradient in found]


def test_hidden_positions_only_is_exact(net, ids, documents, where):
    logits = net.logits(ids, documents, where)
    full = net.model(input_ids=ids, attention_mask=documents).logits
    assert full.shape == (3, LENGTH, TOKENS)
    assert torch.allclose(logits, full[where.hidden], atol=1e-6)
    losses = losses_of(net.at(ids, documents, where)[1], ids[where.hidden])
    loss = F.cross_entropy(full[where.hidden], ids[where.hidden], reduction="none")
    assert torch.allclose(losses, loss, atol=1e-6)
    for here, there in zip(gradients(net, losses.sum()), gradients(net, loss.sum()), strict=True):
        assert torch.allclose(here, there, rtol=1e-5, atol=1e-6)


def test_no_logits_elsewhere_are_made(net, ids, documents, where):
    shapes = []
    hook = net.model.get_output_embeddings().register_forward_hook(
        lambda module, inputs, output: shapes.append(output.shape)
    )
    net.logits(ids, documents, where)
    hook.remove()
    assert shapes == [(1, int(where.hidden.sum()), TOKENS)]


@torch.no_grad()
def test_padding_changes_nothing(net, ids, documents, where):
    together = net.features(ids, documents)[1, :7]
    alone = net.features(ids[1:2, :7])[0]
    assert torch.allclose(together, alone, atol=1e-5)
    other = ids.clone()
    # Padding of a tokenizer that has none.
    other[1, 7:] = -1
    found = net.logits(other, documents, where)
    assert torch.allclose(found, net.logits(ids, documents, where), atol=1e-5)


@torch.no_grad()
def test_features(net, ids, documents):
    assert (net.num_layers, net.width) == (3, 16)
    by_layer = [net.features(ids, documents, layer) for layer in range(3)]
    assert torch.equal(by_layer[2], net.features(ids, documents))
    assert torch.equal(by_layer[0], net.features(ids, documents, -3))
    assert not torch.allclose(by_layer[0], by_layer[1], atol=1e-3)
    wanted = torch.tensor([[0, 5], [6, 2], [1, 1]])
    some = net.outputs(ids, documents, [-1], wanted)[0]
    assert torch.equal(some[1], by_layer[2][1, [6, 2]])


def test_one_document_in_each_row(net, ids, documents, where):
    documents[0, 5:] = 2
    for call in (
        lambda: net.features(ids, documents),
        lambda: net.logits(ids, documents, where),
    ):
        with pytest.raises(UserError, match="one document in each row"):
            call()


def test_saved_and_made_again(net, ids, documents, where):
    values = net.state_dict()
    # Shared weights have one name; safetensors refuses two.
    again = HFNetwork.from_config(json.loads(json.dumps(net.config))).eval()
    assert again.config == net.config
    again.load_state_dict(load(save(values)))
    found = again.logits(ids, documents, where)
    assert torch.equal(found, net.logits(ids, documents, where))
    # They are still shared, also within another module.
    assert len(list(again.parameters())) == len(list(net.parameters()))
    outer = torch.nn.ModuleDict({"network": again})
    assert outer.state_dict().keys() == {f"network.{name}" for name in values}
    outer.load_state_dict(load(save(outer.state_dict())))
    del values[next(iter(values))]
    with pytest.raises(RuntimeError, match="Missing key"):
        again.load_state_dict(values)


def test_a_copy_is_independent(net, ids, documents, where):
    before = net.logits(ids, documents, where)
    twin = copy.deepcopy(net)
    assert torch.equal(twin.logits(ids, documents, where), before)
    for parameter in twin.parameters():
        parameter.data.zero_()
    assert not twin.logits(ids, documents, where).any()
    # What it saves is its own, too.
    values = twin.state_dict()
    assert not any(values[name].any() for name, _ in twin.named_parameters())
    assert torch.equal(net.logits(ids, documents, where), before)


def test_training_lowers_the_loss(net, ids, documents, where):
    net.train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    state = torch.get_rng_state()
    values = []
    for _ in range(8):
        seen = ids.masked_fill(where.hidden, 4)
        loss = losses_of(net.at(seen, documents, where)[1], ids[where.hidden]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(float(loss.detach()))
    assert values[-1] < 0.8 * values[0]
    # No dropout: nothing is drawn from a generator that all share.
    assert torch.equal(torch.get_rng_state(), state)


def test_a_failure_leaves_no_trace(ids, documents, where):
    net = make("bert").eval()
    with pytest.raises(IndexError):
        net.logits(ids + TOKENS, documents, where)
    assert net.model(input_ids=ids).logits.shape == (3, LENGTH, TOKENS)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"model_type": "gpt2"}, "no masked language model of type gpt2"),
        ({"model_type": "nonsense"}, "no masked language model of type nonsense"),
        ({}, "no masked language model of type None"),
        (
            {"model_type": "bert", "hidden_size": 10, "num_attention_heads": 3},
            "no masked language model of type bert: .*hidden size",
        ),
    ],
)
def test_bad_configurations(values, says, capfd):
    with pytest.raises(UserError, match=says) as error:
        HFNetwork.from_config(values)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_without_transformers(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r'pip install "maskwise\[text\]"'):
        HFNetwork.from_config({"model_type": "bert"})
