"""What is told of regions that were left out."""

from __future__ import annotations

import numpy as np
import torch

from groundplane.core.camera import Camera, Frame
from groundplane.core.regions import Regions
from groundplane.mapping.tally import MapTally
from groundplane.spatial.mapping.lifting import Lifter
from groundplane.testing.detectors import make_image


def looked_at(tally: MapTally, index: int) -> None:
    """A frame with a chair of full depth, and two lamps of too few pixels, of unlike size."""
    boxes = torch.tensor([[2.0, 2, 14, 14], [20, 2, 21, 4], [20, 10, 22, 12]])
    regions = Regions(
        ids=("a", "b", "c"), boxes=boxes, scores=torch.ones(3), phrases=("chair", "lamp"),
        phrase_ids=torch.tensor([0, 1, 1]), image_size=(32, 16),
    )  # fmt: skip
    camera = Camera(K=np.array([[16.0, 0, 16], [0, 16, 8], [0, 0, 1]]), T_world_cam=np.eye(4))
    black = make_image(np.zeros((16, 32, 3), dtype=np.uint8))
    frame = Frame(image=black, index=index, camera=camera, depth=torch.full((16, 32), 2.0))
    tally.took(frame, regions, Lifter().lift(regions, frame))


def test_what_did_not_become_an_object_is_told_with_the_reason():
    tally = MapTally()
    for index in (7, 9):
        looked_at(tally, index)

    [note] = tally.told(there={"chair"}, phrases=("chair", "lamp"), cannot={})

    assert note.startswith("'lamp' was found 4 times, but none became an object of its own (4: ")
    assert "8 are needed" in note


def test_regions_of_any_size_are_left_out_for_one_reason():
    tally = MapTally()
    looked_at(tally, 0)

    assert list(tally.reasons().values()) == [2]


def test_notes_that_differ_in_their_numbers_alone_are_told_once():
    tally = MapTally()
    for number in range(30):
        tally.note([f"{number} depths were negative", "the depth is guessed"])

    assert tally.told(there=set(), phrases=(), cannot={})[:2] == [
        "0 depths were negative, and alike with other numbers",
        "the depth is guessed",
    ]
    assert len(tally.notes) == 2


def test_a_tally_of_nothing_says_that_the_map_is_empty():
    assert MapTally().told(there=set(), phrases=("lamp",), cannot={}) == [
        "the map is empty: none of 0 frames could be placed"
    ]
