"""The pictures of a run, where its source has them."""

from __future__ import annotations

import os
from pathlib import Path

from groundplane.annotation.sources.opening import source_of
from groundplane.annotation.sources.records import RecordReader
from groundplane.annotation.sources.source import Source
from groundplane.annotation.spec import JobSpec
from groundplane.core.annotation import AnnotationRecord
from groundplane.core.errors import GroundplaneError, MediaError

__all__ = ["RunPictures"]


class RunPictures:
    """Finds the pictures of a run's records; the source is opened when the first is asked for.

    Args:
        spec: The run's job.
    """

    def __init__(self, spec: JobSpec) -> None:
        self._spec = spec
        self._source: Source | None = None
        self._reader: RecordReader | None = None
        self._fault: GroundplaneError | None = None

    def read(self, record: AnnotationRecord) -> bytes:
        """The encoded bytes of a record's picture.

        Raises:
            MediaError: If it, or all of the source, is gone, or it has changed.
        """
        if self._reader is None:
            self._reader = RecordReader(self._opened())
        return self._reader(record)

    def locate(self, record: AnnotationRecord) -> Path | None:
        """The file of a record's picture on this machine, if it has one that is there.

        Raises:
            MediaError: If the source is gone.
        """
        if record.frame is not None:
            return None
        item = self._opened().find(record.path)
        file = item.where.get("file")
        alone = isinstance(file, str) and len(item.where) == 1 and item.stamp is not None
        return Path(str(file)) if alone and os.path.isabs(str(file)) else None

    def _opened(self) -> Source:
        if self._fault is not None:
            raise MediaError(str(self._fault))
        if self._source is None:
            try:
                self._source = source_of(self._spec)
            except GroundplaneError as error:
                self._fault = error  # not looked for again for each picture
                raise
        return self._source
