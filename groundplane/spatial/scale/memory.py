"""Tables of all pairs grow with the square of a scene: refuse one before it takes the machine."""

from __future__ import annotations

from pathlib import Path

import torch

from groundplane.core.errors import InputError

__all__ = ["LIMIT", "format_bytes", "free_bytes", "require_memory"]

# Some 19,000 objects a side at 12 bytes a pair; an ordinary computer has that to spare.
LIMIT = 4 * 2**30
# Not worth a look at what is free.
_SMALL = 64 * 2**20
_MEMINFO = Path("/proc/meminfo")


def require_memory(
    needed: int, *, what: str, instead: str, device: torch.device, limit: int = LIMIT
) -> None:
    """Refuse a result that is larger than allowed, or than what the device has free.

    Args:
        needed: Bytes of the result.
        what: What needs them, for the message.
        instead: What to do, for the message; it ends without a full stop.
        device: Where the result would stand.
        limit: Bytes allowed.

    Raises:
        InputError: With the bytes needed, allowed and, where the system tells, free.

    Examples:
        >>> cpu = torch.device("cpu")
        >>> require_memory(12, what="pairs: 1 x 1 objects", instead="ask for less", device=cpu)
        >>> require_memory(
        ...     24, what="pairs: 1 x 2 objects", instead="ask for less", device=cpu, limit=20
        ... )  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: pairs: 1 x 2 objects take 24 bytes; allowed are 20...
    """
    if needed <= min(limit, _SMALL):
        return
    free = free_bytes(device)
    if needed <= limit and (free is None or needed <= free):
        return
    room = "" if free is None else f", free on {device} are {format_bytes(free)}"
    raise InputError(
        f"{what} take {format_bytes(needed)}; allowed are {format_bytes(limit)}{room}. "
        f"Try: {instead}"
    )


def free_bytes(device: torch.device) -> int | None:
    """Bytes that a device can still give, or None where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu" or not _MEMINFO.is_file():
        return None
    # MemAvailable counts the file cache that would be given up, which MemFree does not.
    for line in _MEMINFO.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def format_bytes(count: int) -> str:
    """A number of bytes for people, in powers of 1,000.

    Examples:
        >>> format_bytes(120_000_000_000), format_bytes(12_000_000), format_bytes(24)
        ('120.0 GB', '12.0 MB', '24 bytes')
    """
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
