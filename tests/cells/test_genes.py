"""Genes of one data set found in another."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise.cells.genes import Genes, enough, match, union
from maskwise.errors import UserError


def columns(vocabulary, *args):
    return match(vocabulary, Genes(*args)).columns.tolist()


@given(st.permutations([f"GENE{n}" for n in range(6)]), st.integers(0, 6))
def test_the_same_names_are_found_in_any_order(names, num):
    expected = [names.index(f"GENE{n}") if f"GENE{n}" in names[:num] else -1 for n in range(6)]
    assert columns([f"GENE{n}" for n in range(6)], tuple(names[:num])) == expected


def test_a_version_counts_only_where_nothing_else_fits():
    ids = ("ENSG00000000003.14", "ENSG00000000003", "ENSMUSG00000000001.4")
    assert columns(["ENSG00000000003", "ENSMUSG00000000001"], ids) == [1, 2]
    assert columns(["ENSG00000000003.2"], ids[:1]) == [0]
    assert columns(["ENSG00000000003.2"], ids[:2]) == [-1]  # either
    assert columns(["AC012.1"], ("AC012", "AC012.2")) == [-1]  # a symbol has no version


def test_other_columns_name_genes_too():
    symbols, ids = ("CD3E", "CD19"), ("ENSG00000198851.9", "ENSG00000177455")
    assert columns(["ENSG00000177455", "ENSG00000198851"], symbols, (ids,)) == [1, 0]
    assert columns(["CD19"], ids, (("", ""), symbols)) == [1]
    assert columns(["A"], ("X", "Y"), (("A", "A"),)) == [-1]


def test_case_only_where_one_gene_fits():
    assert columns(["ACTB"], ("Actb",)) == [0]
    assert columns(["ACTB"], ("Actb", "aCTB")) == [-1]
    assert columns(["ACTB", "actb"], ("Actb",)) == [-1, -1]
    assert columns(["ACTB", "actb"], ("actb", "Actb")) == [-1, 0]


def test_what_matched_is_told():
    found = match(("a", "B", "c"), Genes(("a", "b"), where="x.h5ad"))
    assert str(found) == "x.h5ad: 2 of 3 genes (1 by name, 1 in another case)"
    assert found.num_matched == 2


def test_names_that_occur_twice_are_refused():
    with pytest.raises(UserError, match=r"f: 2 gene names .*\(a, b\).*var_names_make_unique"):
        Genes(("a", "b", "a", "b", "c"), where="f")


def test_fewer_than_half_are_not_enough():
    genes = Genes(("a", "x", "y"), where="f")
    vocabulary = ("a", "b", "c")
    with pytest.raises(UserError, match=r"1 of 3 genes of the model are in f \(missing: b, c"):
        enough(vocabulary, genes)
    both = ("a", "b")
    assert enough(both, genes).num_matched == 1


def test_the_genes_of_two_data_sets():
    first = Genes(("a", "b", "c"))
    second = Genes(("C", "d", "a"), where="other")
    union_of = union([first, second])
    names, found = union_of.names, union_of.matchings
    assert names == ("a", "b", "c", "d")
    assert [each.columns.tolist() for each in found] == [[0, 1, 2, -1], [2, -1, 0, 1]]
    assert all(np.ndim(each.columns) == 1 for each in found)


def test_data_sets_with_nothing_in_common():
    with pytest.raises(UserError, match=r"0 of 2 genes of other are in one"):
        union([Genes(("a", "b"), where="one"), Genes(("x", "y"), where="other")])
