from types import SimpleNamespace

import pytest

import maskwise as mw
from maskwise.errors import UserError
from maskwise.modalities import find

errors = pytest.importorskip("huggingface_hub.errors")


class Hub:
    """What a hub was asked, and what it has."""

    def __init__(self, public=(), error=None, at="whoami"):
        self.calls, self.files, self.public, self.error, self.at = [], {}, public, error, at

    def _called(self, name, **values):
        self.calls.append((name, values))
        if name == self.at and self.error is not None:
            raise self.error

    def whoami(self):
        self._called("whoami")

    def repo_exists(self, name):
        return name in self.public

    def repo_info(self, name):
        return SimpleNamespace(private=name not in self.public)

    def create_repo(self, name, **values):
        self._called("create_repo", name=name, **values)

    def upload_folder(self, repo_id, folder_path, commit_message):
        self._called("upload_folder", name=repo_id)
        from pathlib import Path

        self.files = {path.name: path.read_text() for path in Path(folder_path).iterdir()}


@pytest.fixture
def fake(monkeypatch):
    def call(**values):
        made = Hub(**values)
        monkeypatch.setattr("huggingface_hub.HfApi", lambda: made)
        return made

    formats = {"plain": lambda model, folder: (folder / "model.txt").write_text("weights")}
    monkeypatch.setitem(find("images").__dict__, "exports", formats)
    return call


ADDRESS = "https://huggingface.co/me/model"


def test_a_run(fake, finished):
    api = fake()
    assert mw.push_to_hub(finished, "me/model", "plain", license="mit") == ADDRESS
    assert api.calls == [
        ("whoami", {}),
        ("create_repo", {"name": "me/model", "private": True, "exist_ok": True}),
        ("upload_folder", {"name": "me/model"}),
    ]
    assert sorted(api.files) == ["README.md", "maskwise.json", "model.txt"]
    assert 'license: "mit"' in api.files["README.md"]


def test_an_export(fake, finished, tmp_path, cli):
    api = fake(public=["me/model"])
    words = ("export", finished, tmp_path / "out", "--format", "plain", "--push", "me/model")
    status, out, err = cli(*words)
    assert (status, out) == (2, "")
    assert "me/model is there and public: give another name, or private=False (--public)" in err
    assert not list(tmp_path.iterdir())
    status, out, err = cli(*words, "--public")
    assert (status, out, err) == (0, f"exported: {tmp_path / 'out'}\npushed: {ADDRESS}\n", "")
    assert api.calls[-2][1]["private"] is False
    # The folder again, as it is.
    (tmp_path / "out/own.txt").write_text("mine")
    assert mw.push_to_hub(tmp_path / "out", "me/other") == "https://huggingface.co/me/other"
    assert api.files["own.txt"] == "mine"


def refusal():
    httpx = SimpleNamespace(status_code=403, headers={}, request=None)
    return errors.HfHubHTTPError("403 Forbidden:\nYou have no rights", response=httpx)


@pytest.mark.parametrize(
    ("error", "at", "says"),
    [
        (errors.LocalTokenNotFoundError("x\ny"), "whoami", "no token of the hub; get one by"),
        (ConnectionError("no route"), "whoami", "cannot push to me/model: no route"),
        (errors.HFValidationError("bad name"), "create_repo", "to me/model: bad name"),
        (refusal, "upload_folder", "403 Forbidden: You have no rights"),
    ],
)
def test_what_goes_wrong_is_one_line(fake, finished, error, at, says):
    fake(error=error() if callable(error) else error, at=at)
    with pytest.raises(UserError, match=says) as told:
        mw.push_to_hub(finished, "me/model", "plain")
    assert "\n" not in str(told.value)


def test_names(fake, finished):
    api = fake()
    for name in ("model", "/model", "me/"):
        with pytest.raises(UserError, match="a place on the hub is user/name"):
            mw.push_to_hub(finished, name, "plain")
    assert not api.calls
