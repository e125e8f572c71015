"""The folder of a run: its manifest, its log, and what is read from them.

    manifest.json   what the run is to do, fixed when it begins
    records.log     the truth; `shards/NUMBER.log` beside it where several machines write
    lock            held by the process that writes
    exports/        derived, and derived again at any time
    experts.log     what experts printed; nothing is read from it

Reading needs no lock and works while another process writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from groundplane.annotation.disk import SYSTEM, Disk, reason, sync_folder, write_durably
from groundplane.annotation.framing import HEADER_SIZE
from groundplane.annotation.listing import Listing, list_logs
from groundplane.annotation.locks import Lock
from groundplane.annotation.log import Pace, RecordLog
from groundplane.annotation.manifest import Manifest, differences
from groundplane.annotation.run_records import LogFiles, RunRecords
from groundplane.annotation.run_tracks import follow_videos
from groundplane.annotation.run_writer import RunWriter
from groundplane.annotation.spec import JobSpec
from groundplane.annotation.summarising import RunSummary, summarise
from groundplane.annotation.tracking import need_tracker
from groundplane.annotation.view import View, changed_thresholds
from groundplane.core.annotation import Failure
from groundplane.core.errors import InputError, OutputError, listing
from groundplane.core.files import one_line

__all__ = ["Run"]

_MANIFEST, _LOG, _LOCK, _SHARDS = "manifest.json", "records.log", "lock", "shards"
_EXPERTS = "experts.log"
# What a process that died while it made a run leaves behind.
_LEFT_BEHIND = {_LOG, _LOCK, _EXPERTS, f".{_MANIFEST}.part", f".{_LOG}.part"}
_MOST = 2**28


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """A run on disk.

    Attributes:
        path: Its folder.
        manifest: What it is to do, and the key of its logs.
        disk: Where it is.
    """

    path: Path
    manifest: Manifest
    disk: Disk = SYSTEM

    @staticmethod
    def exists(path: str | Path) -> bool:
        """Whether there is a run in a folder.

        Examples:
            >>> Run.exists("/nowhere")
            False
        """
        return os.path.lexists(Path(path) / _MANIFEST)

    @classmethod
    def create(cls, path: str | Path, spec: JobSpec, *, disk: Disk = SYSTEM) -> Run:
        """Begin a run in a new or empty folder. The manifest comes last and makes it one.

        Raises:
            InputError: If the folder holds anything else, or a run.
            OutputError: If it cannot be written, or another process is making one there.
        """
        folder, manifest = Path(path), Manifest.of(spec)
        name = one_line(str(path))
        _refuse_others(folder)
        try:
            _make_folder(folder, disk=disk)
            with Lock(folder / _LOCK, disk=disk):
                if cls.exists(folder):
                    raise InputError(f"{name}: another process has just begun a run there")
                RecordLog.create(folder / _LOG, key=manifest.key, disk=disk)
                write_durably(folder / _MANIFEST, manifest.to_bytes(), disk=disk)
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(f"{name}: cannot begin a run there: {reason(error)}") from error
        return cls(path=folder, manifest=manifest, disk=disk)

    @classmethod
    def open(cls, path: str | Path, *, disk: Disk = SYSTEM) -> Run:
        """A run that is there.

        Raises:
            InputError: If the folder is no run, its log is gone, or it is of a newer version.
        """
        folder, name = Path(path), one_line(str(path))
        if not cls.exists(folder):
            there = "has no manifest.json" if folder.is_dir() else "is no folder"
            raise InputError(
                f"{name}: is no run: it {there}; `groundplane annotate ... --out DIR` makes one"
            )
        data = _read(folder / _MANIFEST, disk=disk)
        manifest = Manifest.from_bytes(data, name=one_line(str(folder / _MANIFEST)))
        if not os.path.lexists(folder / _LOG):
            raise InputError(
                f"{name}: its {_LOG} is gone, and with it what was done; put it back, or begin "
                "another run"
            )
        return cls(path=folder, manifest=manifest, disk=disk)

    @classmethod
    def resume(cls, path: str | Path, spec: JobSpec, *, disk: Disk = SYSTEM) -> Run:
        """A run that is there, to go on with the same job.

        Raises:
            InputError: As for `open`; or if the job is another one: the message says in what.
        """
        run = cls.open(path, disk=disk)
        changes = differences(run.spec, spec)
        if changes:
            raise InputError(
                f"{one_line(str(path))}: holds another job ({listing(changes)}); what it holds "
                "stays as it is. Begin another run with --new, or name another folder with --out"
            )
        return run

    @classmethod
    def create_beside(cls, path: str | Path, spec: JobSpec, *, disk: Disk = SYSTEM) -> Run:
        """Begin a run in the first free of the folders PATH, PATH-2, PATH-3 and so on.

        Raises:
            OutputError: If it cannot be written.
        """
        folder, number = Path(path), 1
        while os.path.lexists(folder):
            number += 1
            folder = Path(path).with_name(f"{Path(path).name}-{number}")
        return cls.create(folder, spec, disk=disk)

    @property
    def spec(self) -> JobSpec:
        """What it is to do."""
        return self.manifest.spec

    @property
    def key(self) -> bytes:
        """By which its logs are known, and the run itself where a path could be mistaken."""
        return self.manifest.key

    @property
    def exports(self) -> Path:
        """Where its exports go, each in a folder of its own."""
        return self.path / "exports"

    @property
    def experts_log(self) -> Path:
        """Where what its experts print goes; no truth."""
        return self.path / _EXPERTS

    def writer(
        self, *, shard: int | None = None, retry_failed: bool = False, pace: Pace | None = None
    ) -> RunWriter:
        """Open it for writing; what a process that died left unfinished is cut off.

        Args:
            shard: Write a log of its own, which no other process writes; None for the run's.
                What the other shards hold does not count as done: whoever gives out shards
                holds the run's own writer, which knows them all.
            retry_failed: Whether what failed counts as not done.
            pace: When records are brought to the disk.

        Raises:
            OutputError: If another process writes it, or it cannot be written.
        """
        main = self.path / _LOG
        if shard is None:
            files, lock = self._files(), self.path / _LOCK
        else:
            own = self.path / _SHARDS / f"{shard:06d}.log"
            try:
                self.disk.make_folder(own.parent)
            except OSError as error:
                raise OutputError(
                    f"{one_line(str(own.parent))}: cannot be made: {reason(error)}"
                ) from error
            files = LogFiles(paths=(own, main), key=self.key, disk=self.disk)
            lock = own.with_suffix(".lock")
        begin = shard is not None
        return RunWriter(files, lock=lock, begin=begin, retry_failed=retry_failed, pace=pace)

    def records(self, view: View | None = None, *, candidates: bool = False) -> RunRecords:
        """All records that there are now, by path.

        Args:
            view: How they are seen; None for the job's own view with the thresholds in force.
            candidates: Whether that view has candidates too.

        Raises:
            InputError: If a log cannot be read.
        """
        files = self._files()
        found = self._listing(files)
        own = self._view(found, candidates=candidates)
        return RunRecords(files, found, view=view or own)

    def thresholds(self) -> tuple[float | None, ...]:
        """The thresholds in force, one a prompt; None where the expert's own holds.

        Raises:
            InputError: If a log cannot be read.
        """
        return self._view(self._listing(self._files()), candidates=False).thresholds

    def set_thresholds(
        self, given: float | str | Iterable[str] | Mapping[str, float]
    ) -> tuple[float | None, ...]:
        """Have other thresholds hold from here on; no model is needed.

        Args:
            given: See `changed_thresholds`.

        Returns:
            One a prompt.

        Raises:
            InputError: If a name is unknown or a number out of range.
            OutputError: If another process writes, or it cannot be written.
            PluginBrokenError: If things are followed and the library for it is not installed.
        """
        values = changed_thresholds(self.spec, self.thresholds(), given)
        if self.spec.tracks:
            need_tracker()
        with self.writer() as writer:
            writer.write_thresholds(values)
            self.follow(writer)
        return values

    def follow(self, writer: RunWriter) -> None:
        """Derive the tracks of videos anew, if the job wants any.

        Args:
            writer: This run's.

        Raises:
            OutputError: If they cannot be written.
            PluginBrokenError: If the library that tracks is not installed.
        """
        if self.spec.tracks:
            writer.sync()
            follow_videos(self.records(candidates=True), writer)

    def failures(self) -> Iterator[tuple[str, Failure]]:
        """The pictures that failed, by path, and why.

        Raises:
            InputError: If a log cannot be read.
        """
        for record in self.records().failed():
            if record.failure is not None:
                yield record.path, record.failure

    def summary(self) -> RunSummary:
        """What it holds, counted.

        Raises:
            InputError: If a log cannot be read.
        """
        files = self._files()
        found = self._listing(files)
        view = self._view(found, candidates=False)
        return summarise(RunRecords(files, found, view=view), found, self.spec.classes)

    def _files(self) -> LogFiles:
        shards = sorted((self.path / _SHARDS).glob("*.log"))
        return LogFiles(paths=(self.path / _LOG, *shards), key=self.key, disk=self.disk)

    def _listing(self, files: LogFiles) -> Listing:
        return list_logs(files.paths, key=self.key, disk=self.disk)

    def _view(self, found: Listing, *, candidates: bool) -> View:
        view = View.of(self.spec, candidates=candidates)
        held = found.thresholds
        if held is None or len(held) != len(view.thresholds):
            return view
        return View(thresholds=held, merge=view.merge, candidates=candidates)


def _refuse_others(folder: Path) -> None:
    """A run begins where nothing is: nobody's files come among ours."""
    name = one_line(str(folder))
    if Run.exists(folder):
        raise InputError(f"{name}: holds a run already; go on with it, or name another folder")
    try:
        held = {entry.name for entry in os.scandir(folder)} if os.path.lexists(folder) else set()
    except OSError as error:
        raise OutputError(f"{name}: is no folder to write to: {reason(error)}") from error
    log = folder / _LOG
    if _LOG in held and log.lstat().st_size > HEADER_SIZE:
        raise InputError(
            f"{name}: holds a log but no {_MANIFEST}; put that back, or name another folder"
        )
    if held - _LEFT_BEHIND:
        others = listing(sorted(map(one_line, held - _LEFT_BEHIND)), limit=3)
        raise InputError(
            f"{name}: is no run and holds other files ({others}); name a new or empty folder"
        )


def _make_folder(folder: Path, *, disk: Disk) -> None:
    """Make a folder and have its name, and those of the folders above it, on the disk."""
    made = [folder]
    while not made[-1].parent.exists():
        made.append(made[-1].parent)
    disk.make_folder(folder)
    for each in reversed(made):
        sync_folder(each.absolute().parent, disk=disk)


def _read(path: Path, *, disk: Disk) -> bytes:
    """A small file, through the disk."""
    name = one_line(str(path))
    try:
        file = disk.open(path, os.O_RDONLY)
        try:
            parts = [disk.read(file, _MOST, 0)]
            while parts[-1] and sum(map(len, parts)) <= _MOST:
                parts.append(disk.read(file, _MOST, sum(map(len, parts))))
        finally:
            disk.close(file)
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {reason(error)}") from error
    return b"".join(parts)
