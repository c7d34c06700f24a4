"""Fine-tuning, minimal pairs and clusters."""

import pytest

from maskwise.report import folder, probes, representation
from tests.report.conftest import change, rows_of, section, show, texts
from tests.report.made_up import finetuned


@pytest.mark.parametrize(
    ("law", "says"),
    [
        ("uniform:0.1,0.5", "inside the ratios met in training (0.1 to 0.5)."),
        ("fixed:0.15", "outside the ratios met in training (0.15 alone): the model extrapolates."),
        ("scheduled:linear,0.3..0.1", "inside the ratios met in training (0.1 to 0.3)."),
    ],
)
def test_minimal_pairs(make, law, says):
    part = show(probes.pairs, make("text", law=law))
    assert f"That hides 0.12 of a sentence on average, {says}" in part
    assert "Chance is 50 %" in part
    assert "anaphor gender</text>" in part
    assert rows_of(part) == [
        ["agreement_subject_verb 40 pairs", "71.0 % 66.0 to 76.0"],
        ["anaphor_gender 20 pairs", "43.0 % 38.0 to 48.0"],
    ]


def test_pairs_and_fine_tuning_of_several_runs(make):
    runs = [make("text", "a"), make("text", "b", seed=1)]
    pairs = rows_of(show(probes.pairs, *runs))
    assert [row[0] for row in pairs][:2] == ["a", "b"]
    assert pairs[3] == ["anaphor_gender 20 pairs", "43.0 % 38.0 to 48.0", "42.0 % 37.0 to 47.0"]
    tuned = rows_of(show(probes.finetuning, *runs))
    assert [row[0] for row in tuned] == ["a", "b"]
    assert tuned[1][1].startswith("81.0 %")


def test_fine_tuning(make, page):
    part = section(page("text"), "finetuning")
    assert "800 train, 400 test; epochs: 3, batches of 32, learning rate 0.0003" in part
    assert "the order of the texts" in part
    assert rows_of(part) == [
        ["encoder", "82.0 % 80.0 to 84.0", "0.640 0.620 to 0.660", "81.0, 83.0, 82.0"],
        [
            *("untrained encoder baseline", "70.0 % 68.0 to 72.0", "0.400 0.380 to 0.420"),
            "71.0, 69.0, 70.0",
        ],
        ["most frequent class", "51.0 %", "0", ""],
    ]
    run = make("text")
    rows = folder.read(run).result["finetuning"]
    for row in rows:
        row["seeds"] = row["seeds"][:1]
        for key in ("accuracy", "mcc"):
            row[key] |= {"low": None, "high": None}
    change(run, finetuning=rows)
    part = show(probes.finetuning, run)
    assert "for one seed." in part
    assert rows_of(part)[0] == ["encoder", "82.0 %", "0.640", "81.0"]


def test_fine_tuning_has_the_area_too(make):
    runs = [folder.read(make("dna", "a")), folder.read(make("dna", "b", seed=1))]
    [found] = probes.finetuning(runs[:1])
    assert "the order of the sequences" in found.text
    [table] = found.tables
    more = ("Matthews correlation", "AUROC")
    assert table.head == ("model", "accuracy", *more, "accuracy of each seed")
    assert texts(table) == [
        ["encoder", "80.0 %", "0.600", "0.600", "80.0, 80.0"],
        ["untrained encoder", "80.0 %", "0.600", "0.600", "80.0, 80.0"],
        ["most frequent class", "51.0 %", "0", "0.5", ""],
    ]
    [found] = probes.finetuning(runs)
    [table] = found.tables
    assert table.head[1:4] == tuple(f"encoder, {name}" for name in ("accuracy", *more))
    assert texts(table)[1] == ["b", "80.0 %", "0.600", "0.600", *["none"] * 3]


def test_the_protocol_stands_beside_the_numbers(make):
    protocol = "mae-finetune (drop path 0.1, no RandAugment)"
    runs = [make("images", "a"), make("images", "b")]
    rows = [
        finetuned(name, [0.9, 0.8], "digits", (), protocol=protocol) for name in ("encoder", "x")
    ]
    change(runs[0], finetuning=rows)
    change(runs[1], finetuning=[rows[0] | {"protocol": "mae-finetune (flip)"}])
    [found] = probes.finetuning([folder.read(runs[0])])
    [table] = found.tables
    assert table.head == ("model", "accuracy", "accuracy of each seed")
    assert texts(table)[0] == ["encoder", "85.0 %", "90.0, 80.0"]
    assert table.caption.startswith(f"{protocol}; 800 train, 400 test; epochs: 3")
    [found] = probes.finetuning([folder.read(run) for run in runs])
    assert protocol in found.tables[0].caption
    assert " or mae-finetune (flip)" in found.tables[0].caption


def test_nothing_asked_for_has_no_section(make):
    run = make("images")
    change(run, finetuning=[])
    for part in (probes.finetuning, probes.pairs, representation.clusters):
        for count in (1, 2):
            assert part([folder.read(run)] * count) == []


def test_clusters_and_batches(make, page):
    part = section(page("cells"), "clusters")
    assert "keep batches apart" in part
    found = rows_of(part)
    assert found[0] == ["encoder", "3", "0.700 0.690 to 0.710", "0.800 0.790 to 0.810"]
    assert found[2] == ["encoder", "1.600 1.590 to 1.610", "1.000", "1.900", "0.050"]
    # Tables have no batches, and not all have classes.
    run = make("tables")
    change(run, mixing=[])
    [alone] = representation.clusters([folder.read(run)])
    assert (len(alone.tables), "batches" in alone.text) == (1, False)
    names = [
        row[0]
        for row in rows_of(show(representation.clusters, make("cells", "a"), make("cells", "b")))
    ]
    assert names[:4] == ["a: encoder", "a: PCA (50)", "b: encoder", "b: PCA (50)"]
