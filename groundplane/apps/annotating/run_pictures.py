"""A run, and its pictures where they were when it was made, or where they lie by now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from groundplane.annotation.run import Run
from groundplane.annotation.sources import RecordReader, source_of
from groundplane.annotation.spec import JobSpec
from groundplane.core.annotation import AnnotationRecord
from groundplane.core.errors import GroundplaneError, MediaError

__all__ = ["RunPictures", "open_run"]


def open_run(path: Path, *, source: str | None = None) -> Run:
    """A run to be read.

    Args:
        path: Its folder.
        source: Where its pictures lie by now; None for where they were.

    Raises:
        InputError: If it is no run.
        MediaError: If there is no such source.
    """
    run = Run.open(path)
    if source is None:
        return run
    spec = replace(run.spec, source=source)
    spec = replace(spec, source=source_of(spec).name)
    return replace(run, manifest=replace(run.manifest, spec=spec))


class RunPictures:
    """Reads the pictures of a run's records; the source is opened when the first is asked for.

    Args:
        spec: The run's job.
    """

    def __init__(self, spec: JobSpec) -> None:
        self._spec = spec
        self._reader: RecordReader | None = None
        self._fault: GroundplaneError | None = None

    def read(self, record: AnnotationRecord) -> bytes:
        """The encoded bytes of a record's picture.

        Raises:
            MediaError: If it, or all of the source, is gone, or it has changed.
        """
        if self._fault is not None:
            raise MediaError(str(self._fault))
        if self._reader is None:
            try:
                opened = source_of(self._spec)
            except GroundplaneError as error:
                self._fault = error  # not looked for again for each picture
                raise
            self._reader = RecordReader(opened)
        return self._reader(record)
