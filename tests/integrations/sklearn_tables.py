"""Small tables for estimators."""

import numpy as np

from tests.lazy import lazy

pandas = lazy("pandas")


def linear_table(num, width, seed=0):
    """Two latent numbers, all columns linear in them, a little noise."""
    generator = np.random.default_rng(seed)
    latent, loadings = generator.normal(size=(num, 2)), generator.normal(size=(2, width))
    return latent @ loadings + 0.1 * generator.normal(size=(num, width))


def mixed_table(num, holes=False):
    """A frame with numbers, whole numbers, texts, categories and bools."""
    rows = np.arange(num)
    frame = pandas.DataFrame(
        {
            "age": 20.0 + rows % 7,
            "rooms": pandas.array(1 + rows % 4, dtype="Int64"),
            "city": np.where(rows % 2, "Rome", "Bern"),
            "grade": pandas.Categorical(np.array(["low", "mid", "high"])[rows % 3]),
            "owns": rows % 2 == 0,
        }
    )
    if holes:
        for place, name in enumerate(frame.columns[:4]):
            frame.loc[place::9, name] = pandas.NA if name != "age" else np.nan
    return frame
