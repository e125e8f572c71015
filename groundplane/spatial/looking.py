"""What a scene shows of things from where other things are.

The eyes are those of a person who stands where the thing is, turns about, and looks over it: 1.6 m
above the floor over its middle. Boxes are opaque (`groundplane.spatial.geometry.visibility`).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.spatial.geometry import visibility
from groundplane.spatial.scene import MapScene, Scene, UnsupportedError

__all__ = ["ASSUMED", "VISIBLE", "look_from", "look_without", "seen_from"]

VISIBLE = "visible_from"
# So many looks take a minute or so in a full scene.
_MOST_LOOKS = 200_000
ASSUMED = (
    f"eyes {visibility.EYE_HEIGHT:g} m above the floor, looking over what one stands at; boxes "
    "hide what is behind them"
)


def seen_from(
    scene: Scene, targets: Int[Tensor, " t"], viewers: Int[Tensor, " n"]
) -> Bool[Tensor, "t n"]:
    """Which targets one sees any of who stands at which things.

    Raises:
        UnsupportedError: If the scene is a photo or has no metres, or there are too many pairs.
    """
    looks = len(targets) * len(viewers)
    if looks > _MOST_LOOKS:
        raise UnsupportedError(
            f"{len(targets):,} things seen from {len(viewers):,} are more than {_MOST_LOOKS:,} "
            "looks; name fewer, such as one to look from"
        )
    return (look_from(scene, targets, viewers).share > 0).T


def look_from(
    scene: Scene, targets: Int[Tensor, " t"], viewers: Int[Tensor, " n"]
) -> visibility.Sight:
    """How much of each target one sees who stands at each viewer, a row a viewer.

    Raises:
        UnsupportedError: If the scene is a photo or has no metres.
    """
    if not isinstance(scene, MapScene):
        raise UnsupportedError(
            "what one sees from a thing cannot be told from a photo; give a scene with 3-D boxes"
        )
    if scene.unit != "m":
        raise UnsupportedError(
            "how high the eyes are is known in metres, and this scene has no metric scale"
        )
    boxes = scene.map.objects
    return visibility.sight(_eyes(scene, viewers), boxes, targets=targets, at=viewers)


def look_without(scene: Scene, target: int, viewer: int, removed: int) -> float:
    """The share of a target in sight of who stands at a viewer, with one box out of the way.

    Raises:
        UnsupportedError: If the scene is a photo or has no metres.
    """
    seen = look_from(scene, torch.tensor([target]), torch.tensor([viewer]))
    if not isinstance(scene, MapScene) or removed in (target, viewer):
        return float(seen.share[0, 0])
    boxes = scene.map.objects
    kept = torch.tensor([row for row in range(len(boxes)) if row != removed])
    at = int((kept == viewer).nonzero()[0, 0])
    found = visibility.sight(
        _eyes(scene, torch.tensor([viewer])), boxes[kept],
        targets=(kept == target).nonzero()[0], at=torch.tensor([at]),
    )  # fmt: skip
    return float(found.share[0, 0])


def _eyes(scene: MapScene, viewers: Int[Tensor, " n"]) -> Float[Tensor, "n 3"]:
    boxes = scene.map.objects[viewers]
    if not len(boxes):
        return boxes.centers
    low, _ = boxes.hull()
    floor = float(low[0, 2] - scene.measure("elevation", viewers[:1])[0])
    return visibility.eyes_at(boxes, floor=floor)
