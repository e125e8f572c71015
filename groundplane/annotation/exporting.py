"""Exports of a run: each in a folder of its own, written whole or not at all.

An export is derived from the log and can be made again at any time, so an earlier one of ours is
replaced; whatever else is there never is.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from groundplane.annotation.run import Run
from groundplane.annotation.run_pictures import RunPictures
from groundplane.annotation.view import View
from groundplane.core import host
from groundplane.core.annotation import AnnotationRecord, ClassTable
from groundplane.core.errors import OutputError
from groundplane.core.exporting import Exporter, ExportTarget, LossReport, Records
from groundplane.core.files import one_line
from groundplane.core.output_folder import OutputFolder

__all__ = ["LOSSES", "ExportRequest", "export_records", "export_run", "read_losses"]

LOSSES = "loss.json"
_VERSION = 1
# So many files are brought to the disk one by one; more of them all at once.
_FEW = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What is to be written, and where.

    Attributes:
        format: The exporter's name.
        folder: Where the export is to stand. What is there must be an earlier export, or empty.
        classes: What the records' class and prompt ids point into.
        options: The exporter's.
        read: Gives the encoded bytes of a record's picture; None where they cannot be had.
        locate: Gives the file of a record's picture on this machine, or None; None for none.
        title: What people call it. It goes into some formats, so the same records should have
            the same.
    """

    format: str
    folder: Path
    classes: ClassTable
    options: Mapping[str, object] = field(default_factory=dict)
    read: Callable[[AnnotationRecord], bytes] | None = None
    locate: Callable[[AnnotationRecord], Path | None] | None = None
    title: str = "groundplane"


def export_run(
    run: Run,
    format: str,
    *,
    folder: str | Path | None = None,
    options: Mapping[str, object] | None = None,
    view: View | None = None,
) -> LossReport:
    """Write what a run has found in one format; no model is needed.

    Pictures are looked up only by formats that hold or link to them, where the run found them.

    Args:
        run: The run; another process may be writing it.
        format: The exporter's name, such as `coco`.
        folder: Where the export is to stand; None for `exports/FORMAT` in the run's folder.
        options: The exporter's options.
        view: How the records are seen; None for the run's own view with the thresholds in force.

    Raises:
        InputError: As `export_records`; or if a log cannot be read.
        PluginNotFoundError: As `export_records`; as well the errors below.
        PluginBrokenError: If a library that it needs is not installed.
        OutputError: If the folder is another's or cannot be written.
        MediaError: If a picture is needed and is gone or has changed.
    """
    pictures = RunPictures(run.spec)
    request = ExportRequest(
        format=format,
        folder=run.exports / format if folder is None else Path(folder),
        classes=run.spec.classes,
        options=options or {},
        read=pictures.read,
        locate=pictures.locate,
        title=run.spec.source.rstrip("/").rpartition("/")[2] or run.spec.source,
    )
    return export_records(run.records(view), request)


def export_records(records: Records, request: ExportRequest) -> LossReport:
    """Write records in one format; the folder appears when it is whole.

    What was lost stands in its `loss.json` too, by which the folder is known as one of ours.

    Raises:
        PluginNotFoundError: If there is no such format.
        PluginBrokenError: If a library that it needs is not installed.
        InputError: If an option is unknown or malformed.
        OutputError: If the folder holds anything that no export wrote, another process exports
            there, or something cannot be written; an earlier export is left as it was.
        MediaError: If a picture is needed and cannot be read.
    """
    prepared = host.prepare("exporters", request.format, request.options)
    exporter: Exporter = prepared.make(device="cpu")
    folder = Path(os.path.abspath(request.folder))
    _check_ours(folder)
    with _draft(folder) as draft:
        target = ExportTarget(
            folder=OutputFolder(draft),
            classes=request.classes,
            read=request.read,
            locate=request.locate,
            title=request.title,
        )
        report = exporter.export(records, target)
        written = list(_entries(draft))
        marked = {
            "groundplane": _VERSION,
            **report.record(),
            "options": _options(prepared.options),
            "files": len(written) + 1,
        }
        target.folder.write(LOSSES, (json.dumps(marked, indent=1) + "\n").encode())
        _bring_to_disk(draft, written)
        _check_ours(folder)
        _replace(folder, draft)
    return report


def read_losses(folder: str | Path) -> dict[str, Any] | None:
    """What `loss.json` in an export says; None where a folder is no export of ours.

    Examples:
        >>> read_losses("/nowhere") is None
        True
    """
    path = Path(folder) / LOSSES
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    ours = isinstance(document, dict) and document.get("groundplane") == _VERSION
    return document if ours and type(document.get("files")) is int else None


def _options(options: object) -> dict[str, object]:
    """Options as JSON values."""
    if not dataclasses.is_dataclass(options) or isinstance(options, type):
        return {}
    values = dataclasses.asdict(options)
    return {k: v if isinstance(v, int | float | str | None) else str(v) for k, v in values.items()}


# The folder ----------------------------------------------------------------------------------


def _check_ours(folder: Path) -> None:
    """Raise unless a folder is not there, empty, or an export with no files but its own."""
    if not os.path.lexists(folder):
        return
    shown = one_line(str(folder))
    if folder.is_symlink() or not folder.is_dir():
        raise OutputError(f"{shown} is no folder; name another place for the export")
    known = read_losses(folder)
    most = 0 if known is None else known["files"]
    # No further than needed: a user may have named the top of a file system.
    if sum(1 for _ in islice(_entries(folder), most + 1)) > most:
        what = "is no export" if known is None else "holds files that the export did not write"
        raise OutputError(
            f"{shown} {what}, so it is not replaced; name another place, or move it away"
        )


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """An empty folder beside the wanted one, ours alone; it is taken away if it is not used."""
    draft = folder.with_name(f".{folder.name}.part")
    try:
        draft.mkdir(parents=True, exist_ok=True)
        held = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _fault(draft, error) from error
    try:
        if not _lock(held) or not _is(draft, held):
            raise OutputError(
                f"{one_line(str(folder))}: another process is exporting there; wait for its end"
            )
        try:
            _empty(draft)  # of what a killed process left
            yield draft
        finally:
            if _is(draft, held):
                shutil.rmtree(draft, ignore_errors=True)
    finally:
        os.close(held)


def _lock(held: int) -> bool:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(path: Path, held: int) -> bool:
    """Whether a path still leads to the folder that is held open."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(held))
    except OSError:
        return False


def _empty(folder: Path) -> None:
    try:
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
    except OSError as error:
        raise _fault(folder, error) from error


def _replace(folder: Path, draft: Path) -> None:
    """Put a whole export in the place of an earlier one."""
    gone = folder.with_name(f".{folder.name}.old")
    try:
        if os.path.lexists(gone):  # a process was killed below
            shutil.rmtree(gone)
        if folder.is_dir():
            folder.rename(gone)
        draft.rename(folder)
        _sync(folder.parent)
        if os.path.lexists(gone):
            shutil.rmtree(gone)
    except OSError as error:
        raise _fault(folder, error) from error


def _entries(folder: Path) -> Iterator[str]:
    """The files and links below a folder."""
    for here, folders, files in os.walk(folder):
        for name in files:
            yield os.path.join(here, name)
        for name in folders:
            if os.path.islink(os.path.join(here, name)):
                yield os.path.join(here, name)


def _bring_to_disk(folder: Path, files: list[str]) -> None:
    try:
        if len(files) > _FEW:
            os.sync()
            return
        folders = [here for here, _, _ in os.walk(folder)]
        own = [path for path in files if not os.path.islink(path)]
        for path in (*own, str(folder / LOSSES), *folders):
            _sync(path)
    except OSError as error:
        raise _fault(folder, error) from error


def _sync(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fault(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or type(error).__name__
    return OutputError(f"{one_line(str(path))}: cannot be written: {reason}")
