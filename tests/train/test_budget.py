"""What is chosen where a time is all that is given; seconds are given, none is measured."""

import logging
from itertools import count
from types import SimpleNamespace

import pytest
import torch

from maskwise.errors import UserError, as_flag, speaking
from maskwise.modalities import find
from maskwise.modality import Scale
from maskwise.settings import override
from maskwise.train import budget
from maskwise.train.budget import seconds_of_step, sized, with_batch, within
from maskwise.train.config import TrainSettings, seconds_of

IMAGES = find("images")


def photos(**changes):
    return override(IMAGES.own("photos"), {f"train.{key}": each for key, each in changes.items()})


class Machine:
    """Says how long a step takes by the width of the model, and what it was asked."""

    def __init__(self, **seconds):
        self.seconds, self.asked = {int(key[1:]): each for key, each in seconds.items()}, []

    def __call__(self, config, seconds):
        self.asked.append(config.model.width)
        assert 0 < seconds <= 2
        return self.seconds[config.model.width]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1.5h", 5400), ("2d", 172_800), (" 2H ", 7200), ("none", None)],
)
def test_a_budget_is_a_time(text, seconds):
    assert seconds_of(TrainSettings(budget=text).budget) == seconds


@pytest.mark.parametrize("text", ["", "10", "0m", "-5m", "ten", "10 minutes", "1e3s", "nan", "m"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(UserError, match=f"train.budget '{text}' is no time: give 90s, 10m, 2h"):
        TrainSettings(budget=text)


@pytest.mark.parametrize(
    ("num", "changes", "size"),
    [
        (160, {}, 64),
        (127, {}, 32),
        (128, {}, 64),
        (10**6, {}, 64),
        (3, {}, 1),
        (1, {}, 1),
        (100, {"train.accumulate": 4}, 32),
        (100, {"efficiency.devices": 3, "train.batch_size": 96}, 48),
    ],
)
def test_a_minibatch_is_at_most_half_of_the_samples(num, changes, size):
    config = override(photos(), changes)
    assert with_batch(config, (), num).train.batch_size == size
    assert with_batch(config, {"train.batch_size"}, num) == config


# 480 samples are 7 steps of 64; each is seen 400 times at most, in 2,800 steps.
@pytest.mark.parametrize(
    ("machine", "time", "width", "steps", "asked"),
    [
        (Machine(w64=0.07, w128=0.18, w192=1.1), "10m", 128, 2800, [64, 128]),
        (Machine(w64=0.07, w128=0.3, w192=1.1), "10m", 128, 2000, [64, 128]),
        (Machine(w64=0.07, w128=0.18, w192=1.1), "2h", 192, 2800, [64, 128, 192]),
        (Machine(w64=0.1, w128=0.7, w192=9), "10m", 64, 2800, [64, 128]),  # slower than it seemed
        (Machine(w64=0.4), "10m", 64, 1500, [64]),
        (Machine(w64=60), "10m", 64, 100, [64]),  # with fewer steps there is nothing to see
        (Machine(w64=0.001, w128=0.002, w192=0.004), "10m", 192, 2800, [64, 128, 192]),
        (Machine(w64=0.001, w128=0.002, w192=0.004), "1s", 64, 1000, [64]),
    ],
)
def test_models_and_steps_fit_the_time(machine, time, width, steps, asked):
    machine.asked.clear()
    config, seconds = within(photos(budget=time), (), 480, IMAGES.scale, machine)
    assert (config.model.width, config.train.steps) == (width, steps)
    assert seconds == machine.seconds[width]
    assert machine.asked == asked


def test_little_data_have_a_small_model_however_fast_the_machine_is():
    machine = Machine(w64=0.001, w128=0.002, w192=0.004)
    config, _ = within(photos(), (), 100, IMAGES.scale, machine)
    assert (config.model.width, config.train.steps) == (64, 400)


def test_much_data_are_seen_as_long_as_by_default():
    machine = Machine(w64=0.001, w128=0.002, w192=0.004)
    config, _ = within(photos(), (), 10**6, IMAGES.scale, machine)
    assert (config.model.width, config.train.steps) == (192, 10_000)
    slow = Machine(w64=0.05, w128=0.15)
    config, _ = within(photos(), (), 10**6, IMAGES.scale, slow)
    assert (config.model.width, config.train.steps) == (128, 4000)


def test_a_model_that_is_given_is_kept():
    machine = Machine(w192=2)
    config, _ = within(photos(), {"model.depth"}, 480, IMAGES.scale, machine)
    assert config == photos(steps=300)
    # Other settings of a model leave its size open.
    config, _ = within(photos(), {"model.mlp_ratio"}, 480, IMAGES.scale, Machine(w64=1))
    assert config.model.width == 64


def test_a_model_without_a_layer_that_is_asked_for_is_none():
    machine = Machine(w128=0.1, w192=1)  # says nothing of one of 64
    asked = override(photos(), {"evaluate.layer": 5})  # of 6 blocks, which the smallest lacks
    config, _ = within(asked, (), 480, IMAGES.scale, machine)
    assert (config.model.depth, machine.asked) == (6, [128, 192])
    with pytest.raises(UserError, match="no such layer"):
        within(photos(), (), 480, Scale(), refuse)


def refuse(config, seconds):
    raise UserError("no such layer")


def choose(config, given=(), num=480, scale=IMAGES.scale, measure=refuse):
    return sized(config, given, num, scale, measure, name="photos", what="samples")


def test_nothing_is_measured_where_steps_are_given_or_no_budget_is(caplog):
    caplog.set_level(logging.INFO)
    given = photos(steps=500)
    assert choose(given, {"train.steps"}) == given
    assert choose(photos(budget="none")) == photos(budget="none")
    assert caplog.text == ""
    few = choose(given, {"train.steps"}, num=40)
    assert (few.train.batch_size, few.train.steps) == (16, 500)
    assert "photos: 40 samples to train on, so 16 a step, not 64" in caplog.text


@pytest.mark.parametrize(
    ("settings", "num", "seconds", "says"),
    [
        ({}, 480, 0.4, "1,500 steps of 64 in about 10 min on this machine (--budget 2h for longer,"
         " none for 10,000 steps)"),
        ({"budget": "20h"}, 10**6, 9, "8,000 steps of 64 in about 20.0 h on this machine (--budget"
         " none for 10,000 steps)"),
        ({}, 70, 0.01, "800 steps of 32 in about 8 s on this machine (each is seen 365 times;"
         " --budget none for 10,000 steps)"),
        ({}, 10**6, 0.01, "10,000 steps of 64 in about 2 min on this machine (--train.steps for"
         " more)"),
    ],
)  # fmt: skip
def test_what_is_chosen_is_said(caplog, settings, num, seconds, says):
    caplog.set_level(logging.INFO)
    with speaking(as_flag):
        choose(photos(**settings), {"model.width"}, num, measure=lambda config, most: seconds)
    assert caplog.messages == [f"photos: {num:,} samples to train on; {says}"]


def test_a_small_model_is_said(caplog):
    caplog.set_level(logging.INFO)
    choose(photos(), measure=Machine(w64=0.4))
    assert "a small model, as these data and that time ask for (model.width 64" in caplog.text


@pytest.mark.parametrize("name", ["images", "text", "dna", "cells", "tables"])
def test_little_data_of_any_kind_take_little(name):
    """Of 100 samples: a minute, at what a step of the smallest model takes on one slow core."""
    kind, seconds = find(name), {"images": 0.04, "text": 0.15, "dna": 0.1, "cells": 0.03}
    config = with_batch(kind.own("few"), (), 100)
    found, each = within(config, (), 100, kind.scale, lambda *_: seconds.get(name, 0.01))
    assert found.train.steps * each <= 60
    assert found.train.steps >= budget.LEAST


@pytest.fixture
def ticking(monkeypatch):
    """A clock that is a quarter of a second later whenever it is asked."""
    clock = count()
    ticks = SimpleNamespace(perf_counter=lambda: next(clock) / 4)
    monkeypatch.setattr(budget, "time", ticks)


@pytest.mark.parametrize(("seconds", "steps"), [(0.1, 1), (1.9, 3), (2.2, 3), (2.6, 4)])
def test_seconds_of_a_step(ticking, digits, tiny, new_model, monkeypatch, seconds, steps):
    taken = []
    real = budget.gradients

    def gradients(*arguments, **more):
        taken.append(arguments[4])
        return real(*arguments, **more)

    monkeypatch.setattr(budget, "gradients", gradients)
    config = tiny({"train.steps": 1000})
    before, model = torch.get_rng_state(), new_model(config)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    # A quarter to read, a quarter to compute.
    assert seconds_of_step(model, digits, config, None, seconds) == 0.5
    assert len(taken) == steps
    # Ratios of the whole run are among them.
    assert [batch.step for batch in taken] == [0, 618, 236, 854][:steps]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_several_devices_share_a_step_and_readers_the_reading(
    ticking, digits, tiny, new_model, monkeypatch
):
    sizes = []
    real = budget.gradients

    def gradients(*arguments, **more):
        sizes.append(len(arguments[4].ids))
        return real(*arguments, **more)

    monkeypatch.setattr(budget, "gradients", gradients)
    config = tiny({"efficiency.devices": 2, "efficiency.workers": 5})
    assert seconds_of_step(new_model(config), digits, config, None, 0.1) == pytest.approx(0.3)
    assert sizes == [8]
