"""Pools of processes that decode, as tests use them."""

import os
import time

import numpy as np

from groundplane.annotation.items import Item, ItemEnd, Picture, Unread


def file_item(path, *, name=None, **more):
    return Item(path=name or path.name, where={"file": str(path)}, **more)


def outcomes(pool, items, *, seconds=60):
    """What comes of items, each path's results in a list; pixels are copied and released."""
    items = list(items)
    for item in items:
        pool.submit(item)
    return collect(pool, len(items), seconds=seconds)


def collect(pool, count, *, seconds=60):
    """The results of so many items."""
    results, ended = {}, 0
    deadline = time.monotonic() + seconds
    while ended < count:
        result = pool.next(timeout=0.1)
        assert time.monotonic() < deadline, f"{count - ended} items gave nothing"
        if result is None:
            continue
        if isinstance(result, Picture):
            path = result.frame.video if result.frame else result.path
            pixels = np.array(result.pixels)
            pool.release(result)
            results.setdefault(path, []).append((result, pixels))
            ended += result.frame is None
        else:
            results.setdefault(result.path, []).append(result)
            is_video = isinstance(result, ItemEnd)
            ended += is_video or result.failure.stage == "fault" or not _of_video(result)
    return results


def _of_video(result):
    """Whether an item of this fault still ends with an `ItemEnd`."""
    return isinstance(result, Unread) and result.path.endswith((".mp4", ".mkv", ".avi"))


def used_memory(pool):
    """Bytes that the slots of a pool take."""
    return sum(os.fstat(fd).st_blocks * 512 for fd in pool.slot_fds())
