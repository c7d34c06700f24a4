"""How long predicting 1,000 partly visible rows of 100 columns takes, and what of it the model.

OMP_NUM_THREADS=1 python -m benchmarks.predict_speed
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import maskwise as mw
from maskwise.masks import Mask
from maskwise.measure.features import frozen

ROWS, COLUMNS, REPEATS = 1000, 100, 21


def main() -> None:
    """Print medians of the parts, in milliseconds."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(4 * ROWS, 5))
    values = hidden @ rng.normal(size=(5, COLUMNS)) + rng.normal(size=(4 * ROWS, COLUMNS))
    frame = {f"x{i}": column for i, column in enumerate(values.T)}
    kind = np.where(hidden[:, 0] > 0, "a", "b").astype(object)
    with tempfile.TemporaryDirectory() as folder:
        run = mw.pretrain(
            {**frame, "kind": kind},
            out=Path(folder) / "run",
            budget="none",
            data={"labels": "kind"},
            train={"steps": 50},
            evaluate={"baselines": False, "impute": ()},
        )
        predictor = run.predictor(data={**frame, "kind": kind}, copies=2)
    some = {
        name: np.where(rng.random(ROWS) < 0.5, np.nan, column[:ROWS])
        for name, column in frame.items()
    }
    asked = predictor.asked(some)
    samples = asked.data.source.get(np.arange(ROWS))
    mask = Mask(torch.zeros(ROWS, COLUMNS, dtype=torch.bool))
    with frozen(predictor.model):
        forward = median(lambda: predictor.model.visible_features(samples, mask))
    print(f"all        {median(lambda: predictor.predict_proba(some)):6.1f} ms")
    print(f"reading    {median(lambda: predictor.asked(some)):6.1f} ms")
    print(f"answering  {median(lambda: predictor.say(asked)):6.1f} ms")
    print(f"the model  {forward:6.1f} ms of these")


def median(work: Callable[[], object]) -> float:
    """Return how much of a core something takes, in milliseconds."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return float(np.median(times)) * 1000


if __name__ == "__main__":
    main()
