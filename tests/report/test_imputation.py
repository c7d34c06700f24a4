import re

from maskwise.report import curves, folder
from tests.report.conftest import change, rows_of, section, show


def tables_of(part):
    return [rows_of(table) for table in re.findall(r"<tbody>.*?</tbody>", part, re.DOTALL)]


def test_imputation_by_ratio_and_method(page):
    part = section(page("cells"), "imputation")
    assert re.findall("<h3>(.*?)</h3>", part)[:3] == [
        "All values, hidden at random",
        "Values above zero, hidden at random",
        "Values above zero, large ones hidden more often",
    ]
    found = tables_of(part)
    ours = ("model", "0.378 0.358 to 0.398", "0.210 0.190 to 0.230", "0.042 0.022 to 0.062")
    assert found[0][0] == [*ours]
    names = ["model", "feature mean", "kNN", "PCA"]
    unknown = "IterativeImputer 2,000 features are too many for it"
    assert [row[0] for row in found[0]] == [*names, unknown]
    assert found[0][-1][1:] == ["none"] * 3
    assert "best of each in bold; compared as logarithms" in part
    # Folded: what else was measured; no categories, no column.
    assert found[1][0] == ["model", "0.1", "0.31", "0.5", "0.6", "1.5 s"]
    # What is far below zero would flatten the rest.
    assert part.count("What is below -0.5 is not drawn.") == 3
    assert len(re.findall("IterativeImputer</text>", part)) == 0
    assert len(re.findall("kNN</text>", part)) == 3


def test_the_headline_is_the_best_of_the_same_kind(make):
    run = make("cells")
    there = curves.at_headline(folder.read(run).result)
    assert {(row["entries"], row["ratio"]) for row in there} == {("all", 0.5)}
    said = " Imputation at ratio 0.5: R² 0.210; PCA: 0.190."
    assert curves.imputation_fact(folder.read(run))[0] == said
    found = [row for row in folder.read(run).result["imputation"] if row["method"] == "model"]
    change(run, imputation=found)
    assert curves.imputation_fact(folder.read(run))[0] == " Imputation at ratio 0.5: R² 0.210."
    change(run, imputation=[])
    assert curves.imputation_fact(folder.read(run)) == ("", [])
    assert curves.imputation([folder.read(run)]) == []


def test_comparison_shows_models_alone(make):
    part = show(curves.imputation, make("cells", "a"), make("cells", "b", seed=1))
    assert len(tables_of(part)) == 3
    assert [row[0] for row in tables_of(part)[0]] == ["a", "b"]
    assert "kNN" not in part
    assert "cannot be compared" not in part
