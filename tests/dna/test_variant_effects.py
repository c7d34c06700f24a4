from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from maskwise.dna.fasta import open_genome
from maskwise.dna.places import Variant
from maskwise.dna.variant_tables import _statistics, baselines, variant_effects
from maskwise.errors import UserError


def data(num=200, seed=0):
    rng = np.random.default_rng(seed)
    # Rounded, so that many are tied.
    x = rng.normal(size=num).round(1)
    return x, x + rng.normal(size=num).round(1)


def area(values, positive):
    """Return the share of pairs in the right order."""
    pairs = values[positive][:, None] - values[~positive]
    return float(((pairs > 0) + (pairs == 0) / 2).mean())


def test_statistics_of_resamples_are_those_of_repeated_values():
    x, y = data()
    large = np.abs(y) > 1.3
    weights = np.random.default_rng(1).integers(0, 4, (3, len(x)))
    found = _statistics(np.stack([x, -(x**3)]), y, large, weights.astype(float))
    assert found.shape == (2, 2, 3)
    for row, num in enumerate(weights):
        values, effects, positive = (np.repeat(each, num) for each in (x, y, large))
        want = spearmanr(values, effects)[0]
        np.testing.assert_allclose(found[0, :, row], [want, -want], rtol=1e-9)
        np.testing.assert_allclose(found[1, :, row], area(np.abs(values), positive), rtol=1e-9)


def test_groups_and_their_mean():
    x, y = data()
    groups = ["b"] * 120 + ["a"] * 75 + ["few"] * 5
    rows = variant_effects({"x": x, "minus": -x}, y, np.arange(200), groups, num=50)
    keys = [(row["group"], row["predictor"], row["num"]) for row in rows]
    names = ["x", "minus"]
    want = [("mean of groups", name, 195) for name in names]
    want += [(group, name, num) for group, num in (("a", 75), ("b", 120)) for name in names]
    assert keys == want
    for part, row in ((slice(120, 195), rows[2]), (slice(0, 120), rows[4])):
        assert row["spearman"] == pytest.approx(spearmanr(x[part], y[part])[0])
        sizes = np.abs(y[part])
        large = sizes >= np.quantile(sizes, 0.75)
        assert row["auroc"] == pytest.approx(area(np.abs(x[part]), large))
    for what in ("spearman", "auroc"):
        assert rows[0][what] == pytest.approx((rows[2][what] + rows[4][what]) / 2)
        for row in rows:
            assert row[f"{what}_low"] < row[what] < row[f"{what}_high"]
        # The same places are resampled for each predictor.
        sign = -1 if what == "spearman" else 1
        assert rows[1][f"{what}_low"] == pytest.approx(
            sign * rows[0][f"{what}_{'high' if sign < 0 else 'low'}"]
        )


def test_effects_that_are_not_known_are_left_out():
    x, y = data()
    some = np.where(np.arange(200) % 3 == 0, np.nan, y)
    known = np.isfinite(some)
    places = np.arange(200)
    found = variant_effects({"x": x}, some, places, num=20)
    assert found == variant_effects({"x": x[known]}, y[known], places[known], num=20)
    assert found[0]["group"] == "all"
    with pytest.raises(UserError, match="fewer than 10 scored variants of a group"):
        variant_effects({"x": x}, np.full(200, np.nan), places)


def test_alternatives_of_a_place_are_resampled_together():
    x, y = data(300)
    x, y = np.repeat(x, 3), np.repeat(y, 3)
    [alone] = variant_effects({"x": x}, y, np.arange(900), num=400)
    [together] = variant_effects({"x": x}, y, np.arange(900) // 3, num=400)
    widths = [row["spearman_high"] - row["spearman_low"] for row in (alone, together)]
    # Copies tell nothing new: the interval is about that of a third as many variants.
    assert widths[1] / widths[0] == pytest.approx(3**0.5, rel=0.15)
    assert alone["spearman"] == together["spearman"]


def test_intervals_cover_no_correlation():
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(2, 60))
        [row] = variant_effects({"x": x}, y, np.arange(60), num=200, seed=seed)
        covered += row["spearman_low"] < 0 < row["spearman_high"]
    assert covered >= 34


def test_constant_predictors_and_effects():
    x, y = data()
    flat = np.ones(200)
    rows = variant_effects({"flat": flat}, y, np.arange(200), num=20)
    rows += variant_effects({"x": x}, flat, np.arange(200), num=20)
    for row in rows:
        values = {key: row[key] for key in row if key[0] in "sa"}
        assert values == {key: 0 if key.startswith("spearman") else 0.5 for key in values}


def test_effects_of_two_sizes_are_told_apart():
    effects = np.tile([-2.0, 0.0], 20)
    [row] = variant_effects({"x": -effects}, effects, places=np.arange(40), num=10)
    assert row["auroc"] == 1
    [row] = variant_effects({"x": -effects}, np.ones(40), places=np.arange(40), num=10)
    assert row["auroc"] == 0.5


def test_large_samples_are_resampled_in_parts(monkeypatch):
    x, y = data()
    whole = variant_effects({"x": x}, y, np.arange(200), num=30)
    monkeypatch.setattr("maskwise.dna.variant_tables._CELLS", 900)
    assert variant_effects({"x": x}, y, np.arange(200), num=30) == whole


def test_baselines(tmp_path: Path):
    path = tmp_path / "genome.fa"
    path.write_text(">r\nACGTNaacc\n")
    variants = [
        Variant("r", 1, "A", "G"),
        Variant("r", 1, "a", "t"),
        Variant("r", 3, "G", "C"),
        Variant("r", 6, "aac", "cgt"),
    ]
    found = baselines(open_genome(path), variants, window=4)
    assert {name: values.tolist() for name, values in found.items()} == {
        # A and G are purines.
        "transversions": [0, -1, -1, -1],
        "change of GC": [1, 0, 0, 1],
        # The windows are AC, AC, ACGT and TNaa, without what is unknown or beyond the end.
        "GC content": [0.5, 0.5, 0.5, 0],
    }
