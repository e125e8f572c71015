"""All files of a run's exports, to compare runs with."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from groundplane.annotation.exporting import ExportRequest, export_records
from groundplane.annotation.run import Run


def exported(run: Run, formats: Sequence[str] = ("coco",)) -> dict[str, bytes]:
    """The content of each file by its path, which begins with the format's name."""
    files = {}
    with tempfile.TemporaryDirectory() as name:
        for form in formats:
            folder = Path(name) / form
            request = ExportRequest(format=form, folder=folder, classes=run.spec.classes)
            export_records(run.records(), request)
            for file in sorted(folder.rglob("*")):
                if file.is_file():
                    files[str(file.relative_to(name))] = file.read_bytes()
    return files
