"""An encoder of one's own in a model, and samples to check it on."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from maskwise import masks
from maskwise.errors import UserError
from maskwise.masks import Mask
from maskwise.modalities import LAST, Kind, build, find
from maskwise.modality import EncoderFactory, MaskedModel
from maskwise.preparing import meant, with_observed
from maskwise.rng import Keys
from maskwise.settings import flatten, override, to_dict
from maskwise.train.config import RunSettings

NUM, STEPS = 8, 4  # samples of a step
SMALL = {
    "train.steps": STEPS,
    "train.batch_size": NUM,
    "train.log_every": 1,
    "train.checkpoint_every": 2,
    "efficiency.accelerator": "cpu",
    "efficiency.workers": 0,
}


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


def case_of(
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
