"""Tar shards as webdataset reads them: the picture's own bytes and beside them its record.

Keys are numbers: webdataset takes all behind a name's first dot for its ending, so a name of a
file is no key. Nothing is lost: `load` gives the records back. A failed picture has a record only.

Source: the format's page, https://github.com/webdataset/webdataset (Shards and Keys); what is
written is checked by reading it with that library.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundplane.core.annotation import AnnotationRecord, ClassTable
from groundplane.core.annotation_json import (
    classes_document,
    read_classes_document,
    read_record_document,
    record_document,
)
from groundplane.core.errors import InputError
from groundplane.core.exporting import ExportTarget, Feature, LossCounter, LossReport, Records
from groundplane.core.files import one_line, picture_ending

__all__ = ["WebDatasetExporter", "WebDatasetOptions"]

_WHO = "exporter 'webdataset'"
_VERSION = 1
_INDEX = "dataset.json"
_KEY = re.compile(r"[0-9]{9,12}\.json")
# Records of a million regions are smaller; what is larger was not written here.
_MOST_JSON = 256 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class WebDatasetOptions:
    """Options of `WebDatasetExporter`.

    Attributes:
        images: Whether the pictures' bytes go in, or their records only.
        shard: Pictures a shard at most.
        megabytes: Where a shard is larger than that it is closed.

    Raises:
        InputError: If a count is below 1.
    """

    images: bool = True
    shard: int = 10_000
    megabytes: int = 1_000

    def __post_init__(self) -> None:
        for name in ("shard", "megabytes"):
            if getattr(self, name) < 1:
                raise InputError(f"{_WHO}: option {name}: expected 1 or more")


class WebDatasetExporter:
    """Writes `00000.tar` and so on, and `dataset.json` with the classes; reads them back.

    Args:
        options: See `WebDatasetOptions`.
        device: Not used.
        dtype: Not used.
    """

    Options = WebDatasetOptions
    holds = frozenset(Feature)

    def __init__(
        self, options: WebDatasetOptions, *, device: str = "cpu", dtype: object | None = None
    ) -> None:
        self._options = options

    def export(self, records: Records, target: ExportTarget) -> LossReport:
        """Write all records.

        Raises:
            OutputError: If something cannot be written.
            MediaError: If a picture cannot be read.
            InputError: If pictures are wanted and cannot be had.
        """
        if self._options.images and target.read is None:
            raise InputError(
                f"{_WHO}: the pictures of these records cannot be had. Try: --option images=false"
            )
        counter = LossCounter("webdataset", holds=self.holds)
        left = enumerate(records)
        held = next(left, None)
        shards = pictures = 0
        while held is not None or not shards:
            with target.folder.open(f"{shards:05d}.tar") as file, _tar(file) as tar:
                begun = pictures
                while held is not None and self._fits(pictures - begun, tar.offset):
                    number, record = held
                    counter.see(record)
                    self._put(tar, f"{number:09d}", record, target)
                    pictures += 1
                    held = next(left, None)
            shards += 1
        index = {
            "version": _VERSION,
            "shards": shards,
            "pictures": pictures,
            "classes": classes_document(target.classes),
        }
        target.folder.write(_INDEX, (json.dumps(index, indent=1) + "\n").encode())
        return counter.report()

    def _fits(self, pictures: int, size: int) -> bool:
        """Whether a shard takes another picture; each takes one."""
        room = size < self._options.megabytes * 10**6
        return not pictures or (pictures < self._options.shard and room)

    def _put(
        self, tar: tarfile.TarFile, key: str, record: AnnotationRecord, target: ExportTarget
    ) -> None:
        document = json.dumps(record_document(record)).encode()
        if self._options.images and record.status == "done" and target.read is not None:
            data = target.read(record)
            _add(tar, f"{key}.{picture_ending(data)}", data)
        _add(tar, f"{key}.json", document)

    def load(self, folder: Path) -> tuple[ClassTable, Iterator[AnnotationRecord]]:
        """Read an export back, a record at a time.

        Raises:
            InputError: If it is malformed; the message names the file and the field.
        """
        try:
            index: Any = json.loads((Path(folder) / _INDEX).read_bytes())
            version, shards, pictures = index["version"], index["shards"], index["pictures"]
        except OSError as error:
            raise InputError(f"{_INDEX}: cannot be read: {error.strerror}") from error
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise InputError(
                f"{_INDEX}: expected JSON with version, shards, pictures and classes"
            ) from error
        if version != _VERSION:
            raise InputError(f"{_INDEX}: expected version {_VERSION}, got {ascii(version)[:40]}")
        if not isinstance(shards, int) or not isinstance(pictures, int):
            raise InputError(f"{_INDEX}: expected shards and pictures as whole numbers")
        classes = read_classes_document(index.get("classes"), where=_INDEX)
        return classes, _records(Path(folder), shards=shards, pictures=pictures)


# Tar -------------------------------------------------------------------------------------------


def _tar(file: Any) -> tarfile.TarFile:
    return tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a member that holds no time, no owner, nothing of this machine."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    tar.addfile(info, io.BytesIO(data))


def _records(folder: Path, *, shards: int, pictures: int) -> Iterator[AnnotationRecord]:
    seen = 0
    for number in range(shards):
        for where, data in _documents(folder / f"{number:05d}.tar"):
            try:
                document = json.loads(data)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{where}: expected JSON") from error
            seen += 1
            yield read_record_document(document, where=where)
    if seen != pictures:
        raise InputError(f"{_INDEX}: expected {pictures} pictures, the shards hold {seen}")


def _documents(path: Path) -> Iterator[tuple[str, bytes]]:
    """The records in a shard; its members are read as streams and never unpacked."""
    where = one_line(path.name)
    try:
        with tarfile.open(path, mode="r:") as tar:
            for member in tar:
                if not member.isfile() or not _KEY.fullmatch(member.name):
                    continue
                if member.size > _MOST_JSON:
                    raise InputError(f"{where}: {member.name}: larger than a record may be")
                stream = tar.extractfile(member)
                data = b"" if stream is None else stream.read(_MOST_JSON)
                yield f"{where}: {member.name}", data
                tar.members = []  # type: ignore[attr-defined]  # it would keep every header
    except (OSError, EOFError, ValueError, tarfile.TarError) as error:
        if isinstance(error, InputError):
            raise
        said = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise InputError(f"{where}: cannot be read as a tar archive: {said}") from error
