import numpy as np
import pytest
import torch
from torch import nn

from maskwise.columns.networks import (
    MLP,
    FeatureTransformer,
    Reading,
    TabularModelSettings,
)
from tests.columns.small_models import awake

SIZES = (0, 3, 0, 2)


def mlp(sizes=SIZES, num_parameters=1, num_batches=0, **changes):
    shape = TabularModelSettings(**({"width": 8, "depth": 2, "code": 3} | changes))
    return awake(MLP(sizes, num_parameters, num_batches, shape))


def transformer(sizes=SIZES, num_parameters=1, num_batches=0, **changes):
    shape = TabularModelSettings(**({"width": 8, "depth": 2, "heads": 2} | changes))
    return awake(FeatureTransformer(sizes, num_parameters, num_batches, shape, "plain"))


def reading(num=5, sizes=SIZES, batch=None):
    """Numbers and categories, some of them blank."""
    rng = torch.Generator().manual_seed(3)
    blank = torch.rand(num, len(sizes), generator=rng) < 0.4
    is_number = torch.tensor(sizes) == 0
    values = torch.randn(num, len(sizes), generator=rng) * (~blank & is_number)
    parts = [
        nn.functional.one_hot(torch.randint(size, (num,), generator=rng), size) * ~blank[:, [f]]
        for f, size in enumerate(sizes)
        if size
    ]
    categories = torch.cat(parts, dim=1).float() if parts else values[:, :0]
    return Reading(values, categories, blank, batch)


@pytest.mark.parametrize("make", [mlp, transformer])
@pytest.mark.parametrize("sizes", [SIZES, (0, 0, 0), (2, 4)])
@pytest.mark.parametrize("num_parameters", [1, 2])
def test_shapes(make, sizes, num_parameters):
    network, shown = make(sizes, num_parameters), reading(sizes=sizes)
    numbers, logits = network(shown)
    assert numbers.shape == (5, len(sizes), num_parameters)
    assert logits.shape == (5, sum(sizes))
    code = [3] if make is mlp else []
    widths = [8, 8, *code]
    assert network.num_layers == len(widths)
    for layer, width in enumerate(widths):
        z = network.features(shown, layer)
        assert z.shape == (5, width)
        assert torch.equal(z, network.features(shown, layer - len(widths)))


@pytest.mark.parametrize("make", [mlp, transformer])
def test_samples_do_not_see_each_other(make):
    network, shown = make(), reading()
    one = Reading(*(None if each is None else each[2:3] for each in shown))
    for whole, alone in zip(network(shown), network(one), strict=True):
        torch.testing.assert_close(whole[2:3], alone)


@pytest.mark.parametrize("make", [mlp, transformer])
def test_only_an_indicator_tells_zero_from_blank(make):
    shown = reading(sizes=(0, 0, 0))
    other = shown._replace(blank=torch.zeros_like(shown.blank))
    for corruption in ("indicator", "zero"):
        network = make((0, 0, 0), corruption=corruption)
        same = torch.allclose(network(shown).numbers, network(other).numbers)
        assert same != (corruption == "indicator")


@pytest.mark.parametrize("make", [mlp, transformer])
def test_batches_are_told_to_the_decoder_only(make):
    network = make(num_batches=2)
    first, second, unknown = (
        reading(batch=torch.full((5,), number, dtype=torch.int64)) for number in (0, 1, -1)
    )
    assert torch.equal(network.features(first), network.features(second))
    assert not torch.allclose(network(first).numbers, network(second).numbers)
    assert not torch.allclose(network(first).logits, network(unknown).logits)
    # No batch is none that was learned, not the first nor the last.
    for said, expected in zip(network(unknown), network(reading()), strict=True):
        torch.testing.assert_close(said, expected)


def test_an_mlp_by_hand():
    network, shown = mlp(norm=False, depth=1), reading()
    x = torch.cat([shown.values, shown.categories, shown.blank.float()], dim=1).double()

    def linear(layer, x):
        return x @ layer.weight.T.double() + layer.bias.double()

    def gelu(x):
        return x * (1 + torch.erf(x / 2**0.5)) / 2

    code = linear(network.code, gelu(linear(network.encoder[0][0], x)))
    torch.testing.assert_close(network.features(shown).double(), code, rtol=1e-5, atol=1e-6)
    y = gelu(linear(network.decoder[0][0], code))
    numbers, logits = network.decode(network.features(shown))
    found = torch.cat([numbers[..., 0], logits], dim=1).double()
    expected = torch.cat([linear(network.numbers, y), linear(network.logits, y)], dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_linear_path_finds_the_conditional_mean_of_normal_data():
    """The regressions of each feature on all others, applied again and again."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(5, 5)) / 3
    covariance = root @ root.T + np.eye(5)
    precision = np.linalg.inv(covariance)
    network = mlp((0,) * 5, linear=200, norm=False)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    regressions = np.eye(5) - precision / np.diag(precision)[:, None]
    network.linear.weight.data = torch.from_numpy(regressions).float()
    x = rng.multivariate_normal(np.zeros(5), covariance, 20)
    blank = rng.random((20, 5)) < 0.5
    shown = Reading(
        torch.from_numpy(np.where(blank, 0, x)).float(),
        torch.empty(20, 0),
        torch.from_numpy(blank),
        None,
    )
    found = network(shown).numbers[..., 0].detach().numpy()
    for row, hidden in enumerate(blank):
        gain = covariance[np.ix_(hidden, ~hidden)] @ np.linalg.inv(
            covariance[np.ix_(~hidden, ~hidden)]
        )
        np.testing.assert_allclose(found[row, hidden], gain @ x[row, ~hidden], atol=1e-4)


def test_a_linear_path_starts_at_nothing_and_predicts_categories_too():
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        shape = TabularModelSettings(width=8, depth=1, code=3, linear=2)
        network = MLP(SIZES, 1, 0, shape)
    shown = reading()
    before = network(shown)
    for said, decoded in zip(before, network.decode(network.features(shown)), strict=True):
        assert torch.equal(said, decoded)
    # The logit of the first category of the second feature from the first number.
    network.linear.weight.data[4, 0] = 1.0
    after = network(shown)
    assert torch.equal(before.numbers, after.numbers)
    torch.testing.assert_close(
        after.logits - before.logits, nn.functional.pad(shown.values[:, :1], (0, 4))
    )


def test_tokens_are_a_feature_and_its_value():
    network, shown = transformer(), reading()
    network.encoder = nn.Identity()
    network.encoder.outputs = lambda x, layers: [x for _ in layers]
    x = network.tokens(shown, [-1])[0].detach()
    first = {1: 0, 3: 3}  # where the categories of a feature begin
    for row in range(5):
        for feature, size in enumerate(SIZES):
            token = network.names[feature].detach()
            if shown.blank[row, feature]:
                token = token + network.mask_token
            elif size:
                of = shown.categories[row, first[feature] : first[feature] + size]
                token = token + network.categories[first[feature] + int(of.argmax())]
            else:
                token = token + shown.values[row, feature] * network.values[feature]
            torch.testing.assert_close(x[row, feature], token)
    z = network.features(shown)
    for row in range(5):
        seen = x[row, ~shown.blank[row]]
        expected = seen.mean(0) if len(seen) else torch.zeros(8)
        torch.testing.assert_close(z[row], expected)


def test_features_of_a_transformer_have_no_order():
    """Features in another order, with their parameters, are predicted the same."""
    order, columns = [3, 2, 1, 0], [3, 4, 0, 1, 2]
    one, shown = transformer(), reading()
    two = transformer(tuple(SIZES[feature] for feature in order))
    state = one.state_dict()
    for name in ("names", "values", "number_bias"):
        state[name] = state[name][order]
    for name in ("categories", "logits", "logit_bias"):
        state[name] = state[name][columns]
    state["numbers"] = state["numbers"][:, order]
    two.load_state_dict(state)
    turned = Reading(
        shown.values[:, order], shown.categories[:, columns], shown.blank[:, order], None
    )
    torch.testing.assert_close(one(shown).numbers[:, order], two(turned).numbers)
    torch.testing.assert_close(one(shown).logits[:, columns], two(turned).logits)
    torch.testing.assert_close(one.features(shown), two.features(turned))
