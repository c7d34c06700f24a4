from types import SimpleNamespace

from maskwise.report import finetuning


def tuned(model, *values, protocol="mae-finetune (drop path 0.1, no RandAugment)"):
    accuracy = {"mean": sum(values) / len(values), "low": None, "high": None}
    seeds = [{"seed": seed, "accuracy": value} for seed, value in enumerate(values)]
    row = {"task": "digits", "model": model, "accuracy": accuracy, "seeds": seeds}
    row |= {"majority": 0.1, "num_train": 1437, "num_test": 360, "protocol": protocol}
    return row | {"epochs": 100, "batch_size": 128, "lr": 2e-3, "note": ""}


def run(*rows):
    return SimpleNamespace(result={"finetuning": list(rows)}, modality="images")


def test_the_protocol_stands_beside_the_numbers():
    found = run(tuned("encoder", 0.9, 0.8), tuned("untrained encoder", 0.7, 0.6))
    [section] = finetuning.sections(found)
    [table] = section.tables
    assert table.head == ("model", "accuracy", "accuracy of each seed")
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["encoder", "85.0 %", "90.0, 80.0"],
        ["untrained encoder", "65.0 %", "70.0, 60.0"],
        ["most frequent class", "10.0 %", ""],
    ]
    protocol = "mae-finetune (drop path 0.1, no RandAugment); 1,437 train, 360 test; epochs: 100"
    assert table.caption.startswith(protocol)
    other = run(tuned("encoder", 0.9, protocol="mae-finetune (flip)"))
    [section] = finetuning.comparison(["a", "b"], [found, other])
    assert protocol in section.tables[0].caption
    assert " or mae-finetune (flip)" in section.tables[0].caption
