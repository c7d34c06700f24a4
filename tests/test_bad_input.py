"""Bad input: one line on stderr, exit status 2, and nothing left behind."""

import dataclasses
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from maskwise.cli import main
from tests.fixtures.runs import TINY


@dataclasses.dataclass
class Case:
    """A command, what its message says, and what has to be there first.

    The command may use {run}, a finished run, and {out}, the run folder to make.
    """

    words: str
    says: str
    prepare: Callable[[Path], None] = lambda folder: None


def pictures(folder: Path, *sizes: tuple[int, int], modes: str = "") -> None:
    (folder / "images").mkdir()
    for number, size in enumerate(sizes):
        mode = "RGB" if not modes or modes[number] == "c" else "L"
        Image.new(mode, size).save(folder / "images" / f"{number}.png")


def truncated(folder: Path) -> None:
    (folder / "images").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    for number in range(20):
        Image.fromarray(noise).save(folder / "images" / f"{number}.png")
    path = folder / "images" / "7.png"
    path.write_bytes(path.read_bytes()[:1000])


def unreadable(folder: Path) -> None:
    pictures(folder, *[(8, 8)] * 3)
    (folder / "images" / "1.png").write_text("no picture")


def array(folder: Path, *shape: int, value: float = 0) -> None:
    images = np.zeros(shape, np.float32)
    images[3, 2] = value
    np.save(folder / "images.npy", images)


def pickled(folder: Path) -> None:
    np.save(folder / "images.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


def keys(folder: Path) -> None:
    np.savez(folder / "images.npz", images=np.zeros((9, 8, 8)))


def an_archive(content: bytes | None) -> Callable[[Path], None]:
    """Make a .zip with one file of such a name, or one that is cut off."""

    def change(folder: Path) -> None:
        with zipfile.ZipFile(folder / "images.zip", "w") as archive:
            archive.writestr("x/notes.txt", content or b"")
        if content is None:
            (folder / "images.zip").write_bytes((folder / "images.zip").read_bytes()[:-9])

    return change


def a_table(folder: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(
        pytest.importorskip("pyarrow").table({"a": [1], "b": [2]}), folder / "t.parquet"
    )


def in_use(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "notes.txt").write_text("mine")


def a_file(folder: Path) -> None:
    (folder / "out").write_text("mine")


def cut(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "run" / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return change


def foreign(folder: Path) -> None:
    save_file({"x": torch.zeros(2)}, folder / "run" / "checkpoint" / "state.safetensors")


def scribbled(folder: Path) -> None:
    (folder / "run" / "metrics.jsonl").write_text('{"step": 1\n{"step": 2}\n')


def without_metrics(folder: Path) -> None:
    (folder / "run" / "metrics.jsonl").unlink()


def strange_config(folder: Path) -> None:
    (folder / "run" / "config.json").write_text('["not", "settings"]')


def row(text: str) -> Callable[[Path], None]:
    """Make a row the only one of the metrics."""

    def change(folder: Path) -> None:
        (folder / "run" / "metrics.jsonl").write_text(text + "\n")

    return change


def not_finite(folder: Path) -> None:
    path = folder / "run" / "model" / "weights.safetensors"
    weights = load_file(path)
    weights["head.weight"][0] = torch.nan
    save_file(weights, path)


def a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe.txt")


PRETRAIN = "pretrain digits --out {out}"
RESUME = "pretrain digits --out {run} --resume"
CASES = {
    # What to train on.
    "unknown recipe": Case("pretrain digts --out {out}", "'digts'.*did you mean 'digits'"),
    "no such file": Case("pretrain nothing.npz --out {out}", "'nothing.npz' is no recipe and no"),
    "no data": Case("pretrain --out {out}", "arguments are required: RECIPE-OR-DATA"),
    "empty folder": Case(
        "pretrain images --out {out}", "images: no images here", lambda f: pictures(f)
    ),
    "truncated image": Case(
        "pretrain images --out {out}",
        r"1 cannot be read: 7\.png \(.*--data\.broken skip",
        truncated,
    ),
    "unreadable image": Case(
        "pretrain images --out {out}", r"1 cannot be read: 1\.png \(no picture", unreadable
    ),
    "mixed sizes": Case(
        "pretrain images --out {out}",
        r"differ in size: .*0\.png is 8x8, .*1\.png is 8x9.*--data\.size",
        lambda f: pictures(f, (8, 8), (9, 8)),
    ),
    "mixed channels": Case(
        "pretrain images --out {out}",
        r"differ in channels: 0\.png has 3 \(1 do\), 1\.png has 1.*--data\.channels 3",
        lambda f: pictures(f, (8, 8), (8, 8), modes="cg"),
    ),
    "one file, not its folder": Case(
        "pretrain images/0.png --out {out}", "give its folder", lambda f: pictures(f, (8, 8))
    ),
    "NaN": Case(
        "pretrain images.npy --out {out}",
        r"1 cannot be read: image 4 \(8 of 64 values are NaN",
        lambda f: array(f, 50, 8, 8, value=np.nan),
    ),
    "infinite": Case(
        "pretrain images.npy --out {out}", "NaN or inf", lambda f: array(f, 50, 8, 8, value=np.inf)
    ),
    "pickled": Case("pretrain images.npy --out {out}", r"images\.npy: cannot be read", pickled),
    "wrong keys": Case("pretrain images.npz --out {out}", "keys found: images; expected x", keys),
    "wrong axes": Case(
        "pretrain images.npy --out {out}", r"got \(50, 8\)", lambda f: array(f, 50, 8)
    ),
    "no patch divides": Case(
        "pretrain images.npy --out {out}", "no square patch.*7x11", lambda f: array(f, 50, 7, 11)
    ),
    "fewer than a batch": Case(
        "pretrain images.npy --out {out} --train.batch_size 41",
        "a minibatch of 41 is more than the 40 samples to train on.*--train.batch_size 40",
        lambda f: array(f, 50, 8, 8),
    ),
    "archive without pictures": Case(
        "pretrain images.zip --out {out}", "images.zip/x: no images here", an_archive(b"x")
    ),
    "damaged archive": Case(
        "pretrain images.zip --out {out}",
        r"images.zip: cannot be read as an archive \(File is not a zip file\)",
        an_archive(None),
    ),
    "parquet without pictures": Case(
        "pretrain t.parquet --modality images --out {out}",
        "t.parquet: no column of pictures; found a, b",
        a_table,
    ),
    "size of an array": Case(f"{PRETRAIN} --data.size 16", "size is for image files"),
    "patch": Case(f"{PRETRAIN} --data.patch 3", "patch 3x3 does not divide images of 8x8"),
    "patch of one value": Case(
        f"{PRETRAIN} --data.patch 1 --data.target normalised", "patch of one value"
    ),
    # Settings.
    "unknown key": Case(
        f"{PRETRAIN} --train.stepz 5", "'train.stepz'; did you mean 'train.steps'"
    ),
    "unknown group": Case(
        f"{PRETRAIN} --trian.steps 5", "unknown key.*did you mean 'train.steps'"
    ),
    "bare key": Case(f"{PRETRAIN} --steps 5", "unknown key 'steps'; did you mean 'train.steps'"),
    "unknown law": Case(f"{PRETRAIN} --law unifrm:0.1,0.9", "unknown law.*uniform:LOW,HIGH"),
    "law without numbers": Case(f"{PRETRAIN} --law uniform", "uniform:LOW,HIGH"),
    "law of words": Case(f"{PRETRAIN} --law uniform:a,b", "uniform:LOW,HIGH"),
    "ratio of one": Case(f"{PRETRAIN} --law 1", r"outside \(0, 1\)"),
    "ratio above one": Case(f"{PRETRAIN} --law fixed:1.5", r"ratio 1\.5 is outside \(0, 1\)"),
    "negative ratio": Case(f"{PRETRAIN} --law uniform:-0.1,0.5", r"ratio -0\.1 is outside"),
    "percent": Case(f"{PRETRAIN} --law 75", r"outside \(0, 1\)"),
    "unknown pattern": Case(f"{PRETRAIN} --pattern blok", "unknown pattern 'blok'.*inverse-block"),
    "pattern argument": Case(f"{PRETRAIN} --pattern units:0", "units need a size of at least 1"),
    "not a number": Case(f"{PRETRAIN} --train.batch_size many", "train.batch_size='many'"),
    "no value": Case(f"{PRETRAIN} --train.warmup", "train.warmup.*give it a value"),
    "negative rate": Case(f"{PRETRAIN} --train.lr -1", r"train\.lr=-1: .*greater than 0"),
    "batch and accumulate": Case(f"{PRETRAIN} --train.accumulate 3", "16 is not a multiple of 1"),
    "heads": Case(f"{PRETRAIN} --model.heads 3", "width 16 is not a multiple of 3 heads"),
    "decoder heads": Case(f"{PRETRAIN} --model.decoder_heads 3", "width 8 is not a multiple of 3"),
    "layer": Case(f"{PRETRAIN} --evaluate.layer 1", r"evaluate\.layer 1 is outside 0\.\.0"),
    "pools": Case(
        f"{PRETRAIN} --model.class_token false --evaluate.pools class", "model.class_token"
    ),
    "columns of a plane": Case(f"{PRETRAIN} --pattern columns:5", "columns:5 names no axis"),
    "seed": Case(f"{PRETRAIN} --seed one", "argument --seed: invalid int value: 'one'"),
    "negative seed": Case(f"{PRETRAIN} --seed -1", "seed=-1"),
    "stray word": Case(f"{PRETRAIN} cifar10", "'cifar10' is one argument too many"),
    "unknown command": Case("pretain digits", "invalid choice: 'pretain'"),
    "no command": Case("", "arguments are required: COMMAND"),
    # Where to write.
    "out in use": Case(PRETRAIN, "out already exists: continue it with --resume", in_use),
    "out is a file": Case(PRETRAIN, "out already exists", a_file),
    "out below a file": Case(
        "pretrain digits --out {out}/deeper", r"cannot write .*: Not a directory", a_file
    ),
    "finished": Case("pretrain digits --out {run}", "run already exists"),
    # Resuming.
    "nothing to resume": Case(f"{PRETRAIN} --resume", "out is not a run folder"),
    "changed on resume": Case(
        f"{RESUME} --train.lr 0.7 --law fixed:0.3",
        r"another configuration \(law: uniform:0\.4,0\.9 -> fixed:0\.3; train\.lr: .* -> 0\.7\)",
    ),
    "corrupt checkpoint": Case(
        RESUME, "checkpoint .* is damaged", cut("checkpoint/state.safetensors")
    ),
    "foreign checkpoint": Case(RESUME, "checkpoint .* is damaged", foreign),
    "damaged metrics": Case(RESUME, r"metrics\.jsonl: line 1 is damaged", scribbled),
    "damaged config": Case(RESUME, r"config\.json is damaged", cut("config.json")),
    "a row of nothing": Case("report {run}", r"metrics\.jsonl: line 1 is damaged", row("{}")),
    "a row of no number": Case(
        "report {run}", r"metrics\.jsonl: line 1 is damaged", row('{"step": "x", "loss": 1}')
    ),
    "resuming a strange config": Case(RESUME, r"config\.json: input should", strange_config),
    # What is no file, or too much.
    "a pipe": Case(
        "pretrain pipe.txt --out {out}", "pipe.txt is neither a file nor a folder", a_pipe
    ),
    "a nest of laws": Case(PRETRAIN + " --law " + "mixture:" * 2000 + "0.5", "cannot hold"),
    "nobody's home": Case("pretrain ~nobody-here/x.npz --out {out}", "there is no such home"),
    "a file called like a home": Case(
        "pretrain ~.npz --out {out}",
        "~.npz: cannot be read as an array",
        lambda f: (f / "~.npz").write_text("x"),
    ),
    "out is a folder": Case("report {run} --out /", "cannot write /: it is a folder"),
    "out is nothing": Case("show-mask 0.5 --out .", "it is a folder; give the name of a file"),
    "too wide": Case(
        PRETRAIN + " --model.width 100000000 --model.heads 2",
        r"has [\d,]+ GiB of weights and this machine [\d,]+ GiB .*: lower model.width 100000000",
    ),
    "too deep": Case(PRETRAIN + " --model.depth 10000000", "model.depth 10000000 is more than"),
    "weights that are not finite": Case(
        "embed {run} digits -o {out}.npy", "weights .* are not finite: head.weight", not_finite
    ),
    # Other commands.
    "report of no run": Case("report images", "not a run folder", lambda f: pictures(f)),
    "report of nothing": Case("report nothing", "nothing is not a run folder"),
    "report without metrics": Case("report {run}", "lacks metrics.jsonl", without_metrics),
    "report of a damaged result": Case(
        "report {run}", r"result\.json is damaged", cut("result.json")
    ),
    "report with settings": Case("report {run} --train.steps 5", "unknown option '--train.steps'"),
    "evaluate no run": Case("evaluate nothing", "nothing is not a run folder"),
    "evaluate settings": Case(
        "evaluate {run} --train.lr 1", "evaluation cannot change 'train.lr'"
    ),
    "evaluate ratios": Case("evaluate {run} --evaluate.ratios 0.5,2", r"evaluate\.ratios"),
    "evaluate layer": Case("evaluate {run} --evaluate.layer 3", r"layer 3 is outside"),
    "evaluate a damaged model": Case(
        "evaluate {run}", "weights .* damaged", cut("model/weights.safetensors")
    ),
    "evaluate a strange config": Case(
        "evaluate {run}", r"config\.json: input should be a dict", strange_config
    ),
    "evaluate a damaged result": Case(
        "evaluate {run}", r"result\.json is damaged", cut("result.json")
    ),
    "embed no run": Case("embed nothing digits -o {out}.npy", "nothing is not a run folder"),
    "embed no data": Case("embed {run} nothing -o {out}.npy", "no file or folder 'nothing'"),
    "embed other shapes": Case(
        "embed {run} images.npy -o {out}.npy",
        r"images of 8x5 .* the nearest size that it cuts is 8x4",
        lambda f: array(f, 50, 8, 5),
    ),
    "embed layer": Case("embed {run} digits -o {out}.npy --layer 4", "layer 4 is outside"),
    "embed pool": Case("embed {run} digits -o {out}.npy --pool max", "invalid choice: 'max'"),
    "embed to text": Case("embed {run} digits -o {out}.txt", "features are written as .npy"),
    "embed to nowhere": Case("embed {run} digits", "arguments are required: -o/--out"),
    "embed settings": Case(
        "embed {run} digits -o {out}.npy --train.lr 1", "embedding cannot change 'train.lr'"
    ),
    "list stray": Case("list stray", "invalid choice: 'stray'"),
    "mask law": Case("show-mask 2", r"outside \(0, 1\)"),
    "mask pattern": Case("show-mask 0.5 stripes -o {out}.png", "unknown pattern 'stripes'"),
    "mask grid": Case("show-mask 0.5 --grid 4by4", "grid '4by4' cannot be read"),
    "no masks": Case("show-mask 0.5 --num 0", "num"),
    "mask to nowhere": Case(
        "show-mask 0.5 -o {out}/mask.png", r"cannot write out/mask\.png", a_file
    ),
}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"folder"
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_nothing_left_behind(name, finished, tmp_path, monkeypatch, capsys):
    case = CASES[name]
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished, tmp_path / "run")
    case.prepare(tmp_path)
    before = contents(tmp_path)
    words = case.words.format(run="run", out="out").split()
    # The settings of a tiny run come first, so that those of the case win.
    tiny = TINY if words[:1] == ["pretrain"] else []
    capsys.readouterr()
    status = main([*words[:1], *tiny, *words[1:]])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.count("\n") == 1, err
    assert err.startswith("maskwise: ")
    assert err.endswith("\n")
    assert re.search(case.says, err), err
    after = contents(tmp_path)
    assert after.keys() == before.keys()
    assert [path for path in after if after[path] != before[path]] == []


def test_a_diverging_run_stops_with_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["pretrain", "digits", *TINY, "--train.lr", "1e30", "--train.clip", "none"]
    assert main([*words, "--train.steps", "5", "--train.log_every", "1", "--out", "run"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("maskwise: step 2: loss")
    assert "not finite; samples " in last
    [saved] = (tmp_path / "run" / "failure").iterdir()
    assert str(saved.relative_to(tmp_path)) in last
    assert not (tmp_path / "run" / "model").exists()
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_full_disk_stops_with_one_line(tmp_path, monkeypatch, capsys):
    from maskwise.train import checkpoint

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    assert main(["pretrain", "digits", *TINY, "--out", str(tmp_path / "run")]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"maskwise: cannot write {tmp_path}/run/checkpoint/state.safetensors: ")
    assert "No space left on device" in last
    left = [path.name for path in (tmp_path / "run" / "checkpoint").iterdir()]
    assert left == ["config.json"]  # what the model would be, written when training started


def test_python_callers_get_a_value_error(tmp_path):
    import maskwise as mw

    with pytest.raises(ValueError, match="'digts' is no recipe"):
        mw.pretrain("digts", out=tmp_path / "run")
    images = np.zeros((40, 8, 8))
    images[0, 0, 0] = np.nan
    with pytest.raises(mw.UserError, match=r"1 cannot be read: image 1 \(1 of 64 values are NaN"):
        mw.pretrain(images, out=tmp_path / "run")
    with pytest.raises(mw.UserError, match=r"3 labels for 40 images"):
        mw.pretrain((np.zeros((40, 8, 8)), np.arange(3)), out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
