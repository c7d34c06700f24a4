"""Odd inputs have their value, or are refused in one line; nothing is left behind."""

import contextlib
import io
import logging
import os
import resource
import shutil
import signal
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import maskwise as mw
from maskwise.cli import main
from maskwise.errors import UserError
from maskwise.modalities import KINDS as RECORDS
from maskwise.modalities import config_of, find
from tests.odd_inputs import KINDS

# What fails is shown as it was found: to make it smaller takes minutes.
FOUND = (Phase.explicit, Phase.generate)
FEW, MANY = 16, 350  # of each kind, and as many of what is given from Python and of settings
HANG = 30  # seconds; no clock is compared: only what never ends is cut
GROWTH = 500 << 20  # bytes that any number of odd inputs may leave behind
TINY = {
    "images": ("--data.patch", "1", "--model.width", "8", "--model.heads", "2"),
}


@pytest.fixture(scope="module")
def growing():
    """Watch what all of the inputs leave in memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < GROWTH


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@contextlib.contextmanager
def here(folder: str):
    """Work in a folder, with a clock for what never ends."""

    def stop(*_):
        raise TimeoutError("it hangs")

    back, old = Path.cwd(), signal.signal(signal.SIGALRM, stop)
    os.chdir(folder)
    signal.alarm(HANG)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
        os.chdir(back)


def said(words) -> tuple[int, str]:
    """Return the status of a command and its complaints; anything but one line is wrong."""
    out, err = io.StringIO(), io.StringIO()
    logging.getLogger("maskwise").handlers.clear()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(word) for word in words])
    told = [line for line in err.getvalue().splitlines() if line.startswith("maskwise: ")]
    assert (status, len(told)) in ((0, 0), (2, 1)), (status, err.getvalue())
    assert "Traceback" not in err.getvalue()
    assert not told or err.getvalue().endswith(f"{told[0]}\n")
    return status, err.getvalue()


def plain(kind: str, samples) -> list:
    """Return samples as they were built: texts, letters, numbers of a column, counts."""
    if kind == "text":
        return list(samples)
    if kind == "dna":
        return ["".join("ACGTN"[code & 7] for code in record) for record in samples]
    if kind == "tables":
        return np.asarray(samples["x"], float).tolist()
    return samples


def check(odd) -> None:
    """One odd input: its value, or one line and status 2, and nothing written."""
    folder = tempfile.mkdtemp()
    try:
        with here(folder):
            source = odd.write(Path(folder))
            before = contents(Path(folder))
            status, told = said(["inspect", source, *odd.settings, *TINY.get(odd.kind, ())])
            if status == 2:  # training says the same
                words = [
                    "pretrain",
                    source,
                    *odd.settings,
                    *TINY.get(odd.kind, ()),
                    "--out",
                    "out",
                ]
                again, _ = said(words)
                assert again == 2, told
            assert contents(Path(folder)).keys() == before.keys()
            if odd.holds is None:
                return
            changes = dict(zip(odd.settings[::2], odd.settings[1::2], strict=True))
            changes = {key.removeprefix("--"): value for key, value in changes.items()}
            changes.pop("modality", None)
            config = config_of(source, changes, odd.kind)
            read = find(odd.kind).read(config)
            assert_holds(odd, read)
    finally:
        shutil.rmtree(folder)


def assert_holds(odd, read) -> None:
    if odd.kind == "images":
        assert [Path(name).name for name in read.names] == [Path(name).name for name in odd.holds]
    elif odd.kind == "dna":
        got = iter(plain("dna", read.given))
        for row, record in enumerate(odd.holds):
            if row in read.broken:
                assert not set(record.upper()) & set("ACGT")
            else:
                expected = "".join(c if c in "ACGT" else "N" for c in record.upper())
                assert next(got) == expected
    elif odd.kind in ("text", "tables"):
        assert plain(odd.kind, read.given) == odd.holds
        assert not read.broken


@pytest.mark.parametrize("kind", KINDS)
def test_files(kind, growing):
    _files(kind, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_files(kind, growing):
    _files(kind, MANY)


def _files(kind: str, num: int) -> None:
    settings(max_examples=num, phases=FOUND)(given(KINDS[kind]())(check))()


# What people pass by mistake: nothing, numbers, the wrong shape, and things that never end.
ARRAYS = st.builds(
    lambda shape, kind: np.zeros(shape, kind),
    st.lists(st.integers(0, 3), max_size=5),
    st.sampled_from(["u1", "i8", "f2", "f4", "f8", "c8", "?", "O", "U3", "S2", "M8[s]", "i4,f4"]),
)
OBJECTS = st.one_of(
    ARRAYS,
    st.builds(torch.zeros, st.lists(st.integers(0, 3), max_size=5)),
    st.builds(
        lambda kind: torch.zeros(4, 3, 5, dtype=kind),
        st.sampled_from([torch.bfloat16, torch.bool, torch.complex64, torch.int8]),
    ),
    st.sampled_from([None, 3, 2.5, True, b"bytes", "", " ", "\0", (), [], {}, set(), object()]),
    st.builds(lambda: (number for number in range(3))),
    st.sampled_from([print, int, iter("abc"), range(5), np.float32(1), [[1, 2], [3]], [[], []]]),
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=3)), max_size=3),
    st.dictionaries(st.text(max_size=2), st.lists(st.integers(), max_size=3), max_size=2),
    st.tuples(ARRAYS, ARRAYS),
)


def _given(num: int) -> None:
    @settings(max_examples=num, phases=FOUND)
    @given(OBJECTS, st.sampled_from([None, *RECORDS]))
    def check(thing, modality):
        with here(tempfile.gettempdir()):
            try:
                found = mw.inspect(thing, modality=modality)
            except UserError as error:
                told = str(error)
            else:
                told = "".join(each.text for each in found.problems)
                assert told or found.num_train
            assert "\n" not in told

    check()


def test_objects(growing):
    _given(FEW)


@pytest.mark.slow
def test_many_objects(growing):
    _given(MANY)


VALUES = [
    "",
    "none",
    "nan",
    "-inf",
    "1e400",
    "-1",
    "0",
    "true",
    "a,b",
    ",",
    "1,2,3",
    "{}",
    "\u00fc",
    "x" * 500,
]


def _settings(num: int) -> None:
    from maskwise.settings import flatten, to_dict

    keys = {
        source: sorted(flatten(to_dict(config_of(source, {})))) for source in ("digits", "pydoc")
    }

    @settings(max_examples=num, phases=FOUND)
    @given(st.data())
    def check(data):
        source = data.draw(st.sampled_from(sorted(keys)))
        key = data.draw(st.sampled_from([*keys[source], "data.nothing", "x.y"]))
        folder = tempfile.mkdtemp()
        try:
            with here(folder):
                said(["inspect", source, f"--{key}={data.draw(st.sampled_from(VALUES))}"])
                assert not list(Path(folder).iterdir())
        finally:
            shutil.rmtree(folder)

    check()


def test_settings(growing):
    _settings(FEW)


@pytest.mark.slow
def test_many_settings(growing):
    _settings(MANY)
