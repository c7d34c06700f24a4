"""What was drawn beside what was observed, by column."""

import json

import numpy as np
import pytest
from scipy import stats

import maskwise as mw
from maskwise.tables.drawn import check_draws
from tests.lazy import lazy

pandas = lazy("pandas")


@pytest.fixture
def tables():
    """A table with gaps, those of b where a is large, and two completed ones."""
    rng = np.random.default_rng(0)
    whole = pandas.DataFrame({"a": rng.normal(size=200), "b": rng.normal(size=200)})
    whole["kind"] = np.array(["x", "y", "y", "z"] * 50, dtype=object)
    holes = whole.copy()
    holes.loc[holes.a > 0.5, "b"] = np.nan
    holes.loc[:19, "kind"] = None
    draws = []
    for draw in range(2):
        each = whole.copy()
        each.loc[holes.b.isna(), "b"] = 5.0 + draw
        each.loc[:19, "kind"] = ["x", "new"][draw]
        draws.append(each)
    return holes, draws


def test_figures_of_a_column_by_hand(tables) -> None:
    holes, draws = tables
    found = {each.name: each for each in check_draws(holes, draws).columns}
    assert list(found) == ["b", "kind"]
    seen, b = holes.b.dropna(), found["b"]
    assert b.num_missing == int(holes.b.isna().sum())
    assert b.observed["mean"] == pytest.approx(seen.mean())
    assert b.observed["sd"] == pytest.approx(seen.std(ddof=0))
    assert b.observed["25%"] == pytest.approx(seen.quantile(0.25))
    assert (b.drawn["mean"], b.drawn["sd"]) == (pytest.approx(5.5), pytest.approx(0.5))
    assert (b.distance, b.outside) == (1.0, 1.0)
    assert b.between == pytest.approx(b.num_missing / 200 / np.sqrt(2))
    assert b.auroc is not None
    assert b.auroc > 0.9
    kind = found["kind"]
    assert kind.drawn == {"new": 0.5, "x": 0.5, "y": 0.0, "z": 0.0}
    assert kind.distance == pytest.approx(1 - kind.observed["x"])
    assert kind.outside == 0.5
    told = check_draws(holes, draws).text()
    assert "b: gaps depend on other columns (AUROC " in told
    assert "100% of the draws are beyond all that was observed" in told
    assert "kind: gaps depend" not in told
    json.dumps(check_draws(holes, draws).to_dict(), allow_nan=False)


def test_the_distance_is_that_of_kolmogorov_and_smirnov() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 2))
    x[:30, 1] = np.nan
    draws = [np.where(np.isnan(x), rng.normal(size=x.shape) + 0.5, x) for _ in range(2)]
    [found] = mw.check_draws(x, draws).columns
    every = np.concatenate([draw[:30, 1] for draw in draws])
    assert found.name == "x1"
    assert found.distance == pytest.approx(stats.ks_2samp(x[30:, 1], every).statistic)


def test_the_picture_has_a_place_for_each_column(tables, tmp_path) -> None:
    figure = check_draws(*tables).figure()
    titles = [place.get_title() for place in figure.axes]
    assert titles == [f"b: {tables[0].b.isna().sum()} missing", "kind: 20 missing"]
    assert len(figure.axes[0].lines) == 3
    figure.savefig(tmp_path / "draws.png")
    with pytest.raises(mw.UserError, match="nothing was missing"):
        check_draws(tables[1][0], tables[1]).figure()


def test_draws_of_another_table_are_refused(tables) -> None:
    holes, draws = tables
    for given, text in (
        ([], "no draws: give one"),
        ([draws[0], draws[1].iloc[:5]], "draw 2 has other rows"),
        ([draws[0].drop(columns="b")], "draw 1 lacks column 'b': give draws of this table"),
    ):
        with pytest.raises(mw.UserError, match=text):
            check_draws(holes, given)
