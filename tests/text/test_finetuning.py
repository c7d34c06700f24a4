import json
from collections.abc import Callable

import numpy as np
import pytest
import torch

from maskwise.errors import UserError
from maskwise.measure.finetuning import FineTuneSettings, tune
from maskwise.text.features import finetune_texts, text_samples
from maskwise.text.tasks import TextTask
from maskwise.tokens.model import LanguageModel

Make = Callable[..., LanguageModel]
QUICK = FineTuneSettings(epochs=4, batch_size=8, lr=1e-2, seeds=(0, 1))


def make_task(num: int = 64) -> TextTask:
    """The class is whether the cat comes before the dog, which no bag of words knows."""
    rng = np.random.default_rng(0)
    y = np.arange(2 * num) % 2
    texts = []
    for label in y:
        parts = ["cat", "dog"][:: 1 if label else -1]
        texts.append(f"{parts[0]} {rng.choice(['sat', 'ran on', 'saw the'])} {parts[1]}")
    return TextTask("order", texts[:num], y[:num], texts[num:], y[num:], ("no", "yes"))


def finetune(
    model: LanguageModel, task: TextTask, config: FineTuneSettings, seed: int
) -> np.ndarray:
    return tune(model, text_samples(model, task), config, seed).argmax(axis=1)


def test_learns_an_order_of_words(make_language_model: Make) -> None:
    model = make_language_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    task = make_task()
    predicted = finetune(model, task, QUICK, seed=0)
    assert (predicted == task.test_y).mean() > 0.95
    # The model that was given, and the global generator, are as they were.
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_depends_on_the_seed_alone(make_language_model: Make) -> None:
    task = make_task(16)
    task.test[:] = ["cat", "dog", "sat on a mat", "the", "mats", "a", "dogs ran", "b"] * 2
    weak = FineTuneSettings(epochs=1, batch_size=8, lr=1e-4)
    found = [finetune(make_language_model(), task, weak, seed) for seed in (0, 0, 1, 2, 3)]
    assert (found[0] == found[1]).all()
    assert any((found[0] != other).any() for other in found[2:])


def test_frozen_models_can_be_tuned(make_language_model: Make) -> None:
    model = make_language_model().requires_grad_(False)
    predicted = finetune(model, make_task(), QUICK, seed=0)
    assert (predicted == make_task().test_y).mean() > 0.95
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_table(make_language_model: Make) -> None:
    task = make_task()
    task.train[0] = "the cat sat on the mat " * 9
    [row] = finetune_texts({"encoder": make_language_model()}, task, QUICK)
    assert (row["task"], row["model"], row["majority"]) == ("order", "encoder", 0.5)
    assert [each["seed"] for each in row["seeds"]] == [0, 1]
    for key in ("accuracy", "mcc"):
        values = [each[key] for each in row["seeds"]]
        assert row[key]["mean"] == pytest.approx(np.mean(values))
        # Student's t with one degree of freedom: 12.7 standard errors.
        half = 12.706 * abs(values[0] - values[1]) / 2
        assert row[key]["high"] - row[key]["mean"] == pytest.approx(half, rel=1e-3, abs=1e-9)
    assert row["note"] == "1 texts cut at 22 tokens"
    assert json.loads(json.dumps(row)) == row


def test_matthews_correlation_of_a_constant_is_zero(make_language_model: Make) -> None:
    task = make_task(16)
    nothing = FineTuneSettings(epochs=1, lr=1e-9, seeds=(0,))
    task.test[:] = ["cat"] * len(task.test)
    [row] = finetune_texts({"encoder": make_language_model()}, task, nothing)
    assert row["mcc"] == {"mean": 0.0, "low": None, "high": None}
    assert row["accuracy"]["mean"] == 0.5


def test_refuses_texts_without_tokens(make_language_model: Make) -> None:
    task = make_task(16)
    task.train[3] = ""
    with pytest.raises(UserError, match="text 3"):
        finetune(make_language_model(), task, QUICK, 0)
