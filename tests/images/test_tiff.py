"""TIFF files beyond what Pillow reads: channels, types of values, pages; scales of 8 and 16."""

import sys

import numpy as np
import pytest
from PIL import Image, ImageOps

import maskwise as mw
from maskwise.images.bands import fit
from tests.images.reading import every, fails, read
from tests.peers import peer

tifffile = peer("tifffile")


def values(shape, dtype=np.uint16, seed=0):
    top = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    return (np.random.default_rng(seed).random(shape) * top).astype(dtype)


def write(path, data, **options):
    """Write [H, W, C] or [H, W] as one page."""
    tifffile.imwrite(
        path, data, **{"photometric": "minisblack", "planarconfig": "contig"} | options
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.int16, np.float64])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_satellites(tmp_path, dtype, planar):
    kept = [values((6, 8, 5), dtype, n) for n in range(3)]
    for n, each in enumerate(kept):
        tiled = {"tile": (16, 16)} if n == 2 else {"compression": ["zlib", None][n]}
        data = each if planar == "contig" else np.moveaxis(each, -1, 0)
        tifffile.imwrite(
            tmp_path / f"{n}.tif", data, photometric="minisblack", planarconfig=planar, **tiled
        )
    found = every(tmp_path)
    assert found.dtype == (np.uint8 if dtype == np.uint8 else np.float32)
    expected = np.moveaxis(np.stack(kept), -1, 1)
    np.testing.assert_array_equal(found, expected.astype(found.dtype))
    assert read(tmp_path).train.in_memory
    told = mw.inspect(str(tmp_path), train={"batch_size": 1})
    assert told.problems == []
    assert told.found["modes"] == {f"{np.dtype(dtype).name} x 5": 3}
    assert told.pictures[0].shape == (6, 8)


def test_more_channels_than_a_picture_has_are_no_transparency(tmp_path):
    kept = values((6, 8, 4), np.uint8)
    for n, extra in enumerate(("unspecified", "unspecified", "unassalpha")):
        path = tmp_path / ("alpha" if extra == "unassalpha" else "near") / f"{n}.tif"
        path.parent.mkdir(exist_ok=True)
        tifffile.imwrite(path, kept, photometric="rgb", extrasamples=[extra])
    tifffile.imwrite(tmp_path / "alpha" / "9.tif", kept, photometric="rgb", extrasamples=[2])
    assert every(tmp_path / "near").shape == (2, 4, 6, 8)
    assert every(tmp_path / "near", channels=4).shape == (2, 4, 6, 8)
    asked = every(tmp_path / "near", channels=3)  # the colours, where they are asked for
    np.testing.assert_array_equal(asked[0], np.moveaxis(kept[..., :3], -1, 0))
    np.testing.assert_array_equal(every(tmp_path / "alpha"), asked)
    fails(
        r"2 images cannot have 4 channels, the first is 2\.tif \(2\.tif has 3 \(2 do\)\): leave",
        tmp_path / "alpha",
        channels=4,
    )


def test_channels_that_differ_are_named(tmp_path):
    for n, channels in enumerate((5, 5, 7)):
        data = values((6, 8, channels))
        write(tmp_path / f"{n}.tif", data)
    fails(r"differ in channels: 0\.tif has 5 \(2 do\), 2\.tif has 7 \(1 do\): make them", tmp_path)
    fails(r"1 images cannot have 5 channels, the first is 2\.tif", tmp_path, channels=5)
    fails(r"3 images cannot have 3 channels, the first is 0\.tif", tmp_path, channels=3)
    write(tmp_path / "2.tif", values((6, 9, 5)))
    fails(r'0\.tif is 6x8, 2\.tif is 6x9 .*, or give data=\{"size": 8\}', tmp_path)
    assert every(tmp_path, size=(3, 4)).shape == (3, 5, 3, 4)


def test_pages_are_channels_only_if_told(tmp_path):
    kept = values((4, 6, 8))
    for n in range(2):
        with tifffile.TiffWriter(tmp_path / f"{n}.tif") as file:
            for page in kept:
                file.write(page, photometric="minisblack", contiguous=False)
    np.testing.assert_array_equal(every(tmp_path)[1], kept[:1])
    told = mw.inspect(str(tmp_path), train={"batch_size": 1}).found
    assert told["pictures that have several frames, of which the first is read"] == 2
    np.testing.assert_array_equal(every(tmp_path, frames="channels")[1], kept)
    with tifffile.TiffWriter(tmp_path / "1.tif") as file:
        file.write(kept[0], photometric="minisblack", contiguous=False)
        file.write(kept[0, :3], photometric="minisblack", contiguous=False)
    fails(r"1 cannot be read: 1\.tif \(pages differ: .*3, 8, 1", tmp_path, frames="channels")


def test_smaller_copies_of_a_page_are_none(tmp_path):
    kept = values((8, 8, 5))
    for n in range(2):
        with tifffile.TiffWriter(tmp_path / f"{n}.tif") as file:
            file.write(kept, photometric="minisblack", planarconfig="contig")
            copy = {"subfiletype": 1, "photometric": "minisblack", "planarconfig": "contig"}
            file.write(kept[::2, ::2], **copy)
    assert every(tmp_path, frames="channels").shape == (2, 5, 8, 8)


@pytest.mark.parametrize("turn", range(1, 9))
def test_turned_as_pillow_turns(tmp_path, turn):
    kept = values((3, 4, 4), np.uint8)
    for n in range(2):
        tag = (274, "H", 1, turn, True)
        path = tmp_path / f"{n}.tif"
        tifffile.imwrite(path, kept, photometric="rgb", extrasamples=[0], extratags=[tag])
    exif = Image.Exif()
    exif[274] = turn
    Image.fromarray(kept[..., :3]).save(tmp_path / "twin.png", exif=exif)
    with Image.open(tmp_path / "twin.png") as image:
        twin = np.asarray(ImageOps.exif_transpose(image))
    (tmp_path / "twin.png").unlink()
    np.testing.assert_array_equal(np.moveaxis(every(tmp_path)[0], 0, -1)[..., :3], twin)


def test_what_is_wrong_is_one_line(tmp_path, monkeypatch):
    for n in range(3):
        write(tmp_path / f"{n}.tif", values((40, 50, 5), np.float32, n))
    content = (tmp_path / "1.tif").read_bytes()
    (tmp_path / "1.tif").write_bytes(content[:-200])
    write(tmp_path / "2.tif", values((40, 50, 3)), photometric="cielab")
    fails(r"2 cannot be read: 1\.tif \(cut off\), 2\.tif \(colours of kind CIELAB", tmp_path)
    bad = values((40, 50, 5), np.float32)
    bad[3, 4, 1], bad[3, 4, 2] = np.nan, np.inf
    (tmp_path / "1.tif").write_bytes(content)
    write(tmp_path / "2.tif", bad)
    fails(r"1 cannot be read: 2\.tif \(2 values are NaN or infinite\)", tmp_path)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    fails(r'needs tifffile: pip install "maskwise\[tiff\]"', tmp_path)


def test_eight_and_sixteen_bits_on_one_scale(tmp_path):
    grey, deep, colour = values((6, 8), np.uint8), values((6, 8)), values((6, 8, 3))
    Image.fromarray(grey).save(tmp_path / "0.png")
    Image.fromarray(deep).save(tmp_path / "1.png")
    fails(
        r'0\.png has 8 bits \(1 do\), 1\.png has 16 bits \(1 do\); 16 .*give .*"depth": 8',
        tmp_path,
    )
    both = every(tmp_path, depth=16)
    np.testing.assert_array_equal(both[:, 0], np.stack([grey * 257.0, deep]))
    assert every(tmp_path, depth=8).dtype == np.uint8
    np.testing.assert_array_equal(every(tmp_path, depth=8)[1, 0], np.rint(deep / 257.0))
    tifffile.imwrite(tmp_path / "2.tif", colour, photometric="rgb")
    Image.fromarray(np.full((6, 8, 3), 9, np.uint8)).save(tmp_path / "3.png")
    fails(
        r"differ in channels: 0\.png has 1 \(2 do\), 2\.tif has 3 \(2 do\): make",
        tmp_path,
        depth=16,
    )
    (tmp_path / "0.png").unlink()
    (tmp_path / "1.png").unlink()
    found = every(tmp_path, depth=16)
    np.testing.assert_array_equal(found[0], np.moveaxis(colour, -1, 0))
    np.testing.assert_array_equal(found[1], np.full((3, 6, 8), 9 * 257.0))
    assert every(tmp_path).dtype == np.uint8  # colours of 16 bits are read with 8, as ever
    Image.fromarray(np.zeros((6, 8), np.float32)).save(tmp_path / "4.tif")
    fails("differ in depth: .*convert the floats yourself", tmp_path, depth=16, channels=1)


def test_sixteen_bits_and_floats_are_not_mixed(tmp_path):
    Image.fromarray(values((6, 8))).save(tmp_path / "0.png")
    Image.fromarray(np.zeros((6, 8), np.float32)).save(tmp_path / "1.tif")
    fails(r"0\.png has 16 bits \(1 do\), 1\.tif has 32 bits .*convert the floats", tmp_path)


@pytest.mark.parametrize("size", [(3, 4), (12, 16), (6, 3), (5, 5)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_each_channel_is_resized_as_a_picture_is(size, dtype):
    kept = values((6, 8, 5), np.uint8).astype(dtype)
    found = fit(kept, size)
    assert (found.shape, found.dtype) == ((*size, 5), dtype)
    for channel, fitted in enumerate(np.moveaxis(found, -1, 0)):
        image = Image.fromarray(kept[..., channel])
        twin = ImageOps.fit(image, size[::-1], method=Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(fitted, np.asarray(twin).clip(kept.min(), kept.max()))
