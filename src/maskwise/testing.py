"""What an encoder of one's own must do to be trained by maskwise, as checks that a user calls."""

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from maskwise import masks
from maskwise.errors import UserError
from maskwise.layers.trying import evaluating
from maskwise.masks import Mask
from maskwise.modalities import LAST, Kind, build, find
from maskwise.modality import EncoderFactory, MaskedModel
from maskwise.model_folder import load_model, save_model
from maskwise.preparing import meant, with_observed
from maskwise.rng import Keys
from maskwise.settings import flatten, override, to_dict
from maskwise.textio import few
from maskwise.train.batches import Batch, Batches
from maskwise.train.config import RunSettings, connect
from maskwise.train.folder import read as read_metrics
from maskwise.train.loop import train

__all__ = ["EncoderReport", "check_encoder"]

NUM, STEPS = 8, 4  # samples of a step
SMALL = {
    "train.steps": STEPS,
    "train.batch_size": NUM,
    "train.log_every": 1,
    "train.checkpoint_every": 2,
    "efficiency.accelerator": "cpu",
    "efficiency.workers": 0,
}


class EncoderReport(NamedTuple):
    """What was found of an encoder that passed."""

    title: str
    """what was checked"""
    passed: tuple[str, ...]
    """what it does"""
    notes: tuple[str, ...]
    """what is allowed, but to be known"""

    def __str__(self) -> str:
        """Return a few lines."""
        lines = [self.title, *(f"  ok: {each}" for each in self.passed)]
        return "\n".join([*lines, *(f"  note: {each}" for each in self.notes)])


def check_encoder(
    factory: EncoderFactory, data: Any = None, *, kind: str | None = None, **settings: Any
) -> EncoderReport:
    """Check an encoder of one's own, as it is given to `pretrain`, in a few seconds on a CPU.

    Its predictions must not depend on what is hidden, on other samples or on earlier calls; its
    weights must follow from the seed, all be trained, and be saved and read; a run that was
    stopped must go on as one that was not; and several devices must find the gradient of one.

    Args:
        factory: makes the module, as ``encoder=`` of `pretrain`.
        data: samples, as for `pretrain`; at least 8 to train on. Default: some that are made up.
        kind: of the data, a modality; default: what the data are, of none given images.
        **settings: as for `pretrain`, nested or dotted. For images, ``mode="replace"`` without a
            class token is tried where the encoder asks for it and nothing else is said.

    Returns:
        What it passed, which prints well.

    Raises:
        AssertionError: what the encoder does wrong, and what to do about it, in one line.
        UserError: settings, data or a module that do not fit each other.

    Example:
        >>> from torch import nn
        >>> report = check_encoder(lambda: nn.Linear(16, 16), model={"width": 16})
        >>> len(report.passed)
        8
    """
    case, notes = _case_of(factory, data, kind, flatten(settings))
    for check in CHECKS.values():
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            notes += check(case)
    own = case.own(case.model())
    num = sum(each.numel() for each in own.values())
    title = f"{type(case.module).__name__} in {case.kind.title}, {num:,} weights: all is well"
    return EncoderReport(title, tuple(CHECKS), tuple(notes))


@dataclass(frozen=True)
class Case:
    """An encoder in a model, and samples for it."""

    factory: EncoderFactory
    kind: Kind
    config: RunSettings
    splits: Any
    tokenizer: Any
    observed: Tensor | None
    made: list[nn.Module]
    """what the factory made, so far"""

    def encoder(self) -> nn.Module:
        """Make the encoder, and know it."""
        self.made.append(self.factory())
        return self.made[-1]

    @property
    def module(self) -> nn.Module:
        """The one that was made last."""
        return self.made[-1]

    def model(self, seed: int = 0) -> MaskedModel:
        """Return a fresh model."""
        shape: Any = self.config
        made: MaskedModel = build(self.tokenizer, shape.model, seed=seed, encoder=self.encoder)
        return made

    def own(self, model: MaskedModel) -> dict[str, nn.Parameter]:
        """Return the parameters of the encoder that was made last, by their names in its model."""
        known = {id(each) for each in self.module.parameters()}
        return {n: each for n, each in model.named_parameters() if id(each) in known}

    @cached_property
    def samples(self) -> Tensor:
        """Samples of a step, [8, ...]."""
        return self.splits.train.get(torch.arange(NUM).numpy())

    @cached_property
    def mask(self) -> Mask:
        """Half of each is hidden."""
        ids, grid = torch.arange(NUM), self.tokenizer.grid
        eligible = self.tokenizer.eligible(self.samples)
        return masks.draw(0.5, grid, sample_ids=ids, seed=0, eligible=eligible)

    def other(self, model: Any) -> Tensor:
        """Return samples that hold those of others where they are hidden."""
        rolled = self.samples.roll(1, dims=0)
        if hasattr(model, "mix"):  # of real values, whose positions may be patches
            mixed: Tensor = model.mix(self.samples, rolled, self.mask.hidden)
            return mixed
        return torch.where(self.mask.hidden, rolled, self.samples)

    def answer(self, model: MaskedModel, samples: Tensor, rows: slice = slice(None)) -> Any:
        """Return what a model says of samples, whose masks are those of `rows`."""
        mask, keys = self.mask[rows], Keys(0, 0, torch.arange(NUM)[rows])
        return model.answer(samples, mask, mask, keys)

    def losses(self, model: MaskedModel, samples: Tensor, rows: slice = slice(None)) -> Tensor:
        """Return the loss of each sample, [B]."""
        return model.objective()(samples, self.answer(model, samples, rows), self.mask[rows])

    @property
    def normalises(self) -> bool:
        """Whether the module normalises over a batch."""
        return any(isinstance(part, _BatchNorm) for part in self.module.modules())


def _case_of(
    factory: EncoderFactory, data: Any, kind: str | None, changes: dict[str, Any]
) -> tuple[Case, list[str]]:
    """Return what is checked, with settings that fit, and what was found on the way."""
    told: dict[str, Any] = {}
    if data is None:
        record = find(kind or LAST)
        data, told = record.needed(record.example, "bring samples for checks: give data=")()
        kind = record.name
    config, given = meant(data, {**SMALL, **told, **changes}, kind)
    record = find(config.modality)
    splits = record.load(given, config)
    tokenizer, config = record.describe(splits, config)
    # Corruption that leaves hidden values as they are would look as if the module knew them.
    usual = flatten(to_dict(record.own("array")))
    config = override(config, {k: usual[k] for k in ("model.corruption",) if k in usual})
    config, observed = with_observed(record, splits, config)
    with torch.random.fork_rng(devices=[]):
        first, second = factory(), factory()
    for each in (first, second):
        if not isinstance(each, nn.Module):
            raise UserError(f"encoder= takes a function that makes a module, not {each!r:.60}")
    assert first is not second, (
        "the factory gives the same module twice, so that a second model would begin with the"
        " weights of the first: make it in the factory"
    )
    case, notes = Case(factory, record, config, splits, tokenizer, observed, []), []
    try:
        case.model()
    except UserError as error:
        if not error.settings or error.settings.keys() & changes.keys():
            raise
        case = replace(case, config=override(config, error.settings))
        case.model()
        given_too = ", ".join(f"{key}={value}" for key, value in error.settings.items())
        notes.append(f"it needs the settings {given_too}")
    return case, notes


def _hides(case: Case) -> Iterator[str]:
    """What is hidden has no influence, by the values and by the gradient."""
    model: Any = case.model().eval()
    said = []
    with evaluating(model):
        for samples in (case.samples, case.other(model)):
            model.encode(samples)  # which a module must not remember
            said.append(case.answer(model, samples).prediction)
    assert _same(*said), (
        "predictions change with what is hidden: the module knows hidden values from elsewhere,"
        " as from an earlier call; keep nothing between calls"
    )
    if hasattr(model, "mix"):
        x = case.samples.float().requires_grad_()
        inside = model.mix(torch.zeros_like(x), torch.ones_like(x), case.mask.hidden) > 0
        total = sum(each.sum() for each in case.answer(model, x).prediction if each.requires_grad)
        [slope] = torch.autograd.grad(total, x)
        assert not slope[inside].nan_to_num(1.0).any(), (
            "predictions have a gradient with respect to hidden values"
        )
    yield from ()


def _repeats(case: Case) -> Iterator[str]:
    """The same input gives the same output, whatever was asked between."""
    model = case.model().eval()
    with evaluating(model):
        first = _seeded(lambda: case.answer(model, case.samples).prediction)
        model.encode(case.samples.flip(0))
        second = _seeded(lambda: case.answer(model, case.samples).prediction)
        assert _same(first, second), (
            "it says something else the second time: it keeps something between calls; make it a"
            " function of its input"
        )
        third = case.answer(model, case.samples).prediction
    assert _same(first, third), (
        "it draws random numbers in eval mode: draw them in training only, or not at all"
    )
    yield from ()


def _separates(case: Case) -> Iterator[str]:
    """What is said of a sample does not depend on others in its batch."""
    model = case.model().eval()
    with evaluating(model):
        together = case.losses(model, case.samples)
        parts = [slice(0, 1), slice(1, 4), slice(4, NUM)]
        alone = torch.cat([case.losses(model, case.samples[rows], rows) for rows in parts])
        features = torch.cat([model.encode(case.samples[rows]) for rows in parts])
        whole = model.encode(case.samples)
    for one, other in ((together, alone), (whole, features)):
        off = (one - other).abs().max()
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4), (
            f"what it says of a sample changes by up to {off:.2g} with the others in its batch, in"
            " eval mode: compute each sample by itself"
        )
    model.train()
    # Beside others, and beside itself.
    beside = case.samples, torch.cat([case.samples[:1]] * NUM)
    with torch.no_grad():
        one, other = (_seeded(partial(case.losses, model, each))[0] for each in beside)
    if not torch.allclose(one, other, rtol=1e-3, atol=1e-4):
        assert case.normalises, (
            "in training what it says of a sample changes with the others in its batch, and it has"
            " no batch norm: compute each sample by itself"
        )
        yield "batch norm mixes the samples of a batch in training, on each device its own"


def _seed_decides(case: Case) -> Iterator[str]:
    """The first weights follow from the seed."""
    states = []
    for seed in (1, 1, 2):
        model = case.model(seed)
        names = case.own(model)
        states.append({name: each.detach().clone() for name, each in names.items()})
    one, again, other = states
    assert one.keys() == again.keys(), "two modules from the factory have not the same weights"
    odd = [name for name in one if not torch.equal(one[name], again[name])]
    assert not odd, (
        f"weights are not decided by the seed: {few(odd)}; draw them from torch's default"
        " generator, in the factory"
    )
    if one and all(torch.equal(one[name], other[name]) for name in one):
        yield "its first weights are the same for every seed"


def _trains(case: Case) -> Iterator[str]:
    """Every weight has a gradient, and keeps finite."""
    model = case.model().train()
    own = case.own(model)
    frozen = [name for name, each in own.items() if not each.requires_grad]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    reached = set(frozen)
    for _ in range(STEPS):
        optimizer.zero_grad()
        case.losses(model, case.samples).mean().backward()
        for name, each in own.items():
            if each.grad is not None and each.grad.any():
                reached.add(name)
                assert each.grad.isfinite().all(), f"the gradient of {name} is not finite"
        optimizer.step()
    dead = [name for name in own if name not in reached]
    assert not dead, (
        f"no gradient reaches {len(dead)} of {len(own)} weights: {few(dead)}; leave them out, or"
        " set requires_grad=False"
    )
    if frozen:
        yield f"{len(frozen)} of {len(own)} weights are frozen: {few(frozen)}"


def _is_kept(case: Case) -> Iterator[str]:
    """A model is the same when it was saved and read."""
    model = case.model(seed=3).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        try:
            save_model(path, model)
            read = load_model(path, encoder=case.encoder)
        except (RuntimeError, ValueError, TypeError) as error:
            said = " ".join(str(error).split())
            raise AssertionError(f"it cannot be saved and read: {said:.300}") from None
    with evaluating(model):
        features, again = model.encode(case.samples), read.encode(case.samples)
    assert torch.equal(features, again), (
        "it is another one when it was saved and read: keep what it needs in parameters and"
        " buffers"
    )
    yield from ()


def _resumes(case: Case) -> Iterator[str]:
    """A run that was stopped goes on as one that was not."""
    with tempfile.TemporaryDirectory() as folder:
        whole, stopped = Path(folder) / "whole", Path(folder) / "stopped"
        straight = _trained(case, whole, Batches)
        with suppress(KeyboardInterrupt):
            _trained(case, stopped, _Stopping)
        again = _trained(case, stopped, Batches, resume=True)
        lines = zip(read_metrics(whole), read_metrics(stopped), strict=True)
        losses = [(one["step"], one["loss"], other["loss"]) for one, other in lines]
    random = [
        type(part).__name__
        for part in case.module.modules()
        if (isinstance(part, _DropoutNd) and part.p) or getattr(part, "drop_prob", None)
    ]
    why = "keep what it needs in parameters and buffers, and draw no random numbers"
    if random:
        why = f"{few(sorted(set(random)))} draws random numbers: set it to 0"
    for step, one, other in losses:
        assert one == other, (
            f"a run that was stopped does not go on as one that was not: the loss of step {step}"
            f" is {other:.6g} instead of {one:.6g}; {why}"
        )
    same = zip(straight.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(*each) for each in same), (
        f"a run that was stopped ends with other weights than one that was not; {why}"
    )
    yield from ()


class _Stopping(Batches):
    """A stop in the middle, behind a checkpoint."""

    def read(self, start: int, stop: int, workers: int | None = None) -> Iterator[Batch]:
        for batch in super().read(start, stop, workers):
            if batch.step == STEPS - 1:
                raise KeyboardInterrupt
            yield batch


def _trained(
    case: Case, folder: Path, batches: type[Batches], *, resume: bool = False
) -> MaskedModel:
    config = case.config
    folder.mkdir(exist_ok=True)
    fabric = connect(config.efficiency)
    fabric.launch()
    given = batches(case.splits.train, batch_size=config.train.batch_size, seed=config.seed)
    model = case.model(config.seed)
    with redirect_stderr(io.StringIO()):  # the progress of four steps
        kept, _ = train(
            *(fabric, model, given, config, folder), observed=case.observed, resume=resume
        )
    return kept


def _same_on_devices(case: Case) -> Iterator[str]:
    """The mean gradient of two halves of a batch is that of the batch, as devices average it."""
    model = case.model().eval()  # in training, batch norm differs
    own = [each for each in case.own(model).values() if each.requires_grad]
    parts = [slice(None), slice(0, NUM // 2), slice(NUM // 2, NUM)]
    whole, *halves = (
        torch.autograd.grad(
            case.losses(model, case.samples[rows], rows).mean(), own, allow_unused=True
        )
        for rows in parts
    )
    for both, *each in zip(whole, *halves, strict=True):
        if both is not None:
            mean = sum(part for part in each if part is not None) / 2
            off = (both - mean).norm() / both.norm().clamp(min=1e-8)
            assert off < 1e-2, (
                f"two devices would find another gradient than one, by {off:.1%}: compute each"
                " sample by itself"
            )
    yield from ()


CHECKS: dict[str, Callable[[Case], Iterator[str]]] = {
    "nothing that is hidden has an influence": _hides,
    "the same input gives the same output": _repeats,
    "samples of a batch do not mix": _separates,
    "the seed decides its weights": _seed_decides,
    "every weight is trained": _trains,
    "it is the same when it was saved and read": _is_kept,
    "a run that was stopped goes on as one that was not": _resumes,
    "two devices find the gradient of one": _same_on_devices,
}


def _same(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> bool:
    return all(
        torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(one, other, strict=True)
    )


def _seeded(call: Callable[[], Any]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(5)
        return call()
