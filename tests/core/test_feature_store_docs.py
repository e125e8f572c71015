"""What docs/feature-store.md shows is what happens."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "feature-store.md"


def test_the_code_of_the_page_prints_what_it_says(capsys):
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile(code, "docs/feature-store.md", "exec"), {})
    said = re.findall(r"print\(.*\)  # (.+)", code)
    assert capsys.readouterr().out.splitlines() == said
    assert len(said) == 3
