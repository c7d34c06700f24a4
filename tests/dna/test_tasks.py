from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise.dna.bases import decode, encode, reverse_complement
from maskwise.dna.tasks import check_dna_files, group, parse_dna_task, read_dna_task
from maskwise.errors import UserError

OTHER = str.maketrans("ACGTN", "TGCAN")


def other_strand(letters: str) -> str:
    return letters.upper().translate(OTHER)[::-1]


@pytest.mark.parametrize(
    ("text", "name", "train", "test"),
    [
        ("/data/splice.csv", "splice", ["/data/splice.csv"], []),
        ("ctcf.fa.gz+pu1.fa.gz", "ctcf+pu1", ["ctcf.fa.gz", "pu1.fa.gz"], []),
        ("p_train.csv:p_test.csv", "p", ["p_train.csv"], ["p_test.csv"]),
        ("mine=a.fa+b.fa:c.fa+d.fa", "mine", ["a.fa", "b.fa"], ["c.fa", "d.fa"]),
        ("/data/splice/train.tsv.xz:x", "splice", ["/data/splice/train.tsv.xz"], ["x"]),
    ],
)
def test_names_of_tasks(text: str, name: str, train: list[str], test: list[str]) -> None:
    want = (name, tuple(map(Path, train)), tuple(map(Path, test)))
    assert parse_dna_task(text) == want


@pytest.mark.parametrize("text", ["", "a:", ":b", "=a", "a=", "a:b:c", "a+:b", "+"])
def test_refuses_what_names_no_files(text: str) -> None:
    with pytest.raises(UserError, match="cannot be read: give TRAIN:TEST or one part"):
        parse_dna_task(text)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">a\nA\n")
    with pytest.raises(UserError, match=r"b\.fa, which evaluation needs, does not exist"):
        check_dna_files([f"{tmp_path}/a.fa", f"x={tmp_path}/a.fa+{tmp_path}/b.fa"])
    check_dna_files([f"{tmp_path}/a.fa"])


@given(
    st.lists(
        st.tuples(st.text("ACGTNacgt", min_size=1, max_size=3), st.sampled_from(["", "x", "y"])),
        min_size=1,
        max_size=12,
    )
)
def test_groups_are_what_sequences_and_names_connect(rows: list[tuple[str, str]]) -> None:
    letters, names = zip(*rows, strict=True)
    same, groups = group([encode(each) for each in letters], names)
    linked = np.zeros((len(rows),) * 2, dtype=bool)
    for i, (one, name) in enumerate(rows):
        for j, (two, other) in enumerate(rows):
            equal = one.upper() in (two.upper(), other_strand(two))
            assert (same[i] == same[j]) == equal
            linked[i, j] = equal or (name != "" and name == other)
    for _ in rows:
        linked = (linked.astype(int) @ linked) > 0
    assert ((groups[:, None] == groups) == linked).all()


def either(codes: np.ndarray) -> bytes:
    return min(codes.tobytes(), reverse_complement(codes).tobytes())


def make_rows(num: int, seed: int) -> list[tuple[str, str]]:
    """Sequences of three classes, some of them twice and some on the other strand."""
    rng = np.random.default_rng(seed)
    rows = []
    for place in range(num):
        if place % 4 == 3:
            letters, label = rows[rng.integers(len(rows))]
            rows.append((other_strand(letters) if place % 8 == 3 else letters, label))
        else:
            letters = "".join(rng.choice(list("ACGT"), 20))
            rows.append((letters, "abc"[rng.choice(3, p=[0.2, 0.3, 0.5])]))
    return rows


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    lines = "\n".join(f"{label},{letters}" for letters, label in rows)
    path.write_text(f"label,sequence\n{lines}\n", encoding="utf-8")
    return path


def test_folds_keep_groups_together_and_shares_of_classes(tmp_path: Path) -> None:
    rows = make_rows(400, seed=0)
    path = write(tmp_path / "a.csv", rows)
    task = read_dna_task(str(path), 1000, 1000, seed=0)
    assert task.classes == ("a", "b", "c")
    assert [(decode(x), task.classes[y]) for x, y in zip(task.sequences, task.y, strict=True)] == [
        (letters, label) for letters, label in rows
    ]
    assert len(task.folds) == 5
    assert sorted(np.concatenate([fold.test for fold in task.folds])) == list(range(400))
    keys = [min(letters, other_strand(letters)) for letters, _ in rows]
    for train, test in task.folds:
        assert sorted([*train, *test]) == list(range(400))
        assert not {keys[i] for i in train} & {keys[i] for i in test}
        assert len(test) == pytest.approx(80, abs=8)
        shares = np.bincount(task.y[test], minlength=3) / np.bincount(task.y)
        assert shares == pytest.approx(0.2, abs=0.04)
    assert task.note == (
        "5-fold cross-validation; 100 of 400 sequences repeat others, and share their fold"
    )
    again, other = (read_dna_task(str(path), 1000, 1000, seed=seed) for seed in (0, 1))
    assert (again.folds[0].test == task.folds[0].test).all()
    assert set(other.folds[0].test) != set(task.folds[0].test)


def test_groups_of_the_file_stay_in_one_fold(tmp_path: Path) -> None:
    rows = [row for place, row in enumerate(make_rows(160, seed=1)) if place % 4 < 3]
    lines = "\n".join(f"{x},{y},chr{place % 9}" for place, (x, y) in enumerate(rows))
    path = tmp_path / "a.csv"
    path.write_text(f"seq,label,group\n{lines}\n")
    task = read_dna_task(str(path), 1000, 1000, seed=0)
    for train, test in task.folds:
        assert not {i % 9 for i in train} & {i % 9 for i in test}


def test_given_splits_count_what_is_in_both(tmp_path: Path) -> None:
    train = [("ACGT", "a"), ("AAAA", "b"), ("CCNC", "b")]
    test = [("aaaa", "a"), ("TTTT", "b"), ("GNGG", "a"), ("CCCA", "a")]
    text = f"{write(tmp_path / 'train.csv', train)}:{write(tmp_path / 'test.csv', test)}"
    task = read_dna_task(text, 10, 10, seed=0)
    [fold] = task.folds
    assert (fold.train.tolist(), fold.test.tolist()) == ([0, 1, 2], [3, 4, 5, 6])
    assert task.y.tolist() == [0, 1, 1, 0, 1, 0, 0]
    assert task.note == "3 of 4 test sequences are also in train; 2 unknown bases"
    assert task.groups[[1, 3, 4]].tolist() == [task.groups[1]] * 3


def test_limits_take_whole_groups_at_random(tmp_path: Path) -> None:
    text = f"{write(tmp_path / 'train.csv', make_rows(200, 2))}:"
    text += str(write(tmp_path / "test.csv", make_rows(80, 3)))
    task = read_dna_task(text, 60, 25, seed=0)
    [fold] = task.folds
    every = read_dna_task(text, 200, 80, seed=0).sequences
    for index, num, whole in ((fold.train, 60, every[:200]), (fold.test, 25, every[200:])):
        assert num - 6 < len(index) <= num
        chosen = Counter(either(task.sequences[place]) for place in index)
        there = Counter(map(either, whole))
        assert all(there[key] == num_chosen for key, num_chosen in chosen.items())
    again, other = (read_dna_task(text, 60, 25, seed=seed) for seed in (0, 1))
    assert [x.tobytes() for x in again.sequences] == [x.tobytes() for x in task.sequences]
    assert [x.tobytes() for x in other.sequences] != [x.tobytes() for x in task.sequences]
    # One part is bound by both limits.
    alone = read_dna_task(f"{tmp_path}/train.csv", 60, 100, seed=0)
    assert 54 < len(alone.y) <= 60


def test_refuses_what_cannot_be_split(tmp_path: Path) -> None:
    one = write(tmp_path / "one.csv", [("A", "x"), ("C", "x")])
    two = write(tmp_path / "two.csv", [("A", "x"), ("C", "y")])
    (tmp_path / "pos.fa").write_text(">a\nACG\n")
    for text, name in ((f"{one}", "x"), (f"{two}:{one}", "x"), (f"{tmp_path}/pos.fa", "pos")):
        with pytest.raises(UserError, match=f"has the single class '{name}': give two or more"):
            read_dna_task(text, 9, 9, 0)
    copies = write(tmp_path / "copies.csv", [("A", "x")] * 9 + [("C", "y")] * 9)
    with pytest.raises(UserError, match="task 'copies' has 1 different groups"):
        read_dna_task(str(copies), 99, 99, 0)
