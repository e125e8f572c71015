"""Growing maps put down and taken up again; files that were cut or altered."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from seen import Crate, sighting

from groundplane.core.camera import Camera, Frame
from groundplane.core.errors import InputError, OutputError
from groundplane.core.media import read_image
from groundplane.spatial.mapping.builder import MapBuilder
from groundplane.spatial.mapping.tallies import BuilderOptions

THINGS = [
    Crate(label="sofa", center=(0, 0, 0.4), size=(2.0, 0.9, 0.8)),
    Crate(label="chair", center=(2, 0, 0.45), size=(0.5, 0.5, 0.9)),
    Crate(label="椅子", center=(2.7, 0, 0.45), size=(0.5, 0.5, 0.9), turn=0.5),
]


PICTURE = read_image(np.zeros((120, 160, 3), dtype=np.uint8))
K = np.array([[150.0, 0, 80], [0, 150, 60], [0, 0, 1]])


def frame_at(eye: tuple[float, float, float], index: int) -> Frame:
    """A picture along the world's y axis of a wall far away."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = [[1.0, 0, 0], [0, 0, 1], [0, -1, 0]], eye
    camera = Camera(K=K, T_world_cam=pose)
    return Frame(image=PICTURE, index=index, camera=camera, depth=torch.full((120, 160), 7.0))


def grown(start: MapBuilder, frames: range) -> MapBuilder:
    """A builder that saw some more frames."""
    looks = np.eye(4)[:3]
    for frame in frames:
        eye = (np.sin(frame) * 3, -3.0, 1.5)
        things, rows = (THINGS, looks) if frame % 3 else (THINGS[:1], looks[:1])
        seen = sighting(things, eye, frame=frame, noise=0.01, features=rows)
        start.add(seen, frame=frame_at(eye, frame))
    return start


def reforged(data: bytes, change: dict[str, object]) -> bytes:
    """A file whose head says something else, under a good checksum."""
    magic, _, body = data.split(b"\n", 2)
    text, columns = body.split(b"\n", 1)
    body = json.dumps({**json.loads(text), **change}).encode() + b"\n" + columns
    return b"\n".join([magic, hashlib.sha256(body).hexdigest().encode(), body])


@pytest.mark.parametrize("cut", [0, 1, 5])
def test_a_map_taken_up_again_ends_as_one_never_put_down(tmp_path: Path, cut: int) -> None:
    options = BuilderOptions(most_voxels=300, least_pixels=50)
    whole = grown(MapBuilder(options), range(8))
    first = grown(MapBuilder(options), range(cut))
    first.save(tmp_path / "map")
    second = grown(MapBuilder.load(tmp_path / "map"), range(cut, 8))

    assert second.freeze(name="room").to_json() == whole.freeze(name="room").to_json()
    assert second.options == options
    assert second.frames == 8
    whole.save(tmp_path / "a")
    second.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_any_changed_byte_is_noticed(tmp_path: Path) -> None:
    grown(MapBuilder(), range(1)).save(tmp_path / "map")
    data = (tmp_path / "map").read_bytes()
    for place in np.random.default_rng(0).integers(0, len(data), 40).tolist():
        bad = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        (tmp_path / "bad").write_bytes(bad)
        with pytest.raises(InputError, match="bad: "):
            MapBuilder.load(tmp_path / "bad")


@pytest.mark.parametrize("keep", [0, 10, 22, 60, 90, 2000, -1])
def test_a_file_that_was_cut_is_refused(tmp_path: Path, keep: int) -> None:
    grown(MapBuilder(), range(1)).save(tmp_path / "map")
    (tmp_path / "cut").write_bytes((tmp_path / "map").read_bytes()[:keep])
    with pytest.raises(InputError, match="cut"):
        MapBuilder.load(tmp_path / "cut")


@pytest.mark.parametrize(
    "change",
    [
        {"tallies": []},
        {"tallies": [None, None, None]},
        {"tallies": 5},
        {"tallies": [{"born": 0}] * 3},
        {"lengths": {"keys": 10**15}},
        {"lengths": {}},
        {"options": {"voxel": -1}},
        {"options": {"unknown": 1}},
        {"apart": [[0, 99, 1]]},
        {"born": -1},
        {"frames": "many"},
        {"more": 1},
    ],
)
def test_a_forged_head_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    grown(MapBuilder(), range(1)).save(tmp_path / "map")
    (tmp_path / "bad").write_bytes(reforged((tmp_path / "map").read_bytes(), change))
    with pytest.raises(InputError, match=r"bad: malformed|builder: "):
        MapBuilder.load(tmp_path / "bad")


def test_what_is_no_growing_map_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("{}")
    for path in (tmp_path / "other", tmp_path, tmp_path / "missing", "/dev/zero"):
        with pytest.raises(InputError):
            MapBuilder.load(path)


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="map"):
        MapBuilder().save(tmp_path / "no folder" / "map")
