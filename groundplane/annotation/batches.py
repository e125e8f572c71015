"""Pictures of one size are put together until there are enough of them, or the expert waits."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from groundplane.annotation.items import Picture

__all__ = ["Batches"]

# Of a batch together: sixteen pictures of 4 megapixels. Of larger ones fewer go together.
_PIXELS = 16 * 4_000_000


class Batches:
    """Between the threads that decode and the one that looks.

    A batch goes out when it is full; when so much is held that decoding would have to wait; and
    when whoever looks has waited for so long that going on with less is better.

    Args:
        most: Pictures in a batch.
        hold: Pictures held at most before the fullest batch goes out as it is.
        patience: Seconds to wait for a batch to fill.

    Examples:
        >>> import numpy as np
        >>> batches = Batches(2, hold=8, patience=0.0)
        >>> for name, side in (("a", 4), ("b", 5), ("c", 4)):
        ...     pixels = np.zeros((side, 4, 3), dtype=np.uint8)
        ...     batches.put(Picture(path=name, content_hash="", pixels=pixels))
        >>> [picture.path for picture in batches.take()]
        ['a', 'c']
        >>> batches.end()
        >>> [picture.path for picture in batches.take()], batches.take()
        (['b'], [])
    """

    def __init__(self, most: int, *, hold: int, patience: float = 0.1) -> None:
        self._most = most
        self._hold = hold
        self._patience = patience
        self._changed = threading.Condition()
        self._by_size: OrderedDict[tuple[int, int], list[Picture]] = OrderedDict()
        self._held = 0
        self._pixels = 0
        self._over = False

    def put(self, picture: Picture) -> None:
        """Add a picture; it never waits, since whoever decodes holds only so many."""
        width, height = picture.size
        with self._changed:
            self._by_size.setdefault(picture.size, []).append(picture)
            self._held += 1
            self._pixels += width * height
            self._changed.notify()

    def end(self) -> None:
        """No picture will come any more."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def limit(self, most: int) -> None:
        """Let batches hold no more than so many pictures from now on."""
        with self._changed:
            self._most = max(1, min(self._most, most))

    def take(self) -> list[Picture]:
        """Wait for the next batch, all of one size; empty when all is over."""
        end = time.monotonic() + self._patience
        with self._changed:
            while True:
                size = self._ready(late=time.monotonic() >= end)
                if size is not None:
                    return self._out(size)
                if self._over:
                    return []
                left = end - time.monotonic()
                self._changed.wait(left if self._held and left > 0 else None)

    def clear(self) -> list[Picture]:
        """Everything that is held; nothing is left to be taken."""
        with self._changed:
            left = [picture for held in self._by_size.values() for picture in held]
            self._by_size.clear()
            self._held = self._pixels = 0
            return left

    def _ready(self, *, late: bool) -> tuple[int, int] | None:
        """Which size goes out now, if any: the one that has come longest ago among the full."""
        for size, held in self._by_size.items():
            if len(held) >= self._fitting(size):
                return size
        crowded = self._held >= self._hold or self._pixels >= _PIXELS
        if not self._held or not (crowded or late or self._over):
            return None
        return max(self._by_size, key=lambda size: len(self._by_size[size]))

    def _fitting(self, size: tuple[int, int]) -> int:
        return max(1, min(self._most, _PIXELS // (size[0] * size[1])))

    def _out(self, size: tuple[int, int]) -> list[Picture]:
        held = self._by_size[size]
        count = self._fitting(size)
        batch, rest = held[:count], held[count:]
        if rest:
            self._by_size[size] = rest
            self._by_size.move_to_end(size)
        else:
            del self._by_size[size]
        self._held -= len(batch)
        self._pixels -= len(batch) * size[0] * size[1]
        return batch
