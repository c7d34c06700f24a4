import re

from maskwise.report import folder, probes
from tests.report.conftest import bold, change, rows_of, section, show, texts
from tests.report.made_up import KNN, LOGISTIC


def test_the_best_of_each_protocol_is_bold(page):
    part = section(page("images"), "probes")
    assert bold(part) == ["96.1 %", "97.2 %"]
    for name in ("logistic-lbfgs (C=1", "knn (k=20", "untrained encoder, mean"):
        assert name in part
    assert "94.1 to 98.1" in part
    assert "95 % interval" in part


def test_notes_of_a_probe_are_shown(make):
    run = make("images")
    rows = folder.read(run).result["probes"]
    change(run, probes=[rows[0], rows[1] | {"note": "not converged"}, *rows[2:]])
    assert "not converged" in show(probes.sections, run)


def test_unlabelled_data(make):
    run = make("images")
    change(run, probes=[])
    assert "no labels" in show(probes.sections, run)
    assert "no labels" in show(probes.sections, run, run)
    other = make("dna", "other")
    change(other, probes=[])
    for count in (1, 2):
        assert probes.sections([folder.read(other)] * count) == []


def test_probes_of_each_task(page):
    part = section(page("text"), "probes")
    assert re.findall("<h3>(.*?)</h3>", part) == ["sst2", "ud"]
    sst2, ud = re.findall(r"<table>.*?</table>", part, re.DOTALL)
    # What is true of all features is said once.
    assert "3 texts cut" not in re.sub("<caption>.*?</caption>|aria-label=.*?>", "", part)
    assert "(800 train, 400 test; 3 texts cut); best" in sst2
    rows = rows_of(sst2)
    assert [row[0] for row in rows] == [
        "encoder layer 0, mean",
        "untrained encoder layer 0, mean baseline",
        "encoder layer 1, mean",
        "untrained encoder layer 1, mean baseline",
        "bag of words baseline",
    ]
    # What has a protocol of its own says so.
    assert rows[-1][1:] == ["78.0 % logistic on tf-idf (C=10)\n73.0 to 83.0", "none"]
    assert bold(sst2) == ["65.0 %", "78.0 %"]
    assert [row[0] for row in rows_of(ud)] == [
        "encoder layer 0",
        "most frequent tag of the word baseline",
    ]


def test_tasks_of_several_runs(make):
    part = show(probes.sections, make("text", "a"), make("text", "b", seed=1))
    rows = rows_of(part)
    assert [row[0] for row in rows] == ["a", "b"] * 2
    assert rows[0][1:3] == [
        "75.0 % encoder layer 1, mean\n70.0 to 80.0",
        "78.0 % bag of words\n73.0 to 83.0",
    ]


def test_ranked_by_macro_f1(page, make):
    part = section(page("cells"), "probes")
    assert re.findall("<h3>(.*?)</h3>", part) == ["types, all labels", "types, 10 labels a class"]
    # Of cells, other measures are in result.json only.
    assert "Test accuracy, macro-F1 with 95 % interval" in part
    assert rows_of(part)[0][:3] == ["encoder", "90.0 % 85.0 to 95.0", "0.850 0.840 to 0.860"]
    both = [
        {"features": "encoder a", "accuracy": {"value": 0.9}, "macro_f1": {"value": 0.5}},
        {"features": "encoder b", "accuracy": {"value": 0.8}, "macro_f1": {"value": 0.6}},
    ]
    assert probes.best(both, trained=True)["features"] == "encoder b"
    part = show(probes.sections, make("cells", "a"), make("cells", "b", seed=1))
    assert "features are those of the best macro-F1" in part
    assert rows_of(part)[1][2] == "0.840 0.830 to 0.850"


def test_every_measure_has_a_column(make):
    [found] = probes.sections([folder.read(make("dna"))])
    [table] = found.tables
    assert table.head == (
        *("features", LOGISTIC, "logistic-lbfgs, Matthews correlation", "logistic-lbfgs, AUROC"),
        *(KNN, "knn, Matthews correlation", "knn, AUROC"),
    )
    assert table.caption == (
        "Test accuracy, Matthews correlation, AUROC with 95 % interval (80 train, 100 test;"
        " 5-fold cross-validation); best of each protocol in bold"
    )
    rows = texts(table)
    assert rows[1] == ["encoder layer 1", "79.0 %", "0.600", "0.900", "69.0 %", "0.300", "0.760"]
    assert rows[3] == ["GC content", "90.0 %", "0.300", "none", *["none"] * 3]
    best = [
        (r, c) for r, cells in enumerate(table.rows) for c, cell in enumerate(cells) if cell.best
    ]
    # Each measure has a best of its own.
    assert best == [(0, 4), (0, 5), (1, 6), (3, 1), (4, 2), (4, 3)]
    assert table.rows[1][2].small == "0.570 to 0.630"


def test_the_best_has_the_highest_matthews_correlation(make):
    trained, baseline = probes.headline(probes.probes_of(folder.read(make("dna"))))
    assert trained["features"] == "encoder layer 1"
    assert baseline["features"] == "one-hot bases"


def test_comparison_has_a_table_for_each_protocol(make):
    runs = [folder.read(make("dna", "a")), folder.read(make("dna", "b", seed=1))]
    [found] = probes.sections(runs)
    assert "chosen on the test sequences" in found.text
    first, second = found.tables
    assert [table.title for table in found.tables] == ["splice", "splice"]
    assert first.head == (
        *("run", LOGISTIC, "logistic-lbfgs, Matthews correlation", "logistic-lbfgs, AUROC"),
        *("best baseline, logistic-lbfgs", "best baseline, Matthews correlation"),
        "best baseline, AUROC",
    )
    assert texts(first) == [
        ["a", "79.0 %", "0.600", "0.900", "85.0 %", "0.700", "0.950"],
        ["b", "75.0 %", "0.650", "0.910", *["none"] * 3],
    ]
    assert first.rows[0][1].small.startswith("encoder layer 1\n")
    assert texts(second) == [
        ["a", "70.0 %", "0.400", "0.750", "61.0 %", "0.250", "0.670"],
        ["b", *["none"] * 6],
    ]


def test_baselines_are_never_the_headline():
    rows = [
        {"features": features, "protocol": protocol, "accuracy": {"value": accuracy}}
        for protocol, features, accuracy in (
            ("first", "encoder, mean", 0.5),
            ("first", "encoder, class", 0.6),
            ("first", "untrained encoder, mean", 0.9),
            ("first", "PCA", 0.7),
            ("second", "encoder, mean", 0.99),
        )
    ]
    trained, baseline = probes.headline(rows)
    assert trained["features"] == "encoder, class"
    assert baseline["features"] == "untrained encoder, mean"
