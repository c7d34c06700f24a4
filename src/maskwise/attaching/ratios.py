"""The ratios that a law has, keyed by seed and step, so that any step can be asked."""

import math
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch

from maskwise.errors import UserError
from maskwise.laws import Law, Scheduled
from maskwise.rng import Stream, uniforms

if TYPE_CHECKING:  # they are extras
    from transformers import TrainerCallback

KEPT = 100_000  # steps that the log remembers
_BLOCK = 256  # steps whose uniforms are made at once


class Step(NamedTuple):
    """What a training forward was asked to hide, and what it hid."""

    step: int
    asked: float
    realised: float


class Ratios:
    """The ratios of a law, and where in their sequence a training is.

    Args:
        law: of the ratio.
        seed: of ratios and masks.
        steps: of the whole training, for laws that move.
        ladder: how many ratios there are; None: as many as the law has.

    Example:
        >>> from maskwise import laws
        >>> ratios = Ratios(laws.parse("scheduled:linear,0.2..0.6"), steps=4)
        >>> ratios.at(2)
        >>> round(ratios.ratio, 6)
        0.4
    """

    def __init__(
        self, law: Law, *, seed: int = 0, steps: int | None = None, ladder: int | None = None
    ) -> None:
        self.law, self.seed, self.steps, self.ladder = law, seed, steps, ladder
        self.step = 0
        """of the next training forward, counted from 0"""
        self.log: deque[Step] = deque(maxlen=KEPT)
        """the last steps, with the ratio asked for and the one that resulted"""
        self._block: tuple[int, list[float]] = (-1, [])
        self._told, self._part = False, 0

    def begin(self, step: int, steps: int | None, parts: int = 1) -> None:
        """Say that a training begins, or goes on: callbacks do.

        Args:
            step: the next one, counted from 0.
            steps: of the whole training.
            parts: minibatches of each step.
        """
        self.at(step, steps)

    def at(self, step: int, steps: int | None = None) -> None:
        """Say which step comes next, instead of counting forwards: callbacks do.

        Args:
            step: counted from 0; the forwards until the next step share its ratio, and have masks
                of their own.
            steps: of the whole training, for laws that move.
        """
        if not self._told or step != self.step:
            self._part = 0
        self.step, self._told = step, True
        self.steps = steps or self.steps

    @property
    def ratio(self) -> float:
        """The ratio that the law has for the next step."""
        block, place = divmod(self.step, _BLOCK)
        if self._block[0] != block:
            ids = torch.arange(block * _BLOCK, (block + 1) * _BLOCK)
            self._block = block, uniforms(self.seed, Stream.RATIO, sample_ids=ids).tolist()
        u = self._block[1][place]
        if self.ladder is not None:
            u = (math.floor(u * self.ladder) + 0.5) / self.ladder
        return float(self.law.draw(u, self._progress))

    @property
    def _progress(self) -> float:
        return 0.0 if self.steps is None else min(self.step / self.steps, 1.0)

    def _check_steps(self) -> None:
        if self.steps is None and isinstance(self.law, Scheduled):
            raise UserError(
                f"law '{self.law}' moves with training: give attach(..., steps=) its number of"
                " steps, or use a callback"
            )

    def since(self, step: int) -> list[Step]:
        """Return what the log has of a step and those behind it."""
        found: list[Step] = []
        for each in reversed(self.log):
            if each.step < step:
                break
            found.append(each)
        return found[::-1]

    def state_dict(self) -> dict[str, Any]:
        """Return plain values from which `load_state_dict` continues."""
        return {"step": self.step, "seed": self.seed, "law": str(self.law)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where another one stood.

        Raises:
            UserError: it had another law or seed.
        """
        for name, mine in (("law", str(self.law)), ("seed", self.seed)):
            if state[name] != mine:
                raise UserError(
                    f"the state is of {name} {state[name]}, and this of {mine}: attach the same"
                )
        self.step = int(state["step"])

    def trainer_callback(self) -> "TrainerCallback":
        """Return a callback for `transformers.Trainer`: it tells steps, and logs `mask_ratio`.

        The minibatches of an accumulated step share a ratio, and a training that is resumed has
        the ratios and masks of one that was not interrupted.

        Example:
            >>> Trainer(model, callbacks=[attached.trainer_callback()])  # doctest: +SKIP
        """
        from maskwise.attaching.callbacks import of_trainer

        return of_trainer(self)

    def lightning_callback(self) -> Any:
        """Return a callback for Lightning's Trainer: it tells steps, and logs `mask_ratio`.

        Checkpoints have the state, and whoever resumes with another law or seed is told.

        Example:
            >>> L.Trainer(callbacks=[attached.lightning_callback()])  # doctest: +SKIP
        """
        from maskwise.attaching.callbacks import of_lightning

        return of_lightning(self)

    def detach(self) -> None:
        """Leave everything as it was before; a second call does nothing."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.detach()
