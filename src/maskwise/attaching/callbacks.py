"""Callbacks of trainers, which say how far a training is, and log the ratio."""

import sys
from typing import TYPE_CHECKING, Any

from maskwise.attaching.ratios import Ratios
from maskwise.errors import UserError, require

if TYPE_CHECKING:  # they are extras
    from transformers import TrainerCallback

LOGGED = "mask_ratio"
LIGHTNING = ("lightning.pytorch", "pytorch_lightning")


def of_trainer(ratios: Ratios) -> "TrainerCallback":
    """Return a callback for `transformers.Trainer`."""
    transformers = require("transformers", "transformers.Trainer", "text")

    class MaskRatio(transformers.TrainerCallback):  # type: ignore[name-defined]
        """Tells the law each step; logs the mean ratio of the steps that the loss is a mean of."""

        first = 0

        def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            self.first = state.global_step
            ratios.begin(state.global_step, state.max_steps, args.gradient_accumulation_steps)

        def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            ratios.at(state.global_step, state.max_steps)

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any
        ) -> None:
            found = ratios.since(self.first)
            if not found or "loss" not in (logs or {}):
                return
            self.first = state.global_step
            ratio = sum(each.realised for each in found) / len(found)
            logs[LOGGED] = state.log_history[-1][LOGGED] = round(ratio, 4)

    return MaskRatio()


def of_lightning(ratios: Ratios) -> Any:
    """Return a callback for the Trainer of whichever Lightning is imported.

    Raises:
        UserError: none is.
    """
    there = [sys.modules[name].Callback for name in LIGHTNING if name in sys.modules]
    if not there:
        raise UserError("lightning_callback() is for Lightning's Trainer: import lightning first")

    def told(trainer: Any) -> int | None:
        steps = trainer.estimated_stepping_batches
        return int(steps) if 0 < steps < float("inf") else None

    def on_train_start(self: Any, trainer: Any, module: Any) -> None:
        ratios.begin(trainer.global_step, told(trainer), trainer.accumulate_grad_batches)

    def on_train_batch_start(self: Any, trainer: Any, *more: Any) -> None:
        ratios.at(trainer.global_step)

    def on_train_batch_end(self: Any, trainer: Any, module: Any, *more: Any) -> None:
        if ratios.log:
            module.log(LOGGED, ratios.log[-1].realised)

    members = {
        "on_train_start": on_train_start,
        "on_train_batch_start": on_train_batch_start,
        "on_train_batch_end": on_train_batch_end,
        "state_dict": lambda self: ratios.state_dict(),
        "load_state_dict": lambda self, state: ratios.load_state_dict(state),
    }
    return type("MaskRatio", tuple(dict.fromkeys(there)), members)()
