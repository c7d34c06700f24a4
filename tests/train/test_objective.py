"""Objectives of one's own: what the loop asks of them."""

import contextlib
import copy

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from maskwise.masks import Mask
from maskwise.modality import Objective
from maskwise.objectives.reconstruction import Reconstruction
from maskwise.rng import Keys
from maskwise.train import checkpoint
from maskwise.train.batches import Batches
from maskwise.train.loop import Learner, plan_of, prepare


class Latent(Objective):
    """What a teacher, a slow copy of the model, makes of whole samples at the hidden positions.

    Args:
        model: the student.
        decay: how slowly the teacher follows.
    """

    def __init__(self, model, decay=0.5):
        super().__init__()
        self.decay = decay
        self.teacher = copy.deepcopy(model).requires_grad_(False)
        self.guess = nn.Linear(model.mask_token.shape[-1], model.config.width)
        with torch.no_grad():
            self.guess.weight.copy_(torch.eye(*self.guess.weight.shape))
            self.guess.bias.zero_()

    def forward(self, samples, answer, predicted):
        target = self.teacher.encode(samples, "none")
        index = predicted.hidden_idx[..., None].expand(-1, -1, target.shape[-1])
        error = (self.guess(answer.states) - target.gather(1, index)).square().mean(dim=(1, 2))
        assert predicted.is_rectangular
        return error

    @torch.no_grad()
    def follow(self, model):
        for own, new in zip(self.teacher.parameters(), model.parameters(), strict=True):
            own.lerp_(new, 1 - self.decay)


@pytest.fixture
def train_latent(run, new_model):
    """Train a model on its teacher, and return both."""

    def call(folder, config, **options):
        objective = Latent(new_model(config))
        return run(folder, config, objective=objective, **options)[0], objective

    return call


def same(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_student_and_its_teacher(train_latent, new_model, tiny, tmp_path):
    config = tiny({"train.steps": 4, "train.accumulate": 2, "train.lr": 0.01})
    model, objective = train_latent(tmp_path / "straight", config)
    fresh = new_model(config)
    assert not torch.equal(model.embed.weight, fresh.embed.weight)
    assert torch.equal(model.head.weight, fresh.head.weight)  # which this objective never reads
    teacher = objective.teacher.embed.weight
    assert not torch.equal(teacher, fresh.embed.weight)
    assert not torch.equal(teacher, model.embed.weight)
    assert not torch.equal(objective.guess.weight, Latent(fresh).guess.weight)
    # Interrupted, all three go on where they were.
    with pytest.raises(KeyboardInterrupt):
        train_latent(tmp_path / "broken", config, stop_at=1)
    resumed, again = train_latent(tmp_path / "broken", config, resume=True)
    assert same(model.state_dict(), resumed.state_dict())
    assert same(objective.state_dict(), again.state_dict())
    tensors = load_file(tmp_path / "broken" / checkpoint.NAME)
    assert torch.equal(tensors["objective.guess.weight"], objective.guess.weight)
    assert "optimizer.exp_avg.objective.guess.weight" in tensors
    assert "optimizer.exp_avg.objective.teacher.embed.weight" not in tensors


def test_the_teacher_is_the_mean_of_all_students(train_latent, new_model, tiny, tmp_path):
    students = [new_model(tiny()).embed.weight]
    for steps in (1, 2, 3):
        # One schedule of the learning rate: only the number of steps differs.
        config = tiny({"train.steps": 3, "train.lr": 0.01})
        options = {"stop_at": steps - 1} if steps < 3 else {}
        with contextlib.suppress(KeyboardInterrupt):
            train_latent(tmp_path / str(steps), config, **options)
        saved = load_file(tmp_path / str(steps) / checkpoint.NAME)
        students.append(saved["model.embed.weight"])
    expected = students[0]
    for student in students[1:]:
        expected = 0.5 * expected + 0.5 * student
    found = saved["objective.teacher.embed.weight"]
    torch.testing.assert_close(found, expected.detach())


def test_by_default_the_model_says_what_is_minimised(run, digits, new_model, tiny, tmp_path):
    config = tiny({"train.steps": 2})
    model = new_model(config)
    learner = Learner(model)
    assert isinstance(learner.objective, Reconstruction)
    assert [name for name, _ in learner.named_parameters()] == [
        f"model.{name}" for name, _ in model.named_parameters()
    ]
    run(tmp_path / "named", config, objective=Reconstruction(model.tokenizer.target_of))
    run(tmp_path / "plain", config)
    named, plain = (load_file(tmp_path / each / checkpoint.NAME) for each in ("named", "plain"))
    assert named.keys() == plain.keys()
    assert same(named, plain)
    assert {name.split(".")[0] for name in plain} == {"model", "optimizer"}


def test_the_loss_is_what_the_objective_makes_of_the_answer(digits, new_model, tiny):
    config = tiny({"train.scope": "sample", "model.predict_fraction": 0.5})
    model = new_model(config)
    [batch] = Batches(digits, batch_size=16, seed=0).read(0, 1, 0)
    part = prepare(batch, model, plan_of(config), torch.device("cpu"))
    given = part.samples, part.mask, part.predicted, part.keys
    answer = model.answer(*given, layers=[0])
    losses, features = Learner(model).losses(part, layers=[0])
    assert torch.equal(losses, model.objective()(part.samples, answer, part.predicted))
    assert torch.equal(features[0], answer.features[0])
    assert torch.equal(answer.prediction[0], model.head(answer.states))
    # What is hidden is not read.
    hidden = Mask(part.mask.hidden)
    pixels = hidden.hidden.view(-1, 1, 4, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)
    other = torch.where(pixels, 16 - part.samples, part.samples)
    keys = Keys(0, 0, batch.ids)
    assert torch.equal(model.answer(other, hidden, part.predicted, keys).states, answer.states)
