"""The page on dialects runs, and lists what there is."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from groundplane.core.locations import ProblemKind
from groundplane.grounding.dialects import dialect, dialects

_ROOT = Path(__file__).resolve().parents[3]
_PAGE = (_ROOT / "docs" / "dialects.md").read_text(encoding="utf-8")
_ROWS = {
    cells[0].strip("` "): [cell.strip() for cell in cells]
    for line in _PAGE.splitlines()
    if line.startswith("| `") and len(cells := re.split(r"(?<!\\)\|", line)[1:-1]) == 6
}


def test_every_example_runs_in_order() -> None:
    scope: dict[str, object] = {}

    for block in re.findall(r"```python\n(.*?)```", _PAGE, re.DOTALL):
        exec(compile(block, "docs/dialects.md", "exec"), scope)


def test_every_dialect_has_its_row() -> None:
    assert list(_ROWS) == list(dialects())


@pytest.mark.parametrize("name", dialects())
def test_other_names_are_names_of_the_dialect(name: str) -> None:
    for other in re.findall(r"`([^`]+)`", _ROWS[name][1]):
        assert dialect(other).name == name


@pytest.mark.parametrize("name", dialects())
def test_kind_and_scale_are_those_of_the_declaration(name: str) -> None:
    language, said = dialect(name), _ROWS[name][3]
    words = {"states": "hidden state", "indices": "", "nothing": "none", "coordinates": ""}

    assert words[language.kind] in said
    divisor = language.convention.divisor
    if language.kind == "coordinates" and divisor is not None and divisor > 100:
        assert f"{divisor:g}" in said or said == "the same"


def test_every_problem_is_explained() -> None:
    explained = re.findall(r"^\| `(\w+)` \|[^|]*\|[^|]*\|$", _PAGE, re.MULTILINE)

    assert explained == [kind.value for kind in sorted(ProblemKind, key=explained.index)]
    assert set(explained) == {kind.value for kind in ProblemKind}


def test_number_of_referees_is_that_of_the_data(data_dir: Path) -> None:
    lines = (data_dir / "parser" / "supervision_cases.jsonl").read_text(encoding="utf-8")
    formats = [json.loads(line)["format"] for line in lines.splitlines() if line]
    count = Counter(dialect(name).name for name in formats if not name.startswith("util:"))

    stated = {name: re.findall(r"S (\d+)", row[5]) for name, row in _ROWS.items()}

    assert {name: int(n[0]) for name, n in stated.items() if n} == dict(count)
