"""From labelled samples to a head, frozen or fine-tuned, under the law of what will be visible."""

import logging
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from maskwise import laws
from maskwise.errors import UserError, option
from maskwise.files import Entries
from maskwise.predict import heads, masked_copies
from maskwise.predict.asked import ModelAsked, visible_shares
from maskwise.predict.targets import Targets, Task
from maskwise.predict.tuning import Tuned, kept_apart, tune

log = logging.getLogger("maskwise")


@dataclass(frozen=True)
class Fitting:
    """How a head is fitted, see `Run.predictor`."""

    task: Task | None = None
    law: str | None = None
    pattern: str = "scattered"
    copies: int = 8
    finetune: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise UserError(f"{option('copies', str(self.copies))} must be 1 or more")
        if self.law not in (None, masked_copies.OBSERVED):
            laws.parse(self.law)


class Learned(NamedTuple):
    """What was learned."""

    head: heads.Head
    then: Tuned | None
    """encoder and linear layer, if they were trained"""
    law: str


def law_of(asked: ModelAsked, law: str | None) -> str:
    """Return the law of what is hidden: what is given, or else as values are missing, if some are.

    Samples that are shorter than others lack nothing.
    """
    if law is not None:
        return law
    lacks = (asked.there.sum(axis=1) < asked.whole).any()
    return masked_copies.OBSERVED if lacks and np.ptp(asked.whole) == 0 else masked_copies.ANY


def learn(asked: ModelAsked, y: np.ndarray, num_classes: int, how: Fitting) -> Learned:
    """Return a head, fitted to copies of samples of which parts are hidden.

    To fine-tune, the encoder is trained on four fifths of the samples; so that the head, which is
    fitted to what it then says of the others, knows how sure that is.

    Args:
        asked: the samples to learn from.
        y: classes from 0, or numbers, [N].
        num_classes: how many classes there are; 0: `y` are numbers.
        how: under which law, and whether the encoder is trained.

    Raises:
        UserError: a pattern that is none, or too few samples.
    """
    from sklearn.exceptions import ConvergenceWarning

    law, most, seed = law_of(asked, how.law), max(heads.MOST // how.copies, 1), how.seed
    if len(y) > most:
        log.info("%d of %d labelled samples are learned from, chosen at random", most, len(y))
        some = np.sort(np.random.default_rng([seed, 6]).choice(len(y), most, replace=False))
        asked, y = asked.some(some), y[some]
    grid = tuple(asked.model.tokenizer.grid)
    hidden = masked_copies.hide(
        asked.there, law, pattern=how.pattern, grid=grid, copies=how.copies, seed=seed
    )
    classes, then = num_classes > 0, None
    if how.finetune:
        apart = kept_apart(y, classes, seed)
        if apart.sum() < 2 or (classes and len(np.unique(y[apart])) < num_classes):
            raise UserError(
                f"{len(y)} samples are too few to train an encoder and to tell how sure it is:"
                " give five or more of each class, or do not fine-tune"
            )
        then = tune(asked.some(~apart), y[~apart], hidden[:, ~apart], num_classes, seed)
        asked, y, hidden = asked.through(then.model, then).some(apart), y[apart], hidden[:, apart]
    with warnings.catch_warnings():
        # One that has nearly converged is judged like any other: on what was left out.
        warnings.simplefilter("ignore", ConvergenceWarning)
        head = heads.fit(asked, y, hidden, classes=classes, seed=seed)
    return Learned(head, then, law)


def judge(asked: ModelAsked, y: np.ndarray, head: heads.Head) -> Entries:
    """Return how well a head does on held-out samples as they are: accuracy, or R²."""
    rows, nothing = np.arange(len(y)), np.zeros_like(asked.there)
    features, shares = asked.features(rows, nothing), visible_shares(asked, rows, nothing)
    if isinstance(head, heads.ClassHead):
        right = head.probabilities(features, shares).argmax(axis=1) == y
        return {"num": len(y), "accuracy": float(right.mean())}
    error = np.square(head.expected(features) - y).mean()
    return {"num": len(y), "R²": float(1 - error / max(float(np.var(y)), 1e-300))}


def known_rows(found: Targets, held: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return which labelled samples are learned from, and which are held out, bool [N] each."""
    held = np.zeros(len(found.y), dtype=bool) if held is None else held
    return found.known & ~held, found.known & held
