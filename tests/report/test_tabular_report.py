import json
import re

import numpy as np
import pytest

from maskwise.report import clusters, folder, imputation, probes, rows, tables, write

COMMON = ("numbers", "training", "samples", "errors", "likelihood", "imputation", "probes")
COMMON += ("features", "clusters", "law", "configuration", "environment")


def section(page, slug):
    """The markup of one section."""
    return re.search(rf'<section id="{slug}".*?</section>', page, re.DOTALL).group()


def tables_of(part):
    """The rows of each table, as lists of text with tags replaced by spaces."""
    found = []
    for table in re.findall(r"<tbody>.*?</tbody>", part, re.DOTALL):
        cells = [
            re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
            for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)
        ]
        found.append([[re.sub(r"(<[^>]+>)+", " ", c).strip() for c in row] for row in cells])
    return found


def change(run, **changes):
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(result | changes))


@pytest.mark.parametrize(("modality", "kinds"), [("cells", 3), ("tables", 1)])
def test_one_run_has_every_section(make_tabular_run, modality, kinds):
    page = write([make_tabular_run(modality)]).read_text()
    assert tuple(re.findall(r'<section id="(\w+)"', page)) == COMMON
    # Training, maps and hidden values, loss, imputation, features, law.
    assert page.count("<svg role=") == 4 + 3 + 1 + kinds + 3 + 1
    assert "<script" not in page
    assert "40 % and 21 % of the variance" in page
    for word in ("image", "pixel", "patch", "token"):
        assert word not in page[page.index("<body>") :]


def test_headline_and_summary(make_tabular_run):
    page = write([make_tabular_run("cells")]).read_text()
    summary = re.search(r"<header>.*?<p>(.*?)</p>", page, re.DOTALL).group(1)
    assert summary == (
        "uniform:0.1,0.9 on blood, 600 steps. Imputation at ratio 0.5: R² 0.210; PCA: 0.190."
        " Encoder probed on types, all labels by logistic-lbfgs (C=1): macro-F1 0.850;"
        " best baseline, PCA (50): macro-F1 0.860."
    )
    numbers = re.sub("<[^>]+>", "", section(page, "numbers"))
    assert "imputation, R² at ratio 0.50.2100.190 to 0.230; PCA: 0.190" in numbers
    assert "probe, types, all labels, logistic-lbfgsmacro-F1 0.850PCA (50): 0.860" in numbers
    assert "cells seen76,800\nvalues read9,000,000\npredicted values4,000,000" in numbers


def test_loss_in_nats_beside_the_marginal(make_tabular_run):
    part = section(write([make_tabular_run("tables")]).read_text(), "errors")
    for word in ("nats per hidden value", "in training", "marginal"):
        assert f"{word}</text>" in part
    assert "whatever is visible" in part
    assert tables_of(part)[0][0] == ["0.100", "0.3600 0.3500 to 0.3800", "0.5100 0.5000 to 0.5300"]


def test_imputation_by_ratio_and_method(make_tabular_run):
    part = section(write([make_tabular_run("cells")]).read_text(), "imputation")
    titles = re.findall("<h3>(.*?)</h3>", part)
    assert titles[:3] == [
        "All values, hidden at random",
        "Values above zero, hidden at random",
        "Values above zero, large ones hidden more often",
    ]
    found = tables_of(part)
    assert found[0][0] == [
        "model",
        *(
            f"{x} {y}"
            for x, y in (
                ("0.378", "0.358 to 0.398"),
                ("0.210", "0.190 to 0.230"),
                ("0.042", "0.022 to 0.062"),
            )
        ),
    ]
    assert [row[0] for row in found[0]] == [
        *(
            "model",
            "feature mean",
            "kNN",
            "PCA",
            "IterativeImputer 2,000 features are too many for it",
        ),
    ]
    assert found[0][-1][1:] == ["none"] * 3
    assert "best of each in bold; compared as logarithms" in part
    # Folded: what else was measured; no categories, no column.
    assert found[1][0] == ["model", "0.1", "0.31", "0.5", "0.6", "1.5 s"]
    # What is far below zero would flatten the rest.
    assert part.count("What is below -0.5 is not drawn.") == 3
    assert len(re.findall("IterativeImputer</text>", part)) == 0
    assert len(re.findall("kNN</text>", part)) == 3


def test_the_headline_is_the_best_of_the_same_kind(make_tabular_run):
    run = make_tabular_run("cells")
    ours, other = imputation.headline(folder.read(run))
    assert (ours["entries"], ours["ratio"], other["method"]) == ("all", 0.5, "PCA")
    found = [row for row in folder.read(run).result["imputation"] if row["method"] == "model"]
    change(run, imputation=found)
    assert imputation.headline(folder.read(run))[1] is None
    assert "R² 0.210." in imputation.summary(folder.read(run))
    change(run, imputation=[])
    assert imputation.facts(folder.read(run)) == ()
    assert 'id="imputation"' not in write([run]).read_text()


def test_probes_are_ranked_by_macro_f1(make_tabular_run):
    part = section(write([make_tabular_run("cells")]).read_text(), "probes")
    assert re.findall("<h3>(.*?)</h3>", part) == [
        *("types, all labels", "types, 10 labels a class"),
    ]
    # Of cells, other measures are in result.json only.
    assert "Test accuracy, macro-F1 with 95 % interval" in part
    assert tables_of(part)[0][0][:3] == [
        *("encoder", "90.0 % 85.0 to 95.0", "0.850 0.840 to 0.860"),
    ]
    both = [
        {"features": "encoder a", "accuracy": 0.9, "macro_f1": {"value": 0.5}, "protocol": "p"},
        {"features": "encoder b", "accuracy": 0.8, "macro_f1": {"value": 0.6}, "protocol": "p"},
    ]
    assert tables.best(both, trained=True)["features"] == "encoder b"


def test_clusters_and_batches(make_tabular_run):
    [agree, mixed] = tables_of(section(write([make_tabular_run("cells")]).read_text(), "clusters"))
    assert agree[0] == ["encoder", "3", "0.700 0.690 to 0.710", "0.800 0.790 to 0.810"]
    assert mixed[0] == ["encoder", "1.600 1.590 to 1.610", "1.000", "1.900", "0.050"]
    # Tables have no batches, and not all have classes.
    run = make_tabular_run("tables", "cover")
    [part] = clusters.sections(folder.read(run))
    assert (len(part.tables), "batches" in part.text) == (1, False)
    change(run, clusters=[], probes=[])
    assert clusters.sections(folder.read(run)) == []
    assert probes.sections(folder.read(run)) == []


def maps(run):
    """The markup of the pictures of features."""
    found = folder.read(run).samples
    return "".join(rows._map(name, points, found) for name, points in found["points"].items())


def test_the_map_has_a_colour_for_each_class(make_tabular_run):
    run = make_tabular_run("cells")
    part = maps(run)
    for name in ("B cell", "CD4+ T cell", "a monocyte whose name is…"):
        assert part.count(f"{name}</text>") == 2
    # A dot for each sample in each map, beside those of the legends.
    found = json.loads((run / "samples.json").read_text())
    assert part.count("<use ") >= 400
    found["labels"], found["classes"] = None, None
    (run / "samples.json").write_text(json.dumps(found))
    part = maps(run)
    assert "B cell" not in part
    assert "other</text>" not in part
    # More classes than looks: the rarest share one, and no two are merged for their names.
    found["classes"] = ["a class with a long name, number " + str(n) for n in range(20)]
    found["labels"] = [n % 20 for n in range(200)]
    found["labels"][-2:] = [-1, 0]
    (run / "samples.json").write_text(json.dumps(found))
    part = maps(run)
    assert part.count("a class with a long name…</text>") == 2 * 18
    assert part.count("other</text>") == 2


def test_hidden_values_are_blank_and_filled_in(make_tabular_run, monkeypatch):
    drawn = []
    monkeypatch.setattr(rows.figures, "svg", lambda label, plot, size: drawn.append(plot) or "")
    found = folder.read(make_tabular_run("cells")).samples["rows"]
    figure = rows._filled(found)
    assert "8 held-out samples (a row each) and 5 of 2,000 features; ratio 0.5" in figure.caption
    [mesh] = rows.figures.draw(drawn[0], (5, 4)).axes[0].collections
    sheet = mesh.get_array().reshape(26, 5)
    true, visible, filled = sheet[:8], sheet[9:17], sheet[18:]
    hidden = np.array(found["hidden"])
    missing = np.array(found["true"], float) != np.array(found["true"], float)
    assert missing.sum() == 1
    np.testing.assert_array_equal(true.mask, missing)
    np.testing.assert_array_equal(visible.mask, missing | hidden)
    np.testing.assert_array_equal(filled.mask, missing)
    assert (filled[~hidden] == true[~hidden]).all()
    assert (filled[hidden] != true[hidden]).mean() > 0.8
    assert (true.min(axis=0).tolist(), true.max(axis=0).tolist()) == ([0] * 5, [1] * 5)


def test_comparison(make_tabular_run):
    runs = [make_tabular_run("cells", "a"), make_tabular_run("cells", "b", 1, law="fixed:0.5")]
    page = write(runs).read_text()
    assert "values read</text>" in section(page, "loss")
    errors = section(page, "errors")
    assert tables_of(errors)[0][0] == [
        *("a", "0.3600 0.3500 to 0.3800", "0.4000 0.3900 to 0.4200", "0.4400 0.4300 to 0.4600"),
    ]
    imputed = section(page, "imputation")
    assert len(tables_of(imputed)) == 3
    assert [row[0] for row in tables_of(imputed)[0]] == ["a", "b"]
    assert "kNN" not in imputed
    assert "cannot be compared" not in page
    probed = section(page, "probes")
    assert "features are those of the best macro-F1" in probed
    assert tables_of(probed)[0][1][2] == "0.840 0.830 to 0.850"
    assert [row[0] for row in tables_of(section(page, "clusters"))[0]] == [
        *("a: encoder", "a: PCA (50)", "b: encoder", "b: PCA (50)"),
    ]


def test_other_losses_cannot_be_compared(make_tabular_run):
    other = {"source": "blood.h5ad", "loss": "mse", "num_genes": 2000}
    runs = [make_tabular_run("cells", "a"), make_tabular_run("cells", "b", data=other)]
    page = write(runs).read_text()
    for slug in ("errors", "imputation"):
        assert "differ in data, genes, loss or pattern" in section(page, slug)


def test_cells_without_classes(make_tabular_run):
    run = make_tabular_run("cells")
    change(run, probes=[], clusters=[])
    part = section(write([run]).read_text(), "more")
    assert "Probes and clusters need the types of cells, a column of obs" in part
    assert f"maskwise evaluate {run} --data.labels COLUMN" in part


def test_an_unevaluated_run(make_tabular_run):
    run = make_tabular_run("cells", evaluated=False)
    page = write([run]).read_text()
    for slug in ("numbers", "samples", "errors"):
        assert f"<code>maskwise evaluate {run}</code>" in section(page, slug)
    assert "held-out cells" in section(page, "likelihood")
