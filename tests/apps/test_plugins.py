"""The listing of plugins: everything is named, nothing can end it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from groundplane.apps.plugins import run, table
from groundplane.core.host import DISABLE

GOOD = (
    "from dataclasses import dataclass\n"
    "@dataclass(frozen=True)\n"
    "class Options: ...\n"
    "class Plugin:\n"
    "    Options = Options\n"
    "    vocabulary = None\n"
    "    def __init__(self, options, *, device, dtype): ...\n"
    "    def detect(self, requests): return []\n"
)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution with one detector, or with a given text, on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv(DISABLE, raising=False)

    def add(dist: str, name: str, text: str) -> None:
        (tmp_path / f"{dist}_mod.py").write_text(text)
        info = tmp_path / f"{dist}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
        entry = f"[groundplane.detectors]\n{name} = {dist}_mod:Plugin\n"
        (info / "entry_points.txt").write_text(entry)

    return add


def line(capsys, name):
    """The one line of the table about a plugin."""
    (found,) = [row for row in capsys.readouterr().out.splitlines() if f" {name} " in row]
    return found


def test_the_table_names_origin_state_and_needs(install, capsys):
    install("gpt_good", "tgood", "import numpy\n" + GOOD)
    assert run(check=False, as_json=False) == 0
    assert line(capsys, "tgood").split() == ["detectors", "tgood", "gpt_good", "1.0", "ok", "numpy"]


def test_a_missing_lazy_library_is_marked(install, capsys):
    install("gpt_lazy", "tlazy", GOOD + "def later():\n    import no_such_lib\n")
    run(check=False, as_json=False)
    assert line(capsys, "tlazy").endswith("no_such_lib (missing)")


def test_a_broken_plugin_is_named_and_the_exit_code_stays_0(install, capsys):
    install("gpt_bad", "tbad", "raise RuntimeError('no licence')\n")
    assert run(check=False, as_json=False) == 0
    row = line(capsys, "tbad")
    assert "broken: " in row
    assert "no licence" in row


def test_duplicates_and_disabled_ones_are_told(install, capsys, monkeypatch):
    install("gpt_one", "ttwin", GOOD)
    install("gpt_two", "ttwin", GOOD)
    install("gpt_off", "toff", GOOD)
    monkeypatch.setenv(DISABLE, "toff")
    run(check=False, as_json=False)
    out = capsys.readouterr().out
    assert out.count("duplicate: the name is also given by gpt_") == 2
    assert f"disabled: named in {DISABLE}" in out


def test_loading_finds_what_reading_cannot_and_clears_what_reading_feared(install, capsys):
    install("gpt_late", "tlate", "if True:\n    raise OSError('late fault')\n" + GOOD)
    fear = "import sys\nsys.exit = lambda: None\nsys.exit()\n"
    install("gpt_fear", "tfear", fear + GOOD)
    before, after = {}, {}
    for check, states in ((False, before), (True, after)):
        assert run(check=check, as_json=True) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["loaded"] is check
        states.update({p["name"]: (p["status"], p["reason"]) for p in shown["plugins"]})
    assert before["tlate"] == ("ok", "")
    assert after["tlate"] == ("broken", "OSError: late fault")
    assert before["tfear"][0] == "broken"
    assert after["tfear"] == ("ok", "")


def test_json_holds_every_column(install, capsys):
    install("gpt_good", "tgood", "import numpy\n" + GOOD)
    run(check=False, as_json=True)
    (found,) = [p for p in json.loads(capsys.readouterr().out)["plugins"] if p["name"] == "tgood"]
    assert found == {
        "kind": "detectors",
        "name": "tgood",
        "qualified": "gpt_good:tgood",
        "value": "gpt_good_mod:Plugin",
        "distribution": "gpt_good",
        "version": "1.0",
        "status": "ok",
        "reason": "",
        "needs": [{"library": "numpy", "present": True}],
    }


def test_nothing_installed_is_said(monkeypatch, capsys):
    monkeypatch.setattr("groundplane.apps.plugins.available", list)
    assert run(check=False, as_json=False) == 0
    assert "no plugin is installed" in capsys.readouterr().out


def test_columns_are_aligned_and_control_characters_are_shown():
    rows = table([["a", "b"], ["longer\x1b[31m", "c\nd"]]).splitlines()
    assert rows == ["a            b", "longer?[31m  c?d"]


def test_the_listing_loads_nothing_heavy():
    code = (
        "import sys; from groundplane.apps.plugins import run; run(check=False, as_json=False);"
        "heavy = {'torch', 'numpy', 'jaxtyping', 'rich', 'cv2', 'subprocess'} & set(sys.modules);"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
