"""Cells of AnnData as samples: normalised, aligned, split, looked through."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from maskwise.cells.cells import Cells
from maskwise.cells.data import CellsDataSettings, from_anndata, load
from maskwise.cells.looking import look
from maskwise.cells.others import align
from maskwise.errors import UserError
from maskwise.modalities import config_of, find
from maskwise.settings import to_dict
from tests.lazy import lazy

ad = lazy("anndata")
pd = lazy("pandas")


GENES = [f"GENE{n}" for n in range(20)]


def counts(num=60, seed=0, genes=20):
    generator = np.random.default_rng(seed)
    rate = generator.gamma(0.5, 2.0, genes) + 0.1
    return generator.poisson(rate * generator.gamma(2, 0.5, (num, 1))).astype(np.float32) + np.eye(
        num, genes, dtype=np.float32
    )


def annotated(values, names=GENES, **columns):
    obs = pd.DataFrame(columns, index=[str(n) for n in range(len(values))])
    return ad.AnnData(sparse.csr_matrix(values), obs=obs, var=pd.DataFrame(index=list(names)))


def normalised(values, target):
    """The plain way."""
    return np.log1p(values / values.sum(axis=1, keepdims=True) * target)


def test_counts_are_normalised_to_the_median_library_of_training_cells():
    values = counts()
    splits = from_anndata(annotated(values), CellsDataSettings(num_genes=None))
    assert (len(splits.train), len(splits.test)) == (54, 6)
    assert sorted([*splits.train.index, *splits.test.index]) == list(range(60))
    target = np.median(values[splits.train.index].sum(axis=1))
    assert splits.tokenizer.target_sum == target
    for rows in (splits.train, splits.test):
        index = np.arange(len(rows))[::-1]
        expected = normalised(values, target)[rows.index[index]]
        np.testing.assert_allclose(rows.get(index).numpy(), expected, rtol=1e-6)
    assert splits.tokenizer.genes == tuple(GENES)


@pytest.mark.parametrize("loss", ["nb", "zinb"])
def test_counts_and_the_mean_share_of_each_gene(loss):
    values = counts()
    values[:, 3] = 0
    data = CellsDataSettings(num_genes=None, loss=loss, library="all", zeros=0.1)
    splits = from_anndata(annotated(values), data)
    np.testing.assert_array_equal(splits.train.get([2, 0]), values[splits.train.index[[2, 0]]])
    train = values[splits.train.index]
    share = (train / train.sum(axis=1, keepdims=True)).mean(axis=0)
    profile = np.array(splits.tokenizer.profile)
    np.testing.assert_allclose(np.delete(profile, 3), np.delete(share, 3), rtol=1e-6)
    assert profile[3] == pytest.approx(1 / (len(train) * splits.tokenizer.target_sum))
    cells = splits.tokenizer
    assert (cells.loss, cells.library, cells.zeros) == (loss, "all", 0.1)


def test_library_sizes_are_over_all_genes():
    values = counts()
    splits = from_anndata(annotated(values), CellsDataSettings(num_genes=5))
    assert len(splits.tokenizer.genes) == 5
    place = [GENES.index(name) for name in splits.tokenizer.genes]
    assert place == sorted(place)
    expected = normalised(values, splits.tokenizer.target_sum)[splits.test.index][:, place]
    np.testing.assert_allclose(splits.test.get(range(6)).numpy(), expected, rtol=1e-6)


def test_variable_genes_are_those_of_scanpy_on_training_cells():
    scanpy = pytest.importorskip("scanpy")
    values = counts(num=200, seed=3)
    splits = from_anndata(annotated(values), CellsDataSettings(num_genes=6))
    train = values[splits.train.index].astype(np.float64)
    adata = annotated(normalised(train, np.median(train.sum(axis=1))))
    scanpy.pp.highly_variable_genes(adata, flavor="seurat", n_top_genes=6)
    chosen = adata.var_names[adata.var["highly_variable"]]
    assert set(splits.tokenizer.genes) <= set(chosen)
    assert len(splits.tokenizer.genes) == 6


def test_normalised_values_are_taken_as_they_are():
    values = normalised(counts(), 100.0).astype(np.float32)
    data = CellsDataSettings(values="normalised", num_genes=None)
    splits = from_anndata(annotated(values), data)
    np.testing.assert_array_equal(splits.test.get(range(6)), values[splits.test.index])
    assert not splits.tokenizer.counts
    same = from_anndata(annotated(counts()), CellsDataSettings(num_genes=4))
    values = normalised(counts(), same.tokenizer.target_sum).astype(np.float32)
    few = from_anndata(annotated(values), CellsDataSettings(values="normalised", num_genes=4))
    assert few.tokenizer.genes == same.tokenizer.genes


def test_labels_batches_and_groups():
    kinds = np.array(["b", "a", None])[np.arange(60) % 3]
    donors = np.arange(60) // 10
    adata = annotated(counts(), kind=kinds, donor=donors)
    data = CellsDataSettings(labels="kind", batch="donor", group="donor", holdout=0.2)
    splits = from_anndata(adata, data)
    assert splits.classes == ("a", "b")
    for rows in (splits.train, splits.test):
        assert [("a", "b", None)[label] for label in rows.labels] == kinds[rows.index].tolist()
        np.testing.assert_array_equal(rows.get([1, 0])[:, -1], rows.batches[[1, 0]])
    held = set(donors[splits.test.index])
    assert len(held) == 1
    assert held.isdisjoint(donors[splits.train.index])
    # A batch that no cell to train on has is one that the model does not know.
    assert (splits.test.batches == -1).all()
    assert splits.batches == tuple(str(n) for n in range(6) if n not in held)
    assert splits.tokenizer.batches == splits.batches
    assert splits.train.batches.tolist() == [
        splits.batches.index(str(donor)) for donor in donors[splits.train.index]
    ]


@pytest.fixture
def two_files(tmp_path):
    """A.h5ad has genes 0..14; b.h5ad 5..19, in another order, another case."""
    first, second = counts(40, seed=1, genes=15), counts(30, seed=2, genes=15)
    annotated(first, GENES[:15]).write_h5ad(tmp_path / "a.h5ad")
    order = np.random.default_rng(0).permutation(15)
    names = [GENES[5 + n].title() for n in order]
    annotated(second[:, order], names).write_h5ad(tmp_path / "b.h5ad", compression="gzip")
    return tmp_path, first, second


def test_genes_of_several_files_are_aligned(two_files, caplog):
    folder, first, second = two_files
    with caplog.at_level(logging.INFO, logger="maskwise"):
        splits = load(
            CellsDataSettings(source=str(folder), loss="nb", num_genes=None, batch="file")
        )
    assert f"{folder}/b.h5ad: 15 of 20 genes (5 by name, 10 in another case)" in caplog.text
    assert splits.name == "a+b"
    assert splits.batches == ("a", "b")
    assert splits.tokenizer.genes[:15] == tuple(GENES[:15])
    place = [splits.tokenizer.genes.index(name) for name in GENES[:15]]
    found = splits.train.read(np.array([50, 3, 0, 69])).numpy()
    assert found[:, -1].tolist() == [1, 0, 0, 1]
    np.testing.assert_array_equal(found[[1, 2]][:, place], first[[3, 0]])
    assert np.isnan(found[[1, 2], 15:20]).all()
    place = [[n.upper() for n in splits.tokenizer.genes].index(name) for name in GENES[5:]]
    np.testing.assert_array_equal(found[[0, 3]][:, place], second[[10, 29]])
    assert np.isnan(found[[0, 3], :5]).all()


def test_panels_are_what_patterns_copy(two_files):
    splits = load(CellsDataSettings(source=str(two_files[0]), num_genes=None))
    found = find("cells").observed(splits)
    lacking = splits.train.get(range(len(splits.train))).isnan()
    assert found.unique(dim=0).tolist() == lacking.unique(dim=0).tolist()
    assert len(found.unique(dim=0)) == 2
    config = config_of(f"{two_files[0]}/a.h5ad", {"pattern": "copied", "data.num_genes": 8})
    [problem] = look(None, config).problems
    assert "pattern copied" in problem.text
    assert problem.settings == {"pattern": "scattered"}


def test_variable_genes_are_of_those_that_all_files_have(two_files):
    splits = load(CellsDataSettings(source=f"{two_files[0]}/*.h5ad", num_genes=8))
    assert len(splits.tokenizer.genes) == 8
    assert set(splits.tokenizer.genes) <= set(GENES[5:15])
    assert not splits.train.get(range(20)).isnan().any()


def test_a_list_of_genes(two_files, tmp_path, caplog):
    (tmp_path / "list.txt").write_text("GENE18\nGENE2\n\nNONE\nGENE2\nGENE7 \n")
    data = CellsDataSettings(
        source=f"{two_files[0]}/a.h5ad+{two_files[0]}/b.h5ad", genes=str(tmp_path / "list.txt")
    )
    splits = load(data)
    assert splits.tokenizer.genes == ("GENE18", "GENE2", "GENE7")
    assert "1 genes are not in the data: NONE" in caplog.text
    lacking = splits.train.read(np.array([0, 69])).isnan()
    assert lacking.tolist() == [[True, False, False], [False, True, False]]
    (tmp_path / "list.txt").write_text("GENE1\nNONE\n")
    with pytest.raises(UserError, match=r"1 of 2 genes are in the data.*at least two"):
        load(data)


def test_other_cells_are_read_as_the_model_knows_them(two_files, caplog):
    known = Cells(("GENE7", "GENE0", "GENE6"), batches=("a",), target_sum=50.0)
    values = counts(40, seed=1, genes=15)
    values[3] = 0
    with caplog.at_level(logging.INFO, logger="maskwise"):
        rows, [matching], empty, _ = align(
            annotated(values, GENES[:15]), known, CellsDataSettings()
        )
    assert empty.tolist() == [3]
    assert "batches of the cells are not known" in caplog.text
    assert matching.num_matched == 3
    assert len(rows) == 40
    expected = np.log1p(values / np.maximum(values.sum(axis=1, keepdims=True), 1) * 50)
    np.testing.assert_allclose(rows.get(range(40))[:, :3], expected[:, [7, 0, 6]], rtol=1e-6)
    assert (rows.get(range(40))[:, 3] == -1).all()
    rows, matchings, *_ = align(str(two_files[0]), known, CellsDataSettings(batch="file"))
    assert [each.num_matched for each in matchings] == [3, 2]
    assert rows.batches.tolist() == [0] * 40 + [-1] * 30
    assert "30 cells are of batches that the model does not know" in caplog.text
    assert rows.get([0, 69]).isnan().tolist() == [[False] * 4, [False, True, False, False]]


def test_other_cells_without_the_genes_or_the_counts():
    known = Cells(("GENE1", "A", "B"))
    with pytest.raises(UserError, match="1 of 3 genes of the model are in array"):
        align(annotated(counts()), known, CellsDataSettings())
    with pytest.raises(UserError, match="no count; no layer has counts; the model wants them"):
        align(annotated(counts() / 2), Cells(tuple(GENES)), CellsDataSettings())
    rows, *_ = align(
        annotated(counts() / 64), Cells(tuple(GENES), counts=False), CellsDataSettings()
    )
    np.testing.assert_array_equal(rows.get(range(60)), counts() / 64)


def shallow(num=60):
    """Counts so few that none is too large for a logarithm."""
    return np.random.default_rng(0).poisson(0.7, (num, 20)).astype(np.float32)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_matrix, lambda x: x.astype(np.int64)])
@pytest.mark.parametrize("most", [9, 1])  # as they are, and whether a gene was seen at all
def test_counts_are_no_normalised_values(kind, most, tmp_path):
    adata = annotated(shallow())
    adata.X = kind(np.minimum(shallow(), most))
    adata.write_h5ad(tmp_path / "a.h5ad")
    says = r"X seems to hold counts: 60 of 60 cells have whole numbers only"
    says += r" \(the first is cell 0 .row 1.\)"
    for given in (adata, adata[:], tmp_path / "a.h5ad"):
        with pytest.raises(
            UserError, match=says + "; the model wants normalised values: normalise them"
        ):
            align(given, Cells(tuple(GENES), counts=False), CellsDataSettings())
    with pytest.raises(UserError, match=says + "; leave out data=..values"):
        from_anndata(adata, CellsDataSettings(values="normalised"))


def test_some_cells_of_counts_among_normalised_ones():
    known, logs = Cells(tuple(GENES), counts=False), normalised(shallow() + np.eye(60, 20), 50.0)
    logs[3:5] = [0] * 20, [1] * 20  # no cell that tells
    mixed = np.where(np.arange(60)[:, None] < 50, logs, shallow())
    with pytest.raises(UserError, match=r"X seems to hold counts: \d of 59 cells.*row 5\d"):
        align(annotated(mixed), known, CellsDataSettings())
    rows, *_ = align(annotated(logs), known, CellsDataSettings())
    np.testing.assert_array_equal(rows.get(range(60)), logs.astype(np.float32))
    # Few digits make some whole numbers, and none of them counts.
    rows, *_ = align(annotated(logs.round(1)), known, CellsDataSettings())
    np.testing.assert_array_equal(rows.get(range(60)), logs.round(1).astype(np.float32))


def tpm():
    values = counts()
    return (values / values.sum(axis=1, keepdims=True) * 1e6).astype(np.float32)


def test_transcripts_per_million(caplog):
    data = CellsDataSettings(normalised=True, num_genes=None)
    with caplog.at_level(logging.INFO, logger="maskwise"):
        splits = from_anndata(annotated(tpm()), data)
    assert "the values are normalised: their log1p is taken" in caplog.text
    expected = np.log1p(tpm())
    np.testing.assert_allclose(
        splits.train.get(range(54)), expected[splits.train.index], rtol=1e-6
    )
    known = Cells(**{**vars(splits.tokenizer)})
    assert known.held == "linear"
    for given in (tpm(), tpm().round()):  # also where they are whole numbers
        rows, *_ = align(annotated(given), known, CellsDataSettings())
        np.testing.assert_allclose(rows.get(range(60)), np.log1p(given), rtol=1e-6)
    with pytest.raises(
        UserError, match=r"X seems to hold counts: 60 of 60 .*the model wants norm"
    ):
        align(annotated(counts()), known, data)
    # Logarithms are read as they are if that is said, and else there is a warning.
    rows, *_ = align(annotated(expected), known, CellsDataSettings(values="normalised"))
    np.testing.assert_array_equal(rows.get(range(60)), expected)
    assert "if these are logarithms already" not in caplog.text
    align(annotated(expected), known, data)
    assert "X has no value above 13.8: if these are logarithms already, give" in caplog.text
    # A model of logarithms takes them of such values if it is told to.
    logs = Cells(tuple(GENES), counts=False)
    with pytest.raises(UserError, match=r"no log1p of anything; the model.*data=..normalised"):
        align(annotated(tpm()), logs, CellsDataSettings())
    rows, *_ = align(annotated(tpm()), logs, data)
    np.testing.assert_allclose(rows.get(range(60)), expected, rtol=1e-6)
    # The genes of scanpy, of expression as it is.
    few = CellsDataSettings(num_genes=6, normalised=True)
    scanpy = pytest.importorskip("scanpy")
    adata = annotated(expected[splits.train.index].astype(np.float64))
    scanpy.pp.highly_variable_genes(adata, flavor="seurat", n_top_genes=6)
    chosen = adata.var_names[adata.var["highly_variable"]]
    assert set(from_anndata(annotated(tpm()), few).tokenizer.genes) <= set(chosen)


def test_estimates_of_counts(caplog):
    values = (counts() * 0.9 + 0.3 * (counts(seed=1) > 1)).astype(np.float32)
    data = CellsDataSettings(values="fractional", num_genes=None)
    with caplog.at_level(logging.INFO, logger="maskwise"):
        splits = from_anndata(annotated(values), data)
        rounded = from_anndata(annotated(values), replace(data, loss="nb"))
    assert "estimates of counts are normalised as counts" in caplog.text
    assert "estimates of counts are rounded" in caplog.text
    library = values.sum(axis=1, dtype=np.float64, keepdims=True)
    target = np.median(library[splits.train.index])
    assert splits.tokenizer.target_sum == pytest.approx(target, rel=1e-6)
    expected = np.log1p(values / library * target)
    test = splits.test.index
    np.testing.assert_allclose(splits.test.get(range(6)), expected[test], rtol=1e-5)
    np.testing.assert_array_equal(rounded.test.get(range(6)), np.rint(values[test]))
    assert rounded.tokenizer.held == splits.tokenizer.held == "fractional"
    # A model of such values reads counts too, and one of counts such values, if they are told.
    rows, *_ = align(annotated(counts()), splits.tokenizer, CellsDataSettings())
    np.testing.assert_allclose(rows.get(range(60)), normalised(counts(), target), rtol=1e-5)
    known = Cells(tuple(GENES), target_sum=50.0)
    for given in (data, CellsDataSettings(normalised=True)):
        rows, *_ = align(annotated(values), known, given)
        np.testing.assert_allclose(rows.get(range(60)), normalised(values, 50.0), rtol=1e-5)
    known = Cells(tuple(GENES), "nb", profile=(0.05,) * 20)
    rows, *_ = align(annotated(values), known, data)
    np.testing.assert_array_equal(rows.get(range(60)), np.rint(values))


@pytest.mark.parametrize(
    ("values", "options", "known", "message"),
    [
        (
            tpm(),
            {},
            None,
            "no count; no layer has counts; estimated counts data=..values",
        ),
        (
            counts() / 4,
            {},
            None,
            "log1p-normalised values need .* TPM or CPM data=..normalised",
        ),
        (
            tpm(),
            {"normalised": True, "loss": "nb"},
            None,
            "loss nb is of counts: leave out data=..n",
        ),
        (
            tpm(),
            {"normalised": True, "values": "counts"},
            None,
            "data=..normalised.* is of values .*data=..values",
        ),
        (counts(), {"normalised": True}, None, "60 of 60 cells have whole .*leave out data=..val"),
        (-tpm(), {"normalised": True}, None, "neither counts nor log-normalised"),
        (
            tpm(),
            {"values": "fractional"},
            Cells(tuple(GENES), counts=False),
            "model wants normalised",
        ),
        (
            *(tpm(), {"normalised": True}),
            *(
                Cells(tuple(GENES), "nb", profile=(0.05,) * 20),
                "loss nb, of counts: no data=..norm",
            ),
        ),
    ],
)
def test_amounts_that_are_no_counts_and_no_logarithms(values, options, known, message):
    data = CellsDataSettings(**options)
    with pytest.raises(UserError, match=message):
        from_anndata(annotated(values), data) if known is None else align(
            annotated(values), known, data
        )


def test_a_run_that_goes_on_must_have_the_same_cells():
    first, same = (from_anndata(annotated(counts()), CellsDataSettings()) for _ in range(2))
    other = from_anndata(annotated(counts(seed=1)), CellsDataSettings())
    assert first.fingerprint == same.fingerprint
    assert first.fingerprint != other.fingerprint
    assert (first.train.index == same.train.index).all()


def test_empty_cells_are_left_out_and_counted(caplog):
    values = counts()
    values[[4, 9]] = 0
    splits = from_anndata(annotated(values), CellsDataSettings())
    assert "2 cells without any count left out, 58 kept" in caplog.text
    kept = [*splits.train.index, *splits.test.index]
    assert sorted(kept) == [n for n in range(60) if n not in (4, 9)]


def changed(value, place=(7, 2)):
    values = counts()
    values[place] = value
    return values


@pytest.mark.parametrize(
    ("adata", "options", "message"),
    [
        (
            annotated(changed(-1)),
            {},
            "array: X has -1 in cell 7 .row 8., gene GENE2: neither counts nor",
        ),
        (
            annotated(changed(0.25)),
            {},
            "X has 0.25 in cell 7 .row 8., gene GENE2: no count.*normalised",
        ),
        (annotated(changed(np.nan)), {}, "X has nan in cell 7 .row 8., gene GENE2: leave that"),
        (annotated(changed(np.inf)), {}, "X has inf in cell 7"),
        (annotated(changed(-0.5)), {"values": "normalised"}, "has -0.5 .*neither counts nor"),
        (annotated(changed(99)), {"values": "normalised"}, "has 99 .*leave out data=..values"),
        (annotated(counts()), {"values": "normalised", "loss": "nb"}, "loss nb is of counts"),
        (annotated(np.zeros((5, 20))), {}, "0 cells with counts to train on and 0 held out"),
        (annotated(np.ones((9, 20))), {}, "all genes are constant"),
        (annotated(counts()[:0]), {}, "array has no cells: give data that have some"),
        (annotated(counts()), {"num_genes": 1}, "1 gene to use"),
        (annotated(counts(), kind=["a"] * 60), {"labels": "kid"}, "'kid'; did you mean 'kind'"),
        (annotated(counts(), kind=["a"] * 60), {"group": "kind"}, "all cells are in one group"),
        (annotated(counts(), n=np.arange(60)), {"labels": "n"}, "60 values in 60 .*data=..labels"),
        (annotated(counts(), n=[None] * 60), {"batch": "n"}, "'n' of obs is empty .data=..batch"),
    ],
)
def test_bad_input(adata, options, message):
    with pytest.raises(UserError, match=message) as error:
        from_anndata(adata, CellsDataSettings(**options))
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_gene_names_that_occur_twice():
    adata = annotated(counts(), [*GENES[:19], "GENE0"])
    with pytest.raises(UserError, match=r"1 gene names occur more than once \(GENE0\): run"):
        from_anndata(adata, CellsDataSettings())
    adata.var["gene_ids"] = GENES
    assert len(from_anndata(adata, CellsDataSettings(gene_ids="gene_ids")).tokenizer.genes) == 20


def test_the_layer_with_counts_is_named():
    adata = annotated(np.log1p(counts()))
    adata.layers["counts"] = sparse.csr_matrix(counts())
    with pytest.raises(
        UserError, match=r"no count; counts are in data=..layer.: .counts..; log1p"
    ):
        from_anndata(adata, CellsDataSettings())
    splits = from_anndata(adata, CellsDataSettings(layer="counts", loss="nb", num_genes=None))
    np.testing.assert_array_equal(splits.test.get(range(6)), counts()[splits.test.index])


def test_settings_are_plain_values():
    assert CellsDataSettings(**to_dict(CellsDataSettings(source="x.h5ad"))) == CellsDataSettings(
        source="x.h5ad"
    )
    assert find("cells").augment is None
