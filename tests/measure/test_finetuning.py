"""Fine-tuning of a model of vectors: the loop knows no kind of data."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from maskwise.errors import UserError
from maskwise.measure import finetuning
from maskwise.measure.finetuning import FineTuneSettings, Samples, fit, over_seeds, tune, tuned_row


class Vectors(nn.Module):
    """A linear encoder with dropout, which fine-tuning must leave out."""

    def __init__(self) -> None:
        super().__init__()
        self.tokenizer = object()
        weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
        self.weight = nn.Parameter(weight)
        self.drop = nn.Dropout(0.5)

    def encode(self, batch: Tensor) -> Tensor:
        return self.drop(batch @ self.weight)


def make_samples(seen: list[list[int]]) -> Samples[Vectors]:
    """The class is the sign of a coordinate; lengths are 1 and 2, and `seen` has the batches."""
    x = torch.randn(80, 3, generator=torch.Generator().manual_seed(1))
    y = (x[:, 1] > 0).long().numpy()
    lengths = 1 + torch.arange(60) % 2

    def rows(index: Tensor, seed: int, epoch: int) -> Tensor:
        seen.append(index.tolist())
        return x[index]

    def embed(model: Vectors) -> np.ndarray:
        return model.encode(x[60:]).detach().numpy()

    return Samples("signs", y[:60], y[60:], 2, lengths, rows, embed, "made up")


def test_learns_a_sign_from_batches_of_similar_lengths() -> None:
    seen: list[list[int]] = []
    model = Vectors()
    samples = make_samples(seen)
    config = FineTuneSettings(epochs=8, batch_size=10, lr=0.05, seeds=(0, 1))
    row = tuned_row("toy", model, samples, config, ("accuracy", "macro_f1"))
    assert row["accuracy"]["mean"] > 0.9
    assert [list(each) for each in row["seeds"]] == [["seed", "accuracy", "macro_f1"]] * 2
    assert (row["task"], row["model"], row["note"]) == ("signs", "toy", "made up")
    assert (row["epochs"], row["batch_size"], row["lr"]) == (8, 10, 0.05)
    # One look at a sample, then all of them once in an epoch.
    assert seen[0] == [0]
    first = seen[1:7]
    assert sorted(place for batch in first for place in batch) == list(range(60))
    assert all(len({place % 2 for place in batch}) == 1 for batch in first)
    assert first != seen[7:13]
    # The model that was given is as it was.
    assert torch.equal(model.weight, Vectors().weight)
    assert model.training


def test_dropout_is_off() -> None:
    config = FineTuneSettings(epochs=1, batch_size=10, lr=0.05)
    found = [tune(Vectors(), make_samples([]), config, seed=0) for _ in range(2)]
    assert (found[0] == found[1]).all()


def test_groups_learn_at_their_own_rates_and_gradients_are_cut() -> None:
    slow, fast = (nn.Parameter(torch.ones(1, 2)) for _ in range(2))
    groups = [{"params": [slow], "scale": 0.1}, {"params": [fast], "scale": 1.0}]
    asked: list[int] = []

    def rate(step: int) -> float:
        asked.append(step)
        return 2.0 - step

    def batches(epoch: int) -> list[tuple[Tensor, Tensor]]:
        return [(torch.full((1, 1), 100.0), torch.tensor([0]))]

    optimizer = torch.optim.SGD(groups, lr=9.0)
    fit(lambda x: x @ slow + x @ fast, batches, optimizer, rate, epochs=3, max_norm=1.0)
    assert asked == [0, 0, 1, 1, 2, 2]
    # The first step has a gradient of norm 1 over both, in proportions of 1; then there is none.
    assert fast[0].tolist() == pytest.approx([1 + 2 * 0.5, 1 - 2 * 0.5])
    assert slow[0].tolist() == pytest.approx([1 + 0.2 * 0.5, 1 - 0.2 * 0.5])


def test_the_rate_rises_and_falls() -> None:
    shares = [finetuning.rise_and_fall(progress) for progress in (0.0, 0.03, 0.06, 0.53, 1.0)]
    assert shares == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_one_seed_has_no_interval() -> None:
    row = over_seeds(lambda seed: {"accuracy": 0.5}, [0], np.array([0, 1, 1]), np.array([1]))
    assert row["accuracy"] == {"mean": 0.5, "low": None, "high": None}
    assert row["majority"] == 1.0


def test_intervals_cover_seeds() -> None:
    values = {0: 0.5, 3: 0.7}
    y = np.array([0, 1, 1])
    row = over_seeds(lambda seed: {"accuracy": values[seed]}, (0, 3), y, np.array([1, 0]))
    assert row["seeds"] == [{"seed": 0, "accuracy": 0.5}, {"seed": 3, "accuracy": 0.7}]
    # Student's t with one degree of freedom: 12.7 standard errors.
    assert row["accuracy"]["mean"] == pytest.approx(0.6)
    assert row["accuracy"]["high"] == pytest.approx(0.6 + 12.706 * 0.1, rel=1e-3)
    assert (row["majority"], row["num_train"], row["num_test"]) == (0.5, 3, 2)


@pytest.mark.parametrize("changes", [{"seeds": ()}, {"epochs": 0}, {"lr": 0.0}, {"batch_size": 0}])
def test_refuses_settings_that_cannot_work(changes: dict[str, object]) -> None:
    with pytest.raises(UserError):
        FineTuneSettings(**changes)  # type: ignore[arg-type]
