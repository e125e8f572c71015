"""Disks that fail as real ones do: at the k-th call, by the death of the process, by power loss.

Give one to `Run` in the place of the system's, and what a run promises can be tried at each step.
None really waits for the disk to take anything, which makes them quick.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from groundplane.annotation.disk import SYSTEM, Disk

__all__ = ["FaultyDisk", "PowerLossDisk", "ProcessDeathError"]


class ProcessDeathError(BaseException):
    """The process is dead: nothing may catch this and go on."""


class FaultyDisk:
    """The system's disk until a call, which fails.

    Args:
        at: The number of the call that fails, from 1; None for none.
        error: The system's number of the error, such as `errno.ENOSPC`; None for the death of the
            process, after which every call dies. Half of what is written then is written still.
        lasting: Whether later calls of that kind fail too, as on a full disk.
        kinds: The calls that count, such as `write`; None for all.

    Attributes:
        calls: How many calls counted so far.
    """

    def __init__(
        self,
        *,
        at: int | None = None,
        error: int | None = None,
        lasting: bool = False,
        kinds: frozenset[str] | None = None,
    ) -> None:
        self._at, self._error, self._lasting, self._kinds = at, error, lasting, kinds
        self._inner: Disk = SYSTEM
        self._open: set[int] = set()
        self._dead = False
        self.calls = 0

    @property
    def has_failed(self) -> bool:
        """Whether the call came that fails."""
        return self._at is not None and self.calls >= self._at

    def bury(self) -> None:
        """What the system does with a dead process: its descriptors, and with them locks, go."""
        for file in self._open:
            os.close(file)
        self._open.clear()

    def make_folder(self, path: Path) -> None:
        """See `Disk.make_folder`."""
        self._step("make_folder")
        self._inner.make_folder(path)

    def open(self, path: Path, flags: int) -> int:
        """See `Disk.open`."""
        self._step("open")
        file = self._inner.open(path, flags)
        self._open.add(file)
        return file

    def read(self, file: int, size: int, offset: int) -> bytes:
        """See `Disk.read`."""
        self._step("read")
        return self._inner.read(file, size, offset)

    def write(self, file: int, data: bytes) -> int:
        """See `Disk.write`."""
        if self._fails("write"):
            # A disk that fills up, like a process that dies, leaves a part behind.
            self._inner.write(file, data[: len(data) // 2])
            raise self._fault()
        return self._inner.write(file, data)

    def sync(self, file: int) -> None:
        """See `Disk.sync`."""
        self._step("sync")  # and no more: only a loss of power could tell the difference

    def cut(self, file: int, size: int) -> None:
        """See `Disk.cut`."""
        self._step("cut")
        self._inner.cut(file, size)

    def rename(self, old: Path, new: Path) -> None:
        """See `Disk.rename`."""
        self._step("rename")
        self._inner.rename(old, new)

    def lock(self, file: int, *, shared: bool) -> bool:
        """See `Disk.lock`."""
        self._step("lock")
        return self._inner.lock(file, shared=shared)

    def close(self, file: int) -> None:
        """See `Disk.close`; it never fails by itself, or descriptors would be lost."""
        if self._dead:
            raise ProcessDeathError
        self._open.discard(file)
        self._inner.close(file)

    def _step(self, kind: str) -> None:
        if self._fails(kind):
            raise self._fault()

    def _fails(self, kind: str) -> bool:
        if self._dead:
            raise ProcessDeathError
        if self._kinds is not None and kind not in self._kinds:
            return False
        self.calls += 1
        if self._at is None:
            return False
        return self.calls == self._at or (self._lasting and self.calls > self._at)

    def _fault(self) -> BaseException:
        if self._error is None:
            self._dead = True
            return ProcessDeathError()
        return OSError(self._error, os.strerror(self._error))


@dataclass(slots=True, eq=False)
class _File:
    """A file as the disk has it, and what was asked of it since."""

    held: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def settle(self) -> None:
        for offset, data in self.pending:
            _apply(self.held, offset, data)
        self.pending.clear()


def _apply(held: bytearray, offset: int, data: bytes | None) -> None:
    """Write at a place, or cut there where there is nothing to write."""
    if data is None:
        del held[offset:]
        return
    held.extend(bytes(max(offset - len(held), 0)))
    held[offset : offset + len(data)] = data


_Step = tuple[Literal["create", "write", "cut", "sync", "rename"], int, int, bytes, str]


class PowerLossDisk:
    """The system's disk, of which is written down what was asked and when what was promised.

    A power failure may then be played at any step: of what was not synced any part may have
    reached the disk, in any order, in pages; so may the names in a folder that was not synced.

    Args:
        folder: What is looked at; calls on anything else are not written down.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._inner: Disk = SYSTEM
        self._steps: list[_Step] = []
        self._files: dict[int, int] = {}  # by descriptor the number of the file; -1 the folder
        self._names: dict[str, int] = {}
        self._sizes: dict[int, int] = {}

    @property
    def num_steps(self) -> int:
        """How many steps were written down."""
        return len(self._steps)

    def make_folder(self, path: Path) -> None:
        """See `Disk.make_folder`."""
        self._inner.make_folder(path)

    def open(self, path: Path, flags: int) -> int:
        """See `Disk.open`."""
        file = self._inner.open(path, flags)
        if path == self._folder:
            self._files[file] = -1
        elif path.parent == self._folder:
            number = self._names.get(path.name)
            if number is None:
                number = self._names[path.name] = len(self._sizes)
                self._sizes[number] = 0
                self._steps.append(("create", number, 0, b"", path.name))
            self._files[file] = number
            if flags & os.O_TRUNC:
                self._steps.append(("cut", number, 0, b"", ""))
                self._sizes[number] = 0
        return file

    def read(self, file: int, size: int, offset: int) -> bytes:
        """See `Disk.read`."""
        return self._inner.read(file, size, offset)

    def write(self, file: int, data: bytes) -> int:
        """See `Disk.write`."""
        taken = self._inner.write(file, data)
        number = self._files.get(file)
        if number is not None:
            self._steps.append(("write", number, self._sizes[number], data[:taken], ""))
            self._sizes[number] += taken
        return taken

    def sync(self, file: int) -> None:
        """See `Disk.sync`."""
        if file in self._files:
            self._steps.append(("sync", self._files[file], 0, b"", ""))

    def cut(self, file: int, size: int) -> None:
        """See `Disk.cut`."""
        self._inner.cut(file, size)
        number = self._files.get(file)
        if number is not None:
            self._steps.append(("cut", number, size, b"", ""))
            self._sizes[number] = size

    def rename(self, old: Path, new: Path) -> None:
        """See `Disk.rename`."""
        self._inner.rename(old, new)
        number = self._names.pop(old.name)
        self._names[new.name] = number
        self._steps.append(("rename", number, 0, old.name.encode(), new.name))

    def lock(self, file: int, *, shared: bool) -> bool:
        """See `Disk.lock`."""
        return self._inner.lock(file, shared=shared)

    def close(self, file: int) -> None:
        """See `Disk.close`."""
        self._inner.close(file)
        self._files.pop(file, None)

    def after_failure(self, step: int, chance: random.Random, *, into: Path) -> None:
        """Write what a power failure after so many steps may leave of the folder.

        Args:
            step: How many steps came before it.
            chance: Decides what of the rest reached the disk.
            into: A new folder.
        """
        files: dict[int, _File] = {}
        names: dict[str, int] = {}
        waiting: list[tuple[str, str, int]] = []
        for kind, number, offset, data, name in self._steps[:step]:
            if kind == "create":
                files[number] = _File()
                waiting.append(("", name, number))
            elif kind == "rename":
                waiting.append((data.decode(), name, number))
            elif kind == "sync" and number < 0:
                _name(names, waiting)
                waiting.clear()
            elif kind == "sync":
                files[number].settle()
            else:
                files[number].pending.append((offset, data if kind == "write" else None))
        keep = _luck(chance)
        _name(names, [entry for entry in waiting if keep()])
        into.mkdir()
        for name, number in names.items():
            (into / name).write_bytes(_survived(files[number], chance))


def _name(names: dict[str, int], changes: list[tuple[str, str, int]]) -> None:
    for old, new, number in changes:
        if names.get(old) == number:
            del names[old]
        names[new] = number


def _luck(chance: random.Random) -> Callable[[], bool]:
    """Nothing, all, or some of what was not synced survives."""
    share = chance.choice((0.0, 0.2, 0.5, 0.8, 1.0))
    return lambda: chance.random() < share


def _survived(file: _File, chance: random.Random) -> bytes:
    """What of a file may be there: pages of any of its writes, up to any of its sizes."""
    held, keep = bytearray(file.held), _luck(chance)
    page = chance.choice((1, 512, 4096))
    for offset, data in file.pending:
        if data is None:
            if keep():
                _apply(held, offset, None)
            continue
        start = offset
        while start < offset + len(data):
            stop = min((start // page + 1) * page, offset + len(data))
            if keep():
                _apply(held, start, data[start - offset : stop - offset])
            elif chance.random() < 0.2:
                # The size was written and the page was not: what stood there before shows.
                _apply(held, start, chance.randbytes(stop - start))
            start = stop
    return bytes(held)
