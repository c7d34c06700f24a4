"""The paper's experiments, tiny: tables and figures are there, and known answers come out."""

import sys

import numpy as np
import pytest
import torch

from benchmarks import likelihood_curves, likelihood_mnist, likelihood_paper, likelihood_training
from benchmarks.likelihood_ppca import expected_log_prob, expected_score, problem
from maskwise.likelihood import BernoulliLatent


def rows(table: str) -> list[str]:
    return [line for line in table.splitlines() if line.startswith("| ")][1:]


def test_expected_scores_sum_to_the_expected_log_likelihood():
    model, _ = problem(1, 4, 2, seed=0)
    total = sum(expected_score(model, size, num_masks=4000) for size in range(1, 5))
    assert total == pytest.approx(expected_log_prob(model), abs=0.05)
    _, x = problem(200_000, 4, 2, seed=0)
    assert expected_log_prob(model) == pytest.approx(float(model.log_prob(x).mean()), abs=0.02)


def test_estimates_converge_and_a_fixed_ratio_does_not(tmp_path):
    found = likelihood_paper.errors(4, (1, 25), seeds=3, num=20)
    assert found.keys() == set(likelihood_paper.METHODS)
    for off in found.values():
        assert off.shape == (3, 2)
        assert abs(off[:, 1]).mean() < min(0.1, abs(off[:, 0]).mean())
    fixed = likelihood_paper.fixed_ratio((50,), seeds=2, num=100, dim=20, size=2)
    assert fixed.expected.min() > 1
    np.testing.assert_allclose(fixed.measured.mean(), fixed.expected.mean(), atol=0.5)
    table = likelihood_paper.convergence(tmp_path, 2, dims=(3, 4), per_size=(1, 2), num=3)
    # Two dimensions of two numbers; a fixed ratio's head, two numbers and what is expected.
    assert len(rows(table)) == 4 + 4
    assert (tmp_path / "convergence.png").stat().st_size > 0


def test_the_area_under_a_curve_is_the_log_likelihood(tmp_path):
    [(curve, exact)] = likelihood_curves.curves(2, seeds=1, num=2000, dim=6)
    assert curve.area == pytest.approx(exact, abs=0.1)
    table = likelihood_curves.area(tmp_path, 2, widths=(1, 2), num=10, dim=8)
    assert [row[:4] for row in rows(table)] == ["| 1 ", "| 2 "]
    assert (tmp_path / "area.png").exists()


def test_best_blocks_lose_less_than_equal_ones(tmp_path):
    lost, schedules = likelihood_curves.losses((1, 3, 30), seeds=2, num=300, dim=30)
    assert [len(schedule) for schedule in schedules] == [1, 3, 30]
    np.testing.assert_allclose(lost[0, 0], lost[0, 1])
    assert (lost[1, 1] < lost[1, 0]).all()
    np.testing.assert_allclose(lost[2], 0, atol=1e-9)  # single positions: the chain rule
    table = likelihood_curves.blocks(tmp_path, 2, num_blocks=(1, 2), num=5, dim=8)
    assert len(rows(table)) == 2
    assert (tmp_path / "blocks.png").exists()


@pytest.mark.slow
def test_training_on_all_sizes_reaches_the_maximum_likelihood(tmp_path):
    kinds = {kind.name: kind for kind in likelihood_training.OBJECTIVES}
    chosen = [kinds["`likelihood`, sizes stratified"], kinds["everything hidden"]]
    truth = likelihood_training.TRUTHS[0]
    found = likelihood_training.compare(truth, chosen, num=50, dim=4, steps=500, seeds=1)
    cumulative, hidden = found.values()
    assert 0 <= cumulative.runs[0].gaps[-1] < 0.05 < 1 < hidden.runs[0].gaps[-1]
    assert cumulative.maximum == [pytest.approx(0, abs=1e-9)]
    assert not hidden.maximum
    assert len(rows(likelihood_training.table({truth.name: found}))) == 2
    likelihood_training.draw({truth.name: found}, tmp_path / "training.png")
    assert (tmp_path / "training.png").exists()


def test_a_fixed_ratio_has_its_maximum_elsewhere_only_if_the_model_is_wrong():
    gaps = {}
    for truth in likelihood_training.TRUTHS:
        _, x = problem(2000, 6, truth.components, seed=0)
        for law in ("likelihood", "fixed:0.5"):
            gaps[law, truth.fitted] = likelihood_training.maximum_gap(law, x, truth.fitted)
    assert gaps["likelihood", 2] == pytest.approx(0, abs=1e-9)
    assert gaps["likelihood", 1] == pytest.approx(0, abs=1e-9)
    assert 0 < gaps["fixed:0.5", 2] < 1e-3
    assert gaps["fixed:0.5", 1] > 0.1


def test_masked_training_of_a_latent_variable_model_does_what_exact_training_does():
    truth = BernoulliLatent(
        3 * torch.randn(12, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(12)
    )
    x, x_test = truth.sample(400, seed=1).double(), truth.sample(400, seed=2).double()
    exact, masked, vae = (
        likelihood_mnist.train(method, x, x_test, epochs=20, seed=0)
        for method in (likelihood_mnist.EXACT, "likelihood", likelihood_mnist.VAE)
    )
    best = float(truth.log_prob(x_test).mean())
    assert best > exact.test[-1] > exact.test[0] + 1
    assert masked.test[-1] == pytest.approx(exact.test[-1], abs=0.2)
    assert exact.more_points == pytest.approx(exact.test[-1], abs=0.1)
    assert exact.elbo is None
    # The bound is below the log-likelihood, of the same images.
    assert vae.elbo[0] < vae.train[-1]
    assert vae.elbo[1] < vae.test[-1]


def test_the_latent_variable_experiment_as_a_command(tmp_path, monkeypatch, capsys):
    arguments = ["--data", "digits", "--out", str(tmp_path), "--epochs", "1", "--seeds", "1"]
    monkeypatch.setattr(sys, "argv", ["likelihood_mnist", *arguments])
    likelihood_mnist.main()
    assert len(rows(capsys.readouterr().out)) == len(likelihood_mnist.METHODS)
    assert (tmp_path / "mnist.png").exists()
