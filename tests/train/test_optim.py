import math

import pytest

from maskwise.cells.cells import Cells
from maskwise.columns.model import TabularModelSettings
from maskwise.modalities import build
from maskwise.train.config import TrainSettings
from maskwise.train.loop import learning_rate, make_optimizer


@pytest.mark.parametrize(("steps", "warmup"), [(100, 0.1), (7, 0.3), (10, 0.0), (10, 1.0), (1, 0)])
def test_a_linear_rise_then_half_a_cosine(steps, warmup):
    config = TrainSettings(steps=steps, warmup=warmup, lr=0.5)
    rates = [learning_rate(step, config) for step in range(steps)]
    rise = round(steps * warmup)
    for step, rate in enumerate(rates):
        if step < rise:
            expected = 0.5 * (step + 1) / rise
        else:
            expected = 0.25 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))
        assert rate == pytest.approx(expected, rel=1e-12)
    assert max(rates) == 0.5
    assert min(rates) > 0


def test_only_matrices_decay(tiny, new_model):
    config = tiny({"model.positions": "learned", "train.weight_decay": 0.3})
    model = new_model(config)
    optimizer = make_optimizer(model, config.train)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = [{names[id(p)] for p in group["params"]} for group in optimizer.param_groups]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]
    assert groups[0] | groups[1] == set(names.values())
    assert not groups[0] & groups[1]
    assert groups[0] == {
        "embed.weight",
        "to_decoder.weight",
        "head.weight",
        *(
            f"{part}.blocks.0.{matrix}.weight"
            for part in ("encoder", "decoder")
            for matrix in ("qkv", "project", "mlp.0", "mlp.2")
        ),
    }
    assert {"class_token", "mask_token", "positions", "decoder_positions"} <= groups[1]
    assert optimizer.defaults["betas"] == (0.9, 0.95)


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_biases_of_many_parameters_do_not_decay(kind):
    """The transformer of features has one for each parameter of each number."""
    shape = TabularModelSettings(kind=kind, width=8, depth=1, code=4)
    model = build(Cells(("a", "b"), "zinb", profile=(0.5, 0.5)), shape, seed=0)
    optimizer = make_optimizer(model, TrainSettings())
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decay, rest = ({names[id(p)] for p in group["params"]} for group in optimizer.param_groups)
    biases = {name for name in names.values() if name.endswith("bias")}
    assert biases
    assert not biases & decay
    assert "log_dispersion" in rest
