"""A rendered living room with outside truth: boxes drawn by hand, one thing stays one."""

from __future__ import annotations

import torch
from living_room import living_room

from groundplane.core.regions import Regions
from groundplane.spatial.mapping.builder import MapBuilder
from groundplane.spatial.mapping.gravity import aligned, estimate_up
from groundplane.spatial.mapping.lifting import Lifter

# Drawn on the pictures, pixels: an armchair, and a sideboard that the picture's border cuts off.
BOXES = {
    0: {"armchair": (338, 108, 610, 380)},
    5: {"armchair": (160, 130, 452, 472), "cabinet": (400, 207, 640, 395)},
    10: {"armchair": (228, 164, 434, 450), "cabinet": (462, 290, 640, 480)},
    14: {"armchair": (188, 108, 452, 430), "cabinet": (512, 227, 640, 480)},
}


def regions(frame: int) -> Regions:
    """What was drawn on a picture."""
    phrases = tuple(BOXES[frame])
    return Regions(
        ids=tuple(f"{frame}:{name}" for name in phrases),
        boxes=torch.tensor(list(BOXES[frame].values()), dtype=torch.float32),
        scores=torch.full((len(phrases),), 0.9),
        phrases=phrases,
        phrase_ids=torch.arange(len(phrases)),
        image_size=(640, 480),
    )


def test_an_armchair_seen_from_all_round_stays_one(data_dir) -> None:
    frames = living_room(data_dir)
    up = estimate_up(frames)
    builder, lifter = MapBuilder(), Lifter()
    for number in BOXES:
        frame = aligned(frames[number], up)
        builder.add(lifter.lift(regions(number), frame), frame=frame)

    frozen = builder.freeze(name="living room")

    assert frozen.counts == {"armchair": 1, "cabinet": 1}
    # An armchair, as such things are: its size was not published.
    chair = frozen.objects.sizes[frozen.ids.index("armchair")]
    assert 0.6 < float(chair.amax()) < 1.6
    assert len(frozen.provenance["armchair"]) == 4
    assert frozen.first_seen[frozen.ids.index("armchair")] == 0
