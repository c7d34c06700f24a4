import io
import signal

import pytest

from maskwise import progress
from maskwise.progress import StopRequest


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
