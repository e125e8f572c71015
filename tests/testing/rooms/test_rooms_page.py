"""The page on rooms runs, and names every error that there is."""

import dataclasses
import re
from pathlib import Path

import pytest

from groundplane.testing.rooms.furniture import FURNITURE, LABELS
from groundplane.testing.rooms.noise import DepthErrors, PoseErrors
from groundplane.testing.rooms.oracle import OracleErrors

PAGE = (Path(__file__).parents[3] / "docs" / "rooms.md").read_text("utf-8")


def test_the_page_runs_from_top_to_bottom(capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 2
    exec(compile("\n".join(blocks), "rooms.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("kitchen ")
    assert any("things in sight" in line for line in lines)
    assert any("'chair'" in line for line in lines)


@pytest.mark.parametrize("kind", [OracleErrors, DepthErrors, PoseErrors])
def test_every_error_is_told(kind):
    table = PAGE.split(f"| `{kind.__name__}` |")[1].split("\n\n")[0]
    told = set(
        re.findall(r"`(\w+)`", "\n".join(row.split("|")[1] for row in table.splitlines()[2:]))
    )
    assert told | {"seed"} == {field.name for field in dataclasses.fields(kind)}


def test_the_number_of_words_and_kinds_is_told():
    assert f"{len(FURNITURE)} kinds under {len(LABELS)} words" in PAGE
