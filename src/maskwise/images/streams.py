"""Streams of images: the first are kept, to test on and to look at; the rest only pass by."""

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from maskwise.errors import UserError
from maskwise.given import Streamed, head
from maskwise.images.arrays import labels_of
from maskwise.images.data import ImageDataSettings, how_of
from maskwise.images.given import labels_among
from maskwise.images.given_items import Like, array_of, parts_of
from maskwise.images.images import ImageSplits, array_source
from maskwise.train.stream import StreamSource


class _Raw(NamedTuple):
    """An item that is no image yet: only those that a device trains on are decoded."""

    number: int
    item: Any


def load_stream(stream: Streamed, data: ImageDataSettings) -> ImageSplits:
    """Return the first images of a stream, and the stream of those after the ones to test on.

    Raises:
        UserError: it holds something else, ends too soon, or settings are for other sources.
    """
    if data.limit is not None or data.classes:
        name = "classes" if data.classes else "limit"
        raise UserError(f"data.{name} is for sources with a length: leave it out for a stream")
    how, like = how_of(data), list[Like]()

    def kept(item: Any, number: int) -> tuple[np.ndarray, Any]:
        picture, label = parts_of(stream, item, number)
        if not like:
            image = array_of(picture, how, stream.named(number))
            like.append(Like(how, image.shape, image.dtype, stream.named(number)))
        return like[0].array(picture, stream.named(number)), label

    num = data.stream_test
    first = head(stream, num, kept)
    labels = labels_among([label for _, label in (*first.test, *first.train)])
    codes, classes = labels_of(labels, num + len(first.train))
    both = (None, None) if codes is None else (codes[:num], codes[num:])
    test, train = (
        array_source(np.stack([image for image, _ in part]), each, classes)
        for part, each in zip((first.test, first.train), both, strict=True)
    )
    source = StreamSource(
        *(partial(_samples, stream, num), partial(_collate, stream, like[0]), data.buffer),
        *(first.num, first.seconds),
    )
    return ImageSplits(train, test, "stream", source)


def _samples(stream: Streamed, start: int) -> Iterator[_Raw]:
    return (_Raw(*each) for each in itertools.islice(enumerate(stream), start, None))


def _collate(stream: Streamed, like: Like, some: Sequence[_Raw]) -> tuple[Tensor, None]:
    images = np.empty((len(some), *like.shape), like.dtype)
    for image, (number, item) in zip(images, some, strict=True):
        image[:] = like.array(parts_of(stream, item, number)[0], stream.named(number))
    return torch.from_numpy(images).permute(0, 3, 1, 2), None
