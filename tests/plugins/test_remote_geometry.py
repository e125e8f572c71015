"""The remote geometry expert against a good server, and against replies that are all wrong."""

from __future__ import annotations

import base64
import io
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from groundplane.core import hub
from groundplane.core.camera import Camera, DepthNoise
from groundplane.core.errors import DetectorError, InputError, PluginBrokenError
from groundplane.core.geometry import GeometryCapabilities
from groundplane.core.host import load
from groundplane.grounding.checking import BreachError
from groundplane.grounding.remote_geometry_protocol import (
    GeometryInfo,
    GeometryRequest,
    read_geometry_info,
    read_geometry_request,
    read_geometry_results,
    write_geometry_info,
    write_geometry_request,
    write_geometry_results,
)
from groundplane.plugins.flat_floor import FlatFloorGeometry, FlatFloorOptions
from groundplane.plugins.remote_geometry import RemoteGeometry, RemoteGeometryOptions
from groundplane.testing.detectors import make_image, unlike_images
from groundplane.testing.geometry import GeometryContract, make_frame
from groundplane.testing.http_serving import HttpServing
from groundplane.testing.remote_geometry_server import RemoteGeometryServer, main

FAST = {"timeout": 2.0, "deadline": 5.0, "retries": 0}
ALL = frozenset({"depth", "intrinsics", "pose"})


class Counting:
    """Goes one metre a frame along x; needs depth and intrinsics. Fails on pictures named `bad`."""

    def __init__(self, *, sequential=True):
        self.capabilities = GeometryCapabilities(
            gives=frozenset({"pose"}),
            needs=frozenset({"depth", "intrinsics"}),
            sequential=sequential,
            licence="MIT",
        )
        self.at = 0

    def begin(self):
        self.at = 0

    def estimate(self, frames):
        return [self.step(frame) for frame in frames]

    def step(self, frame):
        if frame.depth is None or frame.camera is None:
            raise InputError("counting: nothing is known")
        if frame.image.source.name == "bad":
            raise InputError("counting: does not like it")
        pose = np.eye(4)
        pose[0, 3] = self.at if self.capabilities.sequential else frame.index
        self.at += 1
        return replace(frame, camera=replace(frame.camera, T_world_cam=pose))


def floor():
    return FlatFloorGeometry(FlatFloorOptions(height=1.4, tilt=30.0, fov=60.0))


@pytest.fixture(scope="module")
def floor_server():
    with RemoteGeometryServer(floor(), name="floor") as running:
        yield running


def remote(url, **options):
    return RemoteGeometry(RemoteGeometryOptions(url=url, **{**FAST, **options}))


class TestContract(GeometryContract):
    @pytest.fixture
    def geometry(self, floor_server):
        return load("geometry", "remote", device="cpu", url=floor_server.url)


class TestContractOfOneThatCarriesOver(GeometryContract):
    @pytest.fixture
    def geometry(self):
        with RemoteGeometryServer(Counting(), name="counting") as running:
            yield remote(running.url)


def test_what_comes_back_is_what_the_expert_tells(floor_server):
    frames = [make_frame(image, index=i) for i, image in enumerate(unlike_images())]
    for here, there in zip(
        floor().estimate(frames), remote(floor_server.url).estimate(frames), strict=True
    ):
        assert torch.equal(here.depth, there.depth)
        assert np.array_equal(here.camera.K, there.camera.K)
        assert np.array_equal(here.camera.T_world_cam, there.camera.T_world_cam)
        assert (here.noise, here.scale, here.notes) == (there.noise, there.scale, there.notes)


def test_capabilities_are_the_servers():
    with RemoteGeometryServer(Counting(), name="counting") as running:
        assert remote(running.url).capabilities == Counting().capabilities


def test_a_capture_goes_on_over_calls_and_begins_anew():
    frames = [make_frame(unlike_images()[0], needs=ALL, index=i) for i in range(4)]
    with RemoteGeometryServer(Counting(), name="counting") as running:
        expert = remote(running.url)
        told = [*expert.estimate(frames[:2]), *expert.estimate(frames[2:])]
        assert [frame.camera.T_world_cam[0, 3] for frame in told] == [0, 1, 2, 3]
        expert.begin()
        assert expert.estimate(frames[:1])[0].camera.T_world_cam[0, 3] == 0


def test_two_captures_at_a_time_are_refused_where_one_is_kept():
    frames = [make_frame(unlike_images()[0], needs=ALL)]
    with RemoteGeometryServer(Counting(), name="counting") as running:
        one, other = remote(running.url), remote(running.url)
        one.estimate(frames)
        other.estimate(frames)
        with pytest.raises(DetectorError, match="another capture was begun meanwhile"):
            one.estimate(frames)


def test_a_frame_that_fails_leaves_the_others():
    images = unlike_images()
    bad = make_image(images[1].pixels, name="bad")
    frames = [make_frame(im, needs=ALL, index=i) for i, im in enumerate([images[0], bad])]
    with RemoteGeometryServer(Counting(sequential=False), name="counting") as running:
        good, failed = remote(running.url).estimate(frames)
    assert good.camera.T_world_cam[0, 3] == 0
    assert failed.camera is frames[1].camera
    assert failed.notes[-1] == "the geometry server could not tell: counting: does not like it"


def test_what_is_needed_and_unknown_is_refused_here():
    with RemoteGeometryServer(Counting(), name="counting") as running:
        expert = remote(running.url)
        with pytest.raises(InputError, match="needs depth and intrinsics of every frame"):
            expert.estimate([make_frame(unlike_images()[0])])


def test_only_what_is_needed_is_sent():
    frame = make_frame(unlike_images()[0], needs=ALL)
    request = GeometryRequest(capture="c", begin=True, frames=(frame,))
    told = json.loads(write_geometry_request(request, needs=frozenset({"depth"})))["frames"][0]
    assert told["K"] is None
    assert told["pose"] is None
    again = read_geometry_request(write_geometry_request(request, needs=ALL))
    assert (again.capture, again.begin) == ("c", True)
    assert torch.equal(again.frames[0].depth, frame.depth)
    assert np.array_equal(again.frames[0].camera.T_world_cam, frame.camera.T_world_cam)


# Hostile replies -----------------------------------------------------------------------------


IMAGE = make_image(np.zeros((3, 4, 3), dtype=np.uint8))
FRAME = make_frame(IMAGE)


def depth_of(values, kind="<f4", name="float32"):
    raw = np.asarray(values, dtype=kind)
    data = base64.b64encode(raw.tobytes()).decode()
    return {"type": name, "shape": list(raw.shape), "data": data}


def png_of(values, mode="I;16"):
    buffer = io.BytesIO()
    PILImage.fromarray(np.asarray(values, dtype=np.uint16 if mode == "I;16" else np.uint8)).save(
        buffer, "PNG"
    )
    return base64.b64encode(buffer.getvalue()).decode()


def reply(**change):
    result = {
        "size": [4, 3],
        "scale": "metric",
        "depth": depth_of(np.full((3, 4), 2.0)),
        "K": [4, 0, 2, 0, 4, 1.5, 0, 0, 1],
        "pose": np.eye(4).ravel().tolist(),
        "notes": ["seen"],
    }
    result.update(change)
    return json.dumps({"protocol": 1, "results": [result]}).encode()


def read(data, frame=FRAME, gives=ALL):
    return read_geometry_results(data, [frame], gives=gives, device="cpu")[0]


def test_a_good_reply_is_taken():
    told = read(reply())
    assert (told.depth == 2).all()
    assert told.camera.K[0, 0] == 4
    assert told.notes == (*FRAME.notes, "seen")


def test_half_precision_and_png_are_taken():
    half = read(reply(depth=depth_of(np.full((3, 4), 1.5), "<f2", "float16")))
    assert (half.depth == 1.5).all()
    png = {"type": "png16", "unit": 0.001, "data": png_of(np.full((3, 4), 1234))}
    assert torch.allclose(read(reply(depth=png)).depth, torch.tensor(1.234))
    assert read(reply(depth=png)).depth.dtype == torch.float32


def test_numbers_that_are_no_depth_become_unknown_and_are_noted():
    values = np.full((3, 4), 2.0)
    values[0] = [np.nan, np.inf, -1.0, -np.inf]
    told = read(reply(depth=depth_of(values)))
    assert told.depth[0].tolist() == [0, 0, 0, 0]
    assert told.notes[-1] == "4 of 12 pixels had no usable depth"


def test_what_the_expert_does_not_give_is_not_taken():
    known = make_frame(IMAGE, needs=ALL)
    told = read(reply(), frame=known, gives=frozenset({"depth"}))
    assert told.camera is known.camera
    posed = read(reply(K=None), frame=known, gives=frozenset({"pose"}))
    assert posed.depth is known.depth
    assert np.array_equal(posed.camera.K, known.camera.K)


def test_a_pose_without_intrinsics_is_left_out_and_noted():
    told = read(reply(K=None), gives=frozenset({"depth", "pose"}))
    assert told.camera is None
    assert any("no intrinsics are known" in note for note in told.notes)


def test_silence_is_noted():
    told = read(reply(depth=None, K=None, pose=None, notes=[]))
    assert told.notes[-1] == "the geometry server told no depth and no intrinsics and no pose"


def test_noise_is_taken():
    told = read(reply(noise={"linear": 0.1, "common": 0.2}))
    assert told.noise == DepthNoise(linear=0.1, common=0.2)


def test_notes_are_shown_on_one_printable_line():
    told = read(reply(notes=["a\x1b[31m\nb", "x" * 10_000]))
    assert told.notes[-2] == "a [31m b"
    assert len(told.notes[-1]) < 600


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": [3, 4]}, "expected the size"),
        ({"size": "big"}, "size as a list"),
        ({"depth": [1, 2]}, "depth: expected an object"),
        ({"depth": {"type": "pickle", "data": "AAAA"}}, "type float16, float32 or png16"),
        ({"depth": {"type": "float32", "shape": [3, 4], "data": "!!"}}, "base64"),
        ({"depth": {"type": "float32", "shape": [3, 4], "data": "AAAA"}}, "expected 48 bytes"),
        ({"depth": depth_of(np.zeros((4, 3)))}, "expected the shape"),
        ({"depth": {"type": "float32", "shape": [10**9, 10**9], "data": ""}}, "the shape"),
        ({"depth": {"type": "png16", "unit": 1, "data": "AAAA"}}, "PNG cannot be read"),
        ({"depth": {"type": "png16", "unit": 1, "data": png_of(np.ones((4, 4)))}}, "16 bits of"),
        ({"depth": {"type": "png16", "unit": 1, "data": png_of(np.ones((3, 4)), "L")}}, "16 bits"),
        (
            {"depth": {"type": "png16", "unit": 0, "data": png_of(np.ones((3, 4)))}},
            "unit of a step",
        ),
        ({"depth": {"type": "png16", "data": png_of(np.ones((3, 4)))}}, "unit"),
        ({"K": [1, 2]}, "K as 9 numbers"),
        ({"K": [0] * 9}, "positive focal lengths"),
        ({"K": ["a"] * 9}, "K as finite numbers"),
        ({"pose": [1] * 16}, "turns and moves"),
        ({"pose": [1e999] * 16}, "finite numbers"),
        ({"scale": "furlongs"}, "scale of metric or relative"),
        ({"noise": {"linear": -1}}, "depth noise"),
        ({"noise": 3}, "noise: expected an object"),
        ({"notes": ["n"] * 21}, "at most 20 notes"),
        ({"notes": "seen"}, "notes as a list"),
    ],
)
def test_a_reply_that_is_no_answer_is_refused(change, said):
    with pytest.raises(BreachError, match=said):
        read(reply(**change))


def test_fewer_or_more_frames_than_asked_are_refused():
    with pytest.raises(BreachError, match="expected 2 results, got 1"):
        read_geometry_results(reply(), [FRAME, FRAME], gives=ALL, device="cpu")
    with pytest.raises(InputError, match="gave 0 frames for 1"):
        write_geometry_results([], [FRAME])


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"protocol": 2, "results": []}', b"\xff"])
def test_what_is_no_message_is_refused(data):
    with pytest.raises(BreachError):
        read(data)
    with pytest.raises(InputError):
        read_geometry_request(data)
    with pytest.raises(BreachError):
        read_geometry_info(data)


@pytest.mark.parametrize(
    "change",
    [
        {"gives": []},
        {"gives": ["smell"]},
        {"needs": "depth"},
        {"scale": 3},
        {"sequential": "yes"},
        {"cost": -1},
    ],
)
def test_an_expert_that_cannot_be_is_refused(change):
    info = GeometryInfo(name="x", capabilities=Counting().capabilities)
    document = json.loads(write_geometry_info(info))
    document["geometry"].update(change)
    with pytest.raises(BreachError):
        read_geometry_info(json.dumps(document).encode())


def test_a_cost_that_is_not_known_is_told_so():
    able = GeometryCapabilities(gives=frozenset({"depth"}), cost=math.inf)
    info = GeometryInfo(name="x", capabilities=able)
    assert read_geometry_info(write_geometry_info(info)) == info


def test_a_detectors_server_is_told_apart():
    document = {"protocol": 1, "name": "owlv2", "vocabulary": None}
    with pytest.raises(BreachError, match="is it a detector's server"):
        read_geometry_info(json.dumps(document).encode())


def serving(answers):
    return HttpServing(
        lambda method, path, body: answers.get(path),
        token="",
        address=("127.0.0.1", 0),
        max_body=2**20,
        expected="/info",
    )


def test_a_breach_is_told_with_the_address():
    info = write_geometry_info(
        GeometryInfo(name="x", capabilities=GeometryCapabilities(gives=frozenset({"depth"})))
    )
    with serving({"/info": info, "/estimate": reply(size=[9, 9])}) as running:
        expert = remote(running.url)
        with pytest.raises(DetectorError, match=rf"{running.url}/estimate.*expected the size"):
            expert.estimate([FRAME])


def test_a_reply_that_is_too_long_is_refused(floor_server):
    expert = remote(floor_server.url, max_reply=2000)
    with pytest.raises(DetectorError, match="longer than 2000 bytes"):
        expert.estimate([make_frame(unlike_images()[0])])


def test_a_server_that_is_not_there_is_told_when_the_expert_is_made():
    with pytest.raises(DetectorError, match=r"geometry 'remote' at http://127\.0\.0\.1:9/info"):
        load("geometry", "remote", device="cpu", url="http://127.0.0.1:9", retries=0, deadline=2)


def test_a_token_opens_the_door(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    with RemoteGeometryServer(floor(), name="floor", token="s3cret") as running:
        assert remote(running.url, token_env="MY_TOKEN").estimate([FRAME])[0].depth is not None
        with pytest.raises(DetectorError, match="wants a token"):
            remote(running.url)


def test_a_missing_library_says_what_to_install(monkeypatch):
    monkeypatch.setattr(hub, "is_installed", lambda name: False)
    with pytest.raises(PluginBrokenError, match="groundplane\\[remote\\]"):
        remote("http://127.0.0.1:9")


@pytest.mark.parametrize(
    "option", [{"url": "ftp://x"}, {"timeout": 0.0}, {"retries": -1}, {"max_reply": 0}]
)
def test_options_out_of_range_are_refused(option):
    with pytest.raises(InputError, match=f"geometry 'remote': option {next(iter(option))}"):
        RemoteGeometryOptions(**{"url": "http://x", **option})


def test_other_paths_are_not_there(floor_server):
    status, body = floor_server.reply("GET", "/detect", token="", body=b"")
    assert status == 404
    assert b"GET /info or POST /estimate" in body


def test_the_command_refuses_a_token_that_is_not_set():
    with pytest.raises(InputError, match="NO_SUCH_VARIABLE"):
        main(["flat-floor", "--token-env", "NO_SUCH_VARIABLE"])


def test_a_camera_that_was_known_is_replaced_by_that_of_the_whole_estimate():
    known = replace(FRAME, camera=Camera(K=np.diag([9.0, 9.0, 1.0])))
    assert read(reply(), frame=known).camera.K[0, 0] == 4


def test_the_example_server_needs_no_groundplane_and_is_understood():
    script = Path(__file__).resolve().parents[2] / "examples" / "geometry_server.py"
    assert "import groundplane" not in script.read_text()
    command = [sys.executable, "-I", str(script), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            expert = remote(running.stdout.readline().strip())
            assert expert.capabilities.scale == "relative"
            frames = [make_frame(image, index=i) for i, image in enumerate(unlike_images())]
            for frame in expert.estimate(frames):
                assert (frame.depth == 2).all()
                assert frame.camera.K[0, 0] == frame.image.size[0]
                assert frame.noise == DepthNoise(linear=0.05, common=0.1)
        finally:
            running.terminate()
