"""What an encoder of one's own must do: each check raises, or gives what is to be known."""

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd

from maskwise.layers.trying import evaluating
from maskwise.modality import MaskedModel
from maskwise.model_folder import load_model, save_model
from maskwise.testing.case import NUM, STEPS, Case
from maskwise.textio import few
from maskwise.train.batches import Batch, Batches
from maskwise.train.config import connect
from maskwise.train.loop import train
from maskwise.train.metrics import read as read_metrics


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
