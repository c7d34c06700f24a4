"""Predictors of a run: what they learn from, what they never see, and how they are kept."""

import dataclasses
import json

import numpy as np
import pytest
import torch

import maskwise as mw
from maskwise.errors import UserError
from maskwise.files import write_json
from maskwise.modalities import build, find
from maskwise.predict.fitting import Fitting
from maskwise.predictor import Predictor, asked_for, fits
from maskwise.run import save_model
from maskwise.settings import override, to_dict
from maskwise.tables.data import from_frame
from tests.columns.test_command_impute import SHAPE, make_run

NUM = 240
rng = np.random.default_rng(0)
KIND = np.array(["ill", "well"])[rng.integers(2, size=NUM)]
FRAME = {f"x{i}": rng.normal(size=NUM) + 2 * (KIND == "ill") for i in range(6)} | {
    "kind": KIND.astype(object),
    "sum": np.zeros(NUM),
}
FRAME["sum"] = sum(FRAME[f"x{i}"] for i in range(6)) + 10


SETTINGS = {"data.labels": "kind", "data.holdout": 0.25}


@pytest.fixture(scope="module")
def splits():
    return from_frame(FRAME, override(find("tables").settings(), SETTINGS).data)


@pytest.fixture
def run(tmp_path, splits):
    """An untrained run on the file of that table, of which `kind` is what is asked."""
    path = tmp_path / "a.csv"
    rows = zip(*FRAME.values(), strict=True)
    path.write_text("\n".join([",".join(FRAME), *(",".join(map(str, row)) for row in rows)]))
    settings = {"data.source": str(path), **SETTINGS}
    return mw.Run(make_run(tmp_path / "run", splits.tokenizer, "tables", **settings))


def test_classes_from_any_part_of_a_row(run, caplog):
    with caplog.at_level("INFO", logger="maskwise"):
        predictor = run.predictor()
    assert predictor.classes == ("ill", "well")
    assert predictor.law == "uniform:0,1"
    assert "kind: 2 classes (ill, well), learned from 180 samples" in caplog.text
    assert "of 60 samples held out" in caplog.text
    assert predictor.about["held out"]["accuracy"] > 0.9
    some = {f"x{i}": [3.0, -1.0, None] for i in range(6)}
    found = predictor.predict_proba(some)
    assert found.shape == (3, 2)
    assert predictor.predict(some)[:2].tolist() == ["ill", "well"]
    assert found[:2].max(axis=1).min() > 0.7
    shares = np.mean(KIND[np.isin(np.arange(NUM), _learned(run))] == "ill")
    assert found[2] == pytest.approx([shares, 1 - shares])  # nothing is visible
    sets = predictor.predict_set(some, 0.8)
    assert sets.dtype == bool
    assert sets[0, 0]
    assert sets[1, 1]
    # What is hidden is not there.
    whole, hidden = {name: [5.0] for name in FRAME if name != "kind"}, np.ones((1, 7), bool)
    np.testing.assert_array_equal(predictor.predict_proba(whole, hidden), found[2:])
    with pytest.raises(UserError, match="classes have sets, not intervals"):
        predictor.predict_interval(some)


def _learned(run):
    from maskwise.tables.data import load

    return load(run.config.data).train.index


def test_held_out_rows_are_not_learned_from(run):
    """With other labels there, the predictor stays the same bit for bit."""
    labels = KIND.copy()
    held = np.setdiff1d(np.arange(NUM), _learned(run))
    labels[held] = "well"
    one = run.predictor(KIND, copies=1)
    other = run.predictor(labels, copies=1)
    assert other.about["held out"]["accuracy"] != one.about["held out"]["accuracy"]
    assert (other.predict_proba(FRAME) == one.predict_proba(FRAME)).all()


def test_a_column_of_the_model_is_hidden_from_itself(run):
    predictor = run.predictor("sum", copies=1)
    assert predictor.classes is None
    assert predictor.own == (6,)
    one, other = {**FRAME}, {**FRAME, "sum": FRAME["sum"] * 0 + 99}
    assert (predictor.predict(one) == predictor.predict(other)).all()
    assert predictor.answer(one).shares.tolist() == [1.0] * NUM
    ends = predictor.predict_interval(one, 0.8)
    inside = (ends[:, 0] <= FRAME["sum"]) & (FRAME["sum"] <= ends[:, 1])
    assert 0.7 < inside.mean() < 0.95
    with pytest.raises(UserError, match="'sum' is a number, and has no probabilities"):
        predictor.predict_proba(one)


def test_it_is_kept_and_found_again(run, caplog):
    one = run.predictor(copies=1)
    assert sorted(path.name for path in (run.path / "predictor").iterdir()) == [
        *("config.json", "head.safetensors"),
    ]
    with caplog.at_level("INFO", logger="maskwise"):
        again = run.predictor()
        assert "predicts 'kind', learned earlier (uniform:0,1)" in caplog.text
    assert (again.predict_proba(FRAME) == one.predict_proba(FRAME)).all()
    assert run.predictor("kind").about["asked"]["labels"] == ["kind"]
    assert run.predictor(copies=1, law="fixed:0.9").law == "fixed:0.9"
    assert run.predictor().law == "fixed:0.9"
    assert run.predictor(law="fixed:0.9", copies=1).about["copies"] == 1


def test_one_of_other_weights_is_never_used(run, splits, caplog):
    one = run.predictor(copies=1)
    save_model(run.path / "model", build(splits.tokenizer, SHAPE, seed=1))
    other = run.predictor(copies=1)
    assert "is a head on other weights than these: make it anew: learned anew" in caplog.text
    assert (other.predict_proba(FRAME) != one.predict_proba(FRAME)).any()


def test_it_can_stand_alone(run, tmp_path):
    one = run.predictor(copies=1)
    one.save(tmp_path / "alone")
    one.save(tmp_path / "alone")  # over itself
    again = Predictor.load(tmp_path / "alone")
    assert (again.predict_proba(FRAME) == one.predict_proba(FRAME)).all()
    assert (Predictor.load(run.path / "predictor").predict(FRAME) == one.predict(FRAME)).all()
    assert not list(tmp_path.glob(".*"))


def test_a_fine_tuned_one_has_its_own_encoder(run, monkeypatch):
    monkeypatch.setattr("maskwise.predict.tuning.FEWEST_STEPS", 10)
    one = run.predictor(finetune=True, copies=1)
    assert (run.path / "predictor/model/weights.safetensors").is_file()
    again = run.predictor(finetune=True)
    assert (again.predict_proba(FRAME) == one.predict_proba(FRAME)).all()
    own, tuned = (model.state_dict() for model in (run.model(), again.model))
    assert any(not torch.equal(own[name], tuned[name]) for name in own)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: (folder / "head.safetensors").write_bytes(b"x"), "is no predictor, or"),
        (lambda folder: (folder / "head.safetensors").unlink(), "is no predictor, or damaged"),
        (lambda folder: (folder / "config.json").write_text("{}"), "is no predictor, or damaged"),
        (lambda folder: (folder / "config.json").write_text("{"), "is damaged"),
    ],
)
def test_damaged_files_are_told_and_made_anew(run, change, says, caplog):
    run.predictor(copies=1)
    change(run.path / "predictor")
    with pytest.raises(UserError, match=says):
        Predictor.load(run.path / "predictor")
    assert run.predictor(copies=1).predict(FRAME).shape == (NUM,)
    assert "learned anew" in caplog.text
    Predictor.load(run.path / "predictor")


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ("kid", "no column 'kid'; did you mean kind"),
        (KIND[:9], "label: 9 labels for 240 samples: give one for each"),
        (["a"] * NUM, r"180 samples to learn from \(180 of 'a'\): give two classes"),
        (np.zeros((NUM, 2)), r"label: an array of shape \(240, 2\)"),
    ],
)
def test_labels_that_cannot_be_learned(run, labels, says):
    with pytest.raises(UserError, match=says):
        run.predictor(labels)
    assert not (run.path / "predictor").exists()


def test_nothing_says_what_to_predict(run):
    other = dataclasses.replace(run.config, data=dataclasses.replace(run.config.data, labels=None))
    write_json(run.path / "config.json", to_dict(other))
    with pytest.raises(UserError, match=r"nothing says what is to be predicted: give labels="):
        run.predictor()


def test_a_new_kind_says_that_it_cannot(run, monkeypatch):
    kind = dataclasses.replace(find("tables"), incomplete=None, labelled=None)
    monkeypatch.setattr("maskwise.predictor.find", lambda name: kind)
    with pytest.raises(UserError, match="models of tables do not predict"):
        run.predictor()


def test_what_was_asked_for(tmp_path):
    how, path = Fitting(), tmp_path / "labels.csv"
    path.write_text("label\n1\n")
    saved = {"asked": asked_for(path, None, Fitting(law="fixed:0.5"))}
    assert fits(saved, asked_for(None, None, how))
    assert fits(saved, asked_for(path, None, how))
    assert not fits(saved, asked_for("kind", None, how))
    assert not fits(saved, asked_for(None, None, Fitting(law="fixed:0.6")))
    assert not fits(saved, asked_for(None, None, Fitting(finetune=True)))
    assert not fits(saved, asked_for(None, "other.csv", how))
    assert not fits(saved, asked_for(None, [1, 2], how))  # data are not known again
    path.write_text("label\n1\n2\n")
    assert not fits(saved, asked_for(path, None, how))
    arrays = {"asked": asked_for(np.array([1, 2]), None, how)}
    assert fits(arrays, asked_for([1, 2], None, how))
    assert not fits(arrays, asked_for([1, 3], None, how))
    assert not fits({}, asked_for("kind", None, how))


def test_plain_values_and_arrays_are_all_that_is_kept(run):
    run.predictor(copies=1)
    values = json.loads((run.path / "predictor/config.json").read_text())
    assert values["classes"] == ["ill", "well"]
    assert values["about"]["learned"] == 180
    assert values["config"]["modality"] == "tables"
