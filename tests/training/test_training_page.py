"""The page on training says what the code does."""

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

from groundplane.training.configuration import (
    STAGE_DEFAULTS,
    LoraRule,
    ReplayRule,
    StageRule,
    TrainConfig,
    read_config,
)

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")


def table(heading):
    """Key to default and description, of the table after a heading."""
    text = PAGE.split(heading)[1].split("\n\n")[1]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]
    return {row[0].strip("`"): (row[2], row[3]) for row in rows}


@pytest.mark.parametrize(
    ("heading", "kind"), [("Of the file:", TrainConfig), ("Of a stage:", StageRule)]
)
def test_every_key_is_told_and_no_other(heading, kind):
    assert list(table(heading)) == [f.name for f in dataclasses.fields(kind)]


@pytest.mark.parametrize(
    ("heading", "kind"), [("Of the file:", TrainConfig), ("Of a stage:", StageRule)]
)
def test_defaults_are_told(heading, kind):
    told = table(heading)
    for field in dataclasses.fields(kind):
        if field.default is dataclasses.MISSING:
            continue
        expected = {None: "none", True: "true", False: "false"}.get(
            field.default, str(field.default)
        )
        if field.name in ("stage1", "stage2"):
            expected = ""
        if isinstance(field.default, (int, float)) and not isinstance(field.default, bool):
            expected = str(field.default)  # 0 and 1 would be found as False and True
        assert told[field.name][0] == expected, field.name


def test_where_the_second_stage_differs_is_told():
    told = table("Of a stage:")
    for key, value in STAGE_DEFAULTS["stage2"].items():
        said = re.search(r"in `stage2` `?([\w-]+)`?", told[key][1])
        assert said, key
        assert said[1] == value or float(said[1]) == value


def test_defaults_of_lora_and_replay_are_told():
    told = table("Of a stage:")
    for key, rule in (("lora", LoraRule()), ("replay", ReplayRule(file=Path("x")))):
        for name, value in re.findall(r"`(\w+)` \(([\d.]+)\)", told[key][1]):
            assert float(value) == getattr(rule, name)


def test_the_example_can_be_read(tmp_path):
    text = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1]
    assert tomllib.loads(text)["stage2"]["checkpointing"] is True
    (tmp_path / "train.toml").write_text(text)
    assert list(read_config(tmp_path / "train.toml").stages) == ["stage1", "stage2"]
