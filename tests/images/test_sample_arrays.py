"""Files of NumPy with one sample each, of any number of channels; and arrays that are not such."""

import io
import zipfile

import numpy as np
import pytest

import maskwise as mw
from maskwise.images.array_files import layout_of
from maskwise.images.images import describe
from tests.images.reading import every, fails, read


def values(shape, dtype=np.float32, seed=0):
    return (np.random.default_rng(seed).random(shape) * 200).astype(dtype)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array, **options)


@pytest.mark.parametrize(
    ("shape", "layout", "axes"),
    [
        ((6, 8), None, (0, 1)),
        ((6, 8, 1), None, (2, 0, 1)),
        ((3, 6, 8), None, (0, 1, 2)),
        ((6, 8, 4), None, (2, 0, 1)),
        ((16, 18, 13), None, (2, 0, 1)),
        ((13, 16, 18), "NCHW", (0, 1, 2)),
        ((6, 8, 9), "NHWC", (2, 0, 1)),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64, ">i2", bool])
def test_one_sample_in_each_file(tmp_path, shape, layout, axes, dtype):
    kept = [values(shape, dtype, n) for n in range(3)]
    for n, each in enumerate(kept):
        save(tmp_path / f"{n}.npy", np.asfortranarray(each) if n == 1 else each)
    found = every(tmp_path, layout=layout)
    assert found.dtype == (np.uint8 if dtype in (np.uint8, bool) else np.float32)
    expected = np.stack([np.transpose(each, axes) for each in kept]).astype(found.dtype)
    np.testing.assert_array_equal(found, expected[:, None] if len(shape) == 2 else expected)


def test_class_folders_splits_and_archives(tmp_path):
    root = tmp_path / "set"
    for split, num in (("train", 3), ("test", 2)):
        for name in ("sea", "field"):
            for n in range(num):
                save(root / split / name / f"{n}.npy", values((13, 16, 16), np.uint16, n))
    (root / "notes.txt").write_text("x")
    splits = read(root)
    assert (splits.train.shape, splits.train.classes) == ((13, 16, 16), ("field", "sea"))
    assert splits.test.labels.tolist() == [0, 0, 1, 1]
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*.npy")):
            archive.write(path, path.relative_to(tmp_path))
    packed = read(tmp_path / "set.zip")
    assert np.array_equal(packed.test.get(range(4)), splits.test.get(range(4)))
    assert np.array_equal(packed.train.labels, splits.train.labels)
    images = describe(splits.train, (8, 8), "normalised")
    every_value = splits.train.get(range(6)).numpy().astype(np.float64)
    np.testing.assert_allclose(images.mean, every_value.mean((0, 2, 3)))
    np.testing.assert_allclose(images.std, every_value.std((0, 2, 3)))


def test_sizes_and_depths(tmp_path):
    for n, side in enumerate((8, 8, 12)):
        save(tmp_path / f"{n}.npy", values((side, side, 5), np.uint16, n))
    fails(r'0\.npy is 8x8, 2\.npy is 12x12 .*, or give data=\{"size": 8\}', tmp_path)
    resized = every(tmp_path, size=(4, 4))
    assert resized.shape == (3, 5, 4, 4)
    assert resized.max() <= 200
    bytes_ = every(tmp_path, size=(4, 4), depth=8)
    assert (bytes_.dtype, bytes_.max()) == (np.uint8, 1)  # 200 of 65,535
    save(tmp_path / "2.npy", values((8, 8, 5), np.uint8))
    fails(r"0\.npy has 16 bits \(2 do\), 2\.npy has 8 bits \(1 do\)", tmp_path)
    np.testing.assert_array_equal(
        every(tmp_path, depth=16)[2], values((8, 8, 5), np.uint8).transpose(2, 0, 1) * 257.0
    )
    save(tmp_path / "2.npy", values((8, 8, 5), np.int16) - 100)
    fails(r"1 cannot be read: 2\.npy \(values that are not within 16 bits\)", tmp_path, depth=8)
    save(tmp_path / "2.npy", values((8, 8, 6), np.uint16))
    fails(r"channels: 0\.npy has 5 \(2 do\), 2\.npy has 6 \(1 do\): make them alike", tmp_path)


def test_archives_of_numpy(tmp_path):
    for n in range(3):
        np.savez(tmp_path / f"{n}.npz", values((8, 8, 4), seed=n))
    assert every(tmp_path).shape == (3, 4, 8, 8)
    for n in range(3):
        np.savez_compressed(tmp_path / f"{n}.npz", image=values((8, 8, 4), seed=n), mask=[0])
    fails(
        r"3 cannot be read: 0\.npz \(arrays image, mask: data\.x says which is meant\)", tmp_path
    )
    np.testing.assert_array_equal(
        every(tmp_path, x="image")[2], values((8, 8, 4), seed=2).transpose(2, 0, 1)
    )
    fails(r"0\.npz \(no array other; found image, mask\)", tmp_path, x="other")


def test_what_is_wrong_with_files_is_named(tmp_path):
    for n in range(3):
        save(tmp_path / "a" / f"{n}.npy", values((8, 8, 4), seed=n))
    save(tmp_path / "a" / "3.npy", np.array([[1, None]], object), allow_pickle=True)
    save(tmp_path / "a" / "4.npy", values((2, 3, 8, 8)))
    save(tmp_path / "a" / "5.npy", values((8, 7, 8)))
    save(tmp_path / "a" / "6.npy", np.full((8, 8, 4), "x"))
    (tmp_path / "a" / "7.npy").write_bytes((tmp_path / "a" / "0.npy").read_bytes()[:-1])
    (tmp_path / "a" / "8.npy").write_bytes(b"text")
    save(tmp_path / "a" / "9.npy", values((0, 8)))
    for part in (
        r"7 cannot be read: a/3\.npy \(Python objects, which need pickle: save numbers\)",
        r"a/4\.npy \(shape \(2, 3, 8, 8\), which is not \[H, W\], \[H, W, C\] or \[C, H, W\]\)",
        r"a/5\.npy \(shape \(8, 7, 8\), whose channels may be first or last: data\.layout says",
        r"a/6\.npy \(values of type <U1, which are no numbers\)",
        r"a/7\.npy \(cut off\), a/8\.npy \(.*magic",
        r"a/9\.npy \(no values",
    ):
        fails(part, tmp_path)
    assert len(every(tmp_path, broken="skip")) == 3
    bad = values((8, 8, 4))
    bad[0, 0, 0] = np.nan
    for n in range(3, 10):
        save(tmp_path / "a" / f"{n}.npy", bad)
    fails(r"7 cannot be read: a/3\.npy \(1 values are NaN or infinite\)", tmp_path)


def test_arrays_of_many_images_stay_such(tmp_path):
    train, test = values((9, 8, 8), np.uint8), values((4, 8, 8), np.uint8)
    save(tmp_path / "x_train_0.npy", train)
    save(tmp_path / "x_test.npy", test)
    splits = read(tmp_path)
    assert (len(splits.train), len(splits.test)) == (9, 4)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"a": (10, 8, 8), "b": (10, 8, 8)}, r"a\.npy has the shape \(10, 8, 8\), one sample or"),
        ({"a": (5, 8, 8), "b": (5, 8, 8)}, "data.layout NCHW or NHWC says that each file is one"),
        ({"a": (8, 8), "b": (8,)}, r"b\.npy has the shape \(8,\), which is no sample"),
        ({"a": (9, 8, 8, 3), "b": (9, 8, 8, 3)}, "which is no sample"),
        ({"a": (8, 8, 3)}, "one file is no folder of samples"),
    ],
)
def test_what_may_be_either_is_asked(tmp_path, files, told):
    for name, shape in files.items():
        save(tmp_path / f"{name}.npy", values(shape))
    fails(f"a folder of arrays needs x_train.*{told}", tmp_path)


def test_pictures_beside_arrays_are_asked(tmp_path):
    save(tmp_path / "0.npy", values((8, 8)))
    save(tmp_path / "1.npy", values((8, 8)))
    (tmp_path / "0.png").write_bytes(b"x")
    fails(r"found 0\.npy, 1\.npy; .*0\.png is a picture", tmp_path)


@pytest.mark.parametrize(
    ("shape", "found"),
    [((13, 64, 64), "NCHW"), ((64, 64, 13), "NHWC"), ((1, 5, 5), "NCHW"), ((8, 6, 4), "NHWC")],
)
def test_where_channels_are(shape, found):
    assert layout_of(shape) == found
    if min(shape) > 4:
        with pytest.raises(ValueError, match="first or last"):
            layout_of((shape[1],) * 3)


def test_a_run_on_many_channels_in_an_archive(tmp_path):
    """All that a run and its user ask of images, with five channels."""
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for n in range(24):
            file = io.BytesIO()
            np.save(file, values((8, 8, 5), np.uint16, n))
            archive.writestr(f"{'ab'[n % 2]}/{n:02}.npy", file.getvalue())
    assert mw.inspect(str(tmp_path / "set.zip")).problems == []
    run = mw.pretrain(
        str(tmp_path / "set.zip"),
        out=tmp_path / "run",
        model={"width": 16, "depth": 1, "heads": 2, "decoder_width": 8, "decoder_heads": 2},
        train={"steps": 2, "batch_size": 8},
        evaluate={"protocols": ["knn"], "ratios": [0.5], "visible": [], "finetune.seeds": [0],
                  "finetune.epochs": 2, "finetune.warmup": 1, "finetune.batch_size": 8},
        **{"data.crop_scale": (0.5, 1), "data.flip": True, "diagnose.num_samples": 8},
    )  # fmt: skip
    assert run.config.data.patch == (2, 2)
    assert run.embed(str(tmp_path / "set.zip")).shape == (24, 16)
    assert len(run.result["probes"]) == 6
    assert set(run.predictor().predict(str(tmp_path / "set.zip"))) <= {"a", "b"}
