"""One sample of which is asked more and more."""

import numpy as np
import torch

from maskwise.columns.losses import fit_feature_noise
from maskwise.columns.next_asked import next_asked
from tests.columns.small_samples import make_model, splits_of, table_of


def test_a_sample_is_asked_until_it_is_known():
    rng = np.random.default_rng(0)
    samples = torch.from_numpy(rng.normal(size=(60, 4)).astype(np.float32))
    samples[:, 1] = torch.from_numpy(rng.integers(0, 3, 60))
    samples[:, 3] = torch.nan
    labels = (samples[:, 0] > 0).numpy().astype(int)
    labels[0] = -1
    model = make_model(table_of((0, 3, 0, 0)))
    splits = splits_of(samples, labels)
    assert next_asked(model, splits, 0) is None  # it does not draw yet
    fit_feature_noise(model, splits.train)
    found = next_asked(model, splits, 0)
    names = model.tokenizer.names
    there = {each["name"] for each in found["visible"]}
    asked = [each["name"] for each in found["answers"]]
    assert there | set(asked) == set(names[:3])
    assert len(there) + len(asked) == 3
    assert {each["name"] for each in found["asked"]} == set(asked)
    assert asked[0] == found["asked"][0]["name"]
    assert np.shape(found["said"]) == (1 + len(asked), len(found["classes"]))
    np.testing.assert_allclose(np.sum(found["said"], axis=1), 1, atol=1e-3)
    told = {each["name"]: each["value"] for each in found["visible"] + found["answers"]}
    [row] = [
        row for row in model.tokenizer.told(splits.test.get(range(20))) if row[0] == told[names[0]]
    ]
    assert [told[name] for name in names[:3]] == row[:3]
    assert row[1] in model.tokenizer.columns[1].categories


def test_without_classes_nothing_is_asked():
    samples = torch.from_numpy(np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32))
    model = make_model(table_of((0, 0, 0)))
    for labels in (None, np.zeros(60, int)):
        splits = splits_of(samples, labels)
        fit_feature_noise(model, splits.train)
        assert next_asked(model, splits, 0) is None
