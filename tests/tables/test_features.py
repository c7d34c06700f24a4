import numpy as np
import pytest
from scipy import sparse

from maskwise.errors import UserError
from maskwise.images.data import ImageDataSettings, load
from maskwise.modalities import read_features


def source(path, **settings):
    return str(path), settings


@pytest.fixture
def numbers():
    return np.arange(12.0).reshape(4, 3) ** 2


def write_csv(path, lines):
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_features_of_images_are_means_of_patches():
    found = read_features(*source("digits", patch=(4, 2)))
    images = load(ImageDataSettings(source="digits")).train.get(range(1438)).numpy()[:, 0]
    means = images.reshape(-1, 2, 4, 4, 2).mean(axis=(2, 4)).reshape(-1, 8)
    # Standardised by channel, which changes scale and offset of all of them only.
    scale = found.values.std() / means.std()
    np.testing.assert_allclose(
        found.values - found.values.mean(), (means - means.mean()) * scale, atol=1e-5
    )
    assert found.what == "means of the 2x4 patches of 4x2 pixels"


def test_images_of_several_channels_are_read_from_files(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3)).astype(np.uint8)
    np.savez(tmp_path / "x.npz", x=images)
    assert read_features(*source(tmp_path / "x.npz")).values.shape == (240, 16)
    np.save(tmp_path / "x.npy", images)
    assert read_features(*source(tmp_path / "x.npy", limit=100, patch=(8, 4))).values.shape == (
        100,
        2,
    )


def test_arrays_of_two_axes_are_tables(tmp_path, numbers):
    np.save(tmp_path / "a.npy", numbers)
    np.savez(tmp_path / "a.npz", anything=numbers)
    for name in ("a.npy", "a.npz"):
        found = read_features(*source(tmp_path / name))
        np.testing.assert_array_equal(found.values, numbers)
        assert (found.target, found.what) == (None, "columns")


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array])
def test_sparse_tables_stay_sparse(tmp_path, numbers, form):
    sparse.save_npz(tmp_path / "s.npz", form(numbers))
    found = read_features(*source(tmp_path / "s.npz"))
    assert sparse.issparse(found.values)
    np.testing.assert_array_equal(found.values.toarray(), numbers)


def test_tables_with_names(tmp_path, numbers):
    lines = ['a,"b, c",#d', *(",".join(map(str, row)) for row in numbers)]
    path = write_csv(tmp_path / "t.csv", lines)
    np.testing.assert_array_equal(read_features(*source(path)).values, numbers)
    for target in ("b, c", "1"):
        found = read_features(*source(path), target)
        np.testing.assert_array_equal(found.values, numbers[:, [0, 2]])
        np.testing.assert_array_equal(found.target, numbers[:, 1])


def test_classes_may_be_texts(tmp_path):
    path = write_csv(tmp_path / "t.csv", ["a,kind,b", "1,low,2", "3,,4", "5,high,6", "7,low,8"])
    found = read_features(*source(path), "kind", classes=True)
    assert found.values.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]
    np.testing.assert_array_equal(found.target, [1, np.nan, 0, 1])
    assert read_features(*source("digits", limit=50)).labels.shape == (50,)


def test_targets_by_number(tmp_path, numbers):
    np.save(tmp_path / "a.npy", numbers)
    sparse.save_npz(tmp_path / "a.npz", sparse.coo_array(numbers))
    for name in ("a.npy", "a.npz"):
        found = read_features(*source(tmp_path / name), "2")
        np.testing.assert_array_equal(found.target, numbers[:, 2])
        assert found.values.shape == (4, 2)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["1,2", "3,4"], "the first line must name the columns"),
        (["a,b", "1,x"], "column 'b': 'x' in data row 1 is no number"),
        (["a,b", "1,2", "3"], "row 3 has 1 columns, not 2"),
        (["a,b,c", "1,2", "3,4"], "row 2 has 2 columns, not 3"),
        (["a,b"], "there are no rows"),
        ([""], "the first line must name the columns"),
    ],
)
def test_broken_tables_are_named(tmp_path, lines, says):
    path = write_csv(tmp_path / "t.csv", lines)
    with pytest.raises(UserError, match=says) as caught:
        read_features(*source(path))
    assert "t.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_is_refused(tmp_path, numbers):
    path = write_csv(tmp_path / "t.csv", ["alpha,beta", "1,2", "3,5"])
    bare = write_csv(tmp_path / "bare.csv", ["1,2", "3,-9"])
    found = read_features(*source(bare, header="false", missing="-9"), "x0").values
    np.testing.assert_array_equal(found, [[2], [np.nan]])
    np.save(tmp_path / "a.npy", numbers)
    (tmp_path / "b.npy").write_bytes(b"no array")
    (tmp_path / "b.npz").write_bytes(b"no archive")
    np.save(tmp_path / "line.npy", numbers[0])
    for arguments, says in [
        ((source(path), "alpa"), "no column 'alpa'; did you mean alpha"),
        ((source(path), "2"), "no column '2'; did you mean alpha or beta"),
        ((source(tmp_path / "a.npy"), "3"), "no column '3'; columns are numbered 0 to 2"),
        ((source("digits"), "3"), "images have no column '3'"),
        ((source(path, flip=True),), "is a table, for which there is no data="),
        ((source(tmp_path / "b.npy"),), "cannot be read as an array"),
        ((source(tmp_path / "b.npz"),), "cannot be read as an array"),
        ((source(tmp_path / "line.npy"),), "images must be"),
        ((source(tmp_path / "none.csv"),), "no file or folder"),
    ]:
        with pytest.raises(UserError, match=says):
            read_features(*arguments[0], *arguments[1:])
