import json

import pytest

from maskwise.report import finetuning, folder, probes, tables

LOGISTIC, KNN = "logistic-lbfgs (C chosen on train, standardised on train)", "knn (k=20, T=0.07)"


def row(features, protocol, accuracy, mcc, auroc):
    """A row of the table of probes as evaluation writes it."""
    found = {"task": "splice", "features": features, "protocol": protocol, "accuracy": accuracy}
    found |= {"low": accuracy - 0.02, "high": accuracy + 0.02}
    for key, value in (("mcc", mcc), ("auroc", auroc)):
        spread = {"low": None, "high": None}
        if value is not None:
            spread = {"low": value - 0.03, "high": value + 0.03}
        found[key] = {"value": value} | spread
    found["macro_f1"] = {"value": 1 - accuracy, "low": None, "high": None}  # not shown
    return found | {"num_train": 80, "num_test": 100, "note": "5-fold cross-validation"}


ROWS = [
    row("encoder layer 0", LOGISTIC, 0.80, 0.50, 0.85),
    row("encoder layer 0", KNN, 0.70, 0.40, 0.75),
    row("encoder layer 1", LOGISTIC, 0.79, 0.60, 0.90),
    row("encoder layer 1", KNN, 0.69, 0.30, 0.76),
    row("untrained encoder layer 0", LOGISTIC, 0.71, 0.35, 0.77),
    row("untrained encoder layer 0", KNN, 0.61, 0.25, 0.67),
    row("GC content", LOGISTIC, 0.90, 0.30, None),
    row("one-hot bases", LOGISTIC, 0.85, 0.70, 0.95),
]


def tuned(model, mcc):
    def of(value):
        return {"mean": value, "low": value - 0.01, "high": value + 0.01}

    seeds = [{"seed": seed, "accuracy": 0.8, "mcc": mcc, "auroc": 0.9} for seed in (0, 1)]
    found = {"task": "splice", "model": model, "accuracy": of(0.8), "mcc": of(mcc)}
    found |= {"auroc": of(0.9), "seeds": seeds, "majority": 0.52, "note": "first fold as test"}
    return found | {"num_train": 80, "num_test": 20, "epochs": 3, "batch_size": 32, "lr": 1e-3}


@pytest.fixture
def make_dna_run(make_text_run):
    def make(name, found, fine=()):
        path = make_text_run(name, modality="dna")
        result = json.loads((path / "result.json").read_text())
        result |= {"probes": found, "finetuning": list(fine)}
        (path / "result.json").write_text(json.dumps(result))
        return folder.read(path)

    return make


def texts(table):
    return [[cell.text for cell in cells] for cells in table.rows]


def test_every_measure_has_a_column(make_dna_run):
    [section] = probes.sections(make_dna_run("a", ROWS))
    [table] = section.tables
    assert table.head == (
        *("features", LOGISTIC, "logistic-lbfgs, Matthews correlation", "logistic-lbfgs, AUROC"),
        *(KNN, "knn, Matthews correlation", "knn, AUROC"),
    )
    assert table.caption == (
        "Test accuracy, Matthews correlation, AUROC with 95 % interval (80 train, 100 test;"
        " 5-fold cross-validation); best of each protocol in bold"
    )
    found = texts(table)
    assert found[1] == ["encoder layer 1", "79.0 %", "0.600", "0.900", "69.0 %", "0.300", "0.760"]
    assert found[3] == ["GC content", "90.0 %", "0.300", "none", *["none"] * 3]
    best = [
        (r, c) for r, cells in enumerate(table.rows) for c, cell in enumerate(cells) if cell.best
    ]
    # Each measure has a best of its own.
    assert best == [(0, 4), (0, 5), (1, 6), (3, 1), (4, 2), (4, 3)]
    assert table.rows[1][2].small == "0.570 to 0.630"


def test_the_best_has_the_highest_matthews_correlation(make_dna_run):
    trained, baseline = tables.headline(tables.probes_of(make_dna_run("a", ROWS)))
    assert trained["features"] == "encoder layer 1"
    assert baseline["features"] == "one-hot bases"


def test_comparison_has_a_table_for_each_protocol(make_dna_run):
    other = [row("encoder layer 0", LOGISTIC, 0.75, 0.65, 0.91)]
    runs = [make_dna_run("a", ROWS), make_dna_run("b", other)]
    [section] = probes.comparison(["a", "b"], runs)
    assert "chosen on the test sequences" in section.text
    first, second = section.tables
    assert [table.title for table in section.tables] == ["splice", "splice"]
    assert first.head[:4] == (
        *("run", LOGISTIC, "logistic-lbfgs, Matthews correlation", "logistic-lbfgs, AUROC"),
    )
    assert first.head[4:] == (
        "best baseline, logistic-lbfgs",
        "best baseline, Matthews correlation",
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


def test_fine_tuning_has_the_area_too(make_dna_run):
    fine = [tuned("encoder", 0.6), tuned("untrained encoder", 0.5)]
    runs = [make_dna_run("a", [], fine), make_dna_run("b", [], fine[:1])]
    [section] = finetuning.sections(runs[0])
    assert "the order of the sequences" in section.text
    [table] = section.tables
    assert table.head == (
        "model",
        "accuracy",
        "Matthews correlation",
        "AUROC",
        "accuracy of each seed",
    )
    assert texts(table) == [
        ["encoder", "80.0 %", "0.600", "0.900", "80.0, 80.0"],
        ["untrained encoder", "80.0 %", "0.500", "0.900", "80.0, 80.0"],
        ["most frequent class", "52.0 %", "0", "0.5", ""],
    ]
    [section] = finetuning.comparison(["a", "b"], runs)
    [table] = section.tables
    assert table.head[1:4] == (
        "encoder, accuracy",
        "encoder, Matthews correlation",
        "encoder, AUROC",
    )
    assert texts(table)[1] == ["b", "80.0 %", "0.600", "0.900", *["none"] * 3]


def test_without_probes_there_is_no_section(make_dna_run):
    run = make_dna_run("a", [])
    assert probes.sections(run) == []
    assert probes.comparison(["a"], [run]) == []
    assert finetuning.sections(run) == []
