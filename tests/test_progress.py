import io
import re
import signal
from types import SimpleNamespace

import pytest

from maskwise import progress
from maskwise.progress import StopRequest
from maskwise.train.metrics import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, use):
    """What a use writes to a terminal."""
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    use()
    assert not progress._shown
    return screen.getvalue()


def test_a_terminal_sees_what_is_done_and_how_much(monkeypatch):
    def use():
        for _ in progress.track(range(3), "probes"):
            assert list(progress.track("ab", "folds")) == ["a", "b"]

    text = shown(monkeypatch, use)
    assert "probes" in text
    assert "3/3" in text
    assert "ETA" in text


def test_nothing_is_written_where_nobody_looks(capsys):
    assert list(progress.track(range(3), "probes")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_a_terminal_is_told_at_once(monkeypatch, capsys):
    assert shown(monkeypatch, lambda: progress.begins("pretrain")) == "pretrain: reading\n"
    monkeypatch.undo()
    progress.begins("pretrain")
    assert capsys.readouterr() == ("", "")


def test_what_stops_early_leaves_the_terminal_in_order(monkeypatch):
    def use():
        bar = progress.track(range(3), "probes")
        next(bar)
        bar.close()

    assert "probes" in shown(monkeypatch, use)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
def test_signals_ask_to_stop(name):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop.requested
        signal.raise_signal(number)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_what_is_done_safely_is_done():
    done = []

    def save():
        with StopRequest() as stop, stop.safely():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            done.append("saved")

    with pytest.raises(KeyboardInterrupt):
        save()
    assert done == ["saved"]
    with StopRequest() as stop, stop.safely():
        signal.raise_signal(signal.SIGTERM)
    assert stop.requested


def lines_of(text):
    return [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line) for line in re.split(r"[\r\n]", text)]


@pytest.mark.parametrize(("width", "tokens"), [(80, False), (120, True)])
def test_a_training_fits_the_terminal(monkeypatch, width, tokens):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("maskwise.progress._left", lambda task: 359_999)
    row = {"loss": 12.34567, "samples_per_s": 12_345.6, "encoder_tokens_per_s": 1_234_567.8}

    def use():
        with progress_bar(20_000, 0, enabled=True) as show:
            show(1, None)
            show(12_340, row)

    found = lines_of(shown(monkeypatch, use))
    assert max(map(len, found)) <= width
    [*_, last] = filter(None, found)
    assert "12340/20000 loss 12.3457 · 12,346 samples/s" in last
    assert last.rstrip().endswith("ETA 99:59:59")
    assert ("1,234,568 tokens/s" in last) == tokens


@pytest.mark.parametrize(
    ("known", "elapsed", "done", "start", "left"),
    [(None, 60, 1, 0, 540), (None, 60, 7, 5, 90), (None, 3, 5, 5, None), (12, 60, 1, 0, 12)],
)
def test_the_time_left_is_known_after_one_step(known, elapsed, done, start, left):
    task = SimpleNamespace(
        time_remaining=known, elapsed=elapsed, completed=done, total=10, fields={"start_at": start}
    )
    assert progress._left(task) == left
    task.total = None
    assert progress._left(task) == known
