"""From what was given to settings, a look at the data, and a model of the size that fits them."""

import itertools
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

from torch import Tensor

from maskwise import laws, masks
from maskwise.errors import UserError, option
from maskwise.files import read_json
from maskwise.given import Streamed, wrapped
from maskwise.inspection import Inspection, Problem
from maskwise.modalities import Kind, as_given, build, config_of, find, recipes, taken
from maskwise.modality import EncoderFactory, MaskedModel, ModelSettings, Scale, Tokenizer
from maskwise.settings import check_layer, flatten, override
from maskwise.textio import user_path
from maskwise.train.budget import ENDLESS, seconds_of_step, sized, with_batch
from maskwise.train.checkpoint import places
from maskwise.train.config import RunSettings

log = logging.getLogger("maskwise")


def meant(
    data: object,
    changes: Mapping[str, Any],
    modality: str | None,
    encoder: EncoderFactory | None = None,
    begun: str | Path | None = None,
) -> tuple[RunSettings, Any]:
    """Return the settings for data, and the data themselves if they are given from Python.

    Args:
        data: where they are, or they themselves.
        changes: dotted settings that are given.
        modality: what kind they are of; None: they tell.
        encoder: of one's own, if there is one.
        begun: a run folder that goes on, if it has begun.
    """
    named = isinstance(data, (str, Path))
    data = data if named else wrapped(data, changes.get("data.x"), changes.get("data.y"))
    config = config_of(str(data) if named else data, changes, modality)
    config = fitting(find(config.modality), config, changes, encoder, begun)
    return config, None if named else data


def look_at(kind: Kind, given: Any, config: RunSettings, changes: Mapping[str, Any]) -> Inspection:
    """Look at data as their kind does, or by loading them; `changes` are what was asked for."""
    stream = isinstance(given, Streamed)
    try:
        if kind.inspect is not None and not stream:
            found = kind.inspect(taken(kind, given, config), config)
        else:
            splits = loaded(kind, given, config)
            found = Inspection({"held out": len(splits.test)}, len(splits.train))
    except UserError as error:
        return Inspection({}, problems=[Problem.of(error)])
    if stream:
        first = splits.train.get([0]).shape[1:]
        told = {"a stream, looked at": len(splits.train), "shape of a sample": str(tuple(first))}
        found = Inspection({**told, **found.found}, splits.stream.num)
    size = config.train.batch_size
    if "train.batch_size" not in changes or not found.num_train or size <= found.num_train:
        return found
    few = Problem(
        f"a minibatch of {size} is more than the {found.num_train} samples to train on",
        {"train.batch_size": str(found.num_train)},
    )
    return replace(found, problems=[*found.problems, few])


def loaded(kind: Kind, given: Any, config: RunSettings) -> Any:
    """Return splits of data; of a stream those of its first samples, which are read once.

    Raises:
        UserError: data that the kind cannot read.
    """
    given = None if given is None else as_given(given, config)
    if not isinstance(given, Streamed):
        return kind.load(None if given is None else taken(kind, given, config), config)
    return given.once(config, lambda: _of_stream(kind, given, config))


def _of_stream(kind: Kind, given: Streamed, config: RunSettings) -> Any:
    read = kind.needed(kind.of_stream, "read streams: give data of a known length")
    splits, size = read(given, config), config.train.batch_size
    if splits.stream.num is None and len(splits.train) < size:
        # Whether it holds a batch at all is known before anything is written.
        num = sum(1 for _ in itertools.islice(splits.stream.samples(), size))
        if num < size:
            splits = replace(splits, stream=replace(splits.stream, num=num))
    workers = f", so {option('efficiency.workers')} is not used"
    log.info(
        "stream: its first %d items are held out and %d after them looked at (means, vocabulary,"
        " probes, baselines), not all of it; training shuffles in a buffer of %d, each pass anew,"
        " and reads it in this process%s",
        *(config.data.stream_test, config.data.stream_test, config.data.buffer),
        workers if config.efficiency.workers else "",
    )
    return splits


def with_observed(
    kind: Kind, splits: Any, config: RunSettings
) -> tuple[RunSettings, Tensor | None]:
    """Return settings whose law knows how much rows of the data lack, and what, if it is asked."""
    find = None if kind.observed is None else partial(kind.observed, splits)
    given = laws.parse(config.law), masks.parse_pattern(config.pattern)
    law, observed = masks.with_gaps(*given, find, splits.name)
    return override(config, {"law": str(law)}), observed


def made(tokenizer: Tokenizer, encoder: EncoderFactory | None, config: RunSettings) -> MaskedModel:
    """Return a model with its initial weights, which has the layers that are asked for."""
    attention, shape = config.efficiency.attention, cast(ModelSettings, config.model)
    model = build(tokenizer, shape, seed=config.seed, attention=attention, encoder=encoder)
    check_features(model, config)
    return cast(MaskedModel, model)


def begun_from(config: RunSettings) -> Path | None:
    """Return where the weights are that a model starts from; None: they are random."""
    place = getattr(config.model, "init", None)
    return None if place is None else user_path(place)


def fitting(
    kind: Kind,
    config: RunSettings,
    given: Mapping[str, Any],
    encoder: EncoderFactory | None,
    begun: str | Path | None,
) -> RunSettings:
    """Return settings of the shape that the weights have which a model starts from.

    Args:
        kind: of data.
        config: settings.
        given: dotted settings that are given.
        encoder: of one's own, if there is one.
        begun: a run folder that goes on, if it has begun, which needs the weights no more.

    Raises:
        UserError: weights of something else, or settings that are given and do not fit them.
    """
    place = begun_from(config)
    if place is None:
        return config
    if encoder is not None:
        raise UserError(
            f"{option('model.init')}: an encoder of your own starts from what it brings along:"
            " leave one of them out"
        )
    start = kind.needed(kind.init, "start from other weights")
    earlier = None if begun is None else user_path(begun) / "config.json"
    if earlier is None or not earlier.is_file():
        return cast(RunSettings, start.settings(config, place, given.keys()))
    saved = flatten(read_json(earlier))
    chosen = {key for key in saved if key.startswith("model.")} | start.keys
    return override(config, {key: saved[key] for key in chosen & saved.keys() - given.keys()})


def started(
    kind: Kind, begun: Path | None, config: RunSettings, model: MaskedModel, *, say: bool = True
) -> MaskedModel:
    """Return the model with the weights that it starts from, if there are any.

    Args:
        kind: of data.
        begun: the run folder if it goes on: what a checkpoint will fill is left as it is.
        config: settings.
        model: with its initial weights.
        say: what was taken.
    """
    place = begun_from(config)
    if place is None or (begun is not None and places(begun)):
        return model
    told = kind.needed(kind.init, "start from other weights").load(model, place)
    if say:
        log.info("%s", told)
    return model


def scale_of(kind: Kind, data: Any, encoder: EncoderFactory | None, config: RunSettings) -> Scale:
    """Return what may be chosen: of a recipe the steps, of a model with a shape no other."""
    if isinstance(data, (str, Path)) and str(data) in recipes():
        return Scale(epochs=math.inf)
    shaped = encoder is not None or begun_from(config) is not None
    return replace(kind.scale, smaller=()) if shaped else kind.scale


def chosen(
    config: RunSettings,
    given: Mapping[str, Any],
    kind: Kind,
    splits: Any,
    scale: Scale,
    make: Callable[[RunSettings], MaskedModel] | Literal[False],
    observed: Tensor | None = None,
) -> RunSettings:
    """Return settings with all chosen that is not given; `make` makes models to be timed."""
    if not make:  # the first device says what is chosen
        return with_batch(config, given, num_train(splits))
    augment = kind.augment(config) if kind.augment else None

    def measure(each: RunSettings, seconds: float) -> float:
        given = splits.train, each, augment, seconds
        own = reading * each.train.batch_size
        return own + seconds_of_step(make(each), *given, observed=observed)

    stream = getattr(splits, "stream", None)
    reading = 0.0 if stream is None else stream.seconds
    what, num = kind.words.counted[0].split()[0], num_train(splits)
    return sized(config, given, num, scale, measure, name=splits.name, what=what)


def num_train(splits: Any) -> int:
    """Return how many samples there are to train on; `ENDLESS`, if only the stream knows."""
    stream = getattr(splits, "stream", None)
    if stream is None:
        return len(splits.train)
    return ENDLESS if stream.num is None else int(stream.num)


def check_features(model: MaskedModel, config: RunSettings) -> None:
    """Refuse layers and pools that the model lacks, before anything is written.

    Raises:
        UserError: such a setting, with what there is.
    """
    settings = config.regularise
    layers = {"diagnose.layer": config.diagnose.layer, "regularise.layer": settings.layer}
    layers["regularise.earlier_layer"] = settings.earlier_layer
    for key, layer in layers.items():
        check_layer(key, layer, model.num_layers)
    for group in ("diagnose", "regularise"):
        if getattr(config, group).pool == "class" and not model.has_class_token:
            raise UserError(
                f"{group}.pool class needs a class token, which this model lacks: use mean"
            )
    size = config.train.batch_size // config.train.accumulate
    way_out = f"raise {option('train.batch_size')} or lower {option('train.accumulate')}"
    if settings.terms and size < 2:
        raise UserError(
            f"{', '.join(settings.terms)}: a micro-batch of 1 has no two samples to compare:"
            f" {way_out}"
        )
    if "local_dimension" in settings.terms and settings.neighbours >= size:
        raise UserError(
            f"regularise.neighbours {settings.neighbours} are not in a micro-batch of {size}:"
            f" lower them, {way_out}"
        )
