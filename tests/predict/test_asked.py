"""Samples asked through an encoder, with any part of them hidden."""

import numpy as np
import pytest
import torch

from maskwise.masks import Mask
from maskwise.modality import Incomplete
from maskwise.predict.asked import ModelAsked, visible_shares


@pytest.fixture
def images(make_model, source):
    """Ten images of six patches, of which the last two lack the first."""
    missing = np.zeros((30, 6), dtype=bool)
    missing[8:, 0] = True
    return ModelAsked(make_model(), Incomplete(source, missing)).some(np.arange(10))


def test_features_are_those_of_each_sample_alone(images):
    rng = np.random.default_rng(0)
    hidden = rng.random((10, 6)) < 0.6
    hidden[3], hidden[4] = True, False
    found = images.features(np.arange(10), hidden)
    assert np.isnan(found[3]).all()
    for row in (0, 4, 9):
        every = torch.from_numpy(hidden[[row]] | ~images.there[[row]])
        one = images.model.visible_features(images.data.source.get([row]), Mask(every))
        np.testing.assert_allclose(found[row], one[0].detach(), rtol=1e-4, atol=1e-5)


def test_what_is_there_and_how_much(images):
    assert images.there.sum(axis=1).tolist() == [6] * 8 + [5] * 2
    hidden = np.zeros((2, 6), dtype=bool)
    hidden[:, :3] = True  # one of which is missing anyway in the second
    assert visible_shares(images, np.array([0, 9]), hidden).tolist() == [0.5, 0.5]


def test_some_of_some(images):
    nothing = np.zeros((1, 6), dtype=bool)
    some = images.some(np.array([9, 2])).some(np.array([True, False]))
    assert len(some.there) == 1
    want = images.features(np.array([9]), nothing)
    np.testing.assert_allclose(some.features(np.array([0]), nothing), want, rtol=1e-4, atol=1e-5)


def test_nothing_is_visible_of_any(images):
    found = images.features(np.arange(2), np.ones((2, 6), dtype=bool))
    assert found.shape == (2, 1)
    assert np.isnan(found).all()


def test_what_follows_the_features(images):
    doubled = images.through(images.model, lambda features: 2 * features[:, :3])
    rows, nothing = np.arange(3), np.zeros((3, 6), dtype=bool)
    want = 2 * images.features(rows, nothing)[:, :3]
    np.testing.assert_allclose(doubled.features(rows, nothing), want, rtol=1e-5)


def test_the_ends_of_a_text_are_never_hidden(make_language_model, rows):
    source = rows(2)
    asked = ModelAsked(make_language_model().eval(), Incomplete(source))
    ends = ~asked.there
    assert ends.any(axis=1).all()
    plain = asked.features(np.arange(2), np.zeros_like(ends))
    assert (asked.features(np.arange(2), ends) == plain).all()
    told = ModelAsked(asked.model, Incomplete(source, ends))
    assert (told.features(np.arange(2), np.zeros_like(ends)) == plain).all()


def test_values_made_with_others_are_made_anew(images):
    """Here each value is doubled for every patch that is hidden."""
    data = images.data._replace(
        hidden=None,
        shown=lambda samples, hidden: samples * (1 + hidden.sum(dim=1)).view(-1, 1, 1, 1),
    )
    asked, hidden = ModelAsked(images.model, data), np.eye(1, 6, dtype=bool)
    twice = images.model.visible_features(
        data.source.get([0]).float() * 2, Mask(torch.from_numpy(hidden))
    )
    found = asked.features(np.array([0]), hidden)
    np.testing.assert_allclose(found, twice.detach(), rtol=1e-5, atol=1e-6)
