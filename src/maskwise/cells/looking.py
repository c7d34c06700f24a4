"""A dry look at cells: what there is, and all that stands in the way of training."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from maskwise.cells.anndata_files import AnnData, Annotated, Column, read_column
from maskwise.cells.data import (
    CellsDataSettings,
    check_loss,
    held_out,
    open_sets,
    splits_of_sets,
)
from maskwise.cells.genes import union
from maskwise.cells.others import names_of
from maskwise.cells.survey import alike, survey
from maskwise.columns.observed import problems_of_gaps
from maskwise.columns.tabular import check_pattern
from maskwise.errors import UserError
from maskwise.files import Entries
from maskwise.inspection import Inspection, Problem, quietly
from maskwise.settings import override

if TYPE_CHECKING:
    from maskwise.cells.record import CellsRunSettings

_SHOWN, _FIRST = 100, 8  # classes with their counts; names


def look(given: AnnData | None, config: "CellsRunSettings") -> Inspection:
    """Say what cells hold, and all that stands in the way of a run on them."""
    data, problems = config.data, list[Problem]()
    try:
        check_pattern(config.pattern)
    except UserError as error:
        problems.append(Problem.of(error))
    if given is None and data.source == "array":
        lacking = Problem("this run was given an AnnData: give it again, as data=")
        return Inspection({}, problems=[*problems, lacking])
    with quietly():
        return _look(data.source if given is None else given, config, problems)


def _look(cells: AnnData | str, config: "CellsRunSettings", problems: list[Problem]) -> Inspection:
    data = _with_known(cells, config.data, problems)
    try:
        sets = open_sets(cells, data)
    except UserError as error:
        return Inspection({}, problems=[*problems, Problem.of(error)])
    found = _of_sets(sets)
    chosen = {what: _column(sets, data, what, found, problems) for what in _COLUMNS}
    try:
        held = check_loss(data)
    except UserError as error:
        problems.append(Problem.of(error))
        mended = {key.removeprefix("data."): value for key, value in error.settings.items()}
        data = override(data, mended)
        held = check_loss(data)
    try:
        library = _libraries(sets, data, chosen["group"])
    except UserError as error:
        problems.append(Problem(str(error), error.settings or _mended(cells, sets, data)))
        return Inspection(found, problems=problems)
    found["holds"] = held
    found["cells without counts"] = int((library == 0).sum())
    if broken := int(np.isnan(library).sum()):
        found["cells with NaN"] = broken
    used = {what: getattr(data, what) if chosen[what] else None for what in _COLUMNS}
    try:
        splits = splits_of_sets(sets, override(data, used))
    except UserError as error:
        return Inspection(found, problems=[*problems, Problem.of(error)])
    problems += problems_of_gaps(config, splits)
    found |= {"genes used": len(splits.tokenizer.names), "held out": len(splits.test)}
    return Inspection(found, len(splits.train), problems)


_COLUMNS = ("labels", "batch", "group")


def _with_known(
    cells: AnnData | str, data: CellsDataSettings, problems: list[Problem]
) -> CellsDataSettings:
    """Return settings without a layer or names of genes that are not there."""
    plain = override(data, {"layer": None, "gene_ids": None})
    known = plain
    for key in ("layer", "gene_ids"):
        if getattr(data, key) is None:
            continue
        try:
            open_sets(cells, override(plain, {key: getattr(data, key)}))
        except UserError as error:
            if f"data.{key}" not in error.settings:
                return data  # something else is wrong, which opening tells
            problems.append(Problem.of(error))
        else:
            known = override(known, {key: getattr(data, key)})
    return known


def _of_sets(sets: Sequence[Annotated]) -> Entries:
    names = names_of(sets)
    found: Entries = {
        "data sets": len(sets),
        "cells": len(names),
        "first names": names[:_FIRST],
        "genes": sets[0].matrix.num_columns,
        "first genes": list(sets[0].genes.names[:_FIRST]),
        "matrix": sets[0].layer,
        "with counts": sets[0].with_counts(),
        "columns of obs": list(sets[0].columns),
    }
    if len(sets) > 1:
        found["cells of each"] = {each.name: len(each.matrix) for each in sets}
        found["genes of each"] = {each.name: each.matrix.num_columns for each in sets}
        try:
            several = union([each.genes for each in sets])
        except UserError:
            return found  # which splitting tells
        shared = np.all([each.columns >= 0 for each in several.matchings], axis=0)
        found["genes not in all"] = int((~shared).sum())
    return found


def _column(
    sets: Sequence[Annotated],
    data: CellsDataSettings,
    what: str,
    found: Entries,
    problems: list[Problem],
) -> Column | None:
    name = getattr(data, what)
    if name is None:
        return None
    try:
        column = read_column(sets, name, what)
    except UserError as error:
        problems.append(Problem.of(error))
        return None
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.names))
    order = np.argsort(-counts, kind="stable")[:_SHOWN]
    found[what] = {column.names[place]: int(counts[place]) for place in order}
    if missing := int((column.codes < 0).sum()):
        found[f"without {what}"] = missing
    return column


def _libraries(
    sets: Sequence[Annotated], data: CellsDataSettings, group: Column | None
) -> np.ndarray:
    """Survey all cells as training does, so that it need not do it again."""
    sizes = [len(each.matrix) for each in sets]
    try:
        out = held_out(sum(sizes), data.holdout, None if group is None else group.codes)
    except UserError:  # which splitting tells
        out = np.zeros(sum(sizes), dtype=bool)
    held, parts = check_loss(data), np.split(~out, np.cumsum(sizes)[:-1])
    surveys = [survey(*each, held, broken=data.broken) for each in zip(sets, parts, strict=True)]
    return np.concatenate([each.library for each in surveys])


def _mended(
    cells: AnnData | str, sets: Sequence[Annotated], data: CellsDataSettings
) -> dict[str, str]:
    """Return settings under which the values are what they are said to be; none, if there are."""
    for mended in _ways(sets):
        plain = {"values": "auto", "normalised": None}
        texts = {key.removeprefix("data."): value for key, value in mended.items()}
        try:
            changed = override(override(data, plain), texts)
            library = _libraries(open_sets(cells, changed), changed, None)
        except UserError:
            continue
        if changed.values == "fractional" and alike(library):
            mended = {"data.normalised": "true"}
        told = {"data.values": "auto"} if data.values != "auto" else {}
        told |= {"data.normalised": "none"} if data.normalised else {}
        return told | mended
    return {}


def _ways(sets: Sequence[Annotated]) -> Iterator[dict[str, str]]:
    yield {}
    for layer in sets[0].with_counts():
        yield {"data.layer": layer}
    yield {"data.values": "normalised"}
    yield {"data.values": "fractional"}
