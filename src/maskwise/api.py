"""What the commands do, as functions: pretrain, evaluate, load."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from maskwise import laws, report
from maskwise.encodings import whole
from maskwise.errors import UserError, call
from maskwise.files import write_json
from maskwise.inspection import Inspection
from maskwise.measure.representation import diagnose
from maskwise.modalities import find
from maskwise.modality import EncoderFactory, Entries, MaskedModel
from maskwise.preparing import (
    check_features,
    chosen,
    loaded,
    look_at,
    made,
    meant,
    scale_of,
    started,
    with_observed,
)
from maskwise.run import Run, describe_model, load_model, save_model, sized, untrained
from maskwise.settings import flatten, override, to_dict
from maskwise.textio import user_path
from maskwise.train.batches import Batches
from maskwise.train.budget import agreed, earlier
from maskwise.train.config import RunSettings, connect, launch
from maskwise.train.folder import training
from maskwise.train.loop import train
from maskwise.train.metrics import Watch
from maskwise.train.monitor import monitor_of
from maskwise.train.stream import StreamBatches, StreamSource

if TYPE_CHECKING:  # it takes a second to import, and only those who train need it
    from lightning_fabric import Fabric


def pretrain(
    data: Any,
    /,
    *,
    law: str | float | laws.Law | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    budget: str | None = None,
    resume: bool | Literal["auto"] = False,
    encoder: EncoderFactory | None = None,
    modality: str | None = None,
    log: str | Sequence[str] | None = None,
    on_log: Callable[[Entries], object] | None = None,
    on_checkpoint: Callable[[Path, int], object] | None = None,
    **overrides: Any,
) -> Run:
    """Pretrain a masked model, evaluate it and write a report.

    Args:
        data: a recipe ("digits", "pydoc", ...), a file or folder of images, texts or sequences of
            DNA, of cells (.h5ad, .zarr) or a table, "hf:NAME", images as an array [N, H, W] or
            [N, H, W, C] or a pair (array, labels), a list, array or column of texts, or of
            sequences with ``modality="dna"``, AnnData, a pandas or polars table or an array
            [N, F].
        law: the law of the mask ratio; default: the recipe's.
        out: the run folder; default: runs/NAME-LAW-SEED.
        seed: decides weights, order and masks.
        budget: how long training may take, "10m" or "2h": of what is not given, the steps, and on
            your own data the size of the model, are chosen by a measurement of this machine;
            "none": the settings as they are. Default: 10 minutes, or of recipes none.
        resume: continue an interrupted run; its folder must hold the same configuration, and what
            was chosen is not chosen again. "auto": if it has begun, else begin.
        encoder: a function that makes an encoder of your own, for
            ``model={"mode": "replace", "class_token": False}``.
        modality: "images", "text", "dna", "cells" or "tables", where the source does not tell
            (default: it does).
        log: where training is told beside metrics.jsonl, such as "tensorboard,csv"; see
            `efficiency.log`.
        on_log: called with each line of metrics.jsonl, a dict (step, loss, ratio, ...).
        on_checkpoint: called with the path of each checkpoint and its step, once it is there.
            What either raises ends the run; `StopTraining` ends its training only.
        **overrides: any other settings, nested (``train={"steps": 500}``) or dotted
            (``**{"train.steps": 500}``).

    Returns:
        The run; `run.result` holds the figures, `run.report` is the report's path. Of several
        devices only the first waits for these.

    Raises:
        UserError: anything given that cannot work, in one line.
        KeyboardInterrupt: Ctrl-C, after the state was saved.

    Example:
        >>> import tempfile
        >>> import maskwise as mw
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = mw.pretrain("digits", law="uniform:0.4,0.9", out=f"{folder}/run",
        ...                       train={"steps": 2}, evaluate={"num_train": 200})
        ...     z = run.embed(np.zeros((5, 8, 8), np.uint8))
        >>> z.shape
        (5, 64)
    """
    law, watch = None if law is None else str(law), Watch(on_log, on_checkpoint)
    named = {"law": law, "seed": seed, "train.budget": budget, "efficiency.log": log}
    changes = flatten(overrides) | {key: each for key, each in named.items() if each is not None}
    config, given = meant(data, changes, modality, encoder, out if resume else None)
    kind = find(config.modality)
    if kind.inspect is not None:
        told = changes if modality is None else {"modality": modality, **changes}
        look_at(kind, given, config, changes).require(str(data) if given is None else None, told)
    splits = loaded(kind, given, config)
    tokenizer, config = kind.describe(splits, config)
    config, observed = with_observed(kind, splits, config)
    folder = user_path(out) if out is not None else default_folder(splits.name, config)
    fabric = connect(config.efficiency)
    make, scale = partial(made, tokenizer, encoder), scale_of(kind, data, encoder, config)
    begun = earlier(config, folder, changes, scale) if resume else None
    if begun is None:
        made_here = fabric.is_global_zero and make
        config = chosen(config, changes, kind, splits, scale, made_here, observed)
    else:
        config = begun
    begin = partial(started, kind, None if begun is None else folder)
    model = begin(config, make(config), say=fabric.is_global_zero)
    monitor = monitor_of(model, splits, config.diagnose)
    batches = _batches(splits, config, fabric)
    alone: AbstractContextManager[None] = nullcontext()
    if fabric.is_global_zero:
        fingerprint = kind.fingerprint(splits) if kind.fingerprint else {}
        alone = training(folder, config, kind.words, fingerprint, resume=resume)
    with alone:
        # The other devices start when all that was given has been checked.
        launch(fabric, config.efficiency)
        if (first := agreed(fabric, config)) != config:
            config, model = first, begin(first, make(first), say=False)
            batches = _batches(splits, config, fabric)
        if fabric.is_global_zero:
            describe_model(folder / "checkpoint", model)
        kept, summary = train(
            fabric,
            model,
            batches,
            config,
            folder,
            augment=kind.augment(config) if kind.augment else None,
            observed=observed,
            monitor=monitor,
            watch=watch,
            resume=bool(resume),
        )
        if fabric.is_global_zero:
            _keep(Run(folder), kept, config, splits, summary)
        # Nobody waits while one device evaluates.
        fabric.barrier()
        if fabric.is_global_zero:
            _evaluate_trained(Run(folder), kept, config, splits, encoder)
    return Run(folder)


def inspect(data: Any, /, *, modality: str | None = None, **overrides: Any) -> Inspection:
    """Say what data hold, and all that stands in the way of training; nothing is written.

    Args:
        data: as for `pretrain`.
        modality: as for `pretrain`.
        **overrides: settings, as for `pretrain`.

    Raises:
        UserError: neither a recipe nor data, an unknown setting or a bad value.

    Example:
        >>> import maskwise as mw
        >>> mw.inspect("digits").num_train
        1438
    """
    changes = flatten(overrides)
    config, given = meant(data, changes, modality)
    return look_at(find(config.modality), given, config, changes)


def _batches(splits: Any, config: RunSettings, fabric: "Fabric") -> Batches | StreamBatches:
    size, seed = config.train.batch_size, config.seed
    rank, ranks = fabric.global_rank, fabric.world_size
    stream: StreamSource | None = getattr(splits, "stream", None)
    if stream is not None:
        return StreamBatches(stream, batch_size=size, seed=seed, rank=rank, ranks=ranks)
    return Batches(splits.train, batch_size=size, seed=seed, rank=rank, ranks=ranks)


def _keep(
    run: Run, model: MaskedModel, config: RunSettings, splits: Any, summary: Entries
) -> None:
    run.kind.settle(model, splits, config)
    save_model(run.path / "model", model)
    write_json(run.path / "result.json", _trained(run, config, summary))


def _evaluate_trained(
    run: Run, model: MaskedModel, config: RunSettings, splits: Any, encoder: EncoderFactory | None
) -> None:
    try:
        _finish(run, model, config, splits, encoder)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped; the model is in {run.path / 'model'}: to evaluate it,"
            f" {call('evaluate', str(run.path), {})}"
        ) from None


def evaluate(
    run: Run | str | Path,
    data: Any | None = None,
    encoder: EncoderFactory | None = None,
    **overrides: Any,
) -> Run:
    """Evaluate a run's model anew, and rewrite its result.json, samples and report.

    Args:
        run: a run or its folder.
        data: the arrays that the run was given, if it was given arrays.
        encoder: the function that the run was given, if it was given one.
        **overrides: settings of the "evaluate", "diagnose" and "data" groups, nested or dotted.
    """
    run, config = _changed(run, overrides, "evaluate.", "diagnose.", "data.")
    model = run.model(encoder)
    check_features(model, config)
    model, config = run.kind.suited(model, data, config)
    splits = loaded(run.kind, data, config)
    model = sized(model, splits.test)
    _finish(run, model, config, splits, encoder)
    return run


def measure_likelihood(
    run: Run | str | Path,
    data: Any | None = None,
    encoder: EncoderFactory | None = None,
    *,
    num_samples: int | None = None,
    passes: int = 64,
    seed: int = 0,
    **overrides: Any,
) -> Run:
    """Measure the likelihood of test samples under a run's model; write likelihood.json.

    Also rewrites the report. `run.likelihood` holds the figures.

    Args:
        run: a run or its folder.
        data: the arrays that the run was given, if it was given arrays.
        encoder: the function that the run was given, if it was given one.
        num_samples: test samples at most, chosen at random; default: 256 images, or 64 rows of
            tokens.
        passes: masked inputs for each sample.
        seed: of the samples and the masks.
        **overrides: settings of the "data" group, dotted.

    Raises:
        UserError: fewer than two samples or passes, or another setting.
    """
    run, config = _changed(run, overrides, "data.")
    kind, model = find(config.modality), run.model(encoder)
    measure = kind.needed(kind.likelihood, "measure likelihood")
    model, config = kind.suited(model, data, config)
    splits = loaded(kind, data, config)
    found = measure(
        sized(model, splits.test),
        splits,
        config.law,
        num_samples=num_samples,
        passes=passes,
        seed=seed,
    )
    run.say()
    write_json(run.path / "likelihood.json", found)
    report.write([run.path])
    return run


def load(path: str | Path, encoder: EncoderFactory | None = None) -> MaskedModel:
    """Load the model of a run folder or a model folder, in eval mode.

    Args:
        path: a run folder, or its `model` folder wherever it was copied to.
        encoder: the function that the run was given, if it was given one.

    Raises:
        UserError: no such folder, or damaged files.
    """
    path = Path(path)
    if (path / "weights.safetensors").exists():
        return load_model(path, encoder=encoder)
    return Run(path).model(encoder)


def default_folder(name: str, config: RunSettings) -> Path:
    """Return runs/NAME-LAW-sSEED; shares of missing values have no part in it."""
    law = re.sub(r"observed:[^+]*", "observed", config.law.lower())
    law = re.sub(r"[^a-z0-9.]+", "-", law)
    return Path("runs") / f"{whole(name).replace('/', '-')}-{law}-s{config.seed}"


def _changed(
    run: Run | str | Path, overrides: Mapping[str, Any], *groups: str
) -> tuple[Run, RunSettings]:
    """Return a run and its configuration with changes to some groups, given as "GROUP."."""
    run = run if isinstance(run, Run) else Run(Path(run))
    run.require_model()
    changes = flatten(overrides)
    for key in changes:
        if not key.startswith(groups):
            allowed = " or ".join(f"{group}*" for group in groups)
            raise UserError(f"evaluation cannot change '{key}': give {allowed} keys")
    return run, override(run.config, changes)


def _trained(run: Run, config: RunSettings, summary: Entries) -> Entries:
    """Return what result.json holds when training has ended: its summary, and the law."""
    settings = config.train
    law = laws.parse(config.law)
    steps = np.linspace(0, 1, 101)
    tilted = [laws.effective(law, settings.reduction, settings.scope, t) for t in steps]
    return {
        "name": run.path.name,
        "train": summary,
        "law": {
            "name": config.law,
            "scope": settings.scope,
            "reduction": settings.reduction,
            "mean": float(np.mean([law.mean(t) for t in steps])),
            "effective_mean": float(np.mean([ratios @ weights for ratios, weights in tilted])),
        },
    }


def within_budget(config: RunSettings) -> RunSettings:
    """Return settings of an evaluation that takes no longer than a short training deserves.

    Probes see as many samples as an eighth of those that training has seen, and 2,000 at least,
    unless a number of samples is chosen, or probes are asked for by their files.

    >>> from maskwise.modalities import config_of
    >>> short, long = (config_of("digits", {"train.steps": steps}) for steps in (60, 2000))
    >>> within_budget(short).evaluate.num_train, within_budget(long).evaluate.num_train
    (2000, 10000)
    """
    most = max(2000, config.train.steps * config.train.batch_size // 8)
    chosen, usual = flatten(to_dict(config.evaluate)), flatten(to_dict(type(config.evaluate)()))
    return override(
        config,
        {
            f"evaluate.{name}": most
            for name in ("num_train", "num_test")
            if "probes" not in chosen and name in chosen and chosen[name] == usual[name] > most
        },
    )


def _finish(
    run: Run, model: MaskedModel, config: RunSettings, splits: Any, encoder: EncoderFactory | None
) -> None:
    """Evaluate, and write result.json, what the report shows, and the report."""
    kind, before = run.kind, untrained(model, config.seed, encoder)
    run.say()
    result = _trained(run, config, run.result["train"])
    result |= kind.evaluate(model, splits, within_budget(config), before)
    pattern, observed = config.pattern, None
    try:
        observed = with_observed(kind, splits, config)[1]
    except UserError:  # other data than those of the training, which lack nothing
        pattern = "scattered"
    result["features"] = diagnose(
        model,
        splits.test,
        config.diagnose,
        law=config.law,
        pattern=pattern,
        observed=observed,
        untrained=before,
    )
    if kind.samples is not None:
        kind.samples(run.path, model, splits, config)
    write_json(run.path / "result.json", result)
    report.write([run.path])
