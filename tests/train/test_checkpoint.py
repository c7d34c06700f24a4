import errno
import json
import shutil

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from maskwise.errors import UserError
from maskwise.train import checkpoint
from maskwise.train.loop import make_optimizer


@pytest.fixture
def state(tiny, new_model):
    def make(changes=None):
        config = tiny(changes)
        model = new_model(config)
        return checkpoint.State(model, make_optimizer(model, config.train))

    return make


@pytest.fixture
def folder(run, tiny, tmp_path):
    run(tmp_path / "run", tiny())
    return tmp_path / "run"


def test_what_is_restored(folder, state):
    fresh = state()
    assert checkpoint.restore(folder, fresh).step == 6
    saved = load_file(folder / checkpoint.NAME)
    for name, value in fresh.model.state_dict().items():
        assert torch.equal(saved[f"model.{name}"], value)
    for name, parameter in fresh.model.named_parameters():
        moments = fresh.optimizer.state[parameter]
        assert float(moments["step"]) == 6
        for key in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(moments[key], saved[f"optimizer.{key}.{name}"])
            assert moments[key].abs().sum() > 0


@pytest.mark.parametrize(
    "failure",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("I/O error: No space left on device"),
    ],
)
def test_a_full_disk_leaves_the_old_checkpoint(folder, state, monkeypatch, failure):
    before = (folder / checkpoint.NAME).read_bytes()

    def half(tensors, path, metadata):
        path.write_bytes(b"half")
        raise failure

    monkeypatch.setattr(checkpoint, "save_file", half)
    with pytest.raises(UserError, match=r"cannot write .*state\.safetensors.*No space") as error:
        checkpoint.save(folder, state(), 9)
    assert "\n" not in str(error.value)
    assert (folder / checkpoint.NAME).read_bytes() == before
    assert [path.name for path in (folder / "checkpoint").iterdir()] == ["state.safetensors"]


def test_a_full_disk_in_training(run, tiny, tmp_path, monkeypatch):
    config = tiny({"train.checkpoint_every": 2})
    real = checkpoint.save_file

    def full(tensors, path, metadata):
        if metadata["step"] == "4":
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(tensors, path, metadata)

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(UserError, match="No space left on device"):
        run(tmp_path / "run", config)
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "run/checkpoint").iterdir()] == ["state.safetensors"]
    resumed, _ = run(tmp_path / "run", config, resume=True)
    straight, _ = run(tmp_path / "straight", config)
    assert torch.equal(resumed.head.weight, straight.head.weight)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-50])


def shorten(path):
    path.write_bytes(path.read_bytes()[:6])


def scribble(path):
    path.write_bytes(bytes(range(256)) * 20)


def empty(path):
    path.write_bytes(b"")


def foreign(path):
    save_file({"x": torch.zeros(2)}, path)


def other_step(path):
    save_file(load_file(path), path, {"format": "maskwise-checkpoint-1", "step": "soon"})


def without_moments(path):
    tensors = {k: v for k, v in load_file(path).items() if "exp_avg_sq" not in k}
    save_file(tensors, path, {"format": "maskwise-checkpoint-1", "step": "6"})


def folder_instead(path):
    path.unlink()
    path.mkdir()


DAMAGED = (truncate, shorten, scribble, empty, foreign, other_step, folder_instead)


@pytest.mark.parametrize("damage", [*DAMAGED, without_moments], ids=lambda f: f.__name__)
def test_a_damaged_checkpoint(folder, state, damage):
    damage(folder / checkpoint.NAME)
    kind = "is damaged" if damage in DAMAGED else "does not fit"
    with pytest.raises(UserError, match=rf"checkpoint .*state\.safetensors {kind}") as error:
        checkpoint.restore(folder, state())
    assert "\n" not in str(error.value)
    assert "start again in a new folder, by out=..." in str(error.value)


@pytest.mark.parametrize("changes", [{"model.width": 32}, {"model.depth": 2}])
def test_a_checkpoint_of_another_model(folder, state, changes):
    with pytest.raises(UserError, match="does not fit this model"):
        checkpoint.restore(folder, state(changes))


def altered(path):
    """Change a weight, and nothing of the header."""
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def rewritten(**changes):
    def change(path):
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        save_file(load_file(path), path, metadata | changes)

    return change


def not_finite(path):
    tensors = load_file(path)
    tensors["model.head.weight"][0, 0] = torch.nan
    save_file(tensors, path, {"format": "maskwise-checkpoint-1", "step": "6"})


UNLIKE = {
    "altered": (altered, "not those that were written"),
    "another step": (rewritten(step="4"), "not those that were written"),
    "no digest": (rewritten(digest=""), "not those that were written"),
    "a step beyond the last": (rewritten(step="7"), "step '7'"),
    "an endless step": (rewritten(step="1e400"), "step '1e400'"),
    "not finite": (not_finite, "model.head.weight is not finite"),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_what_is_not_as_it_was_written_is_named(folder, state, name):
    damage, said = UNLIKE[name]
    damage(folder / checkpoint.NAME)
    with pytest.raises(UserError, match=rf"state\.safetensors is damaged \(.*{said}"):
        checkpoint.restore(folder, state(), steps=6)


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_are_kept(run, tiny, tmp_path, keep):
    run(tmp_path / "run", tiny({"train.checkpoint_every": 1, "train.checkpoints": keep}))
    found = checkpoint.places(tmp_path / "run")
    assert [path.stem for path in found] == ["state", "state-1", "state-2"][:keep]
    steps = []
    for path in found:
        with safe_open(path, framework="pt") as file:
            steps.append(file.metadata()["step"])
    assert steps == ["6", "5", "4"][:keep]


def remove(path):
    path.unlink()


@pytest.mark.parametrize("damage", [truncate, altered, remove])
def test_a_run_goes_on_from_the_one_before(run, tiny, tmp_path, caplog, damage):
    config = tiny({"train.checkpoint_every": 2})
    straight, _ = run(tmp_path / "straight", config)
    run(tmp_path / "run", config)
    damage(tmp_path / "run" / checkpoint.NAME)
    resumed, _ = run(tmp_path / "run", config, resume=True)
    assert torch.equal(resumed.head.weight, straight.head.weight)
    logs = [(tmp_path / name / "metrics.jsonl") for name in ("straight", "run")]
    rows = [[json.loads(line)["loss"] for line in log.read_text().splitlines()] for log in logs]
    assert rows[0] == rows[1]
    assert ("state.safetensors is damaged" in caplog.text) == (damage is not remove)


def steps_of(folder):
    found = []
    for path in checkpoint.places(folder):
        try:
            with safe_open(path, framework="pt") as file:
                found.append((path.stem, file.metadata()["step"]))
        except SafetensorError:
            found.append((path.stem, "damaged"))
    return found


def test_a_damaged_one_pushes_no_good_one_out(run, tiny, tmp_path, monkeypatch, caplog):
    config = tiny({"train.checkpoint_every": 2})
    run(tmp_path / "run", config)
    folder = tmp_path / "run"
    assert steps_of(folder) == [("state", "6"), ("state-1", "4")]
    truncate(folder / checkpoint.NAME)
    damaged = (folder / checkpoint.NAME).read_bytes()
    good = (folder / "checkpoint/state-1.safetensors").read_bytes()
    # The power fails when the next is to have its name.
    with monkeypatch.context() as patch:
        patch.setattr("maskwise.files._sync", fail)
        with pytest.raises(UserError, match="no power"):
            run(folder, config, resume=True)
    assert "going on from step 4 of state-1.safetensors" in caplog.text
    assert steps_of(folder) == [("state-1", "4")]
    assert (folder / "checkpoint/state-1.safetensors").read_bytes() == good
    assert (folder / "checkpoint/damaged-1.safetensors").read_bytes() == damaged
    run(folder, config, resume=True)
    assert steps_of(folder) == [("state", "6"), ("state-1", "4")]


def fail(path):
    raise OSError(errno.EIO, "no power")


def test_readers_set_nothing_aside(folder, state):
    fresh = state()
    checkpoint.save(folder, fresh, 8)
    truncate(folder / checkpoint.NAME)
    assert checkpoint.restore(folder, state()).step == 6
    step, weights = checkpoint.read_weights(folder)
    saved = load_file(folder / "checkpoint/state-1.safetensors")
    assert step == 6
    assert torch.equal(weights["head.weight"], saved["model.head.weight"])
    assert steps_of(folder) == [("state", "damaged"), ("state-1", "6")]
    truncate(folder / "checkpoint/state-1.safetensors")
    assert checkpoint.read_weights(folder) is None


@pytest.mark.parametrize("keep", [1, 2])
def test_none_is_gone_before_the_new_one_has_its_name(folder, state, monkeypatch, keep):
    checkpoint.save(folder, state(), 8, keep=keep)
    before = steps_of(folder)
    assert before == [("state", "8"), ("state-1", "6")][:keep]
    with monkeypatch.context() as patch:
        patch.setattr("maskwise.files._sync", fail)
        with pytest.raises(UserError, match="no power"):
            checkpoint.save(folder, state(), 9, keep=keep)
    assert [step for _, step in steps_of(folder)] == [step for _, step in before]
    checkpoint.save(folder, state(), 9, keep=keep)
    assert steps_of(folder) == [("state", "9"), ("state-1", "8")][:keep]


def test_gaps_in_the_numbers_stay(folder, state):
    for number in (2, 4):
        shutil.copy(folder / checkpoint.NAME, folder / f"checkpoint/state-{number}.safetensors")
    checkpoint.save(folder, state(), 9, keep=9)
    assert steps_of(folder) == [
        ("state", "9"),
        ("state-1", "6"),
        ("state-2", "6"),
        ("state-4", "6"),
    ]
