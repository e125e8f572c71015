"""Where there is no EGL: tests that draw are skipped by that reason, commands say what to do."""

import doctest
import sys
from types import SimpleNamespace

import drawing
import pytest

from groundplane.apps.entry import main
from groundplane.core.errors import PluginBrokenError
from groundplane.testing.rooms import rendering


@pytest.fixture
def no_egl(monkeypatch):
    """As on a machine without EGL: the library is there and finds no driver."""
    moderngl = pytest.importorskip("moderngl")

    def fail(**options):
        raise Exception("(eglInitialize) cannot open libEGL.so")

    monkeypatch.setattr(moderngl, "create_standalone_context", fail)
    monkeypatch.setattr(rendering._contexts, "context", None)


def report_of(error):
    """What becomes of the report of a test that failed by an error."""
    item = SimpleNamespace(location=("tests/test_x.py", 4, "test_x"))
    call = SimpleNamespace(excinfo=SimpleNamespace(value=error))
    made = SimpleNamespace(outcome="failed", longrepr="trace")
    drawing.as_skipped(item, call, made)
    return made


def test_what_draws_is_skipped_with_the_reason_and_the_cure(no_egl, monkeypatch):
    monkeypatch.delenv(drawing.MUST, raising=False)
    with pytest.raises(PluginBrokenError) as raised:
        drawing.need_drawing()
    made = report_of(raised.value)
    assert made.outcome == "skipped"
    assert made.longrepr[:2] == ("tests/test_x.py", 5)
    assert "apt-get install libegl1" in made.longrepr[2]
    doctested = doctest.UnexpectedException(None, None, (None, raised.value, None))
    assert report_of(doctested).outcome == "skipped"


def test_where_it_must_be_drawn_nothing_is_skipped(no_egl, monkeypatch):
    monkeypatch.setenv(drawing.MUST, "1")
    with pytest.raises(PluginBrokenError) as raised:
        drawing.need_drawing()
    assert report_of(raised.value).outcome == "failed"


@pytest.mark.parametrize(
    "error", [PluginBrokenError("the extra is missing"), AssertionError("EGL gives no context")]
)
def test_other_failures_stay_failures(monkeypatch, error):
    monkeypatch.delenv(drawing.MUST, raising=False)
    assert report_of(error).outcome == "failed"


def test_evaluate_rooms_says_what_to_install(no_egl, monkeypatch, capsys, tmp_path):
    folder = tmp_path / "out"
    command = ["groundplane", "evaluate", "rooms", "--rooms", "1", "--out", str(folder)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert err.count("\n") == 1
    assert "EGL gives no context ((eglInitialize) cannot open libEGL.so)" in err
    assert "apt-get install libegl1" in err
    # A later run, with EGL, goes on from the folder: nothing wrong is kept in it.
    assert [path.name for path in folder.iterdir()] == ["rooms.jsonl"]
    assert (folder / "rooms.jsonl").read_text().count("\n") == 1
