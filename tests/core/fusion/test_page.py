"""docs/fusion.md: its code runs and its numbers are those of the reports."""

import contextlib
import io
import re
from pathlib import Path

from fusing import NAMES, tower

from groundplane.core.fusion.making import make_fusion
from groundplane.core.fusion.operator import FusionRule

PAGE = (Path(__file__).parents[3] / "docs" / "fusion.md").read_text()


def costs(page):
    """The table of costs: name to tokens, GFLOP, million parameters."""
    row = re.compile(r"^\| `(\w+)` \| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", re.MULTILINE)
    return {name: (int(tokens), flops, size) for name, tokens, flops, size in row.findall(page)}


def test_the_table_of_costs_is_true():
    towers = [tower(name, side=24, width=1024) for name in ("clip", "dinov2")]
    found = {}
    for name in NAMES:
        report = make_fusion(FusionRule(name=name), towers, 4096).report()
        found[name] = (report.tokens, f"{report.flops / 1e9:.1f}", f"{report.parameters / 1e6:.1f}")
    assert costs(PAGE) == found


def test_every_operator_is_in_the_table_of_formulas():
    rows = re.findall(r"^\| `(\w+)` \| .*\| .*\| .*\| .* \|$", PAGE, re.MULTILINE)
    assert sorted(rows) == list(NAMES)


def test_the_code_prints_what_it_says():
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    said = re.findall(r"print\(.*\) +# (\(.*?\)|\[.*?\])(?:$|:)", code, re.MULTILINE)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "docs/fusion.md", "exec"), {})
    assert printed.getvalue().splitlines() == said
    assert len(said) == 4


def test_a_false_number_is_seen():
    assert costs(PAGE.replace("| 720 |", "| 721 |")) != costs(PAGE)
