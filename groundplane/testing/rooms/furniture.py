"""Which things there are, and where each of them stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.testing.rooms.parts import Draw, Piece
from groundplane.testing.rooms.pieces import (
    household,
    hung,
    screens,
    seats,
    small,
    standing,
    storage,
)

__all__ = ["FURNITURE", "LABELS", "Furniture", "Stand", "build"]

Stand = Literal["back to wall", "floor", "on", "hung"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Furniture:
    """A kind of thing.

    Attributes:
        label: What people call it: a word of VSI-Bench where that has one.
        make: Makes one of random size and colour.
        stand: With its back to a wall, freely on the floor, on another thing, or on a wall.
        on: The kinds on which it stands, the likelier first.
        foot: Height of its foot over the floor where it hangs, least and most, metres.
        front: Room that stays free before it, metres.
    """

    label: str
    make: Callable[[Draw], Piece]
    stand: Stand
    on: tuple[str, ...] = ()
    foot: tuple[float, float] = (0.0, 0.0)
    front: float = 0.0


def _wall(label: str, make: Callable[[Draw], Piece], *, front: float = 0.5) -> Furniture:
    return Furniture(label=label, make=make, stand="back to wall", front=front)


def _floor(label: str, make: Callable[[Draw], Piece]) -> Furniture:
    return Furniture(label=label, make=make, stand="floor")


def _on(label: str, make: Callable[[Draw], Piece], *on: str) -> Furniture:
    return Furniture(label=label, make=make, stand="on", on=on)


def _hung(label: str, make: Callable[[Draw], Piece], *foot: float, front: float = 0.0) -> Furniture:
    return Furniture(label=label, make=make, stand="hung", foot=(foot[0], foot[1]), front=front)


FURNITURE: dict[str, Furniture] = {
    "sofa": _wall("sofa", seats.sofa),
    "bed": _wall("bed", seats.bed),
    "desk": _wall("desk", seats.desk, front=0.9),
    "bookshelf": _wall("bookshelf", storage.bookshelf),
    "cabinet": _wall("cabinet", storage.cabinet),
    "nightstand": _wall("nightstand", storage.nightstand, front=0.3),
    "closet": _wall("closet", storage.closet),
    "piano": _wall("piano", storage.piano, front=0.6),
    "fireplace": _wall("fireplace", standing.fireplace, front=0.6),
    "refrigerator": _wall("refrigerator", household.refrigerator),
    "stove": _wall("stove", household.stove),
    "counter": _wall("counter", household.counter),
    "sink": _wall("sink", household.sink),
    "toilet": _wall("toilet", household.toilet),
    "bathtub": _wall("bathtub", household.bathtub, front=0.4),
    "washer": _wall("washer", household.washer),
    "armchair": _floor("armchair", seats.armchair),
    "chair": _floor("chair", seats.chair),
    "stool": _floor("stool", seats.stool),
    "table": _floor("table", seats.table),
    "coffee table": _floor("table", seats.coffee_table),
    "floor lamp": _floor("lamp", standing.floor_lamp),
    "plant": _floor("plant", standing.plant),
    "trash bin": _floor("trash bin", standing.trash_bin),
    "suitcase": _floor("suitcase", standing.suitcase),
    "crate": _floor("crate", standing.crate),
    "basket": _floor("basket", standing.basket),
    "bucket": _floor("bucket", standing.bucket),
    "rug": _floor("rug", standing.rug),
    "backpack": _floor("backpack", standing.backpack),
    "computer tower": _floor("computer tower", standing.computer_tower),
    "tv": _on("tv", screens.tv, "cabinet"),
    "monitor": _on("monitor", screens.monitor, "desk"),
    "keyboard": _on("keyboard", screens.keyboard, "desk"),
    "laptop": _on("laptop", screens.laptop, "table", "desk", "coffee table"),
    "printer": _on("printer", screens.printer, "cabinet", "desk"),
    "telephone": _on("telephone", screens.telephone, "desk", "cabinet", "nightstand"),
    "microwave": _on("microwave", screens.microwave, "counter"),
    "kettle": _on("kettle", screens.kettle, "counter", "table"),
    "bowl": _on("bowl", small.bowl, "table", "counter", "coffee table"),
    "cup": _on("cup", small.cup, "table", "coffee table", "desk", "counter"),
    "table lamp": _on("lamp", small.table_lamp, "nightstand", "desk", "cabinet"),
    "pillow": _on("pillow", small.pillow, "sofa", "bed", "armchair"),
    "door": _hung("door", hung.door, 0.0, 0.0, front=0.8),
    "window": _hung("window", hung.window, 0.85, 1.0),
    "picture": _hung("picture", hung.picture, 1.2, 1.45),
    "mirror": _hung("mirror", hung.mirror, 1.05, 1.2),
    "whiteboard": _hung("whiteboard", hung.whiteboard, 0.85, 1.05),
    "radiator": _hung("radiator", hung.radiator, 0.1, 0.15, front=0.15),
    "clock": _hung("clock", hung.clock, 1.6, 1.8),
    "towel": _hung("towel", hung.towel, 0.8, 0.95),
}  # fmt: skip

LABELS: tuple[str, ...] = tuple(sorted({kind.label for kind in FURNITURE.values()}))


def build(kind: str, rng: np.random.Generator) -> Piece:
    """Make one thing of a kind.

    Raises:
        InputError: If there is no such kind.

    Examples:
        >>> len(build("chair", np.random.default_rng(0)).parts)
        10
        >>> build("xyz", np.random.default_rng(0))
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: furniture: there is no 'xyz'; there are: armchair, backpack, basket, bathtub, bed, bookshelf, bowl, bucket, cabinet, chair, clock, closet and 39 more
    """  # noqa: E501
    known = FURNITURE.get(kind)
    if known is None:
        raise InputError(
            f"furniture: there is no {kind!r}; there are: {listing(sorted(FURNITURE))}"
            f"{did_you_mean(kind, FURNITURE)}"
        )
    return known.make(Draw(rng))
