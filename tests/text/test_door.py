"""What people give as texts, and what becomes of it: the right reading, or one clear line."""

import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest

import maskwise as mw
from maskwise.errors import UserError
from maskwise.text.data import TextDataSettings, load
from maskwise.text.given import are_texts, read_given
from maskwise.text.sources import How, read_parts, read_samples
from maskwise.text.survey import look

pytest.importorskip("tokenizers")

LINES = [f"line {n} tells of {n * n} cats and some {n % 7} dogs" for n in range(40)]
TINY = {
    "data.length": 16,
    "data.vocab_size": 300,
    "model": {"width": 16, "depth": 1, "heads": 2},
    "train": {"steps": 2, "batch_size": 4},
    "evaluate": {"num_rows": 4, "ratios": (0.5,), "baselines": False},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return mw.pretrain(LINES, out=tmp_path_factory.mktemp("door") / "run", **TINY)


def documents(source, **how):
    found = []
    for part in read_parts(str(source), How(**how)):
        if part.first:
            found.append(part.text)
        else:
            found[-1] += part.text
    return found


def rows(*values):
    return "".join(json.dumps(value) + "\n" for value in values)


LISTS = {
    "objects.json": json.dumps([{"text": line} for line in LINES]),
    "pretty.json": json.dumps([{"text": line} for line in LINES], indent=2),
    "texts.json": json.dumps(LINES),
    "lines.json": rows(*({"text": line} for line in LINES)),
    "lines.jsonl": "\n".join(json.dumps({"text": line}) + "\n" for line in LINES) + "\n \n",
    "texts.ndjson": rows(*LINES),
    "table.csv": "id,text\n" + "".join(f'{n},"{line}"\n' for n, line in enumerate(LINES)),
    "semicolon.csv": "text;label\n" + "".join(f"{line};1\n" for line in LINES),
    "table.tsv": "label\ttext\n" + "".join(f"1\t{line}\n" for line in LINES),
    "crlf.csv": "text,label\r\n" + "".join(f'"{line}",1\r\n' for line in LINES),
}


@pytest.mark.parametrize("name", LISTS)
def test_rows_are_read_by_column(tmp_path, name):
    (tmp_path / name).write_text(LISTS[name], "utf-8", newline="")
    assert documents(tmp_path / name) == LINES


@pytest.mark.parametrize("name", ["objects.json", "table.csv"])
def test_rows_train_a_model_that_sees_no_raw_characters(tmp_path, name):
    (tmp_path / name).write_text(LISTS[name], "utf-8")
    data = {"data.vocab_size": 300, "data.length": 16, "train.batch_size": 2}
    found = mw.inspect(tmp_path / name, modality="text", **data)
    assert not found.problems
    assert found.found["characters"] == sum(map(len, LINES))
    assert found.found["documents"] == 40


ENCODED = "Où est le café élégant ? C'était naïf, déjà…\n" * 5


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl", "a.json"])
def test_encodings_are_found_and_said(tmp_path, name, encoding, caplog):
    text = {
        "a.txt": ENCODED,
        "a.csv": f'text\n"{ENCODED}"\n',
        "a.jsonl": json.dumps({"text": ENCODED}, ensure_ascii=False) + "\n",
        "a.json": json.dumps([{"text": ENCODED}], ensure_ascii=False),
    }[name]
    (tmp_path / name).write_bytes(text.encode(encoding))
    assert documents(tmp_path / name) == [ENCODED]
    with caplog.at_level(logging.WARNING, "maskwise"):
        read_samples(str(tmp_path / name), How())
    assert (f"not UTF-8, read as {encoding}" in caplog.text) == ("utf-8" not in encoding)


def test_an_encoding_can_be_given(tmp_path):
    (tmp_path / "a.txt").write_bytes("привет мир".encode("cp1251"))
    assert documents(tmp_path / "a.txt", encoding="cp1251") == ["привет мир"]
    found = mw.inspect(tmp_path / "a.txt", data={"encoding": "utf-8"})
    assert found.problems[0].settings == {"data.encoding": "auto"}
    assert "it is not in the encoding utf-8" in found.problems[0].text


HALF = "half \ud83d emoji"


@pytest.mark.parametrize("whole", [False, True])
def test_halves_of_characters_are_replaced_and_counted(run, tmp_path, caplog, whole):
    """In files, in lists, in what is embedded; two halves that belong together are one letter."""
    text = HALF.replace("\ud83d", "\ud83d\ude00") if whole else HALF
    right = "half \N{GRINNING FACE} emoji" if whole else "half \ufffd emoji"
    path = tmp_path / "a.jsonl"
    path.write_text(rows(*({"text": each} for each in [*LINES, text])), "utf-8")
    assert documents(path)[-1] == right
    assert look(str(path), How()).halves == (not whole)
    assert read_given([text]).texts == [right]
    np.testing.assert_array_equal(run.embed([text]), run.embed([right]))
    np.testing.assert_array_equal(run.embed(text), run.embed([right]))
    caplog.clear()
    load(TextDataSettings(source="array", vocab_size=300, length=16), [*LINES, text])
    assert ("replaced by U+FFFD in 1 texts" in caplog.text) == (not whole)


def test_halves_of_characters_where_texts_are_asked_about(run, tmp_path, cli):
    from maskwise.text.likelihoods import measure_text, pseudo_log_likelihoods
    from maskwise.text.tasks import read_labelled

    model = run.model()
    words = model.tokenizer
    for call in (words.tokenize, words.windows, lambda texts: words.encode(texts)):
        given, right = HALF * 9, HALF.replace("\ud83d", "\ufffd") * 9
        found, wanted = (
            call(each if call == words.windows else [each]) for each in (given, right)
        )
        assert np.array_equal(found[0][0], wanted[0][0])
    values = [pseudo_log_likelihoods(model, [each])[0] for each in (HALF, "half \ufffd emoji")]
    assert values[0] == values[1]
    texts = HALF * 40, "half \ufffd emoji" * 40
    options = {"length": 8, "num_samples": 4, "passes": 4, "seed": 0}
    found, wanted = (measure_text(model, each, **options) for each in texts)
    assert found == wanted
    path = tmp_path / "labelled.jsonl"
    path.write_text(rows({"text": HALF, "label": 1}), "utf-8")
    assert read_labelled(path)[0] == ["half \ufffd emoji"]
    status, out, _ = cli("fill", run.path, "half \udcff [MASK]")
    assert status == 0
    assert out.startswith("half \ufffd")


def test_rows_without_a_text_are_named_or_counted(tmp_path, caplog):
    path = tmp_path / "a.jsonl"
    good = [{"text": line} for line in LINES]
    bad = [{"text": None}, {"title": "none"}, {"text": 7}, {"text": float("nan")}]
    path.write_text(rows(*good, *bad) + "\n" + '{"text": "cut o', "utf-8")
    told = (
        "5 cannot be read: line 41 ('text' is null), line 42 (no 'text'), line 43 ('text' holds 7,"
        ' not a text), line 44 (\'text\' is null), line 46 (no JSON: {"text": "cut o): mend or'
        ' remove them, or leave them out by data={"broken": "skip"}'
    )
    data = TextDataSettings(source=str(path), vocab_size=300, length=16)
    with pytest.raises(UserError) as stopped:
        load(data)
    assert str(stopped.value) == f"{path}: {told}"
    kept = load(TextDataSettings(source=str(path), vocab_size=300, length=16, broken="skip"))
    assert kept.train.corpus.counts["documents"] == 40
    assert "5 that cannot be read left out: line 41 ('text' is null), line 42" in caplog.text
    found = mw.inspect(path, train={"batch_size": 4}, **{"data.length": 16})
    assert [each.settings for each in found.problems] == [{"data.broken": "skip"}]
    assert found.num_train == len(
        load(TextDataSettings(source=str(path), length=16, broken="skip")).train
    )


def test_rows_of_parquet_are_counted_from_1(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    table = pyarrow.table({"text": ["one", None, "two"], "name": ["a", "b", "c"]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert look(str(tmp_path / "a.parquet"), How()).broken == {"row 2": "'text' is null"}
    found = read_samples(str(tmp_path / "a.parquet"), How())
    assert found == (["one", "two"], ["a", "b", "c"], {1: "'text' is null"})


def make_folder(folder):
    (folder / "sub").mkdir(parents=True)
    (folder / "a b.txt").write_text("first text", "utf-8")
    (folder / "-x.txt").write_bytes(b"\xef\xbb\xbfsecond\r\ntext\r\n")
    (folder / "line\nbreak.md").write_text("third\ftext", "utf-8")
    (folder / "sub" / "inner.txt").write_text("fourth text", "utf-8")
    (folder / "dir.txt").mkdir()
    (folder / "dir.txt" / "in.txt").write_text("fifth text", "utf-8")
    (folder / "empty.txt").touch()
    for name in ("._a.txt", "Thumbs.db", "meta.json", "b.pdf", "c.doc"):
        (folder / name).write_bytes(b"\0\1no text")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "a.txt").write_text("hidden", "utf-8")


ALL = ["second\ntext\n", "first text", "fifth text", "third\ftext", "fourth text"]


def test_a_folder_of_all_sorts(tmp_path, caplog):
    folder = tmp_path / "texts"
    make_folder(folder)
    assert documents(folder) == ALL
    found = look(str(folder), How())
    assert (found.files, found.empty_files) == (5, ["empty.txt"])
    assert found.others == ["b.pdf", "c.doc", "meta.json"]
    with caplog.at_level(logging.WARNING, "maskwise"):
        load(TextDataSettings(source=str(folder), vocab_size=300, holdout=0.5))
    assert "1 empty files left out: empty.txt" in caplog.text
    assert "3 files left out, of other kinds or links to nothing: b.pdf, c.doc" in caplog.text


def test_links_are_followed_once(tmp_path):
    folder, other = tmp_path / "texts", tmp_path / "other"
    make_folder(folder)
    other.mkdir()
    (other / "linked.txt").write_text("linked text", "utf-8")
    for name, target in {
        "sub/loop": "..",
        "up": tmp_path,
        "again": folder / "sub",
        "there": other,
        "lost.txt": "nowhere",
    }.items():
        (folder / name).symlink_to(target)
    assert documents(folder) == [*ALL, "linked text"]
    assert "lost.txt" in look(str(folder), How()).others


def test_a_folder_of_tables_and_lists(tmp_path):
    (tmp_path / "b.csv").write_text("text\nsecond\n", "utf-8")
    (tmp_path / "a.json").write_text('["first"]', "utf-8")
    assert documents(tmp_path) == ["first", "second"]


def test_folders_of_empty_files(tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).touch()
    found = mw.inspect(tmp_path)
    told = f"{tmp_path}: no text: 2 empty files (a.txt, b.txt)"
    assert [each.text for each in found.problems] == [told]


@pytest.mark.parametrize("document", ["line", "paragraph", "file"])
def test_a_long_line_is_one_document(tmp_path, document):
    long = "a long line goes on " * 60_000
    (tmp_path / "a.txt").write_text(f"one\n\n{long}\n\n{' ' * (1 << 21)}\nlast", "utf-8")
    found = documents(tmp_path / "a.txt", document=document)
    if document == "file":
        assert len(found) == 1
    else:
        assert [found[0], found[1], found[-1].strip()] == ["one", long, "last"]
        assert len(found) == {"line": 4, "paragraph": 3}[document]
    survey = look(str(tmp_path / "a.txt"), How(document=document))
    assert survey.documents == len(found)
    (tmp_path / "a.csv").write_text(f'text\n"{long}"\n', "utf-8")
    (tmp_path / "a.jsonl").write_text(rows({"text": long}), "utf-8")
    assert documents(tmp_path / "a.csv") == documents(tmp_path / "a.jsonl") == [long]


def columns_of_texts():
    pandas = pytest.importorskip("pandas")
    return {
        "tuple": tuple(LINES),
        "array": np.array(LINES),
        "objects": np.array(LINES, dtype=object),
        "series": pandas.Series(LINES, index=range(7, 47)),
        "strings": pandas.Series(LINES, dtype="string"),
        "index": pandas.Index(LINES),
        "column": pandas.DataFrame({"a": LINES})["a"],
    }


@pytest.mark.parametrize(
    "form", ["tuple", "array", "objects", "series", "strings", "index", "column"]
)
def test_whatever_holds_texts_is_texts(run, form):
    given = columns_of_texts()[form]
    assert are_texts(given)
    data = {"data.length": 16, "data.vocab_size": 300, "train.batch_size": 2}
    assert mw.inspect(given, **data).to_dict() == mw.inspect(LINES, **data).to_dict()
    np.testing.assert_array_equal(run.embed(given), run.embed(LINES))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["a", 1, None, b"b"], "2 of 4 are no texts: text 2 is int, text 4 is bytes: give texts"),
        (np.zeros((4, 3)), r"an array of float64 \[4, 3\] holds no texts: give texts: a list"),
        (np.zeros((4, 8, 8)), r"an array of float64 \[4, 8, 8\] holds no texts"),
        ([["a"], ["b", "c"]], "2 of 2 are no texts: text 1 is list, text 2 is list"),
        ({"text": ["a"]}, "dict holds no texts"),
    ],
)
def test_what_holds_no_texts_is_one_line(run, given, says):
    problem = mw.inspect(given, modality="text").problems[0]
    with pytest.raises(UserError, match=says):
        raise UserError(problem.text)
    for call in (
        lambda: mw.pretrain(given, modality="text"),
        lambda: mw.pretrain(given, data={"length": 32}),
        lambda: run.embed(given),
    ):
        with pytest.raises(UserError, match=says):
            call()


def test_numbers_of_one_axis_are_no_texts(run):
    for call in (
        lambda: mw.pretrain(np.zeros(3), modality="text"),
        lambda: run.embed(np.zeros(3)),
    ):
        with pytest.raises(UserError, match="3 of 3 are no texts: text 1 is float"):
            call()
    with pytest.raises(UserError, match=r"ndarray and shape \(3,\) cannot be read. Give a file"):
        mw.pretrain(np.zeros(3))


def test_missing_values_of_a_column(run, tmp_path):
    pandas = pytest.importorskip("pandas")
    given = pandas.Series([*LINES, None, float("nan"), pandas.NA])
    found = mw.inspect(given, train={"batch_size": 2}, **{"data.length": 16})
    assert [each.settings for each in found.problems] == [{"data.broken": "skip"}]
    assert "3 cannot be read: text 41 (it is missing), text 42" in found.problems[0].text
    z = run.embed(given)
    np.testing.assert_array_equal(z[:40], run.embed(LINES))
    assert np.isnan(z[40:]).all()


def test_row_i_is_text_i(run, tmp_path, cli):
    path = tmp_path / "a.jsonl"
    values = [{"text": "a cat", "id": "x1"}, {"text": None, "id": 7}, {"text": " "}]
    path.write_text(rows(*values, {"text": "a dog", "name": "rex"}), "utf-8")
    assert cli("embed", run.path, path, "-o", tmp_path / "z.npz")[0] == 0
    with np.load(tmp_path / "z.npz", allow_pickle=False) as found:
        assert found["name"].tolist() == ["x1", "7", "3", "rex"]
        assert found["status"].tolist() == ["ok", "'text' is null", "it is empty", "ok"]
        z = found["features"]
    np.testing.assert_allclose(z[[0, 3]], run.embed(["a cat", "a dog"]), atol=1e-6)
    assert np.isnan(z[1:3]).all()
    np.testing.assert_array_equal(np.isnan(run.embed(["a", "", "b"])[:, 0]), [False, True, False])


def test_row_i_is_text_i_where_gaps_are_filled(run, tmp_path, cli, caplog):
    path = tmp_path / "a.jsonl"
    values = [{"text": "a [MASK] cat"}, {"text": None}, {"text": "no gap"}, {"text": "a [MASK]"}]
    path.write_text(rows(*values), "utf-8")
    status, out, _ = cli("fill", run.path, path)
    assert status == 0
    lines = [line.split("\t") for line in out.splitlines()]
    assert [name for name, _ in lines] == ["1", "2", "3", "4"]
    assert [text for _, text in lines][1:3] == ["", "no gap"]
    for place in (0, 3):
        alone = cli("fill", run.path, values[place]["text"])[1].splitlines()[0]
        assert lines[place][1] == alone
    assert "2 texts are not filled: 2 ('text' is null), 3 (the text has no [MASK]" in caplog.text


def test_names_that_utf_8_lacks(tmp_path, caplog):
    """Some systems have names of files in other encodings."""
    caplog.set_level("CRITICAL", "maskwise")  # such names cannot pass between processes of tests
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        path.mkdir()
    except OSError:
        pytest.skip("such names cannot be here")
    for name in ("a.txt", "b.doc", "c.txt"):
        Path(os.fsdecode(os.fsencode(path) + b"/\xe9" + name.encode())).write_text(
            "" if name == "c.txt" else "\n".join(LINES)
        )
    run = mw.pretrain(path, out=tmp_path / "run", **TINY)
    assert run.config.data.source == str(path)
    assert run.report.is_file()
    found = look(str(path), How())
    assert (found.others, found.empty_files) == (["\ufffdb.doc"], ["\ufffdc.txt"])


def test_splits_of_a_folder_are_splits(tmp_path):
    """Nothing is trained on what is called so for evaluation."""
    for place in ("files", "folders"):
        folder = tmp_path / place
        for name, lines in (("Train", LINES), ("valid", ["held out alone"] * 30)):
            path = folder / f"{name}.txt" if place == "files" else folder / name / "a.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines), "utf-8")
        found = mw.inspect(folder, data={"document": "line", "length": 16})
        assert found.found["documents"] == len(LINES)
        assert found.found["held out"]["documents"] == 30
        assert not found.problems
    (tmp_path / "files" / "more.txt").write_text("more")
    [problem] = mw.inspect(tmp_path / "files").problems
    assert "more beside the splits Train, valid: move it away" in problem.text


def test_names_of_lines(tmp_path):
    (tmp_path / "a.txt").write_text("one\n\n\ntwo\n", "utf-8")
    assert read_samples(str(tmp_path / "a.txt"), How()) == (["one", "two"], ["1", "4"], {})
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.txt").write_text("three", "utf-8")
    assert read_samples(str(tmp_path), How()).names == ["a.txt:1", "a.txt:4", "sub/b.txt:1"]


def test_a_path_is_never_a_text(run, tmp_path):
    with pytest.raises(UserError, match="no such file or folder"):
        run.embed(tmp_path / "none.txt")
    assert run.embed("a sentence of many words " * 400).shape == (1, 16)


@pytest.mark.parametrize("pool", ["none", "max", ""])
def test_pools_are_named(run, pool):
    with pytest.raises(UserError, match=f"pool '{pool}' is none of mean, class, both"):
        run.embed(["a cat"], pool=pool)


def test_all_that_stands_in_the_way_and_a_command_that_works(tmp_path, cli, monkeypatch):
    """Each has the setting that mends it, and the whole works."""
    monkeypatch.chdir(tmp_path)
    values = [{"body": line, "n": 1} for line in LINES]
    Path("a.jsonl").write_text(rows(*values, {"body": None}), "utf-8")
    bad = {"data.vocab_size": 9, "data.length": 2, "pattern": "block"}
    found = mw.inspect("a.jsonl", **bad)
    wanted = {
        "pattern": "scattered",
        "data.column": "body",
        "data.broken": "skip",
        "data.vocab_size": "261",
        "data.length": "3",
    }
    mended = {}
    for each in found.problems:
        mended |= each.settings
    assert mended == wanted
    assert found.num_train is not None
    assert not mw.inspect("a.jsonl", **mended).problems
    with pytest.raises(UserError, match=r"5 things stand in the way: \(1\) pattern block"):
        mw.pretrain("a.jsonl", **bad)
    assert not Path("runs").exists()
    words = [word for key, value in mended.items() for word in (f"--{key}", value)]
    assert cli("inspect", "a.jsonl", *words)[0] == 0


def test_too_little_to_hold_out(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a b", "utf-8")
    found = mw.inspect(path, data={"vocab_size": 262})
    [told] = [each for each in found.problems if not each.settings]
    assert told.text.endswith(
        "tokens in 1 documents are too few to hold out 0.05 of them: give more text, or"
        ' data={"heldout": ...}'
    )
    (tmp_path / "more.txt").write_text("c d", "utf-8")
    data = {"vocab_size": 262, "heldout": str(tmp_path / "more.txt")}
    assert mw.inspect(path, data=data, train={"batch_size": 1}).problems == []


def test_a_look_takes_no_tokens_of_much_text(tmp_path, monkeypatch):
    monkeypatch.setattr("maskwise.text.inspecting.SMALL", 100)
    monkeypatch.setattr("maskwise.text.data.write_corpus", None)
    (tmp_path / "a.txt").write_text("\n".join(LINES), "utf-8")
    found = mw.inspect(tmp_path / "a.txt")
    assert (found.num_train, found.problems) == (None, [])
    assert found.found["tokens, about"] == len("\n".join(LINES)) // 4


def test_a_look_is_kept_until_the_file_changes(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("one", "utf-8")
    first = look(str(path), How())
    monkeypatch.setattr("maskwise.text.survey.read_all", None)
    assert look(str(path), How()) == first
    path.write_text("another", "utf-8")
    with pytest.raises(TypeError):
        look(str(path), How())


def test_labels_that_are_missing_are_none(tmp_path, caplog):
    from maskwise.text.tasks import read_labelled

    values = [{"text": "a", "label": 0}, {"text": "b", "label": None}, {"text": "c"}]
    for name, text in {
        "a.jsonl": rows(*values, {"text": "d", "label": ""}) + "\n\n",
        "a.json": json.dumps([*values, {"text": "d", "label": " "}]),
        "a.csv": "text,label\na,0\nb,\n\nc,\nd, \n",
        "a.tsv": "Label\tText\n0\ta\n\tb\n\tc\n \td\n",
    }.items():
        (tmp_path / name).write_text(text, "utf-8")
        assert read_labelled(tmp_path / name) == (["a"], ["0"])
        assert "3 rows without a label left out: " in caplog.text
        caplog.clear()
    (tmp_path / "b.jsonl").write_text(rows({"text": None, "label": 1}), "utf-8")
    with pytest.raises(UserError, match=r"b\.jsonl: line 1 has no text"):
        read_labelled(tmp_path / "b.jsonl")
    (tmp_path / "latin.csv").write_bytes("text,label\nélan,1\n".encode("latin-1"))
    assert read_labelled(tmp_path / "latin.csv") == (["élan"], ["1"])
    assert caplog.text.count("not UTF-8, read as cp1252") == 1
