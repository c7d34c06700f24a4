import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import binom

from maskwise.errors import UserError
from maskwise.images import evaluation
from maskwise.images.evaluation import ImageEvaluateSettings, chosen, evaluate
from maskwise.images.images import ImageSplits
from maskwise.measure.features import models_of
from maskwise.measure.protocols import PROBES
from maskwise.modality import Entries
from maskwise.patches.model import PatchModel
from maskwise.settings import from_dict, to_dict

Make = Callable[..., PatchModel]
FAST = ImageEvaluateSettings(protocols=("knn",), ratios=(0.5,), visible=())


def probe_table(
    model: PatchModel,
    splits: ImageSplits,
    config: ImageEvaluateSettings,
    untrained: PatchModel | None = None,
) -> list[Entries]:
    models = models_of(model, untrained, baselines=config.baselines)
    return evaluation.probe_table(models, chosen(splits, config), config)


def relabelled(
    splits: ImageSplits, train: np.ndarray | None, test: np.ndarray | None
) -> ImageSplits:
    return ImageSplits(
        dataclasses.replace(splits.train, labels=train),
        dataclasses.replace(splits.test, labels=test),
        splits.name,
    )


def test_result_is_plain_json_and_repeats(make_model: Make, splits: ImageSplits) -> None:
    model = make_model()
    state = torch.random.get_rng_state()
    result = evaluate(
        model, splits, ImageEvaluateSettings(), pattern="scattered", untrained=make_model()
    )
    assert torch.equal(state, torch.random.get_rng_state())
    assert json.loads(json.dumps(result)) == result
    again = evaluate(
        model, splits, ImageEvaluateSettings(), pattern="scattered", untrained=make_model()
    )
    assert result == again
    assert result["data"] == {
        "name": "made up",
        "num_train": 60,
        "num_test": 30,
        "shape": [2, 4, 6],
        "classes": ["a", "b", "c"],
    }
    assert len(result["reconstruction"]["curve"]) == 9


def test_every_kind_of_features_under_every_protocol(
    make_model: Make, splits: ImageSplits
) -> None:
    table = probe_table(make_model(), splits, ImageEvaluateSettings(), make_model())
    kinds = ["encoder, mean", "encoder, class", "untrained encoder, mean"]
    kinds += ["untrained encoder, class", "raw pixels", "PCA (48)"]
    names = [probe.title for probe in PROBES.values()]
    want = [(kind, name) for kind in kinds for name in names]
    assert [(row["features"], row["protocol"]) for row in table] == want
    for row in table:
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert (row["num_train"], row["num_test"], row["note"]) == (60, 30, "")


def test_bright_class_is_found_and_the_other_two_are_at_chance(
    make_model: Make, splits: ImageSplits
) -> None:
    # Class 2 is bright, 10 of 30; among the other 20 the probe guesses.
    low, high = 10 + binom.ppf([1e-3, 1 - 1e-3], 20, 1 / 2)
    bright = ImageEvaluateSettings(protocols=("logistic",), pools=("mean",))
    for row in probe_table(make_model(), splits, bright):
        assert low <= row["accuracy"] * 30 <= high
    labels = [(part.labels == 2).astype(np.int64) for part in (splits.train, splits.test)]
    for row in probe_table(make_model(), relabelled(splits, *labels), bright):
        assert row["accuracy"] == 1


def test_the_untrained_and_the_trained_encoder_are_not_mixed_up(
    make_model: Make, splits: ImageSplits
) -> None:
    blind = make_model()
    with torch.no_grad():
        blind.embed.weight.zero_()
    only = ImageEvaluateSettings(protocols=("logistic",), pools=("mean",))
    found = {r["features"]: r["accuracy"] for r in probe_table(blind, splits, only, make_model())}
    assert found["encoder, mean"] == pytest.approx(1 / 3)
    assert found["untrained encoder, mean"] > 0.5


def test_layer_is_used_and_named(make_model: Make, splits: ImageSplits) -> None:
    only = {"protocols": ("knn",), "pools": ("mean",)}
    table = probe_table(make_model(), splits, ImageEvaluateSettings(layer=0, **only))
    assert table[0]["features"] == "encoder block 0, mean"
    with pytest.raises(UserError, match="layer 2 is outside"):
        probe_table(make_model(), splits, ImageEvaluateSettings(layer=2, **only))


def test_pools_that_need_a_class_token(make_model: Make, splits: ImageSplits) -> None:
    model = make_model(class_token=False)
    table = probe_table(model, splits, FAST)
    assert [row["features"] for row in table] == ["encoder, mean", "raw pixels", "PCA (48)"]
    with pytest.raises(UserError, match="needs a class token"):
        probe_table(model, splits, ImageEvaluateSettings(pools=("class",)))


def test_caps_are_a_fixed_random_choice(make_model: Make, splits: ImageSplits) -> None:
    few = dataclasses.replace(FAST, num_train=20, num_test=10)
    result = evaluate(make_model(), splits, few, pattern="scattered")
    assert (result["probes"][0]["num_train"], result["probes"][0]["num_test"]) == (20, 10)
    assert result["reconstruction"]["num_samples"] == 10
    assert result["data"]["num_train"] == 60


def test_no_probes_without_labels_or_with_one_class(make_model: Make, splits: ImageSplits) -> None:
    assert (
        evaluate(make_model(), relabelled(splits, None, None), FAST, pattern="scattered")["probes"]
        == []
    )
    one = np.zeros(60, np.int64)
    assert probe_table(make_model(), relabelled(splits, one, splits.test.labels), FAST) == []


def test_class_in_the_test_part_only_is_wrong_and_said(
    make_model: Make, splits: ImageSplits
) -> None:
    unseen = splits.train.labels % 2
    table = probe_table(
        make_model(), relabelled(splits, unseen, splits.test.labels), ImageEvaluateSettings()
    )
    for row in table:
        assert "10 test samples of classes without training samples" in row["note"]
        assert row["accuracy"] <= 2 / 3


def test_fewer_training_samples_than_classes(make_model: Make, splits: ImageSplits) -> None:
    labels = np.arange(60, dtype=np.int64)
    table = probe_table(
        make_model(),
        relabelled(splits, labels, labels[:30]),
        ImageEvaluateSettings(num_train=5, protocols=tuple(PROBES)),
    )
    assert all(0 <= row["accuracy"] <= 5 / 30 for row in table)


def test_settings_go_to_json_and_back_and_refuse_bad_values() -> None:
    config = ImageEvaluateSettings(layer=3, pools=("both",))
    assert from_dict(ImageEvaluateSettings, to_dict(config)) == config
    bad = ({"ratios": [1.0]}, {"pools": ["max"]}, {"protocols": ["svm"]}, {"num_train": 1})
    for values in bad:
        with pytest.raises(UserError, match=next(iter(values))):
            from_dict(ImageEvaluateSettings, values)
