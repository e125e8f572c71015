"""Examples run as they stand."""

from __future__ import annotations

import runpy
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_a_room_is_made_mapped_asked_and_drawn(tmp_path, capsys):
    example = runpy.run_path(str(EXAMPLES / "map_a_room.py"))

    example["main"](str(tmp_path / "plan.svg"))

    told = capsys.readouterr().out
    assert "became 12 of the 12 things" in told
    assert "There are 3 towels. In truth: 3." in told
    assert "<svg" in (tmp_path / "plan.svg").read_text()
