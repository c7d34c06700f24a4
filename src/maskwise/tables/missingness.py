"""How the values of a table are missing, from a file or a frame."""

from pathlib import Path
from typing import Any

import numpy as np

from maskwise.columns import missingness as columns
from maskwise.columns.missingness import ColumnGaps, Missingness
from maskwise.inspection import quietly
from maskwise.settings import from_dict
from maskwise.tables.data import TableDataSettings, in_memory, table_of
from maskwise.tables.files import survey
from maskwise.tables.frames import is_missing


def missingness(table: Any, /, *, seed: int = 0, **settings: Any) -> Missingness:
    """Say whether gaps depend on what is there: the first thing to know about missing values.

    - How many rows lack nothing, and how many different sets of columns rows lack.
    - Little's test that values are missing completely at random (MCAR).
    - Of each column, how well its gaps are told from the values of the others, and from where
      these have gaps, as the cross-validated AUROC of a logistic regression.

    Where gaps depend on values (MAR), figures of complete rows are biased, and a simulation of
    gaps should be of that kind (`maskwise.masks.hide`). Whether they depend on what is missing
    itself (MNAR) cannot be told from data: where nothing else tells of it, nothing is found.

    Args:
        table: a pandas or polars frame, an array [N, F], or a file such as table.csv.
        seed: of the folds, and of 5,000 rows where there are more.
        **settings: how the table is read, as of `data` in a run: ``drop=("id",)``.

    Raises:
        UserError: no table, or another setting.

    Example:
        >>> import maskwise as mw
        >>> rng = np.random.default_rng(0)
        >>> table = rng.normal(size=(400, 2))
        >>> table[table[:, 0] > 1, 1] = np.nan
        >>> found = mw.missingness(table)
        >>> found.num_patterns, found.depends, round(found.columns[0].auroc, 1)
        (2, True, 1.0)
    """
    is_file = isinstance(table, (str, Path))
    data = from_dict(
        TableDataSettings, {"source": str(table), **settings} if is_file else settings
    )
    if is_file:
        read = survey(data.source, data.dialect, data.drop).columns
    else:
        read = in_memory(table, data)[0]
    read = {name: values for name, values in read.items() if name not in data.drop}
    with quietly():
        learned = table_of(read, data)
    samples = learned.encode(read)
    if samples.shape[1]:
        found = columns.missingness(samples, learned.sizes, learned.names, seed=seed)
    else:
        found = Missingness(len(samples), 0, 1, None, ())
    known = {each.name: each for each in found.columns}
    gaps = np.stack([is_missing(values) for values in read.values()], axis=1)
    every = [
        known.get(name, ColumnGaps(name, float(gaps[:, place].mean())))
        for place, name in enumerate(read)
        if gaps[:, place].any()
    ]
    complete = int((~gaps.any(axis=1)).sum())
    num = len(np.unique(gaps, axis=0))
    return Missingness(len(gaps), complete, num, found.little, every)
