"""The last answers, as many as fit."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["Kept"]

T = TypeVar("T")


class Kept(Generic[T]):
    """Values by key up to a total size; what was not used for longest goes first.

    Args:
        most: Total size; a value that is larger alone is not kept.

    Examples:
        >>> kept = Kept(10)
        >>> kept.put("a", "A", size=6), kept.put("b", "B", size=6)
        (None, None)
        >>> kept.get("a"), kept.get("b")
        (None, 'B')
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._total = 0
        self._items: OrderedDict[str, tuple[T, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> T | None:
        """The value, or None."""
        with self._lock:
            if key not in self._items:
                return None
            self._items.move_to_end(key)
            return self._items[key][0]

    def put(self, key: str, value: T, *, size: int) -> None:
        """Keep a value."""
        if size > self._most:
            return
        with self._lock:
            self._total += size - self._items.pop(key, (None, 0))[1]
            self._items[key] = (value, size)
            while self._total > self._most:
                self._total -= self._items.popitem(last=False)[1][1]
