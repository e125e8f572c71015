"""Items as JSON values, on their way to a process that decodes."""

from __future__ import annotations

import base64
from typing import Any

from groundplane.annotation.items import Item

__all__ = ["item_of", "item_record"]


def item_record(item: Item) -> dict[str, Any]:
    """An item as JSON values, without what is held.

    Examples:
        >>> item_of(item_record(Item(path="a.jpg", where={"file": "/x/a.jpg"}))).path
        'a.jpg'
    """
    return {
        "path": item.path,
        "kind": item.kind,
        "where": dict(item.where),
        "stamp": item.stamp,
        "step": item.frame_step,
        "done": base64.b64encode(item.frames_done).decode("ascii"),
    }


def item_of(record: Any) -> Item:
    """The item of a record."""
    stamp = record["stamp"]
    return Item(
        path=record["path"],
        kind=record["kind"],
        where=record["where"],
        stamp=None if stamp is None else (stamp[0], stamp[1]),
        frame_step=record["step"],
        frames_done=base64.b64decode(record["done"]),
    )
