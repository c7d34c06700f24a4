"""What every kind of data must do: a suite that a new one inherits by being passed to `check`."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import maskwise as mw
from maskwise import masks
from maskwise.layers.outline import outline
from maskwise.modalities import build
from maskwise.modality import MaskedModel, Modality
from maskwise.predict.asked import ModelAsked
from maskwise.run import load_model, save_model
from maskwise.settings import flatten, from_dict, override, to_dict


def check(kind: Modality, given, settings: dict, folder, monkeypatch) -> mw.Run:
    """Check a kind of data from its record to its report; return a finished run.

    Args:
        kind: the record, which is one of `maskwise.modalities.KINDS`.
        given: data as from Python.
        settings: dotted settings of a tiny run of 6 steps at least.
        folder: for runs.
        monkeypatch: of the test.
    """
    config = check_settings(kind)
    check_model(kind, given, {**config, **settings}, folder / "model")
    run = check_runs(kind, given, settings, folder, monkeypatch)
    check_results(run)
    return run


def check_settings(kind: Modality) -> dict:
    """The record is whole, and its settings survive being written."""
    config = kind.own("array")
    assert config.modality == kind.name == kind.settings().modality
    assert isinstance(config, kind.settings)
    assert from_dict(kind.settings, to_dict(config)) == config
    assert isinstance(config.model, kind.model_settings)
    assert all(isinstance(recipe(), kind.settings) for recipe in kind.recipes.values())
    # The numbers of recipes are published.
    assert all(recipe().train.budget == "none" for recipe in kind.recipes.values())
    return {}


def check_model(kind: Modality, given, settings: dict, folder) -> None:
    """Samples do not depend on their batch; a model is decided by its seed and can be saved."""
    config = override(kind.own("array"), settings)
    splits = kind.load(given, config)
    tokenizer, config = kind.describe(splits, config)
    assert tokenizer.modality == kind.name
    samples = splits.train.get(np.arange(6))
    assert torch.equal(samples[2:4].nan_to_num(), splits.train.get([2, 3]).nan_to_num())
    model, again, other = (build(tokenizer, config.model, seed=seed) for seed in (1, 1, 2))
    assert isinstance(model, MaskedModel)
    states = [each.state_dict() for each in (model, again, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])
    check_scale(kind, tokenizer)
    save_model(folder, model)
    read = load_model(folder)
    with torch.no_grad():
        features = model.eval().encode(samples)
        torch.testing.assert_close(read.encode(samples), features, rtol=0, atol=0)
        torch.testing.assert_close(model.encode(samples[:2]), features[:2], rtol=1e-4, atol=1e-5)
        check_leaks(model, samples)
        check_incomplete(kind, model, given, config)
    check_sizes(kind, model, folder)


def check_sizes(kind: Modality, model: MaskedModel, folder) -> None:
    """What weights a model has is known before it is made; no size in config.json is believed."""
    found = outline(lambda: kind.build(model.tokenizer, model.config, "auto", None))
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    assert {name: value.shape for name, value in found.items()} == shapes
    path = folder / "config.json"
    good = json.loads(path.read_text("utf-8"))
    sizes = [name for name, value in good["model"].items() if type(value) is int]
    refused = {}
    for name in sizes:
        path.write_text(json.dumps({**good, "model": {**good["model"], name: 10**9}}), "utf-8")
        try:
            load_model(folder)
        except mw.UserError as error:
            refused[name] = str(error)
    assert refused or not sizes
    assert not any("\n" in says for says in refused.values())
    path.write_text(json.dumps(good), "utf-8")


def check_scale(kind: Modality, tokenizer) -> None:
    """Its models for less time are ever smaller."""
    sizes = []
    for shape in ({}, *kind.scale.smaller):
        made = build(tokenizer, override(kind.own("array"), shape).model, seed=0)
        sizes.append(sum(each.numel() for each in made.parameters()))
    assert sizes == sorted(set(sizes), reverse=True)


def check_leaks(model: MaskedModel, samples: torch.Tensor) -> None:
    """Nothing that a model says of a masked sample depends on what is hidden of it."""
    ids = torch.arange(len(samples))
    mask = masks.draw(
        0.5, model.tokenizer.grid, sample_ids=ids, seed=0, eligible=model.eligible(samples)
    )
    seen = model.visible_features(samples, mask)
    assert seen.isfinite().all()
    if hasattr(model, "mix"):  # models of real values, whose positions may be patches
        other = model.mix(samples, samples.roll(1, dims=0), mask.hidden)
    else:
        other = torch.where(mask.hidden, samples.roll(1, dims=0), samples)
    assert not torch.equal(other.nan_to_num(), samples.nan_to_num())
    torch.testing.assert_close(model.visible_features(other, mask), seen)


class Changed:
    """Samples in memory, as a source."""

    in_memory = True

    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def get(self, indices):
        return self.samples[torch.as_tensor(indices)]


def check_incomplete(kind: Modality, model: MaskedModel, given, config) -> None:
    """What stands where something is missing never influences what is said of the rest."""
    if kind.incomplete is None:
        return
    found = kind.incomplete(model, given, config)
    rows = np.arange(min(6, len(found.source)))
    samples = found.source.get(rows)
    # Values that others are made with are for each kind to look at.
    whole = None if found.whole is None else found.whole[rows]
    data = found._replace(source=Changed(samples), whole=whole, hidden=None, shown=None)
    asked = ModelAsked(model, data)
    assert (asked.there.sum(axis=1) <= asked.whole).all()
    hidden = np.random.default_rng(0).random(asked.there.shape) < 0.5
    seen = asked.features(rows, hidden)
    assert np.isfinite(seen).all()
    # Values become others, and what is none, such as what is beyond an end, stays.
    changed = hidden & asked.there & np.roll(asked.there, 1, axis=0)
    part, roll = torch.from_numpy(changed), samples.roll(1, dims=0)
    other = (
        model.mix(samples, roll, part)
        if hasattr(model, "mix")
        else torch.where(part, roll, samples)
    )
    assert not torch.equal(other.nan_to_num(), samples.nan_to_num())
    missing = ModelAsked(model, data._replace(source=Changed(other), hidden=hidden))
    again = missing.features(rows, np.zeros_like(hidden))
    np.testing.assert_allclose(again, seen, rtol=1e-5, atol=1e-6)
    assert (missing.there == (asked.there & ~hidden)).all()


def check_runs(kind: Modality, given, settings: dict, folder, monkeypatch) -> mw.Run:
    """An interrupted run ends as one that was not; a changed configuration is refused."""
    from maskwise.train.batches import Batches

    class Stopping(Batches):
        def read(self, *arguments):
            for batch in super().read(*arguments):
                if batch.step == 3:
                    raise KeyboardInterrupt
                yield batch

    def pretrain(name, **changes):
        given_settings = {**settings, "train.log_every": 1, "train.checkpoint_every": 2, **changes}
        resume = given_settings.pop("resume", False)
        return mw.pretrain(
            given, out=folder / name, modality=kind.name, resume=resume, **given_settings
        )

    whole = pretrain("whole")
    with monkeypatch.context() as patch:
        patch.setattr("maskwise.api.Batches", Stopping)
        with pytest.raises(KeyboardInterrupt):
            pretrain("broken")
    assert not (folder / "broken" / "result.json").exists()
    # What was trained so far can be used.
    stopped = load_file(folder / "broken/checkpoint/state.safetensors")
    weights = mw.Run(folder / "broken").model().state_dict()
    assert all(torch.equal(stopped[f"model.{name}"], weights[name]) for name in weights)
    again = pretrain("broken", resume=True)
    one, two = (load_file(run.path / "checkpoint/state.safetensors") for run in (whole, again))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert [row["loss"] for row in whole.metrics] == [row["loss"] for row in again.metrics]
    assert whole.result["reconstruction"] == again.result["reconstruction"]
    assert flatten(to_dict(whole.config)) == flatten(to_dict(again.config))
    return whole


def check_results(run: mw.Run) -> None:
    """A run folder holds what a comparison of laws and the report read."""
    assert {row["step"] for row in run.metrics} >= {1, 2, 3}
    assert all(np.isfinite(row["loss"]) for row in run.metrics)
    result = run.result
    assert result["law"]["name"] == run.config.law
    assert {"train", "data", "reconstruction", "features"} <= result.keys()
    curve = result["reconstruction"]["curve"]
    assert all(point["low"] <= point["error"] <= point["high"] for point in curve)
    page = run.report.read_text("utf-8")
    assert result["data"]["name"] in page
    assert (run.path / "words.json").exists()
