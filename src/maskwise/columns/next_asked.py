"""One held-out sample: what is there, what is said of it, and what would be asked for next."""

import numpy as np
import torch
from scipy.special import entr

from maskwise.columns.model import TabularModel
from maskwise.columns.tabular import TabularRows, TabularSplits
from maskwise.files import Entries
from maskwise.measure.features import random_subset
from maskwise.measure.losses import fixed_mask
from maskwise.modality import Incomplete
from maskwise.predict import heads, masked_copies
from maskwise.predict.acquire import acquire
from maskwise.predict.asked import ModelAsked
from maskwise.predict.asking import ModelAsking, asked_of

LEARNED, COPIES = 200, 4  # training samples of the head, and copies of each
LOOKED, RATIO = 20, 0.8  # samples of which the least sure is shown; how much of it is hidden
CANDIDATES, STEPS, DRAWS = 40, 4, 16  # features that could be asked for, questions, draws
SHOWN = 8  # features in the picture


def next_asked(model: TabularModel, splits: TabularSplits, seed: int) -> Entries | None:
    """Return what the report shows of one held-out sample; None where nothing can be asked.

    That is so without labels of two classes, and of a model that does not draw yet.

    Of 20 with 80 % of their features hidden the one of whose class a small head is least sure.
    "visible", some of its features and their values; "num_visible" and "num_features"; "label";
    "classes"; "said", their probabilities, first with these features and then after each of the
    "answers" (name, value); and "asked", the features that would tell most, with "nats" and
    "stderr".
    """
    head = _head(model, splits, seed)
    chosen = _known(splits.test, LOOKED, seed + 1)
    if head is None or not len(chosen):
        return None
    batch, grid = splits.test.get(chosen), model.tokenizer.grid
    device = torch.device("cpu")
    eligible = model.tokenizer.eligible(batch)
    hidden = fixed_mask(grid, RATIO, chosen, "scattered", seed, device, eligible).hidden.numpy()
    asking = ModelAsking(ModelAsked(model, Incomplete(splits.test.some(chosen))))
    said = asked_of(head, asking, np.arange(len(chosen)), hidden)
    row = int(entr(said).sum(axis=1).argmax())
    blank, values = hidden[row], model.tokenizer.told(batch[[row]])[0]
    can = np.flatnonzero(blank)[random_subset(int(blank.sum()), CANDIDATES, seed)]
    cost = np.where(np.isin(np.arange(model.length), can), 1.0, np.inf)
    visible = np.flatnonzero(asking.there[row] & ~blank)
    some = visible[np.sort(random_subset(len(visible), SHOWN, seed))]
    names, answers, first = model.tokenizer.names, [], None
    steps, one = [said[row].round(4).tolist()], ModelAsking(asking.asked.some(np.array([row])))
    for _ in range(min(STEPS, len(can))):
        found = acquire(one, head, hidden=blank, cost=cost, draws=DRAWS, seed=seed)
        first = found if first is None else first
        [best] = found.chosen[0]
        blank = blank & (np.arange(model.length) != best)
        steps.append(asked_of(head, one, np.zeros(1, int), blank[None])[0].round(4).tolist())
        answers.append({"name": names[best], "value": values[best]})
        if not np.isfinite(cost[blank]).any():
            break
    assert first is not None
    order = [first.names.index(name) for name in first.ranked()[:SHOWN]]
    return {
        "visible": [{"name": names[each], "value": values[each]} for each in some],
        "num_visible": len(visible),
        "num_features": model.length,
        "looked": len(chosen),
        "label": int(_labels(splits.test, chosen)[row]),
        "classes": list(splits.classes or ()),
        "said": steps,
        "answers": answers,
        "asked": [
            {
                "name": names[each],
                "nats": round(float(first.gain[0, each]), 4),
                "stderr": round(float(first.stderr[0, each]), 4),
            }
            for each in order
        ],
    }


def _head(model: TabularModel, splits: TabularSplits, seed: int) -> heads.ClassHead | None:
    """Return a head on some training samples; None where it has not seen every class, or one."""
    chosen = _known(splits.train, LEARNED, seed)
    unfit = model.tokenizer.loss == "mse" and not model.log_variance.isfinite().all()
    if unfit or splits.classes is None or len(splits.classes) < 2 or not len(chosen):
        return None
    y = _labels(splits.train, chosen)
    if len(np.unique(y)) < len(splits.classes):
        return None
    asked = ModelAsked(model, Incomplete(splits.train.some(chosen)))
    hidden = masked_copies.hide(asked.there, masked_copies.ANY, copies=COPIES, seed=seed)
    head = heads.fit(asked, y, hidden, classes=True, seed=seed)
    assert isinstance(head, heads.ClassHead)
    return head


def _known(rows: TabularRows, num: int, seed: int) -> np.ndarray:
    """Return some rows whose class is known, int64 [n]."""
    if rows.labels is None:
        return np.zeros(0, np.int64)
    known = np.flatnonzero(rows.labels >= 0)
    return known[random_subset(len(known), num, seed)]


def _labels(rows: TabularRows, index: np.ndarray) -> np.ndarray:
    assert rows.labels is not None
    return rows.labels[index]
