"""Memory that processes share: one slot holds the pixels of one picture.

Each slot is a file without a name (`memfd`), as long as the largest picture may be. Only what was
written to takes memory, and what a large picture took is given back when it is released.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

__all__ = ["KEPT", "SlotWriter", "Slots", "map_slot", "write_slot"]

# What a slot keeps when it is released, in bytes: a picture of 1.4 megapixels. Fresh memory costs
# about as much as copying into it.
KEPT = 4 * 2**20


def map_slot(fd: int, shape: Sequence[int]) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels in a slot, without a copy.

    What is written to them stays with the caller: other processes do not see it.

    Args:
        fd: The slot's file.
        shape: Height, width and 3.

    Examples:
        >>> slots = Slots(1, most=600)
        >>> write_slot(slots.fds[0], np.full((10, 20, 3), 7, dtype=np.uint8))
        >>> int(map_slot(slots.fds[0], (10, 20, 3)).sum())
        4200
        >>> slots.close()
    """
    height, width, depth = shape
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    size = height * width * depth
    memory = mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=protection)
    return np.frombuffer(memory, dtype=np.uint8).reshape(height, width, depth)


def write_slot(fd: int, content: UInt8[np.ndarray, "..."]) -> None:
    """Copy pixels, or the bytes of a file, to the beginning of a slot."""
    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE  # all pages at once, not one fault each
    with mmap.mmap(fd, content.nbytes, flags=flags) as memory:
        target = np.frombuffer(memory, dtype=np.uint8).reshape(content.shape)
        np.copyto(target, content)
        del target  # the map cannot be closed while an array shows it


class SlotWriter:
    """Writes to slots again and again: what they keep stays mapped, which saves a third of it.

    Args:
        fds: The slots' files.
    """

    def __init__(self, fds: Sequence[int]) -> None:
        self._fds = fds
        self._maps: dict[int, UInt8[np.ndarray, " n"]] = {}

    def write(self, slot: int, content: UInt8[np.ndarray, "..."]) -> None:
        """Copy pixels to the beginning of a slot."""
        if content.nbytes > KEPT:
            write_slot(self._fds[slot], content)
            return
        if slot not in self._maps:
            size = min(KEPT, os.fstat(self._fds[slot]).st_size)
            self._maps[slot] = np.frombuffer(mmap.mmap(self._fds[slot], size), dtype=np.uint8)
        np.copyto(self._maps[slot][: content.nbytes].reshape(content.shape), content)


class Slots:
    """A fixed number of slots.

    Args:
        count: How many.
        most: The largest picture or file, in bytes.
    """

    def __init__(self, count: int, *, most: int) -> None:
        fds: list[int] = []
        try:
            for _ in range(count):
                fds.append(os.memfd_create("groundplane", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
                os.ftruncate(fds[-1], most)
                # Nobody can cut it off: a reader would be ended by SIGBUS.
                seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
                fcntl.fcntl(fds[-1], fcntl.F_ADD_SEALS, seals)
        except OSError:
            for fd in fds:
                os.close(fd)
            raise
        self.fds = tuple(fds)
        self._most = most

    def trim(self, slot: int, used: int) -> None:
        """Give back the memory of a slot, but for what it keeps."""
        if used > KEPT:
            # Up to the end of the last page.
            size = min(-(-used // mmap.PAGESIZE) * mmap.PAGESIZE, self._most) - KEPT
            with mmap.mmap(self.fds[slot], size, offset=KEPT) as memory:
                memory.madvise(mmap.MADV_REMOVE)

    def close(self) -> None:
        """Let go of them; pixels that are still mapped stay."""
        fds, self.fds = self.fds, ()
        for fd in fds:
            os.close(fd)
