import pytest
import torch

from maskwise.masks.mask import Mask, sample_weights
from maskwise.objectives.reconstruction import sample_losses
from maskwise.train.batches import Batches
from maskwise.train.config import connect
from maskwise.train.loop import Learner, backward, plan_of, prepare, setup


def gradient(digits, new_model, config):
    """The loss and the gradient of one step."""
    fabric = connect(config.efficiency)
    fabric.launch()
    model = new_model(config)
    wrapped, _ = setup(fabric, Learner(model), config.train)
    batch = next(Batches(digits, batch_size=16, seed=0).read(3, 4, 0))
    plan = plan_of(config)
    part = prepare(batch, model, plan, fabric.device)
    loss, _ = backward(fabric, wrapped, model, part, plan)
    gradients = {name: p.grad for name, p in model.named_parameters()}
    return loss, gradients, (part.samples, part.mask, model)


@pytest.mark.parametrize("reduction", ["sample_mean", "token_mean", "inverse_ratio"])
@pytest.mark.parametrize("scope", ["step", "sample"])
@pytest.mark.parametrize("fraction", [1.0, 0.4])
def test_micro_batches_give_the_gradient_of_the_batch(
    digits, tiny, new_model, scope, reduction, fraction
):
    changes = {
        "train.scope": scope,
        "train.reduction": reduction,
        "model.predict_fraction": fraction,
    }
    loss, whole, _ = gradient(digits, new_model, tiny(changes))
    for accumulate in (2, 4, 16):
        config = tiny(changes | {"train.accumulate": accumulate})
        other, parts, _ = gradient(digits, new_model, config)
        torch.testing.assert_close(loss, other, atol=1e-6, rtol=1e-6)
        for name, value in whole.items():
            torch.testing.assert_close(value, parts[name], atol=1e-6, rtol=1e-5, msg=name)
    assert sum(float(value.abs().sum()) for value in whole.values()) > 1


@pytest.mark.parametrize("reduction", ["sample_mean", "token_mean", "inverse_ratio"])
def test_the_loss_is_the_named_mean(digits, tiny, new_model, reduction):
    config = tiny({"train.scope": "sample", "train.reduction": reduction})
    loss, _, (samples, mask, model) = gradient(digits, new_model, config)
    totals, weights = [], []
    for row in range(16):
        prediction, target = model.predict(
            samples[row : row + 1], Mask(mask.hidden[row : row + 1])
        )
        error = (prediction - target).detach().square().mean(-1)[0]
        assert len(error) == int(mask.hidden[row].sum())
        totals.append(float(error.mean()))
        weights.append({"token_mean": len(error)}.get(reduction, 1))
    expected = sum(w * t for w, t in zip(weights, totals, strict=True)) / sum(weights)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    losses = sample_losses(*model.predict(samples, mask), mask.hidden_valid)
    weight = sample_weights(mask, reduction)
    assert float((weight * losses.detach()).sum() / weight.sum()) == pytest.approx(
        expected, rel=1e-5
    )
