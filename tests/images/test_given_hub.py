"""Data sets of `datasets`, where it is installed; test_given_datasets has look-alikes."""

import numpy as np
import pytest
from PIL import Image

import maskwise as mw
from maskwise.errors import UserError
from maskwise.modalities import as_given, config_of, find, taken
from maskwise.preparing import loaded
from maskwise.train.stream import StreamBatches

datasets = pytest.importorskip("datasets")
SMALL = {"data.stream_test": 10, "data.buffer": 8}


@pytest.fixture(autouse=True)
def _quiet(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path))
    datasets.disable_progress_bars()


def pictures(num=40):
    """Pictures in two columns, and kinds that are texts."""
    rows = {
        "left": [Image.fromarray(np.full((8, 6), n, np.uint8)) for n in range(num)],
        "right": [Image.fromarray(np.full((8, 6), 255 - n, np.uint8)) for n in range(num)],
        "kind": ["ab"[n % 2] for n in range(num)],
    }
    features = {
        "left": datasets.Image(),
        "right": datasets.Image(),
        "kind": datasets.Value("string"),
    }
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


def brightness(source):
    return source.get(range(len(source)))[:, 0, 0, 0].tolist()


def splits_of(data, changes):
    config = config_of(data, changes)
    return loaded(find(config.modality), data, config)


def test_columns_of_pictures_and_labels_are_named():
    data = pictures()
    plain = splits_of(data, {})
    assert sorted(brightness(plain.train) + brightness(plain.test)) == list(range(40))
    assert plain.train.labels is None
    named = splits_of(data, {"data.x": "right", "data.y": "kind"})
    values = brightness(named.train)
    assert min(values) >= 216
    assert named.train.classes == ("a", "b")
    assert named.train.labels.tolist() == [(255 - value) % 2 for value in values]
    with pytest.raises(UserError, match=r"no key 'middle': its keys are left, right, kind"):
        mw.inspect(data, **{"data.x": "middle"})


@pytest.mark.parametrize("shuffled", [False, True])
def test_streams_of_pictures(shuffled):
    data = pictures().to_iterable_dataset(num_shards=2)
    data = data.shuffle(seed=3, buffer_size=10) if shuffled else data
    splits = splits_of(data, {**SMALL, "data.x": "left", "data.y": "kind"})
    order = [int(np.asarray(row["left"])[0, 0]) for row in data]
    assert (order != list(range(40))) == shuffled
    assert brightness(splits.test) == order[:10]
    assert splits.train.labels.tolist() == [n % 2 for n in order[10:20]]
    batches = list(StreamBatches(splits.stream, batch_size=10, seed=0).read(0, 3))
    seen = [value for batch in batches for value in batch.samples[:, 0, 0, 0].tolist()]
    assert sorted(seen) == sorted(order[10:])


def test_texts_and_rows():
    data = datasets.Dataset.from_dict({"text": ["a b", "c"], "id": [1, 2]})
    config = config_of(data, {})
    assert config.modality == "text"
    assert taken(find("text"), as_given(data, config), config) == ["a b", "c"]
    stream = datasets.Dataset.from_dict({"body": ["a b c d e"] * 60}).to_iterable_dataset()
    changes = {**SMALL, "data.x": "body", "data.length": 8, "data.vocab_size": 300}
    assert len(splits_of(stream, changes).test) > 0
    rows = {"a": list(range(40)), "b": [n * n / 9 for n in range(40)], "y": ["p", "q"] * 20}
    table = datasets.Dataset.from_dict(rows)
    config = config_of(table, {"data.y": "y"})
    assert config.modality == "tables"
    columns, labels = taken(find("tables"), as_given(table, config), config)
    assert (columns["a"], labels) == (rows["a"], rows["y"])
    passing = splits_of(table.to_iterable_dataset(), {**SMALL, "data.y": "y"})
    assert passing.test.labels.tolist() == [0, 1] * 5


def test_a_run_on_a_stream_of_datasets(tmp_path):
    run = mw.pretrain(
        pictures().to_iterable_dataset(),
        out=tmp_path / "run",
        data={"x": "left", "stream_test": 10, "buffer": 8, "patch": 2},
        model={"width": 8, "heads": 1, "depth": 1, "decoder_width": 8, "decoder_heads": 1},
        train={"steps": 3, "batch_size": 8},
        evaluate={"ratios": 0.5, "protocols": "knn", "baselines": False, "visible": ()},
        diagnose={"num_samples": 8},
    )
    assert run.embed(pictures()).shape == (40, 8)
