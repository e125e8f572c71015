"""label-studio-sdk reads what we write; it needs a network once, so it runs only when asked to."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import groundplane
from groundplane.core.masks import decode
from groundplane.testing.annotations import random_records
from groundplane.testing.exporters import export_into

CHECK = Path(__file__).parents[1] / "support" / "check_label_studio.py"
APART = ["uv", "run", "--no-project", "--isolated", "--with", "label-studio-sdk", "python"]


@pytest.mark.skipif("GROUNDPLANE_INTEROP" not in os.environ, reason="set GROUNDPLANE_INTEROP=1")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_sdk_takes_configuration_tasks_and_brushes(seed: int, tmp_path: Path) -> None:
    example = random_records(seed, num=8)
    exporter = groundplane.load("exporters", "label-studio", device="cpu")
    report = export_into(exporter, example, tmp_path)
    masks = [
        {f"m{i}": decode(m).astype(int).tolist() for i, m in enumerate(r.regions.masks or ()) if m}
        for r in example
        if r.status == "done"
    ]
    (tmp_path / "masks.json").write_text(json.dumps(masks))
    ended = subprocess.run(
        [*APART, str(CHECK), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert f"boxes {report.regions} " in ended.stdout
