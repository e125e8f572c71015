"""docs/geometry.md says what is so: its examples run, its table names every expert as it is."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
import types
from pathlib import Path

import pytest

from groundplane.testing.detectors import unlike_images
from groundplane.testing.geometry import make_frame

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "geometry.md").read_text()
EXPERTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][
    "groundplane.geometry"
]
# What their servers or checkpoints say is not known here.
OPEN = {"remote", "recorded"}


USING, WRITING = PAGE.split("## Write one")


def blocks(part, language="python"):
    return re.findall(rf"```{language}\n(.*?)```", part, flags=re.DOTALL)


def test_the_examples_run(capsys):
    scope: dict = {}
    for block in blocks(USING):
        exec(compile(block, "docs/geometry.md", "exec"), scope)
    assert float(capsys.readouterr().out) > 0


def test_the_expert_that_is_written_passes_its_contract(monkeypatch):
    plugin, contract = blocks(WRITING)
    [project] = [tomllib.loads(block)["project"] for block in blocks(WRITING, "toml")]
    [(name, value)] = project["entry-points"]["groundplane.geometry"].items()
    home, _, attribute = value.partition(":")
    module = types.ModuleType(home)
    monkeypatch.setitem(sys.modules, home, module)
    exec(compile(plugin, "docs/geometry.md", "exec"), module.__dict__)
    scope: dict = {}
    exec(compile(contract, "docs/geometry.md", "exec"), scope)

    expert = getattr(module, attribute)(module.Options())
    checks = scope["TestFlatWall"]()
    checks.test_it_satisfies_the_protocol(expert)
    checks.test_a_narrow_picture_is_answered(expert)
    frames = [make_frame(image, index=i) for i, image in enumerate(unlike_images())]
    checks.test_what_it_tells_is_usable(expert, frames)
    checks.test_what_it_does_not_give_stays(expert, frames)
    assert f"--geometry {name} --option {name}.metres=3" in WRITING


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
