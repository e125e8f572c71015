"""Captures on disk in the layouts that are read, written from frames: for tests and examples.

What is written is what the publishers' own tools write, as docs/captures.md says it, with one
difference: pictures are PNG, so that they come back as they were.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float
from PIL import Image as PILImage

from groundplane.captures.layouts import LAYOUTS, Layout
from groundplane.core.camera import Camera, Frame
from groundplane.core.errors import InputError
from groundplane.core.hub import need_library

__all__ = ["write_capture"]

_START = 1305031102.1753  # what a clock of Unix says; a layout with times has some such number


def write_capture(
    folder: Path,
    frames: Iterable[Frame],
    *,
    layout: Layout = "rgbd",
    up: tuple[float, float, float] | None = None,
) -> Path:
    """Write a capture. Frames are taken one at a time and not held.

    A frame without depth or pose is written as the layout says it: by leaving the row out, or
    by -inf.

    Args:
        folder: Made if it is not there. A video is written to `walk.mp4` in it.
        frames: At least one. All but those of videos and plain pictures need a camera.
        layout: Which one.
        up: Which way is up in their world; only `rgbd` has a place for it.

    Returns:
        What `open_capture` takes.

    Raises:
        InputError: If there is no frame, one has no camera, or the layout is unknown.
    """
    if layout not in LAYOUTS:
        raise InputError(f"unknown layout {layout!r}; the layouts: {', '.join(LAYOUTS)}")
    folder.mkdir(parents=True, exist_ok=True)
    if layout == "video":
        return _video(folder / "walk.mp4", frames)
    writer = _WRITERS[layout](folder)
    count = 0
    for frame in frames:
        writer.add(frame)
        count += 1
    if not count:
        raise InputError("write capture: expected at least one frame, got none")
    writer.end(up)
    return folder


class _Writer:
    """Pictures alone; each layout adds its own files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, frame: Frame) -> None:
        """Write what belongs to one frame."""
        self.picture(frame, f"{frame.index}.png")

    def end(self, up: tuple[float, float, float] | None) -> None:
        """Write what belongs to all."""

    def picture(self, frame: Frame, name: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PILImage.fromarray(frame.image.pixels).save(path, compress_level=1)

    def depth(self, frame: Frame, name: str, *, scale: float) -> bool:
        if frame.depth is None:
            return False
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = np.rint(frame.depth.cpu().numpy().astype(np.float64) * scale)
        PILImage.fromarray(whole.clip(0, 65535).astype(np.uint16)).save(path, compress_level=1)
        return True

    def text(self, name: str, lines: Iterable[str]) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


class _Rgbd(_Writer):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._rows: list[dict[str, Any]] = []
        self._head: dict[str, Any] = {}

    def add(self, frame: Frame) -> None:
        self.picture(frame, f"image/{frame.index:05d}.png")
        self.depth(frame, f"depth/{frame.index:05d}.png", scale=1000)
        camera = _camera(frame)
        pose = camera.T_world_cam
        self._rows.append(
            {
                "index": frame.index,
                "time": frame.time,
                "camera_to_world": pose.tolist() if pose is not None else None,
            }
        )
        fx, fy, cx, cy = _centred(camera)
        width, height = frame.image.size
        lens = {"width": width, "height": height, "fx": fx, "fy": fy, "cx": cx, "cy": cy}
        self._head = {
            "intrinsics": lens,
            "depth_scale": 1000.0,
            "convention": "4x4 camera-to-world, x right y down z forward",
            "depth_noise": asdict(frame.noise),
            "scale": frame.scale,
        }

    def end(self, up: tuple[float, float, float] | None) -> None:
        head = self._head | ({"up": list(up)} if up is not None else {})
        self.text("poses.json", [json.dumps(head | {"frames": self._rows})])


class _Tum(_Writer):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._rgb: list[str] = []
        self._depth: list[str] = []
        self._poses = ["# timestamp tx ty tz qx qy qz qw"]
        self._camera = ""

    def add(self, frame: Frame) -> None:
        stamp = f"{_START + frame.time:.6f}"
        self.picture(frame, f"rgb/{stamp}.png")
        self._rgb.append(f"{stamp} rgb/{stamp}.png")
        if self.depth(frame, f"depth/{stamp}.png", scale=5000):
            self._depth.append(f"{stamp} depth/{stamp}.png")
        camera = _camera(frame)
        self._camera = _row(_centred(camera))
        if (pose := camera.T_world_cam) is not None:
            w, x, y, z = _quaternion(pose)
            self._poses.append(f"{stamp} {_row([*pose[:3, 3], x, y, z, w])}")

    def end(self, up: tuple[float, float, float] | None) -> None:
        self.text("rgb.txt", ["# timestamp filename", *self._rgb])
        self.text("camera.txt", ["# fx fy cx cy", self._camera])
        if self._depth:
            self.text("depth.txt", ["# timestamp filename", *self._depth])
        if len(self._poses) > 1:
            self.text("groundtruth.txt", self._poses)


class _ScanNet(_Writer):
    def add(self, frame: Frame) -> None:
        self.picture(frame, f"color/{frame.index}.png")
        self.depth(frame, f"depth/{frame.index}.png", scale=1000)
        camera = _camera(frame)
        pose = camera.T_world_cam
        rows = pose if pose is not None else np.full((4, 4), -np.inf)
        self.text(f"pose/{frame.index}.txt", map(_row, rows))
        fx, fy, cx, cy = _centred(camera)
        K = np.array([[fx, 0, cx, 0], [0, fy, cy, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
        for name in ("color", "depth"):
            self.text(f"intrinsic/intrinsic_{name}.txt", map(_row, K))


class _ArkitScenes(_Writer):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._rows: list[str] = []

    def add(self, frame: Frame) -> None:
        name = f"47333462_{1000 + frame.time:.3f}"
        self.picture(frame, f"lowres_wide/{name}.png")
        self.depth(frame, f"lowres_depth/{name}.png", scale=1000)
        camera = _camera(frame)
        lens = _row([*frame.image.size, *_centred(camera)])
        self.text(f"lowres_wide_intrinsics/{name}.pincam", [lens])
        if camera.T_world_cam is not None:
            seen = np.linalg.inv(camera.T_world_cam.astype(np.float64))
            turn = cv2.Rodrigues(seen[:3, :3])[0].ravel()
            self._rows.append(f"{1000 + frame.time:.9f} {_row([*turn, *seen[:3, 3]])}")

    def end(self, up: tuple[float, float, float] | None) -> None:
        if self._rows:
            self.text("lowres_wide.traj", self._rows)


class _Colmap(_Writer):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._cameras = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
        self._images = ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME"]

    def add(self, frame: Frame) -> None:
        key, name = frame.index + 1, f"{frame.index}.png"
        self.picture(frame, f"images/{name}")
        self.depth(frame, f"depth/{name}", scale=1000)
        camera = _camera(frame)
        K = camera.K
        width, height = frame.image.size
        lens = _row([K[0, 0], K[1, 1], K[0, 2], K[1, 2]])
        self._cameras.append(f"{key} PINHOLE {width} {height} {lens}")
        if camera.T_world_cam is not None:
            seen = np.linalg.inv(camera.T_world_cam.astype(np.float64))
            pose = _row([*_quaternion(seen), *seen[:3, 3]])
            # The row of points that the picture shows is empty.
            self._images += [f"{key} {pose} {key} {name}", ""]

    def end(self, up: tuple[float, float, float] | None) -> None:
        self.text("sparse/0/cameras.txt", self._cameras)
        self.text("sparse/0/images.txt", self._images)
        self.text("sparse/0/points3D.txt", ["# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[]"])


class _Nerfstudio(_Writer):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._rows: list[dict[str, Any]] = []

    def add(self, frame: Frame) -> None:
        name = f"frame_{frame.index:05d}.png"
        self.picture(frame, f"images/{name}")
        camera = _camera(frame)
        K, pose = camera.K, camera.T_world_cam
        width, height = frame.image.size
        row: dict[str, Any] = {
            "file_path": f"images/{name}",
            "fl_x": float(K[0, 0]),
            "fl_y": float(K[1, 1]),
            "cx": float(K[0, 2]),
            "cy": float(K[1, 2]),
            "w": width,
            "h": height,
        }
        if pose is not None:
            row["transform_matrix"] = (pose @ np.diag([1.0, -1.0, -1.0, 1.0])).tolist()
        if self.depth(frame, f"depths/{name}", scale=1000):
            row["depth_file_path"] = f"depths/{name}"
        self._rows.append(row)

    def end(self, up: tuple[float, float, float] | None) -> None:
        self.text("transforms.json", [json.dumps({"camera_model": "OPENCV", "frames": self._rows})])


_WRITERS: Mapping[str, Callable[[Path], _Writer]] = MappingProxyType(
    {
        "rgbd": _Rgbd,
        "tum": _Tum,
        "scannet": _ScanNet,
        "arkitscenes": _ArkitScenes,
        "colmap": _Colmap,
        "nerfstudio": _Nerfstudio,
        "frames": _Writer,
    }
)


def _video(path: Path, frames: Iterable[Frame]) -> Path:
    """H.264 at 30 a second; sides are cut to even numbers, as the codec wants them."""
    av = need_library("av", who="writing videos", extra="video")
    with av.open(str(path), "w") as container:
        stream = None
        for frame in frames:
            height, width = (side - side % 2 for side in frame.image.pixels.shape[:2])
            if stream is None:
                stream = container.add_stream("libx264", rate=30)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            pixels = np.ascontiguousarray(frame.image.pixels[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        if stream is None:
            raise InputError("write capture: expected at least one frame, got none")
        container.mux(stream.encode())
    return path


def _camera(frame: Frame) -> Camera:
    if frame.camera is None:
        raise InputError(f"write capture: frame {frame.index} has no camera")
    return frame.camera


def _centred(camera: Camera) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy where (0, 0) is the middle of the top-left pixel."""
    K = camera.K
    return float(K[0, 0]), float(K[1, 1]), float(K[0, 2]) - 0.5, float(K[1, 2]) - 0.5


def _quaternion(pose: Float[np.ndarray, "4 4"]) -> list[float]:
    """w, x, y, z."""
    turn = cv2.Rodrigues(pose[:3, :3].astype(np.float64))[0].ravel()
    angle = float(np.linalg.norm(turn))
    axis = turn / angle if angle > 0 else turn
    return [float(np.cos(angle / 2)), *(float(part) for part in axis * np.sin(angle / 2))]


def _row(numbers: Iterable[float]) -> str:
    return " ".join(f"{number:.17g}" for number in numbers)
