import pytest

import maskwise as mw
from maskwise.errors import UserError, as_flag, speaking
from maskwise.exports.folder import write
from maskwise.modalities import find


def plain(model, folder):
    (folder / "model.txt").write_text(type(model).__name__)


def failing(model, folder):
    plain(model, folder)
    raise OSError(28, "No space left on device")


def test_which_format(make_model, tmp_path):
    model, formats = make_model(), {"plain": plain, "failing": failing}
    assert write(model, tmp_path / "deep/new", formats, "plain") == "plain"
    assert (tmp_path / "deep/new/model.txt").read_text() == "PatchModel"
    (tmp_path / "empty").mkdir()
    assert write(model, tmp_path / "empty", {"hf-mlm": plain}) == "hf-mlm"
    found = sorted(path.name for path in (tmp_path / "empty").iterdir())
    assert found == ["README.md", "maskwise.json", "model.txt"]
    out = tmp_path / "none"
    with pytest.raises(UserError, match=r"images are exported as plain, failing: give format="):
        write(model, out, formats)
    with (
        speaking(as_flag),
        pytest.raises(UserError, match=r"--format tim: .* plain, failing, not"),
    ):
        write(model, out, formats, "tim")
    with pytest.raises(UserError, match="models of images are not exported"):
        write(model, out, {}, "plain")
    assert not out.exists()


def test_all_or_nothing(make_model, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"cannot write .*out: No space left on device"):
        write(make_model(), out, {"failing": failing}, "failing")
    assert not list(tmp_path.iterdir())
    out.write_text("a file")
    with pytest.raises(UserError, match="out is not empty: give a new folder"):
        write(make_model(), out, {"plain": plain}, "plain")


def test_from_python(finished, tmp_path, monkeypatch):
    formats = {"plain": plain}
    record = find("images")
    monkeypatch.setitem(record.__dict__, "exports", formats)
    run = mw.Run(finished)
    places = [run, finished, finished / "model", str(finished), run.model()]
    for number, each in enumerate(places):
        out = tmp_path / str(number)
        assert mw.export(each, out, format="plain") == out
        assert (out / "model.txt").is_file()
    assert run.export(tmp_path / "own", "plain") == tmp_path / "own"
    with pytest.raises(UserError, match="no-such"):
        mw.export("no-such-place", tmp_path / "out")
