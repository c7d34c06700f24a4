from types import SimpleNamespace

from maskwise import commands


def test_every_accuracy_is_printed_with_its_interval(capsys):
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
    commands._summarise(SimpleNamespace(result=result, report="r.html"))
    out, _ = capsys.readouterr()
    between = "50.0% [40.0%, 61.0%]"
    assert [" ".join(line.split()) for line in out.splitlines()[1:]] == [
        f"{between} PCA (64) knn",
        f"{between} trec: bag of words logistic",
        f"{between} zorro: 2,300 minimal pairs",
        "70.0% cola: encoder, fine-tuned (Matthews correlation -0.250)",
        "report: r.html",
    ]
