"""What one sample would be asked for next, in the report."""

import json

from maskwise.report import asking, folder
from tests.report.conftest import show

FOUND = {
    "visible": [{"name": "age", "value": "51"}, {"name": "sex", "value": "<f>"}],
    "num_visible": 3,
    "num_features": 9,
    "looked": 20,
    "label": 1,
    "classes": ["well", "ill"],
    "said": [[0.7, 0.3], [0.2, 0.8]],
    "answers": [{"name": "dose_mg", "value": "12.5"}],
    "asked": [
        {"name": "dose_mg", "nats": 0.31, "stderr": 0.02},
        {"name": "mass", "nats": 0.1, "stderr": 0.0},
    ],
}


def test_a_sample_and_its_questions(make):
    run = make("tables")
    (run / "asking.json").write_text(json.dumps(FOUND))
    [part] = asking.sections([folder.read(run)])
    assert "There were 3 of 9 features: age = 51; sex = <f>, ..." in part.text
    told = [(fact.label, fact.value, fact.note) for fact in part.facts]
    assert told == [
        ("with what was there", "well", "70.0 %"),
        ("after 1 answer", "ill", "80.0 %"),
        ("true", "ill", ""),
    ]
    wanted, said = (figure.body for figure in part.figures)
    assert "expected information of hidden features: dose_mg 0.31, mass 0.1" in wanted
    assert "well 0.70 to 0.20, ill 0.30 to 0.80" in said
    assert "ill (true)" in said
    assert "+ dose_mg\n= 12.5" in said
    assert "sex = &lt;f&gt;" in show(asking.sections, run)


def test_nothing_was_there_or_nothing_was_asked(make):
    run, other = make("tables"), make("tables", "other")
    (run / "asking.json").write_text(
        json.dumps(FOUND | {"visible": [], "num_visible": 0, "answers": [], "said": [[0.7, 0.3]]})
    )
    [part] = asking.sections([folder.read(run)])
    assert "of whose 9 features none was there" in part.text
    assert len(part.figures) == 1
    (other / "asking.json").unlink(missing_ok=True)
    assert asking.sections([folder.read(other)]) == []
    assert asking.sections([folder.read(run)] * 2) == []
