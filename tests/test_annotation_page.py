"""The page on annotating from Python runs, with experts in this process: that starts sooner."""

import functools
import re
from pathlib import Path

from tiny_photos import make_photos

import groundplane.annotating

PAGE = Path(__file__).parents[1] / "docs" / "annotation-python.md"


def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    make_photos(tmp_path / "photos", 3, sizes=((64, 48),))
    monkeypatch.chdir(tmp_path)
    here = functools.partial(groundplane.annotating.annotate, apart=False, workers=1)
    monkeypatch.setattr(groundplane.annotating, "annotate", here)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 4
    exec(compile("\n".join(blocks), str(PAGE), "exec"), {})
    lines = capsys.readouterr().out.splitlines()

    assert "3 0 complete" in lines
    assert any(line.startswith("000/00000.jpg done") for line in lines)
    assert lines[-1].endswith("pictures a second")
