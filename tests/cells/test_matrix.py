"""Rows of sparse matrices, beside scipy's."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import sparse

from maskwise.cells.matrix import CSR, Stored, in_file, in_memory
from maskwise.errors import UserError


def dense(matrix, rows):
    sizes, columns, values = matrix.read(np.asarray(rows, dtype=np.int64))
    found = np.zeros((len(rows), matrix.num_columns))
    found[np.repeat(np.arange(len(rows)), sizes), columns] = values
    return found


def random(num=40, density=0.2):
    generator = np.random.default_rng(0)
    values = generator.integers(1, 9, (num, 30)) * (generator.random((num, 30)) < density)
    values[7] = 0
    return values


@given(st.lists(st.integers(0, 39), max_size=12))
def test_any_rows_in_any_order(rows):
    values = random()
    for matrix in (values, sparse.csc_matrix(values), sparse.csr_array(values)):
        np.testing.assert_array_equal(dense(in_memory(matrix), rows), values[rows])


@given(st.lists(st.integers(0, 39), max_size=12), st.integers(1, 50))
@example([39], 2)  # nothing, behind the end of the last chunk
def test_chunks_that_lie_anywhere_in_a_file(tmp_path_factory, rows, size):
    values = random()
    values[39] = 0
    values = sparse.csr_matrix(values)
    path = tmp_path_factory.mktemp("chunks") / "file"
    stored = {}
    with path.open("wb") as file:
        for name, array in (("indices", values.indices), ("data", values.data)):
            chunks = np.split(array, range(size, len(array), size))
            offsets = np.zeros(len(chunks), dtype=np.int64)
            for number in np.random.default_rng(1).permutation(len(chunks)):
                file.write(b"gap")
                offsets[number] = file.tell()
                file.write(chunks[number].tobytes())
            stored[name] = in_file(path, array.dtype, offsets, size)
    matrix = CSR(values.indptr.astype(np.int64), stored["indices"], stored["data"], 30)
    np.testing.assert_array_equal(dense(matrix, rows), values.toarray()[rows])


@pytest.mark.parametrize(("block", "most"), [(8, 1), (50, 12), (1 << 21, 40)])
def test_blocks_are_all_rows_in_order(monkeypatch, block, most):
    monkeypatch.setattr("maskwise.cells.matrix._BLOCK", block)
    matrix = in_memory(random())
    blocks = list(matrix.blocks())
    assert np.concatenate(blocks).tolist() == list(range(40))
    assert 0 < max(map(len, blocks)) <= most
    # Not more values at once, but for a row that has more.
    assert all(len(rows) == 1 or len(matrix.read(rows)[1]) <= block for rows in blocks)


def test_what_lies_together_is_read_at_once():
    reads = []
    whole = in_memory(random())

    def noted(out, bounds, starts):
        reads.extend(starts)
        whole.values.fill(out, bounds, starts)

    matrix = CSR(whole.indptr, whole.indices, Stored(whole.values.dtype, noted), 30)
    matrix.read(np.arange(40))
    assert len(reads) == 1
    matrix.read(np.array([3, 4, 20, 1]))
    assert len(reads) == 4


def test_a_file_that_was_cut_short(tmp_path):
    (tmp_path / "file").write_bytes(np.arange(4, dtype=np.int32).tobytes())
    stored = in_file(tmp_path / "file", np.dtype(np.int32), np.array([0]), 10)
    with pytest.raises(UserError, match="was cut short or changed"):
        stored.fill(np.zeros(8, dtype=np.int32), np.array([0, 8]), np.array([0]))


def test_no_numbers():
    with pytest.raises(UserError, match="holds object, no numbers"):
        in_memory(np.array([["a", "b"]], dtype=object))
