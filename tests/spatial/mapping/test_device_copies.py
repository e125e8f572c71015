"""What lifting takes from a device: the depths of chosen pixels, once a frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from groundplane.core.camera import Camera, Frame
from groundplane.core.image import FrameMap, Image, Source
from groundplane.core.masks import encode
from groundplane.core.regions import Regions
from groundplane.spatial.mapping.lifting import Lifter

SIZE = (48, 64)


class Copies(TorchDispatchMode):
    """Counts what leaves the meta device, which stands in for a card; `served` is what comes."""

    def __init__(self, served: float = 2.0) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []
        self.served = served

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if any(isinstance(each, Tensor) and each.is_meta for each in args):
            if name == "_to_copy" and str(kwargs.get("device")) == "cpu":
                self.shapes.append(tuple(args[0].shape))
                return torch.full(args[0].shape, self.served, dtype=args[0].dtype)
            if name in ("_local_scalar_dense", "nonzero", "masked_select"):
                self.shapes.append(())
        return func(*args, **kwargs)


def shot(num: int) -> tuple[Regions, Frame]:
    """So many masks on a depth that lies on the device."""
    masks = []
    for i in range(num):
        mask = np.zeros(SIZE, dtype=bool)
        mask[4 + i : 40, 8 * i + 1 : 8 * i + 8] = True
        masks.append(encode(mask))
    regions = Regions(
        ids=tuple(map(str, range(num))), boxes=torch.zeros(num, 4), scores=torch.ones(num),
        phrases=("box",), phrase_ids=torch.zeros(num, dtype=torch.long),
        image_size=(SIZE[1], SIZE[0]), masks=tuple(masks),
    )  # fmt: skip
    black = Image(
        pixels=np.zeros((*SIZE, 3), dtype=np.uint8),
        source=Source(name="", content_hash=""),
        frame_map=FrameMap.identity(),
    )
    K = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
    camera = Camera(K=K, T_world_cam=np.eye(4))
    return regions, Frame(image=black, camera=camera, depth=torch.empty(SIZE, device="meta"))


@pytest.mark.parametrize("num", [1, 7])
def test_depths_of_chosen_pixels_leave_the_device_once_a_frame(num: int) -> None:
    regions, frame = shot(num)
    with Copies() as copies:
        seen = Lifter().lift(regions, frame)
    assert len(copies.shapes) == 1
    assert copies.shapes[0][0] < SIZE[0] * SIZE[1]
    assert seen.points.is_meta
    assert seen.boxes.centers.is_meta


def test_a_copy_for_each_region_is_seen() -> None:
    _, frame = shot(1)
    with Copies() as copies:
        for row in range(3):
            frame.depth[row].cpu()
    assert len(copies.shapes) == 3
