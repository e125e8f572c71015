"""datumaro reads what we write for CVAT; it needs a network once, so it runs only when asked to."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import groundplane
from groundplane.core.annotation import AnnotationRecord
from groundplane.core.masks import decode, from_polygons
from groundplane.testing.annotations import GeneratedRecords, random_records
from groundplane.testing.exporters import export_into

CHECK = Path(__file__).parents[1] / "support" / "check_cvat.py"
APART = ["uv", "run", "--no-project", "--isolated", "--with", "datumaro", "python"]
pytestmark = pytest.mark.skipif(
    "GROUNDPLANE_INTEROP" not in os.environ, reason="set GROUNDPLANE_INTEROP=1"
)


def read_apart(file: Path) -> list[dict]:
    ended = subprocess.run(
        [*APART, str(CHECK), str(file)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads(ended.stdout)


def exported(example: GeneratedRecords, folder: Path) -> list[AnnotationRecord]:
    """Export pictures with polygons, and put the pictures where datumaro looks for them."""
    export_into(
        groundplane.load("exporters", "cvat", device="cpu", masks="polygons"), example, folder
    )
    done = [record for record in example if record.status == "done"]
    for record in done:
        path = folder / "images" / record.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if record.frame is None:
            path.write_bytes(example.read(record))
    return done


def test_datumaro_reads_boxes_and_masks_of_pictures(tmp_path: Path) -> None:
    example = random_records(2, num=8, hostile=False)
    done = [record for record in exported(example, tmp_path) if record.frame is None]
    items = {item["name"]: item["shapes"] for item in read_apart(tmp_path / "annotations.xml")}
    assert len(items) == len(done)
    for record in done:
        shapes = items[os.path.splitext(record.path)[0]]
        for row in np.flatnonzero(record.regions.class_ids >= 0).tolist():
            mine = [s for s in shapes if s["facts"]["region"] == record.regions.ids[row]]
            name = example.classes.names[record.regions.class_ids[row]]
            assert {shape["label"] for shape in mine} == {name}
            mask = record.regions.masks[row] if record.regions.masks else None
            numbers = [shape["numbers"] for shape in mine]
            if mask is None or not decode(mask).any():
                assert np.allclose(numbers, [record.regions.boxes[row]], atol=1e-4)
            else:
                width, height = record.size
                assert (decode(from_polygons(numbers, (height, width))) == decode(mask)).all()


def test_datumaro_reads_tracks_of_videos(tmp_path: Path) -> None:
    example = random_records(2, num=8, hostile=False)
    frames = [record for record in exported(example, tmp_path) if record.frame is not None]
    (tmp_path / "videos/clips/images").mkdir()
    items = read_apart(tmp_path / "videos/clips/walk.xml")
    shown = [s for item in items for s in item["shapes"] if s["facts"]["outside"] == "False"]
    expected = sum(int((record.regions.class_ids >= 0).sum()) for record in frames)
    assert len(shown) == expected > 0


def test_cvats_own_client_loads_the_function_and_asks_it() -> None:
    check = CHECK.with_name("check_cvat_cli.py")
    command = ["uv", "run", "--no-sync", "--with", "cvat-cli", "python", str(check)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stdout == "['head', 'eye'] []\n", ended.stderr[-2000:]
