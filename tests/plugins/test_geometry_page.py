"""docs/geometry.md says what is so: its examples run, its table names every expert as it is."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "geometry.md").read_text()
EXPERTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][
    "groundplane.geometry"
]
# What their servers or checkpoints say is not known here.
OPEN = {"remote", "recorded"}


def test_the_examples_run(capsys):
    scope: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(compile(block, "docs/geometry.md", "exec"), scope)
    assert float(capsys.readouterr().out) > 0
    contract, expert = scope["TestFlatWall"](), scope["FlatWall"](scope["Options"]())
    contract.test_it_satisfies_the_protocol(expert)
    contract.test_a_narrow_picture_is_answered(expert)


def row_of(name):
    return re.search(rf"^\| `{name}` \|(.*)$", PAGE, flags=re.MULTILINE).group(1)


@pytest.mark.parametrize("name", EXPERTS)
def test_each_expert_is_in_the_table_as_it_is(name):
    module, _, plugin = EXPERTS[name].partition(":")
    able = getattr(importlib.import_module(module), plugin).capabilities
    row = row_of(name)
    if name not in OPEN:
        for word in able.gives:
            assert word.removesuffix("s")[:5] in row.split("|")[2], f"{name} gives {word}"
        assert able.licence in row, f"{name}: licence {able.licence}"


def test_a_licence_that_is_wrong_would_be_seen():
    assert "MIT" not in row_of("depth-pro")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("depth_anything", ["fov", "noise", "common", "batch"]),
        ("zoedepth", ["flip"]),
        ("flat_floor", ["height", "tilt", "roll", "fov", "focal", "height_error", "tilt_error"]),
        ("remote_geometry", ["deadline", "max_reply"]),
    ],
)
def test_options_on_the_page_exist(name, options):
    module = importlib.import_module(f"groundplane.plugins.{name}")
    made = next(getattr(module, word) for word in module.__all__ if word.endswith("Options"))
    for option in options:
        assert option in made.__dataclass_fields__
        assert f"`{option}" in PAGE, f"{option} of {name} is not on the page"
