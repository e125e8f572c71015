"""Relations as a scene tells them: near things only are looked at, and none is lost by that."""

from __future__ import annotations

import pytest
import torch

from groundplane.spatial.relations import WORLD_RELATIONS, Thresholds
from groundplane.spatial.relations.definitions import DEFINITIONS
from groundplane.spatial.scene import MapScene
from groundplane.testing.scenes import SceneBuilder

# Every reach much longer than usual, one after the other.
WIDE = [
    Thresholds(touch_gap=3.0),
    Thresholds(near_gap=3.0),
    Thresholds(next_gap=3.0),
    Thresholds(hung_reach=3.0, hung_thickness=1.0, touch_gap=2.0),
    Thresholds(),
]


def row():
    scene = SceneBuilder("row", floor=0)
    for i in range(6):
        scene.add("crate", at=(0.9 * i, 0.2 * i, 0.3 + 0.3 * i), size=(0.3, 1.2, 0.6))
    return scene.build()


@pytest.mark.parametrize("name", [n for n in WORLD_RELATIONS if n not in ("on", "next_to")])
@pytest.mark.parametrize("numbers", WIDE)
def test_what_lies_near_by_the_numbers_given_is_looked_at(name, numbers):
    scene = row()
    rows = torch.arange(len(scene))

    found = [
        MapScene(scene, thresholds=numbers).relation(name, rows[i : i + 1], rows) for i in range(6)
    ]

    whole = DEFINITIONS[name].function(scene.objects, scene.objects, thresholds=numbers)
    assert torch.equal(torch.cat(found), whole)
