"""How large a training is: minibatch, model and steps that fit the data, the machine and a time.

What is given is never changed. Of the rest, the minibatch follows from the data. Where there is a
budget, steps are timed, and as many are taken as fit it, but no more than the data are worth:
those that show each sample `Scale.epochs` times. Of several sizes the model is the largest that
data and time leave enough steps for: those of `EPOCHS` epochs, but as many as `ENOUGH` says.
"""

import logging
import math
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from maskwise.errors import UserError, option
from maskwise.files import read_json
from maskwise.modality import Augment, MaskedModel, Scale, Source
from maskwise.progress import track
from maskwise.settings import flatten, from_dict, override, to_dict
from maskwise.train.batches import Batches
from maskwise.train.config import RunSettings, connect, seconds_of
from maskwise.train.loop import Learner, gradients, plan_of, setup

if TYPE_CHECKING:  # it takes a second to import, and only those who train need it
    from lightning_fabric import Fabric

log = logging.getLogger("maskwise")
C = TypeVar("C", bound=RunSettings)
MEASURED = 2.0  # seconds that all measurements take
ENDLESS = 2**62  # samples of a stream of which nobody knows how many there are
LEAST = 100  # steps below which there is nothing to see
EPOCHS, ENOUGH = 30, (1000, 3000)  # what a model is chosen for
GROWTH = 4  # a model takes about so many times the time of the next smaller one
SUGGESTED = ("10m", "2h", "12h")  # longer budgets
GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples are spread evenly over [0, 1)


def sized(
    config: C,
    given: Collection[str],
    num: int,
    scale: Scale,
    measure: Callable[[C, float], float],
    *,
    name: str,
    what: str,
) -> C:
    """Return settings with all that is not given chosen, and say what that is.

    Args:
        config: settings.
        given: dotted settings, which are kept.
        num: training samples.
        scale: what bounds steps beside the budget, and which models there are.
        measure: (settings, seconds that it may take) -> seconds of a step.
        name: of the data.
        what: samples are called.
    """
    fitted = with_batch(config, given, num)
    size = fitted.train.batch_size
    there = f"{name}: {'a stream of' if num == ENDLESS else f'{num:,}'} {what} to train on"
    if seconds_of(config.train.budget) is None or "train.steps" in given:
        if size != config.train.batch_size:
            log.info("%s, so %d a step, not %d", there, size, config.train.batch_size)
        return fitted
    chosen, seconds = within(fitted, given, num, scale, measure)
    steps = chosen.train.steps
    took = f"{steps:,} steps of {size} in {_about(steps * seconds)} on this machine"
    log.info("%s; %s (%s)", there, took, _way_out(fitted, steps, num, scale))
    before, after = (flatten({"model": to_dict(each.model)}) for each in (config, chosen))
    shape = [f"{key} {value}" for key, value in after.items() if value != before[key]]
    if shape:
        log.info(
            "%s: a small model, as these data and that time ask for (%s; %s for another)",
            *(name, ", ".join(shape), option("model.width")),
        )
    return chosen


def _way_out(config: RunSettings, steps: int, num: int, scale: Scale) -> str:
    """Say what made the steps so many, and how there are more."""
    usual, most = config.train.steps, _most(config, num, scale)
    if steps == usual:
        return f"{option('train.steps')} for more"
    if steps == most:
        times = steps * config.train.batch_size // num
        return f"each is seen {times:,} times; {option('budget', 'none')} for {usual:,} steps"
    limit = seconds_of(config.train.budget) or math.inf
    longer = [each for each in SUGGESTED if (seconds_of(each) or 0) > limit]
    told = (
        f"{option('budget', longer[0])} for longer, none" if longer else option("budget", "none")
    )
    return f"{told} for {usual:,} steps"


def _about(seconds: float) -> str:
    """Return a time in words.

    >>> _about(8.2), _about(100), _about(9000)
    ('about 9 s', 'about 2 min', 'about 2.5 h')
    """
    if seconds < 90:
        return f"about {math.ceil(seconds)} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def earlier(config: C, folder: Path, given: Collection[str], scale: Scale) -> C | None:
    """Return settings with what the run in a folder has chosen; None: no run has begun there.

    Args:
        config: settings, as for a new run.
        folder: the run folder.
        given: dotted settings, which are kept.
        scale: what may have been chosen.
    """
    if not (folder / "config.json").is_file():
        return None
    saved = read_json(folder / "config.json")
    # Runs of older versions had no budget.
    old = {"train.budget": "none"} | flatten(saved if isinstance(saved, dict) else {})
    keys = {"train.batch_size"}
    if config.train.budget != "none":
        keys |= {"train.budget", "train.steps", *scale.keys}
    return override(config, {key: old[key] for key in keys.difference(given) & old.keys()})


def agreed(fabric: "Fabric", config: C) -> C:
    """Return the settings of the first of all devices, which are launched."""
    if fabric.world_size == 1:
        return config
    return from_dict(type(config), fabric.broadcast(to_dict(config)))


def with_batch(config: C, given: Collection[str], num: int) -> C:
    """Return settings whose minibatch, unless it is given, is at most half of `num` samples.

    It is then a power of two for each device and micro-batch.

    >>> config = RunSettings(modality="tables", data=None, model=None, evaluate=None)
    >>> with_batch(config, (), num=160).train.batch_size
    64
    """
    parts = config.efficiency.devices * config.efficiency.nodes * config.train.accumulate
    most = parts * 2 ** int(math.log2(max(num // (2 * parts), 1)))
    if "train.batch_size" in given or most >= config.train.batch_size:
        return config
    return override(config, {"train.batch_size": most})


def within(
    config: C,
    given: Collection[str],
    num: int,
    scale: Scale,
    measure: Callable[[C, float], float],
) -> tuple[C, float]:
    """Return settings that fit the budget, and the seconds that a step of them takes.

    Args:
        config: settings with a budget.
        given: dotted settings, which are kept.
        num: training samples.
        scale: what bounds steps else, and which models there are.
        measure: (settings, seconds that it may take) -> seconds of a step.
    """
    limit = seconds_of(config.train.budget) or math.inf
    most, per_epoch = _most(config, num, scale), num // config.train.batch_size
    enough = max(ENOUGH[0], min(EPOCHS * per_epoch, ENOUGH[1]))
    shapes = [{}, *(scale.smaller if scale.keys.isdisjoint(given) else ())]
    best, seconds = None, 0.0
    for shape in reversed(shapes):
        # Little data are worth no more than the smallest, however fast the machine is.
        if best is not None and (enough > most or GROWTH * seconds * enough > limit):
            break
        try:
            larger = override(config, shape)
            found = measure(larger, MEASURED / len(shapes))
        except UserError:
            if not shape:
                raise
            continue  # a layer that is asked for, which a small model does not have
        if best is not None and found * enough > limit:
            break
        best, seconds = larger, found
    assert best is not None
    fits = max(int(min(limit / seconds, most)), min(LEAST, most))
    return override(best, {"train.steps": fits}), seconds


def _most(config: RunSettings, num: int, scale: Scale) -> int:
    """Return the steps beyond which data of so many samples are worth no more."""
    per_epoch = max(num // config.train.batch_size, 1)
    return min(config.train.steps, max(int(min(scale.epochs * per_epoch, 2**62)), LEAST))


def seconds_of_step(
    model: MaskedModel,
    source: Source,
    config: RunSettings,
    augment: Augment | None,
    seconds: float,
    observed: Tensor | None = None,
) -> float:
    """Return how long a step takes on this machine, on average.

    Args:
        model: it is used up.
        source: what it is trained on.
        config: the settings of the run.
        augment: see `maskwise.train.loop.Plan`.
        seconds: how long to measure; one step is always taken, and a first one does not count
            where there are more.
        observed: see `maskwise.train.loop.Plan`.
    """
    # No other device takes part: those of a cluster are not there yet.
    alone = replace(config.efficiency, devices=1, nodes=1, strategy="auto")
    ranks = config.efficiency.devices * config.efficiency.nodes
    size, plan = config.train.batch_size, plan_of(config, augment, observed=observed)
    batches = Batches(source, batch_size=size, seed=config.seed, ranks=ranks)
    readers = batches.num_workers(config.efficiency.workers) or 1
    fabric = connect(alone)
    fabric.launch()
    wrapped, optimizer = setup(fabric, learner := Learner(model), config.train)
    wrapped.train()
    times: list[float] = []
    clock = time.perf_counter()
    # A network of somebody's own may draw from the global generator.
    devices = [fabric.device] if fabric.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        for number in track(count(), "timing steps"):
            begun = time.perf_counter()
            batch = batches[number % batches.per_epoch]
            if isinstance(batch, UserError):
                raise batch
            read = time.perf_counter()
            # Ratios of the whole run, also of a law that moves.
            step = int(number * GOLDEN % 1 * config.train.steps)
            _, loss, *_ = gradients(
                fabric, wrapped, optimizer, model, replace(batch, step=step), plan, lr=0.0
            )
            optimizer.step()
            optimizer.zero_grad()
            learner.objective.follow(model)
            float(loss)  # waits for the device
            now = time.perf_counter()
            times.append((read - begun) / readers + now - read)
            if now - clock > seconds:
                break
    timed = times[1:] or times
    return sum(timed) / len(timed)
