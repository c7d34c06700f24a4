"""Answers from part of the positions of arrays."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from maskwise.images.evaluation import ImageEvaluateSettings, partial_table
from maskwise.images.images import ImageSource, ImageSplits
from maskwise.patches import curve as patch_curve
from maskwise.patches.model import PatchModel
from maskwise.predict import baselines, curve

Make = Callable[..., PatchModel]
QUICK = ImageEvaluateSettings(visible=(0.2, 1.0), visible_patterns=("random", "MNAR"))


def test_rows_of_images(make_model: Make, splits: ImageSplits, monkeypatch) -> None:
    monkeypatch.setattr(curve, "DRAWS", 20)
    monkeypatch.setattr(curve, "MOST_COPIES", 2)
    monkeypatch.setattr(baselines, "TREES", 5)
    found = partial_table(make_model(), splits, QUICK)
    methods = ["encoder", "Gaussian", "mean fill", "boosted trees", "nearest neighbours"]
    methods.append("class frequencies")
    assert [row["method"] for row in found] == methods * 4
    right = {(row["method"], row["share"]): row["accuracy"]["value"] for row in found}
    # One class of three is bright, and that is all there is to see.
    assert right["Gaussian", 1.0] > 0.5
    assert right["class frequencies", 1.0] == pytest.approx(1 / 3)
    assert found[0]["visible"] == pytest.approx(1 / 6)
    pooled = dataclasses.replace(QUICK, pools=("class",), baselines=False)
    other = partial_table(make_model(), splits, pooled)
    assert [row["method"] for row in other] == ["encoder", "class frequencies"] * 4
    assert other[0] != found[0]


def test_nothing_without_labels(make_model: Make, splits: ImageSplits) -> None:
    plain = dataclasses.replace(splits.train, labels=None)
    assert partial_table(make_model(), ImageSplits(plain, splits.test, ""), QUICK) == []
    off = dataclasses.replace(QUICK, visible=())
    assert partial_table(make_model(), splits, off) == []


def test_values_are_those_of_tokens_or_their_means(
    make_model: Make, source: ImageSource, monkeypatch
) -> None:
    model = make_model()
    tokens = model.tokenizer.tokenize(source.get(np.arange(30))).numpy()
    values, width = patch_curve.values_of(model, source)
    assert width == 8
    np.testing.assert_allclose(values, tokens.reshape(30, -1), rtol=1e-6)
    monkeypatch.setattr(patch_curve, "MOST", 12)
    values, width = patch_curve.values_of(model, source)
    assert width == 2
    np.testing.assert_allclose(
        values.reshape(30, 6, 2)[..., 0], tokens[..., :4].mean(2), atol=1e-6
    )
