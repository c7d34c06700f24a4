"""Sequences with unknown bases as windows, and labelled ones."""

import numpy as np
import pytest

from maskwise.dna.bases import NOTHING, encode
from maskwise.dna.partial import incomplete, labelled
from maskwise.dna.record import DNARunSettings
from maskwise.errors import UserError
from maskwise.predict.asked import ModelAsked
from maskwise.settings import override


def config(**changes):
    return override(DNARunSettings(), {f"data.{name}": value for name, value in changes.items()})


def test_unknown_bases_and_gaps_are_missing(make_dna_model, caplog):
    model = make_dna_model(window=8)
    given = ["ACGTNN-A", "ACG", "NN", "T" * 3 + "ACGTACGT" + "G" * 2, "ACJ", ""]
    found = incomplete(model, given, config())
    assert sorted(found.broken) == [4, 5]
    assert found.broken[4].startswith("position 3: 'J'")
    assert found.broken[5] == "empty"
    codes = found.source.get(np.arange(4)).numpy()
    assert codes[0].tolist() == encode("ACGTNNNA").tolist()
    assert codes[1].tolist() == [*encode("ACG"), *[NOTHING] * 5]
    assert codes[3].tolist() == encode("TACGTACG").tolist()  # the middle
    assert "1 sequences cut to the 8 bases in their middle" in caplog.text
    asked = ModelAsked(model, found)
    assert asked.there.sum(axis=1).tolist() == [5, 3, 0, 8]
    assert asked.whole.tolist() == [8, 3, 2, 8]


def test_kmers_with_an_unknown_base_are_missing(make_dna_model):
    asked = ModelAsked(
        make_dna_model(window=6, tokens="kmers:3"),
        incomplete(make_dna_model(window=6, tokens="kmers:3"), ["ACGTNA", "AC"], config()),
    )
    assert asked.there.tolist() == [[True, False], [False, False]]
    assert asked.whole.tolist() == [2, 0]


def test_all_of_a_file_have_a_place(make_dna_model, tmp_path):
    path = tmp_path / "a.fa"
    path.write_text(">x\nACGT\n>unknown\nNNNN\n>gap\nAC-T\n")
    found = incomplete(make_dna_model(window=8), None, config(source=str(path)))
    assert list(found.names) == ["x", "unknown", "gap"]
    assert list(found.broken) == [2]
    assert len(found.source) == 2  # of one of which nothing is visible
    with pytest.raises(UserError, match="this run was given sequences: give them again"):
        incomplete(make_dna_model(window=8), None, config(source="array"))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "none of 0 sequences can be read: there is none"),
        (["J"], "none of 1 sequences can be read: 1: position 1"),
        ([1], "sequence 1 is int, not str"),
    ],
)
def test_no_sequences(given, says, make_dna_model):
    with pytest.raises(UserError, match=says):
        incomplete(make_dna_model(window=8), given, config())


def test_labelled_sequences_of_files(make_dna_model, tmp_path):
    model, table = make_dna_model(window=8), tmp_path / "a.csv"
    table.write_text("sequence,label,Peak\nACGT,1,x\nGGGG,0,\nTTTT,1,y\n")
    found = labelled(model, None, config(source=str(table)), None, "given")
    assert found.values.tolist() == ["1", "0", "1"]
    assert labelled(model, None, config(source=str(table)), "Peak", "own").values.tolist() == [
        *("x", "y"),
    ]
    one, two = tmp_path / "ctcf.fa", tmp_path / "other_train.fa"
    one.write_text(">1\nACGT\n")
    two.write_text(">1\nGGGG\n>2\nTTTT\n")
    both = labelled(model, None, config(source=f"{one}+{two}"), None, "given")
    assert both.values.tolist() == ["ctcf", "other", "other"]
    assert labelled(model, ["ACGT"], config(), None, "apart").values is None
    with pytest.raises(UserError, match="a run on DNA has no labels"):
        labelled(model, None, config(source=str(table)), None, "own")
    with pytest.raises(UserError, match=r"ctcf.fa has no column 'peak': give a table"):
        labelled(model, None, config(source=str(one)), "peak", "own")
