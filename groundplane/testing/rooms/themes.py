"""What stands in a living room, a kitchen, an office."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["THEMES", "Theme"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """A sort of room.

    Attributes:
        area: Of the floor, least and most, square metres.
        things: Kinds with the least and the most of each, the ones that matter most first.
    """

    area: tuple[float, float]
    things: tuple[tuple[str, int, int], ...]


THEMES: dict[str, Theme] = {
    "living room": Theme(
        area=(14.0, 45.0),
        things=(
            ("door", 1, 2), ("sofa", 1, 2), ("cabinet", 1, 2), ("coffee table", 1, 1),
            ("armchair", 0, 2), ("bookshelf", 0, 2), ("piano", 0, 1), ("fireplace", 0, 1),
            ("table", 0, 1), ("chair", 0, 6), ("floor lamp", 0, 2), ("plant", 0, 3),
            ("window", 1, 2), ("radiator", 0, 1), ("stool", 0, 2), ("rug", 0, 1),
            ("trash bin", 0, 1), ("picture", 0, 3), ("clock", 0, 1), ("tv", 0, 1),
            ("pillow", 0, 4), ("cup", 0, 3), ("laptop", 0, 1), ("table lamp", 0, 1),
            ("bowl", 0, 1), ("backpack", 0, 1), ("telephone", 0, 1),
        ),
    ),
    "bedroom": Theme(
        area=(9.0, 25.0),
        things=(
            ("door", 1, 1), ("bed", 1, 2), ("closet", 0, 2), ("nightstand", 0, 2),
            ("desk", 0, 1), ("chair", 0, 2), ("cabinet", 0, 1), ("window", 1, 2),
            ("radiator", 0, 1), ("mirror", 0, 1), ("picture", 0, 2), ("plant", 0, 2),
            ("floor lamp", 0, 1), ("suitcase", 0, 2), ("backpack", 0, 1), ("basket", 0, 1),
            ("rug", 0, 1), ("pillow", 1, 3), ("table lamp", 0, 2), ("laptop", 0, 1),
            ("monitor", 0, 1), ("keyboard", 0, 1), ("tv", 0, 1), ("cup", 0, 1),
            ("trash bin", 0, 1),
        ),
    ),
    "kitchen": Theme(
        area=(9.0, 26.0),
        things=(
            ("door", 1, 2), ("refrigerator", 1, 1), ("stove", 1, 1), ("counter", 1, 2),
            ("sink", 1, 1), ("table", 1, 1), ("chair", 2, 6), ("cabinet", 0, 1),
            ("washer", 0, 1), ("window", 1, 2), ("trash bin", 0, 2), ("stool", 0, 2),
            ("plant", 0, 1), ("crate", 0, 2), ("bucket", 0, 1), ("clock", 0, 1),
            ("microwave", 0, 1), ("kettle", 0, 1), ("bowl", 0, 2), ("cup", 0, 4),
            ("picture", 0, 1), ("towel", 0, 1), ("radiator", 0, 1), ("laptop", 0, 1),
        ),
    ),
    "bathroom": Theme(
        area=(8.0, 13.0),
        things=(
            ("door", 1, 1), ("toilet", 1, 1), ("sink", 1, 2), ("bathtub", 1, 1),
            ("washer", 0, 1), ("mirror", 1, 2), ("window", 0, 1), ("basket", 0, 2),
            ("trash bin", 1, 1), ("towel", 0, 3), ("stool", 0, 1), ("bucket", 0, 1),
            ("radiator", 0, 1), ("plant", 0, 1), ("cabinet", 0, 1), ("rug", 0, 1),
        ),
    ),
    "office": Theme(
        area=(12.0, 60.0),
        things=(
            ("door", 1, 2), ("desk", 1, 4), ("chair", 2, 8), ("bookshelf", 0, 3),
            ("cabinet", 0, 2), ("table", 0, 1), ("whiteboard", 0, 2), ("window", 1, 3),
            ("radiator", 0, 2), ("plant", 0, 3), ("trash bin", 1, 2), ("floor lamp", 0, 1),
            ("crate", 0, 2), ("computer tower", 0, 3), ("backpack", 0, 2), ("suitcase", 0, 1),
            ("sofa", 0, 1), ("monitor", 1, 4), ("keyboard", 0, 4), ("printer", 0, 1),
            ("telephone", 0, 2), ("laptop", 0, 2), ("cup", 0, 3), ("clock", 0, 1),
            ("picture", 0, 2), ("table lamp", 0, 2),
        ),
    ),
    "studio": Theme(
        area=(26.0, 60.0),
        things=(
            ("door", 1, 2), ("bed", 1, 1), ("sofa", 1, 1), ("refrigerator", 1, 1),
            ("stove", 1, 1), ("counter", 1, 1), ("sink", 0, 1), ("table", 1, 1),
            ("chair", 2, 6), ("cabinet", 1, 1), ("closet", 0, 1), ("bookshelf", 0, 1),
            ("desk", 0, 1), ("armchair", 0, 1), ("washer", 0, 1), ("window", 1, 3),
            ("plant", 0, 2), ("floor lamp", 0, 1), ("trash bin", 0, 2), ("suitcase", 0, 1),
            ("rug", 0, 1), ("basket", 0, 1), ("stool", 0, 2), ("tv", 0, 1), ("pillow", 0, 3),
            ("microwave", 0, 1), ("kettle", 0, 1), ("cup", 0, 3), ("laptop", 0, 1),
            ("monitor", 0, 1), ("picture", 0, 2), ("clock", 0, 1), ("mirror", 0, 1),
            ("radiator", 0, 1),
        ),
    ),
}  # fmt: skip
