"""The page on maps runs, and lists every problem that a reader tells."""

from __future__ import annotations

import doctest
import inspect
import re
from pathlib import Path

from groundplane.spatial.maps import cogmap, loose_text, mindcube

PAGE = Path(__file__).resolve().parents[2] / "docs" / "maps.md"


def test_every_example_of_the_page_runs():
    result = doctest.testfile(str(PAGE), module_relative=False)

    assert result.attempted > 20
    assert result.failed == 0


def test_every_kind_of_problem_is_listed_and_no_other():
    told = {
        kind
        for module in (loose_text, cogmap, mindcube)
        for kind in re.findall(r'\bnote\(\s*"(\w+)"', inspect.getsource(module))
    }
    table = PAGE.read_text().split("| problem |")[1].split("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    listed = {kind.strip() for row in rows for kind in row.split(",")}

    assert listed == told
