"""The posed RGB-D sample of a living room, as frames."""

import json

import cv2
import numpy as np
import torch

from groundplane.core.camera import Camera, Frame
from groundplane.core.image import FrameMap, Image, Source


def living_room(data_dir):
    """Its 15 frames, half a second apart."""
    root = data_dir / "rgbd" / "livingroom1"
    told = json.loads((root / "poses.json").read_text())
    k = told["intrinsics"]
    # The file counts from the middle of the first pixel.
    K = np.array([[k["fx"], 0, k["cx"] + 0.5], [0, k["fy"], k["cy"] + 0.5], [0, 0, 1]])
    return [_frame(root, entry, K) for entry in told["frames"]]


def _frame(root, entry, K):
    name = f"{entry['index']:05d}"
    depth = cv2.imread(str(root / "depth" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
    pixels = cv2.imread(str(root / "image" / f"{name}.jpg"))[..., ::-1].copy()
    return Frame(
        image=Image(
            pixels=pixels,
            source=Source(name=name, content_hash=name),
            frame_map=FrameMap.identity(),
        ),
        index=entry["index"],
        time=entry["index"] / 30,
        camera=Camera(K=K, T_world_cam=np.array(entry["camera_to_world"])),
        depth=torch.from_numpy(depth.astype(np.float32) / 1000),
    )
