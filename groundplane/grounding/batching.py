"""What is run together: pictures of one canvas, in parts that the memory takes.

Results must not depend on what else was asked at the same time. So only what has one shape is run
together, and nothing is padded to the size of a neighbour.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import torch

from groundplane.core.errors import DetectorError, InputError

__all__ = ["buckets", "in_halves"]

T = TypeVar("T")
R = TypeVar("R")


def buckets(keys: Sequence[Hashable], *, limit: int) -> list[list[int]]:
    """Group items that have one key, such as a canvas, into batches.

    Args:
        keys: One an item.
        limit: Most items of a batch.

    Returns:
        Indices of the items of each batch, rising; batches in the order of their first item.

    Raises:
        InputError: If the limit is below 1.

    Examples:
        >>> buckets([(640, 480), (480, 640), (640, 480), (640, 480)], limit=2)
        [[0, 2], [1], [3]]
        >>> buckets([], limit=2)
        []
    """
    if limit < 1:
        raise InputError(f"buckets: expected a limit of 1 or more, got {limit}")
    open_ones: dict[Hashable, list[int]] = {}
    made: list[list[int]] = []
    for index, key in enumerate(keys):
        batch = open_ones.get(key)
        if batch is None or len(batch) == limit:
            batch = open_ones[key] = []
            made.append(batch)
        batch.append(index)
    return made


def in_halves(
    run: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T], *, who: str
) -> list[R]:
    """Run a batch; where the memory does not do, each half of it by itself, down to one item.

    Args:
        run: Gives one result an item, in order.
        items: The batch.
        who: Who runs it, for the message.

    Raises:
        DetectorError: If the memory does not do for one item alone.

    Examples:
        >>> in_halves(lambda part: [n * n for n in part], [1, 2, 3], who="squares")
        [1, 4, 9]
        >>> in_halves(lambda part: part, [], who="nothing")
        []
    """
    if not items:
        return []
    try:
        return list(run(items))
    except torch.OutOfMemoryError as error:
        if len(items) == 1:
            raise DetectorError(
                f"{who}: the memory of the device does not do for one picture alone; give it "
                f"smaller pictures or ask for a smaller size: {str(error).splitlines()[0]}"
            ) from error
    # Out of the handler: the error holds what could not be used.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(items) // 2
    first = in_halves(run, items[:middle], who=who)
    return first + in_halves(run, items[middle:], who=who)
