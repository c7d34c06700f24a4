"""Parquet with a column of pictures, as Hugging Face writes it: struct{bytes, path}, or bytes."""

import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwise.errors import UserError, option, require
from maskwise.files import stamp
from maskwise.images.arrange import relative
from maskwise.images.beside import LABELS
from maskwise.images.folders import USUALLY, Listed
from maskwise.images.inside import Inside, Opened
from maskwise.images.opening import Reading
from maskwise.images.shards import by_split
from maskwise.images.unpacked import require_room, unpacked
from maskwise.progress import track
from maskwise.textio import encode_labels, few, open_parquet

if TYPE_CHECKING:
    from pyarrow import DataType
    from pyarrow.parquet import ParquetFile

log = logging.getLogger("maskwise")
IMAGES = ("image", "img", "pixel_values", "picture", "x")
"""names that decide between several columns of pictures"""
PICTURES, PLACES = "pictures", "places.npy"
NOTHING, ELSEWHERE = -1, -2  # sizes of what is not there
WRONG = {NOTHING: "no picture", ELSEWHERE: "only a path, and no bytes"}
ROWS = 64  # that are in memory at a time


@dataclass(frozen=True)
class Columns:
    """Which columns of a file are what.

    Args:
        image: that of pictures.
        label: that of classes, or None.
        classes: names of these, where labels are their numbers; or None.
    """

    image: str
    label: str | None
    classes: tuple[str, ...] | None


def has_pictures(path: Path) -> bool:
    """Say whether a .parquet has a column of pictures.

    Raises:
        UserError: it cannot be read.
    """
    with open_parquet(path) as file:
        return bool(_pictures_of(file))


def list_parquet(
    where: Path,
    paths: Sequence[Path],
    image: str | None = None,
    label: str | None = None,
    reading: Reading = USUALLY,
) -> Listed:
    """Find the pictures of files of Parquet.

    Their bytes are copied into the cache, once, where each can be read by itself.

    Args:
        where: the file, or the folder that holds them; their names say splits.
        paths: the files, in order.
        image: the column of pictures; None: the only one, or one with a usual name.
        label: that of classes; None: one of `LABELS`, if there is one.
        reading: how files are read that may hold more than a picture.

    Raises:
        UserError: a file that cannot be read, has no such columns, or others than the first.
    """
    require("PIL.Image", where, "images")
    splits = by_split(paths, where) if paths != [where] else [list(paths)]
    files = [path for split in splits for path in split]
    columns = _columns(files[0], image, label)
    folder = unpacked("parquet", files, columns.image, lambda work: _copy(files, columns, work))
    places = np.load(folder / PLACES, allow_pickle=False)
    counts = [_count(path) for path in files]
    labels, classes = _labels(files, columns, where)
    told = {"column of pictures": columns.image}
    if columns.label is not None:
        told["column of classes"] = columns.label
        log.info("%s: classes are those of column %s", where, columns.label)
    state = stamp(folder / PICTURES)
    inside = Inside(str(folder / PICTURES), state, places)
    num_test = sum(counts[len(splits[0]) :]) if len(splits) > 1 else None
    return Listed(
        str(where),
        Opened(inside, reading),
        list(_names(files, counts, where)),
        num_test,
        labels,
        classes,
        root=where,
        told=told,
        states=[
            WRONG.get(size) or ([begin, int(state[2])] if size else "empty")
            for begin, _, size in places.tolist()
        ],
        reading=reading,
    )


def _names(files: Sequence[Path], counts: Sequence[int], where: Path) -> Iterator[str]:
    for path, called, num in zip(files, relative(files, where), counts, strict=True):
        before = "" if path == where else f"{called} "
        yield from (f"{before}row {row}" for row in range(1, num + 1))


def _count(path: Path) -> int:
    with open_parquet(path) as file:
        return int(file.metadata.num_rows)


def _features(file: "ParquetFile") -> Mapping[str, Any]:
    """Return what Hugging Face's datasets wrote of the columns, or nothing."""
    told = (file.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    try:
        found = json.loads(told)["info"]["features"]
    except (ValueError, LookupError, TypeError):
        return {}
    return {name: each for name, each in found.items() if isinstance(each, dict)}


def _pictures_of(file: "ParquetFile") -> list[str]:
    """Return the columns that hold encoded pictures, by what they are said to be, or hold."""
    features, found = _features(file), []
    for field in file.schema_arrow:
        if _bytes_of(field.type) is None:
            continue
        said = features.get(field.name, {}).get("_type")
        if said == "Image" or (said in (None, "Value") and _begins_with_picture(file, field.name)):
            found.append(field.name)
    return found


def _bytes_of(kind: "DataType") -> str | None:
    """Return where in a column bytes are: "" itself, or "bytes" of it; None: nowhere."""
    from pyarrow import types

    if types.is_binary(kind) or types.is_large_binary(kind):
        return ""
    if types.is_struct(kind):
        inner = {kind.field(n).name: kind.field(n).type for n in range(kind.num_fields)}
        if "bytes" in inner and _bytes_of(inner["bytes"]) == "":
            return "bytes"
    return None


def _begins_with_picture(file: "ParquetFile", name: str) -> bool:
    """Say whether the first value of a column is a picture that can be read."""
    for content, _ in _values(file, name, 1):
        if content is not None:
            try:
                with USUALLY.open(io.BytesIO(content)):
                    return True
            except UserError:  # of a kind that needs a library
                return True
            except Exception:  # Pillow raises a dozen kinds on what is none
                return False
    return False


def _values(
    file: "ParquetFile", name: str, rows: int = ROWS
) -> Iterator[tuple[bytes | memoryview | None, str | None]]:
    """Give the content of each row of a column, and the path beside it; few rows at a time."""
    for batch in file.iter_batches(batch_size=rows, columns=[name]):
        column, paths = batch.column(0), None
        if _bytes_of(column.type):
            kind = column.type
            if kind.get_field_index("path") >= 0:
                paths = column.field("path").to_pylist()
            valid = column.is_valid().to_pylist()
            column = column.field("bytes")
        else:
            valid = [True] * len(column)
        for row in range(len(column)):
            value = column[row]
            there = valid[row] and value.is_valid
            yield (
                memoryview(value.as_buffer()) if there else None,
                paths[row] if paths and valid[row] else None,
            )


def _columns(path: Path, image: str | None, label: str | None) -> Columns:
    """Choose the columns of a file.

    Raises:
        UserError: there are none of such names, or several of pictures.
    """
    with open_parquet(path) as file:
        names, found, features = file.schema_arrow.names, _pictures_of(file), _features(file)
        kinds = {field.name: field.type for field in file.schema_arrow}
    for key, asked in (("data.x", image), ("data.y", label)):
        if asked is not None and asked not in names:
            raise UserError(f"{path}: no column {asked} for {key}; found {', '.join(names)}")
    if image is None:
        if not found:
            raise UserError(f"{path}: no column of pictures; found {', '.join(names) or 'none'}")
        usual = [name for name in IMAGES if name in found]
        if len(found) > 1 and not usual:
            raise UserError(
                f"{path}: several columns of pictures ({', '.join(found)}): give"
                f" {option('data.x', found[0])} or another"
            )
        image = (usual or found)[0]
    elif _bytes_of(kinds[image]) is None:
        raise UserError(f"{path}: column {image} is of type {kinds[image]}, and holds no bytes")
    if label is None:
        said = [name for name in names if features.get(name, {}).get("_type") == "ClassLabel"]
        usual = [name for name in LABELS if name in names and _may_be_classes(kinds[name])]
        label = next((name for name in usual if name in said or not said), None)
        label = label or next(iter(said), None)
    told = features.get(label or "", {}).get("names")
    classes = tuple(map(str, told)) if isinstance(told, list) else None
    return Columns(image, label, classes)


def _may_be_classes(kind: "DataType") -> bool:
    from pyarrow import types

    checks = (types.is_integer, types.is_string, types.is_large_string, types.is_boolean)
    return any(check(kind) for check in checks) or types.is_dictionary(kind)


def _copy(files: Sequence[Path], columns: Columns, work: Path) -> None:
    """Write the bytes of all pictures one after another, and where each begins."""
    sizes = []
    for path in files:
        with open_parquet(path) as file:
            if columns.image not in file.schema_arrow.names:
                names = ", ".join(file.schema_arrow.names)
                raise UserError(f"{path}: no column {columns.image}; found {names}")
            sizes.append(_size(file, columns.image))
    require_room(sum(sizes), files[0])
    places, begin = [], 0
    with (work / PICTURES).open("wb") as out:
        for path in track(files, "parquet", len(files)):
            with open_parquet(path) as file:
                for content, called in _values(file, columns.image):
                    if content is None:
                        size = ELSEWHERE if called else NOTHING
                        places.append((begin, size, size))
                        continue
                    size = out.write(content)
                    places.append((begin, size, size))
                    begin += size
    np.save(work / PLACES, np.array(places, np.int64).reshape(-1, 3))


def _size(file: "ParquetFile", name: str) -> int:
    """Return how many bytes a column has."""
    found = file.metadata
    groups = (found.row_group(number) for number in range(found.num_row_groups))
    chunks = (group.column(n) for group in groups for n in range(group.num_columns))
    return sum(
        chunk.total_uncompressed_size
        for chunk in chunks
        if chunk.path_in_schema.split(".")[0] == name
    )


def _labels(
    files: Sequence[Path], columns: Columns, where: Path
) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """Return the numbers of classes, -1 = none, and their names; or None."""
    name = columns.label
    if name is None:
        return None, None
    values: list[Any] = []
    for path in files:
        with open_parquet(path) as file:
            if name not in file.schema_arrow.names:
                raise UserError(f"{path}: no column {name}, which {files[0].name} has")
            values += file.read(columns=[name]).column(0).to_pylist()
    if columns.classes is None:
        return encode_labels(np.array(values, object), f"{where}: {name}")
    codes = np.array([-1 if each is None else each for each in values], np.int64).clip(min=-1)
    if len(codes) and codes.max() >= len(columns.classes):
        raise UserError(
            f"{where}: column {name} has the label {codes.max()}, and {len(columns.classes)}"
            f" classes: {few(columns.classes)}"
        )
    return codes, columns.classes
