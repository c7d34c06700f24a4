"""Curves of mask graphs: what a law makes of them."""

import numpy as np
import pytest

from maskwise import laws
from maskwise.errors import UserError
from maskwise.theory import GraphCurve, bit_world, mask_graphs
from maskwise.theory.graphs import MEASURES, as_text, graph_figure

CURVE = mask_graphs(bit_world(["00001", "11110"], 0.1))


def line(num_positions=10, num_hidden=range(1, 10), **curves):
    """A curve whose measures are the number of hidden positions."""
    counts = np.array(num_hidden)
    values = {name: counts.astype(float) for name in MEASURES} | curves
    return GraphCurve(num_positions, counts, **values)


def test_a_fixed_ratio_is_a_point_of_the_curve():
    for index, num in enumerate(CURVE.num_hidden):
        means = CURVE.under(num / 5)
        assert means["ratio"] == num / 5
        for name in MEASURES:
            assert means[name] == pytest.approx(getattr(CURVE, name)[index])
    assert CURVE.under("fixed:0.6") == CURVE.under(0.6) == CURVE.under(laws.Fixed(0.6))


@pytest.mark.parametrize(
    ("law", "expected"),
    [
        # round(ratio * 10) of a uniform ratio: half a cell at each end.
        ("uniform:0.2,0.4", {2: 0.25, 3: 0.5, 4: 0.25}),
        ("choice:1*0.1,3*0.9", {1: 0.25, 9: 0.75}),
        # Everything hidden does not count.
        ("likelihood", dict.fromkeys(range(1, 10), 1 / 9)),
        # At least one hidden, at least one visible.
        ("uniform:0,1", {1: 0.15, **dict.fromkeys(range(2, 9), 0.1), 9: 0.15}),
        ("scheduled:step,0.2..0.6", {2: 0.5, 6: 0.5}),
    ],
)
def test_the_counts_of_a_law(law, expected):
    for num in range(1, 10):
        single = line(gap=np.eye(10)[num, 1:])
        assert single.under(law)["gap"] == pytest.approx(expected.get(num, 0), abs=2e-4)


def test_between_counts_a_line():
    sparse = line(num_hidden=[1, 5, 9])
    assert sparse.under("uniform:0.2,0.8")["gap"] == pytest.approx(5, abs=1e-3)
    assert sparse.under("fixed:0.3")["gap"] == pytest.approx(3)


def test_laws_that_go_beyond_the_curve():
    short = line(num_hidden=[3, 5])
    with pytest.raises(
        UserError, match=r"hides 2 to 5 of 10 positions: give ratios from 0\.2 to 0\.5"
    ):
        short.under("uniform:0.2,0.5")
    with pytest.raises(UserError, match="hides 9 to 9 of 10"):
        short.under(0.9)
    with pytest.raises(UserError, match="unknown law 'no'"):
        short.under("no")


def test_the_table_leaves_out_what_is_not_known():
    nothing = dict.fromkeys(("disagreement", "class_error", "alignment"), np.full(9, np.nan))
    lines = as_text(line(**nothing), ["fixed:0.3"]).splitlines()
    assert lines[0].split() == ["hidden", "ratio", "gap", "unrelated", "gap"]
    assert lines[1].split() == ["1", "of", "10", "0.100", "1.000", "1.000"]
    assert lines[10].split() == ["fixed:0.3", "0.300", "3.000", "3.000"]
    assert "class error" in as_text(CURVE)


def test_the_figure_has_a_panel_for_each_measure():
    figure = graph_figure({"exact": CURVE}, ["fixed:0.6", "uniform:0.2,0.8"])
    assert len(figure.axes) == 4
    first = figure.axes[0].get_lines()
    np.testing.assert_allclose(first[0].get_ydata(), CURVE.gap)
    assert [part.get_label() for part in first] == ["exact", "fixed:0.6", "uniform:0.2,0.8"]
    assert first[1].get_ydata() == [CURVE.under(0.6)["gap"]]
    nothing = dict.fromkeys(("disagreement", "class_error", "alignment"), np.full(9, np.nan))
    estimated = line(**nothing, unrelated_gap=np.full(9, 0.9))
    (axes,) = graph_figure({"data": estimated}).axes
    assert axes.get_lines()[1].get_ydata().tolist() == [0.9] * 9
    assert axes.get_lines()[1].get_label() == "unrelated"
