"""Labels of any kind become classes or numbers, or are refused."""

import numpy as np
import pytest

from maskwise.errors import UserError
from maskwise.predict.targets import Targets, read_labels, targets, with_few_left_out


@pytest.mark.parametrize(
    ("values", "y", "classes"),
    [
        (["b", " a ", None, ""], [1, 0, -1, -1], ("a", "b")),
        (np.array([True, False]), [1, 0], ("False", "True")),
        ([10, 9, -1, float("nan")], [2, 1, 0, -1], ("-1", "9", "10")),
        (np.array([1.0, np.nan, 0.0]), [1, -1, 0], ("0", "1")),
    ],
)
def test_classes(values, y, classes):
    found = targets(values)
    assert (found.y.tolist(), found.classes) == (y, classes)
    assert found.known.tolist() == [each >= 0 for each in y]


def test_numbers():
    found = targets([1, 2.5, None])
    assert found.classes is None
    np.testing.assert_array_equal(found.y, [1, 2.5, np.nan])
    assert found.known.tolist() == [True, True, False]
    assert targets(np.arange(20)).classes is not None  # few whole numbers
    assert targets(np.arange(21)).classes is None


def test_what_they_are_can_be_said():
    assert targets(["1", "2.5"], "numbers").y.tolist() == [1, 2.5]
    assert len(targets(np.arange(30), "classes").classes) == 30
    with pytest.raises(UserError, match=r"labels: 0.5 is no class: give whole numbers"):
        targets([0.5, 1], "classes")
    with pytest.raises(UserError, match=r"labels: 'a' is no number"):
        targets(["a"], "numbers")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.zeros((2, 2)), r"labels: an array of shape \(2, 2\): give one for each sample, \[N\]"),
        (["a", 1], "labels: texts and numbers, such as 'a' and 1: give one"),
        ([1.5, float("inf")], "labels: that of sample 2 is inf: leave it empty"),
        ([1, object()], "labels: that of sample 2 is object, no text, number or bool"),
    ],
)
def test_labels_that_are_none(values, says):
    with pytest.raises(UserError, match=says):
        targets(values)


def test_classes_of_one_sample_are_left_out_and_named(caplog):
    found = targets(["a", "a", "rare", "b", "b", "c", None])
    rows = np.array([True, True, True, True, True, False, True])
    kept = with_few_left_out(found, rows, "type")
    assert kept.classes == ("a", "b")
    assert kept.y.tolist() == [0, 0, -1, 1, 1, -1, -1]
    assert "type: 2 classes with fewer than two samples to learn from are left out: c, rare" in (
        caplog.text
    )


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["a", "a", "b"], r"3 samples to learn from \(2 of 'a', 1 of 'b'\): give two classes of"),
        (["a", "a"], r"2 samples to learn from \(2 of 'a'\)"),
        ([0.5, 0.5, None], "2 numbers to learn from, of which no two differ"),
        ([None], r"0 samples to learn from \(none\)"),
    ],
)
def test_too_little_to_learn_from(values, says):
    with pytest.raises(UserError, match=says):
        with_few_left_out(targets(values), np.ones(len(values), dtype=bool), "type")


def test_labels_of_a_file_by_name(tmp_path, caplog):
    path = tmp_path / "labels.csv"
    path.write_text("label,name\nx,c\ny,a\nz,nobody\n")
    assert read_labels(path, ["a", "b", "c"], 3).tolist() == ["y", None, "x"]
    assert "1 names are of no sample: nobody" in caplog.text
    path.write_text("id,value\n3,0.5\n1,\n")  # numbers, by the numbers of samples
    assert read_labels(path, None, 3).tolist() == [None, None, 0.5]
    path.write_text("class\nx\ny\n")
    assert read_labels(path, None, 2).tolist() == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("label\nx\n", "1 labels for 2 samples: give 2, or say which is which by a column name"),
        ("name,label\na,1\na,2\n", "a: these names are there twice: keep one of each"),
        ("name,label\nu,1\n", "none of 1 names is that of a sample, such as a, b: the file has u"),
        ("name,age\na,1\n", "has the columns name, age: give one of label, class, target, value"),
    ],
)
def test_files_that_are_no_labels(text, says, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=says):
        read_labels(path, ["a", "b"], 2)
    with pytest.raises(UserError, match=r"labels are read from .jsonl"):
        read_labels(tmp_path / "labels.png", None, 2)


def test_a_target_is_told(caplog):
    from maskwise.predict.targets import say

    with caplog.at_level("INFO", logger="maskwise"):
        say(targets(["b", "a"]), "type", 2)
        say(Targets(np.array([1.5, 2.5]), None), "age", 2)
    assert 'type: 2 classes (a, b), learned from 2 samples (else task="numbers")' in caplog.text
    assert "age: numbers from 1.5 to 2.5, learned from 2 samples" in caplog.text
