from pathlib import Path

import pytest

from maskwise.errors import UserError
from maskwise.text.tasks import parse_task, read_tagged_task, read_task


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/data/sst2_train.tsv.xz:/data/sst2_dev.tsv.xz", "sst2"),
        ("TREC.train.xz:TREC.test.xz", "TREC"),
        ("/data/banking/train.csv:test.csv", "banking"),
        ("mine=train.csv:test.csv", "mine"),
        ("cola_public.tsv:dev.tsv", "cola_public"),
    ],
)
def test_names_of_tasks(text: str, name: str) -> None:
    found = parse_task(text)
    assert found.name == name
    assert found.train == Path(text.split("=")[-1].split(":")[0])
    assert found.test == Path(text.split(":")[1])


@pytest.mark.parametrize("text", ["", "train.csv", "a:", ":b", "=a:b", "a="])
def test_refuses_what_names_no_two_files(text: str) -> None:
    with pytest.raises(UserError, match="give TRAIN:TEST or NAME=TRAIN:TEST"):
        parse_task(text)


def test_chooses_texts_at_random_and_numbers_classes(tmp_path: Path) -> None:
    rows = [f"{'abc'[i % 3]}\ttext {i}" for i in range(30)]
    (tmp_path / "train.tsv").write_text("\n".join(["label\ttext", *rows]), encoding="utf-8")
    (tmp_path / "test.tsv").write_text("label\ttext\nd\tx\na\ty\n", encoding="utf-8")
    text = f"{tmp_path}/train.tsv:{tmp_path}/test.tsv"
    task = read_task(text, 12, 10, seed=0)
    assert (len(task.train), len(task.test)) == (12, 2)
    for written, number in zip(task.train, task.train_y, strict=True):
        assert task.classes[number] == "abc"[int(written.split()[1]) % 3]
    assert task.test_y.tolist() == [3, 0]
    again, other = (read_task(text, 12, 10, seed=seed) for seed in (0, 1))
    assert again.train == task.train != other.train


def test_refuses_a_single_class(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("label\ttext\na\tx\n", encoding="utf-8")
    with pytest.raises(UserError, match="has the single class 'a'"):
        read_task(f"{tmp_path}/train.tsv:{tmp_path}/train.tsv", 10, 10, 0)


def test_chooses_whole_sentences(tmp_path: Path) -> None:
    sentences = [[f"w{i}\t{'AB'[i % 2]}"] * (i + 1) for i in range(6)]
    lines = "\n\n".join("\n".join(each) for each in sentences)
    (tmp_path / "train.tsv").write_text(lines, encoding="utf-8")
    text = f"{tmp_path}/train.tsv:{tmp_path}/train.tsv"
    task = read_tagged_task(text, 10, 100, seed=0)
    assert all(len(words) == int(words[0][1:]) + 1 for words in task.train)
    assert 0 < len(task.train_y) == sum(map(len, task.train)) <= 10
    assert len(task.test_y) == 21
    assert [int(words[0][1:]) for words in task.test] == list(range(6))
    for part, y in ((task.train, task.train_y), (task.test, task.test_y)):
        words = [word for sentence in part for word in sentence]
        assert [int(word[1:]) % 2 for word in words] == y.tolist()
    assert len(read_tagged_task(text, 21, 1, seed=3).test) == 1
