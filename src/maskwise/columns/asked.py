"""Rows asked in closed form: what is expected of all columns given any part of them."""

import numpy as np

from maskwise.columns.closed_form import ClosedForm


class ClosedAsked:
    """Samples whose features are standardised columns, filled with what is expected.

    Args:
        closed: the distribution of the rows.
        samples: [N, F] with NaN in their holes.
    """

    def __init__(self, closed: ClosedForm, samples: np.ndarray) -> None:
        self.closed, self.samples = closed, samples
        self.there = ~np.isnan(samples)
        self.whole = np.full(len(samples), samples.shape[1])

    def features(self, rows: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Return features of samples, float32 [n, D]; see `maskwise.predict.asked.Asked`."""
        shown = np.where(hidden, np.nan, self.samples[rows])
        found = self.closed.fill(self.closed.columns(shown))
        found[np.isnan(shown).all(axis=1)] = np.nan
        return found.astype(np.float32)
