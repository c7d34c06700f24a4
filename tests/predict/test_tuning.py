"""An encoder and a head trained together on any part of samples, and what decides how."""

import numpy as np
import pytest
import torch

from maskwise.errors import UserError
from maskwise.images.images import array_source
from maskwise.modality import Incomplete
from maskwise.predict import fitting, masked_copies
from maskwise.predict.asked import ModelAsked
from maskwise.predict.fitting import Fitting, judge, law_of, learn
from maskwise.predict.tuning import kept_apart, tune


@pytest.fixture
def bright(make_model):
    """Images of which every pixel tells the class."""
    y = np.arange(60) % 2
    pixels = np.random.default_rng(0).integers(0, 60, (60, 4, 6, 2)) + 150 * y[:, None, None, None]
    source = array_source(pixels.astype(np.uint8))
    return ModelAsked(make_model(target="raw").eval(), Incomplete(source)), y


def test_the_encoder_learns_and_the_model_stays(bright, monkeypatch):
    monkeypatch.setattr("maskwise.predict.tuning.FEWEST_STEPS", 30)
    asked, y = bright
    before = {name: value.clone() for name, value in asked.model.state_dict().items()}
    hidden = masked_copies.hide(asked.there, "fixed:0.5", copies=2)
    tuned = tune(asked, y, hidden, 2)
    after = asked.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert any(
        not torch.equal(value, before[name]) for name, value in tuned.model.state_dict().items()
    )
    said = asked.through(tuned.model, tuned).features(np.arange(60), hidden[1])
    assert said.shape == (60, 2)
    assert (said.argmax(axis=1) == y).mean() > 0.95
    again = tune(asked, y, hidden, 2)
    assert torch.equal(again.weight, tuned.weight)


def test_numbers_are_learned_standardised(bright, monkeypatch):
    monkeypatch.setattr("maskwise.predict.tuning.FEWEST_STEPS", 40)
    asked, y = bright
    tuned = tune(asked, 1000.0 + 50.0 * y, masked_copies.hide(asked.there, copies=1), 0)
    said = asked.through(tuned.model, tuned).features(np.arange(60), np.zeros((60, 6), bool))
    assert said.shape == (60, 1)
    assert np.corrcoef(said[:, 0], y)[0, 1] > 0.9
    assert np.abs(said).max() < 10


def test_a_fifth_of_each_class_is_kept_apart():
    y = np.repeat([0, 1, 2], [10, 20, 30])
    apart = kept_apart(y, True, 0)
    assert np.bincount(y[apart]).tolist() == [2, 4, 6]
    assert (kept_apart(y, True, 0) == apart).all()
    assert kept_apart(y, False, 0).sum() == 12


def test_fine_tuning_calibrates_on_what_it_was_not_trained_on(bright, monkeypatch):
    monkeypatch.setattr("maskwise.predict.tuning.FEWEST_STEPS", 30)
    asked, y = bright
    seen = []
    fit = fitting.heads.fit

    def spied(asked, y, hidden, **options):
        seen.append((len(y), asked.rows))
        return fit(asked, y, hidden, **options)

    monkeypatch.setattr(fitting.heads, "fit", spied)
    made = learn(asked, y, 2, Fitting(copies=1, finetune=True))
    [(num, rows)] = seen
    assert num == 12
    assert set(rows) == set(np.flatnonzero(kept_apart(y, True, 0)))
    tuned = asked.through(made.then.model, made.then)
    assert judge(tuned, y, made.head) == {"num": 60, "accuracy": 1.0}
    with pytest.raises(UserError, match="4 samples are too few to train an encoder"):
        learn(asked.some(np.arange(4)), y[:4], 2, Fitting(finetune=True))


def test_the_law_follows_what_is_missing(make_model, source):
    missing, model = np.zeros((30, 6), dtype=bool), make_model()
    whole = ModelAsked(model, Incomplete(source))
    assert law_of(whole, None) == "uniform:0,1"
    assert law_of(whole, "fixed:0.5") == "fixed:0.5"
    missing[3, 1] = True
    assert law_of(ModelAsked(model, Incomplete(source, missing)), None) == "observed"
    # Texts of several lengths lack nothing.
    sizes = np.full(30, 6) - missing.sum(axis=1)
    assert law_of(ModelAsked(model, Incomplete(source, missing, sizes)), None) == "uniform:0,1"


def test_of_many_samples_some_are_learned_from(bright, monkeypatch, caplog):
    monkeypatch.setattr(fitting.heads, "MOST", 40)
    shapes = []
    monkeypatch.setattr(fitting.heads, "fit", lambda *found, **_: shapes.append(found[2].shape))
    asked, y = bright
    with caplog.at_level("INFO", logger="maskwise"):
        learn(asked, y, 2, Fitting(copies=2, law="fixed:0.5"))
    assert shapes == [(2, 20, 6)]
    assert "20 of 60 labelled samples are learned from, chosen at random" in caplog.text


def test_how_well_numbers_are_said(bright):
    asked, y = bright
    head = learn(asked, y * 3.0, 0, Fitting(copies=1)).head
    found = judge(asked, y * 3.0, head)
    assert found["num"] == 60
    assert 0.9 < found["R²"] <= 1
    off = judge(asked, 3.0 - y * 3.0, head)
    assert off["R²"] == pytest.approx(-3, abs=0.5)  # all wrong by 3, where the variance is 9 / 4


@pytest.mark.parametrize(
    ("options", "says"),
    [({"copies": 0}, "copies=0 must be 1 or more"), ({"law": "uniform:2"}, "law")],
)
def test_what_is_no_way_to_fit(options, says):
    with pytest.raises(UserError, match=says):
        Fitting(**options)
