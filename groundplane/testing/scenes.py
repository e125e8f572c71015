"""Short calls that build cognitive maps for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch

from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.map import CognitiveMap

__all__ = ["SceneBuilder"]

Number = float | int  # a test may check types at run time, where an int is no float
Triple = tuple[Number, Number, Number]


class SceneBuilder:
    """Builds a map through the same checks as a scene file.

    Examples:
        >>> builder = SceneBuilder("kitchen").add("cup", at=(0, 0, 1)).add("cup", at=(2, 0, 1))
        >>> builder.build().ids
        ('cup-1', 'cup-2')
    """

    def __init__(self, name: str = "scene", **details: object) -> None:
        """Begin a scene.

        Args:
            name: Name of the scene.
            details: Any of `floor`, `scale`, `view` and `counts`, as in the file format.
        """
        self._record: dict[str, object] = {"name": name, **details}
        self._objects: list[dict[str, object]] = []

    def add(
        self,
        label: str,
        *,
        at: Triple,
        size: Triple = (0.5, 0.5, 0.5),
        yaw: Number = 0.0,
        **details: object,
    ) -> Self:
        """Add an object.

        Args:
            label: Its label; ids are made as for a file unless `id` is given.
            at: Its centre, metres.
            size: Its full extents along its own axes, metres.
            yaw: Turn about z, counter-clockwise from above, degrees.
            details: Any other field of an object in the file format, such as `front`,
                `attributes` or `first_seen`; `axes` takes the place of `yaw`.
        """
        turn = {} if "axes" in details else {"yaw": yaw}
        record = {"label": label, "center": [*at], "size": [*size], **turn, **details}
        self._objects.append(record)
        return self

    def room(self, polygon: Sequence[tuple[Number, Number]], *, area: Number | None = None) -> Self:
        """State the room's outline, metres, and its area, square metres."""
        room: dict[str, object] = {"polygon": [[x, y] for x, y in polygon]}
        self._record["room"] = room if area is None else {**room, "area": area}
        return self

    def build(self) -> CognitiveMap:
        """The map; one without objects too, which a file may not hold.

        Raises:
            SceneError: If a value is malformed; the message names its field.
        """
        objects = self._objects or [{"label": "none", "center": [0, 0, 0], "size": [1, 1, 1]}]
        header = {"format": "groundplane-map", "version": 1}
        scene = CognitiveMap.from_record(
            {**header, **self._record, "objects": objects}, source="scene builder"
        )
        return scene if self._objects else _emptied(scene)


def _emptied(scene: CognitiveMap) -> CognitiveMap:
    none = torch.zeros(0, dtype=torch.float64)
    return CognitiveMap(
        name=scene.name,
        ids=(),
        objects=Boxes3D(centers=none.view(0, 3), sizes=none.view(0, 3), axes=none.view(0, 3, 3)),
        labels=(),
        scores=none,
        attributes=(),
        fronts=none.view(0, 3),
        counts={label: count for label, count in scene.counts.items() if label != "none"},
        first_seen=none,
        room=scene.room,
        room_area=scene.room_area,
        floor=scene.floor,
        scale=scene.scale,
        view=scene.view,
    )
