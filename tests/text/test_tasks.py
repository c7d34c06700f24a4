import lzma
from pathlib import Path

import pytest

from maskwise.errors import UserError
from maskwise.text.tasks import parse_task, read_labelled, read_tagged, read_tagged_task, read_task


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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "label\tsentence\n0\tsay \"no\n1\t't was, or\n"),
        ("a.tsv", "Sentence\tidx\tLabel\nsay \"no\t7\t0\n't was, or\t8\t1\n"),
        ("a.csv", 'text,category\n"say ""no",0\n"\'t was, or",1\n'),
        ("a.jsonl", '{"label": 0, "text": "say \\"no"}\n{"text": "\'t was, or", "label": 1}\n'),
        ("cola.tsv", "gj04\t0\t*\tsay \"no\ngj04\t1\t\t't was, or\n"),
        ("TREC.train", "0:sub say \"no\n1:other 't was, or\n"),
        ("labels.txt", "0 say \"no\r\n1 't was, or\r\n"),
    ],
)
def test_reads_the_usual_forms(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8", newline="")
    for file in (path, tmp_path / f"{name}.xz"):
        if file != path:
            with lzma.open(file, "wt", encoding="utf-8", newline="") as packed:
                packed.write(content)
        assert read_labelled(file) == (['say "no', "'t was, or"], ["0", "1"])


def test_reads_latin_1_where_lines_begin_with_labels(tmp_path: Path) -> None:
    (tmp_path / "TREC.train").write_bytes("LOC:city Où est Málaga ?\n".encode("latin-1"))
    assert read_labelled(tmp_path / "TREC.train")[0] == ["Où est Málaga ?"]


def test_a_text_in_quotes_may_have_several_lines(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text,label\n"one\ntwo",x\n', encoding="utf-8")
    assert read_labelled(tmp_path / "a.csv")[0] == ["one\ntwo"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "title,stars\nx,1\n", "columns title, stars: give one of text, sentence"),
        ("a.csv", "text,sentence,label\nx,y,1\n", "columns text, sentence, label"),
        ("a.tsv", "label\ttext\n1\tx\n1\n", "row 3 has 1 columns, not 2"),
        ("a.tsv", "label\ttext\n1\t \n", "row 2 has no text"),
        ("a.tsv", "label\ttext\n\tx\n", "no row has a label in 'label'"),
        ("a.tsv", "", "columns none"),
        ("a.tsv", "label\ttext\n", "holds no texts"),
        ("a.jsonl", '{"text": "x"}\n', "columns text: give one of"),
        ("a.jsonl", "no\n", "line 1 is no JSON object"),
        ("a.txt", "alone\n", "line 1 has no text"),
    ],
)
def test_refuses_other_forms(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_labelled(tmp_path / name)


def test_refuses_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        read_labelled(tmp_path / "absent.tsv")
    with pytest.raises(UserError, match="cannot read"):
        read_labelled(tmp_path / "absent.txt")
    (tmp_path / "a.tsv").write_bytes(b"label\ttext\n0\t\0\x01\n")
    with pytest.raises(UserError, match="is no text: byte 14 is NUL"):
        read_labelled(tmp_path / "a.tsv")


@pytest.mark.parametrize(
    "form",
    [
        "{0}\t{1}",
        "{2}\t{0}\t{1}\t0\troot",
        "{2}\t{0}\tlemma\t{1}\tXPOS\t_\t0\troot\t_\t_",
    ],
)
def test_reads_tagged_words(tmp_path: Path, form: str) -> None:
    rows = [form.format(*each) for each in [("#", "SYM", 1), ("cats", "NOUN", 2)]]
    lines = ["# text = # cats", *rows, "", "", "# newpar", form.format("run", "VERB", 1)]
    (tmp_path / "a.tsv").write_text("\n".join(lines), encoding="utf-8")
    sentences, tags = read_tagged(tmp_path / "a.tsv")
    assert sentences == [["#", "cats"], ["run"]]
    assert tags == [["SYM", "NOUN"], ["VERB"]]


def test_numbers_that_are_not_whole_are_of_no_word(tmp_path: Path) -> None:
    rest = "lemma\tX\tX\t_\t0\troot\t_\t_"
    lines = [f"1-2\tdon't\t{rest}", f"1\tdo\t{rest}", f"2\tn't\t{rest}", f"2.1\tgo\t{rest}"]
    (tmp_path / "a.conllu").write_text("\n".join(lines), encoding="utf-8")
    assert read_tagged(tmp_path / "a.conllu")[0] == [["do", "n't"]]


def test_refuses_words_without_tags(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("word\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 1 has one column"):
        read_tagged(tmp_path / "a.tsv")
    (tmp_path / "a.tsv").write_text("\n", encoding="utf-8")
    with pytest.raises(UserError, match="holds no words"):
        read_tagged(tmp_path / "a.tsv")
