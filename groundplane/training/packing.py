"""Several samples in one row, so that little of a batch is padding."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundplane.core.errors import InputError

__all__ = ["block_mask", "pack", "restarting_positions"]


def pack(lengths: Sequence[int], *, room: int) -> list[list[int]]:
    """Put samples into as few rows as best fit, longest first, finds.

    Args:
        lengths: Tokens of each sample.
        room: Tokens of a row.

    Returns:
        For each row which samples are in it, in ascending order.

    Raises:
        InputError: If a sample is longer than a row.

    Examples:
        >>> pack([3, 5, 2, 4], room=7)
        [[0, 3], [1, 2]]
        >>> pack([], room=7)
        []
    """
    rows: list[list[int]] = []
    # Rows by what room is left in them, and these rooms in order.
    by_room: dict[int, list[int]] = {}
    rooms: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[index]
        if length > room:
            raise InputError(f"packing: expected at most {room} tokens a sample, got {length}")
        place = bisect_left(rooms, length)
        if place == len(rooms):
            rows.append([index])
            left, row = room - length, len(rows) - 1
        else:
            old = rooms[place]
            row = by_room[old].pop()
            rows[row].append(index)
            left = old - length
            if not by_room[old]:
                del by_room[old], rooms[place]
        if left not in by_room:
            insort(rooms, left)
        by_room.setdefault(left, []).append(row)
    return sorted((sorted(row) for row in rows), key=lambda row: row[0])


def restarting_positions(lengths: Sequence[int], *, room: int) -> Int[Tensor, " t"]:
    """Positions of a row, which begin anew with every sample; 0 where nothing is.

    Examples:
        >>> restarting_positions([3, 2], room=6).tolist()
        [0, 1, 2, 0, 1, 0]
        >>> restarting_positions([], room=2).tolist()
        [0, 0]
    """
    parts = [torch.arange(length) for length in lengths]
    return torch.cat([*parts, torch.zeros(room - sum(lengths), dtype=torch.long)])


def block_mask(lengths: Sequence[int], *, room: int) -> Float[Tensor, "t t"]:
    """What is added to attention's scores so that a token sees its own sample only, up to itself.

    Padding sees itself, for a softmax over nothing is not a number.

    Examples:
        >>> (block_mask([2, 1], room=4) == 0).int().tolist()
        [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
        >>> block_mask([], room=1).tolist()
        [[0.0]]
    """
    padding = torch.arange(room - sum(lengths)) + len(lengths)
    numbers = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths, dtype=torch.long))
    sample = torch.cat([numbers, padding])
    seen = (sample[:, None] == sample[None, :]).tril()
    return torch.zeros(room, room).masked_fill(~seen, torch.finfo(torch.float32).min)
