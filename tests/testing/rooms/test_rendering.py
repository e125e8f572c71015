"""Pictures are what ideal rays see: colour, depth and ids, each pixel by its middle."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from groundplane.core.errors import InputError, PluginBrokenError
from groundplane.testing.rooms import rendering
from groundplane.testing.rooms.making import make_room
from groundplane.testing.rooms.parts import assemble, block
from groundplane.testing.rooms.rendering import Renderer
from groundplane.testing.rooms.room import Room, RoomObject, Walk, intrinsics

ROOMS = int(os.environ.get("GROUNDPLANE_ROOMS", "4"))
make = functools.lru_cache(maxsize=64)(make_room)


def triangles(room):
    """All triangles of a room, and the id of each."""
    meshes = [(t.mesh, t.id) for t in room.objects] + [(s.mesh, 0) for s in room.surfaces]
    corners = np.concatenate([mesh.vertices[mesh.faces] for mesh, _ in meshes])
    return corners, np.repeat([id for _, id in meshes], [len(mesh.faces) for mesh, _ in meshes])


def cast(room, shot, pixels):
    """Depth and id along a ray through the middle of each pixel (Moeller and Trumbore 1997)."""
    corners, ids = triangles(room)
    K = shot.K
    x, y = (pixels + 0.5 - K[:2, 2]).T / K[[0, 1], [0, 1]][:, None]
    # A ray as long as it is deep: how far it goes is the depth.
    ways = np.stack([x, y, np.ones(len(x))], axis=1) @ shot.T_world_cam[:3, :3].T
    a, side, other = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    h = np.cross(ways[:, None], other[None])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        det = (h * side).sum(axis=2)
        s = shot.T_world_cam[:3, 3] - a
        u = (h * s).sum(axis=2) / det
        q = np.cross(s, side)
        v = ways @ q.T / det
        t = (q * other).sum(axis=1) / det
        inside = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0.05)
    t = np.where(inside, t, np.inf)
    return t.min(axis=1), ids[t.argmin(axis=1)]


@pytest.mark.parametrize("seed", range(3))
def test_depth_and_ids_are_those_of_rays(seed):
    room = make(seed)
    rng = np.random.default_rng(seed)
    wrong, num = 0, 0
    for shot in room.shots(step=len(room.walk) // 5, colour=False):
        pixels = rng.integers(0, (320, 240), (120, 2))
        depth, ids = cast(room, shot, pixels)
        x, y = pixels.T
        same = ids == shot.ids[y, x]
        assert np.abs(depth - shot.depth[y, x])[same].max() < 1e-3
        wrong, num = wrong + int((~same).sum()), num + len(pixels)
    # The card rounds corners to 1/256 of a pixel: at an edge a pixel in some thousands may differ.
    assert wrong <= num / 500


def test_the_reference_sees_a_picture_that_is_half_a_pixel_off():
    room = make(0)
    with Renderer(room, colour=False) as renderer:
        shot = renderer.draw(len(room.walk) // 2)
    pixels = np.random.default_rng(0).integers(0, (320, 240), (250, 2))
    depth, _ = cast(room, shot, pixels + 0.5)
    x, y = pixels.T
    assert (np.abs(depth - shot.depth[y, x]) > 1e-3).mean() > 0.5


def lone_box(box, *, pose=None):
    """A room of nothing but one box, seen from the origin along x."""
    look = np.eye(4)
    look[:3, :3] = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]).T
    thing = RoomObject(id=300, label="crate", mesh=assemble([box]), yaw=0.0)
    return Room(
        name="lone",
        seed=0,
        kind="test",
        objects=(thing,),
        surfaces=(),
        outline=np.array([[0.0, 0], [9, 0], [9, 9], [0, 9]]),
        floor=0.0,
        height=3.0,
        walk=Walk(times=np.zeros(1), poses=(look if pose is None else pose)[None]),
    )


def test_a_pixel_is_on_the_thing_when_its_middle_is():
    # At a depth of 2 m with f = 256 a pixel is 1/128 m: edges at pixels 140.4 and 180.6 of 320,
    # and rows 100.4 to 110.6 of 240; y points left and z up.
    def side(pixel, middle):
        return -(pixel - middle) / 128

    box = block(
        (2.0, 2.0001),
        (side(180.6, 160), side(140.4, 160)),
        (side(110.6, 120), side(100.4, 120)),
        colour=(200, 100, 50),
    )
    [shot] = lone_box(box).shots()
    rows, columns = np.nonzero(shot.ids)
    # The middle of pixel 140 is at 140.5 and within; that of 180 is at 180.5 and within too.
    assert (columns.min(), columns.max()) == (140, 180)
    assert (rows.min(), rows.max()) == (100, 110)
    assert set(np.unique(shot.ids)) == {0, 300}
    np.testing.assert_allclose(shot.depth[shot.ids == 300], 2.0, atol=2e-4)


def test_where_there_is_nothing_depth_and_id_are_zero():
    [shot] = lone_box(block((2, 3), (-0.1, 0.1), (-0.1, 0.1), colour=(9, 9, 9))).shots()
    assert (shot.depth[shot.ids == 0] == 0).all()
    assert shot.ids[0, 0] == 0


def test_the_same_pose_gives_the_same_bytes_twice_and_with_or_without_colour():
    room = make(1)
    for one, two, plain in zip(
        room.shots(step=90), room.shots(step=90), room.shots(step=90, colour=False), strict=True
    ):
        assert one.colour.tobytes() == two.colour.tobytes()
        for name in ("depth", "ids"):
            assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
            assert getattr(one, name).tobytes() == getattr(plain, name).tobytes()
        assert not plain.colour.any()


def test_sizes_show_the_same_room():
    room = make(1)
    small = next(iter(room.shots(size=(160, 120))))
    large = next(iter(room.shots(size=(480, 360))))
    # The middle of each small pixel is the middle of a large one.
    assert (small.ids == large.ids[1::3, 1::3]).mean() > 0.999
    assert np.abs(small.depth - large.depth[1::3, 1::3]).max() < 1e-2


def test_walls_have_a_pattern_to_see():
    room = make(0)
    spread = [float(s.colour.std(axis=(0, 1)).mean()) for s in room.shots(step=100)]
    assert min(spread) > 4


def test_all_of_a_room_is_seen_from_within():
    for shot in make(2).shots(step=50, colour=False):
        assert (shot.depth > 0.05).all()
        assert np.isfinite(shot.depth).all()


@pytest.mark.parametrize("seed", range(ROOMS))
def test_every_thing_is_seen_and_they_come_one_after_another(seed):
    room = make(seed)
    most = np.zeros(len(room.objects) + 1, dtype=int)
    first = {}
    for shot in room.shots(step=10, colour=False):
        pixels = np.bincount(shot.ids.ravel(), minlength=len(most))
        most = np.maximum(most, pixels)
        for id in np.nonzero(pixels >= 60)[0]:
            first.setdefault(int(id), shot.time)
    assert (most[1:] >= 60).all(), [t.label for t in room.objects if most[t.id] < 60]
    at_once = sum(time == 0.0 for id, time in first.items() if id)
    assert at_once <= max(0.7 * len(room.objects), 4)
    assert len(set(first.values())) >= min(4, len(room.objects) // 3)


def test_frames_carry_the_exact_pose_and_name_their_picture():
    room = make(3)
    frames = list(room.frames(step=60, size=(64, 48)))
    assert [frame.index for frame in frames] == list(range(0, len(room.walk), 60))
    assert frames[1].image.source.name == "room-3-00060.png"
    assert len({frame.image.source.content_hash for frame in frames}) == len(frames)
    assert np.array_equal(frames[1].camera.T_world_cam, room.walk.poses[60])
    assert np.array_equal(frames[0].camera.K, intrinsics((64, 48)))
    assert frames[1].time == pytest.approx(2.0)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("size", [(0, 240), (320, 5000)])
def test_pictures_of_no_size_are_refused(size):
    with pytest.raises(InputError, match="4096"):
        Renderer(make(3), size=size)


def test_a_step_below_one_and_a_pose_beyond_the_walk_are_refused():
    room = make(3)
    with pytest.raises(InputError, match="step"):
        room.shots(step=0)
    with pytest.raises(InputError, match="step"):
        room.capture(step=0)
    with Renderer(room, size=(8, 6)) as renderer, pytest.raises(InputError, match="pose"):
        renderer.draw(len(room.walk))


def test_one_pixel_is_a_picture():
    [shot] = lone_box(block((2, 3), (-1, 1), (-1, 1), colour=(9, 9, 9))).shots(size=(1, 1))
    assert shot.ids.tolist() == [[300]]


def test_another_thread_draws_the_same():
    room, drawn = make(1), []
    thread = threading.Thread(target=lambda: drawn.extend(room.shots(step=200)))
    thread.start()
    thread.join()
    here = list(room.shots(step=200))
    assert [s.colour.tobytes() for s in drawn] == [s.colour.tobytes() for s in here]


def test_without_egl_the_error_says_what_to_install(monkeypatch):
    moderngl = pytest.importorskip("moderngl")

    def fail(**options):
        raise Exception("(eglInitialize) cannot open")

    monkeypatch.setattr(moderngl, "create_standalone_context", fail)
    monkeypatch.setattr(rendering._contexts, "context", None)
    with pytest.raises(PluginBrokenError, match="apt-get install libegl1"):
        next(iter(make(3).shots()))


def test_without_the_extra_the_error_names_it():
    code = (
        "import sys; sys.modules['trimesh'] = None;"
        "from groundplane.testing.rooms.making import make_room; make_room(0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "groundplane[render]" in run.stderr


def test_what_compiles_kernels_can_be_loaded_after_a_room_was_drawn():
    pytest.importorskip("triton")
    code = (
        "from groundplane.testing.rooms import make_room\n"
        "next(iter(make_room(2).shots(step=1000, size=(8, 6))))\n"
        "import triton.language, groundplane.grounding.deformable_triton"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
