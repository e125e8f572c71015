"""What decoding in processes costs over decoding here, and what a second process brings.

Run: python benchmarks/decoding.py FOLDER [--repeat 200]

The same pictures are decoded by `read_image` in this process, by a pool of one process and by a
pool of two, in turns. Prints pictures a second; `ratio = here / pool of one` last: 1.05 would be
5 % of overhead.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence

from groundplane.annotation.decoding import DecodePool
from groundplane.annotation.items import Item, Picture
from groundplane.annotation.sources import open_source
from groundplane.core.media import read_image


def here(items: Sequence[Item]) -> float:
    """Seconds of decoding in this process."""
    begun = time.perf_counter()
    for item in items:
        read_image(str(item.where["file"]))
    return time.perf_counter() - begun


def pooled(pool: DecodePool, items: Sequence[Item]) -> float:
    """Seconds of decoding in a pool."""
    waiting = iter(items)
    begun = time.perf_counter()
    under_way = done = 0
    while done < len(items):
        while under_way < 16 and (item := next(waiting, None)) is not None:
            pool.submit(item)
            under_way += 1
        got = pool.next(timeout=60)
        if not isinstance(got, Picture):
            raise SystemExit(f"not decoded: {got}")
        pool.release(got)
        under_way -= 1
        done += 1
    return time.perf_counter() - begun


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--repeat", type=int, default=200, help="pictures a turn, at least")
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    found = [item for item in open_source(given.folder).items() if item.kind == "picture"]
    items = found * -(-given.repeat // len(found))
    sizes = Counter(read_image(str(item.where["file"])).size for item in found)
    print(f"{len(found)} pictures, most of {sizes.most_common(1)[0][0]}; {len(items)} a turn")
    with DecodePool(1, slots=32) as one, DecodePool(2, slots=32) as two:
        pooled(one, found)
        pooled(two, found)
        turns = [(here(items), pooled(one, items), pooled(two, items)) for _ in range(given.turns)]
    # The best turn: whatever else the machine does only adds.
    plain, single, double = (min(times) for times in zip(*turns, strict=True))
    for name, seconds in (("here", plain), ("one process", single), ("two processes", double)):
        rate = len(items) / seconds
        print(f"{name:14} {rate:8.1f} pictures/s {1000 / rate:8.3f} ms a picture")
    print(f"two over one   {single / double:8.2f}")
    print(f"ratio = {single / plain:.3f}")


if __name__ == "__main__":
    main()
