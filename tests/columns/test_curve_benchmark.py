"""The comparison of laws by answers from part of the input: choices and averages."""

import numpy as np
import pytest

from benchmarks import partial_curves as benchmark


def test_few_labels_of_each_class_and_others_to_choose_by():
    y = np.where(np.arange(300) % 7 == 0, -1, np.arange(300) % 3)
    labelled, others = benchmark.chosen(y, seed=1)
    assert np.bincount(y[labelled]).tolist() == [benchmark.FEW] * 3
    assert not set(labelled) & set(others)
    assert (y[others] >= 0).all()
    assert len(labelled) + len(others) == (y >= 0).sum()


def test_the_best_fixed_ratio_is_not_chosen_by_what_it_is_judged_by():
    """Of methods by law: what decides, and what is told."""
    told = {"uniform:0.1,0.9": 0.6, "uniform:0,1": 0.5}
    told |= {"fixed:0.3": 0.9, "fixed:0.5": 0.4, "fixed:0.75": 0.3, "fixed:0.95": 0.2}
    decides = dict.fromkeys(told, 0.1) | {"fixed:0.5": 0.8}

    def rows(value):
        return [
            {"method": method, "share": share, "macro_f1": {"value": value + share}}
            for method in (benchmark.ENCODER, benchmark.EXPECTED, "Gaussian")
            for share in (0.0, 0.1)
        ]

    found = {
        law: [{"test": rows(told[law]), "choice": rows(decides[law])} for _ in range(2)]
        for law in benchmark.LAWS
    }
    made = benchmark.lines(found)
    assert made["encoder, fixed:0.5 (chosen)"].tolist() == [[0.4, 0.5]] * 2
    assert made["encoder, uniform:0,1"].mean() == pytest.approx(0.55)
    assert made["Gaussian"].tolist() == [[0.6, 0.7]] * 2
    assert len(made) == 2 * 3 + 1
