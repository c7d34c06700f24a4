from types import SimpleNamespace

from maskwise import words
from maskwise.files import write_json
from maskwise.listing import summary
from maskwise.settings import to_dict
from maskwise.words import ProbeWords, Words


def test_every_accuracy_is_printed_with_its_interval(tmp_path):
    law = {"name": "fixed:0.3", "scope": "step", "reduction": "sample_mean"}
    share = {"accuracy": 0.5, "low": 0.4, "high": 0.61}
    tuned = {"task": "cola", "model": "encoder", "mcc": {"mean": -0.25}}
    alone = {"mean": 0.7, "low": None, "high": None}
    result = {
        "law": {**law, "mean": 0.3, "effective_mean": 0.3},
        "probes": [
            {"features": "PCA (64)", "protocol": "knn", **share},
            {"task": "trec", "features": "bag of words", "protocol": "logistic", **share},
        ],
        "minimal_pairs": [{"name": "zorro", "num_pairs": 2300, **share}],
        "finetuning": [{**tuned, "accuracy": alone}],
    }
    out = summary(SimpleNamespace(result=result, path=tmp_path, report="r.html"))
    between = "50.0% [40.0%, 61.0%]"
    assert [" ".join(line.split()) for line in out.splitlines()[1:]] == [
        f"{between} PCA (64) knn",
        f"{between} trec: bag of words logistic",
        f"{between} zorro: 2,300 minimal pairs",
        "70.0% cola: encoder, fine-tuned (Matthews correlation -0.250)",
        "report: r.html",
    ]


def test_macro_f1_and_imputation(tmp_path):
    law = {"name": "fixed:0.3", "scope": "step", "reduction": "sample_mean"}
    f1 = {"value": 0.5, "low": 0.4, "high": None}
    probes = [
        {"task": task, "features": features, "protocol": protocol, "macro_f1": f1}
        for task in ("all", "5 a class", "9 a class")
        for features in ("encoder", "PCA (50)")
        for protocol in ("logistic (C)", "knn (k=15)")
    ]
    imputed = [
        {"method": method, "entries": entries, "mechanism": "random", "ratio": ratio}
        | {"r2": r2, "r2_low": 0.1, "r2_high": 0.9}
        for entries in ("all", "nonzero")
        for method, r2 in (("model", 0.25), ("kNN", -0.5), ("PCA", None))
        for ratio in (0.1, 0.5)
    ]
    result = {"law": {**law, "mean": 0.3, "effective_mean": 0.3}, "probes": probes}
    result["imputation"] = imputed
    write_json(tmp_path / words.NAME, to_dict(Words(probes=ProbeWords(measures=("macro_f1",)))))
    out = summary(SimpleNamespace(result=result, path=tmp_path, report="r.html"))
    assert [" ".join(line.split()) for line in out.splitlines()[1:]] == [
        "0.500 macro-F1, all: encoder",
        "0.500 macro-F1, all: PCA (50)",
        "0.500 macro-F1, 5 a class: encoder",
        "0.500 macro-F1, 5 a class: PCA (50)",
        "0.250 [0.100, 0.900] R² of hidden values at ratio 0.5: model",
        "-0.500 [0.100, 0.900] R² of hidden values at ratio 0.5: kNN",
        "report: r.html",
    ]
