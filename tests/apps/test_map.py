"""`groundplane map`, end to end on a room with known truth."""

import json
import os
import signal

import pytest

from groundplane.apps import mapping
from groundplane.mapping.mapper import Mapper
from groundplane.spatial.map import CognitiveMap
from tests.support.mapped_room import write_room


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    return write_room(tmp_path_factory.mktemp("room"))


@pytest.fixture
def build(run, mapped, tmp_path):
    """Map the room with an expert that plays its truth; what is not given is chosen here."""

    def call(*more, find="toilet, sink, towel", out=tmp_path / "scene.json", source=mapped.folder):
        return run(
            "map", source, "--find", find, "--out", out, "--detector", "coco-file",
            "--option", f"annotations={mapped.instances}", *more,
        )  # fmt: skip

    return call


def test_a_scene_file_a_drawing_and_a_model_come_out(build, run, tmp_path):
    drawn, model = tmp_path / "map.svg", tmp_path / "scene.ply"

    code, out, err = build("--map", drawn, "--export", model, "--quiet")

    assert (code, err) == (0, "")
    scene = CognitiveMap.load(tmp_path / "scene.json")
    assert set(scene.labels) == {"toilet", "sink", "towel"}
    assert f"scene.json: {len(scene)} objects: sink 1, toilet 1, towel" in out.splitlines()[0]
    assert "keyframes of" in out
    assert "; room " in out
    assert drawn.read_text().startswith("<svg") or "<svg" in drawn.read_text()
    assert model.read_bytes().startswith(b"ply")
    assert sorted(os.listdir(tmp_path)) == ["map.svg", "scene.json", "scene.ply"]
    code, out, _ = run("ask", tmp_path / "scene.json", "How many sinks are there?")
    assert (code, out.splitlines()[0]) == (0, "There is a sink.")


def test_nothing_found_is_an_empty_scene_with_the_reason(build, run, tmp_path):
    code, out, err = build("--quiet", find="dog, unicorn")

    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith(f"{tmp_path / 'scene.json'}: 0 objects: dog 0; from 0")
    assert "note: nobody could look for 'unicorn'" in out
    assert "note: the map is empty: no 'dog' was found in" in out
    code, out, _ = run("ask", tmp_path / "scene.json", "How many dogs are there?")
    assert code == 0
    assert "note: the map is empty: no 'dog' was found in" in out


class TestInterrupted:
    @pytest.fixture
    def cut(self, build, monkeypatch, tmp_path):
        """A call that gets Ctrl-C at its second keyframe."""
        take, seen = Mapper._take, []

        def until(self, frames):
            for told in take(self, frames):
                seen.append(told)
                if len(seen) == 2:
                    os.kill(os.getpid(), signal.SIGINT)
                yield told

        monkeypatch.setattr(Mapper, "_take", until)
        ended = build("--quiet")
        monkeypatch.undo()
        return ended

    def test_it_says_how_to_go_on(self, cut, tmp_path):
        code, out, err = cut
        assert (code, out) == (130, "")
        assert "interrupted; what was found in" in err
        assert "the same call with --resume goes on" in err
        assert os.listdir(tmp_path) == ["scene.json.state"]

    def test_going_on_gives_what_one_call_gives(self, cut, build, tmp_path):
        assert build()[0] == 2  # not by accident

        assert build("--resume")[0] == 0
        assert build(out=tmp_path / "whole.json")[0] == 0

        assert (tmp_path / "scene.json").read_text() == (tmp_path / "whole.json").read_text()
        assert not (tmp_path / "scene.json.state").exists()

    def test_another_job_does_not_go_on_with_it(self, cut, build):
        code, _, err = build("--resume", find="toilet")

        assert code == 2
        assert "it is the state of another map: its phrases is not the same" in err

    def test_other_words_of_the_expert_are_another_job(self, cut, build, mapped):
        os.utime(mapped.instances)

        code, _, err = build("--resume")

        assert code == 2
        assert "its options is not the same" in err


def test_where_the_drawing_fails_the_call_can_go_on(build, monkeypatch, tmp_path):
    from groundplane.core.errors import OutputError
    from groundplane.spatial import rendering

    def full(*_, **__):
        raise OutputError("map.svg: cannot be written: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(rendering, "draw_map", full)
        code, _, err = build("--map", tmp_path / "map.svg", "--quiet")
    assert (code, "No space left" in err) == (2, True)
    assert os.listdir(tmp_path) == ["scene.json.state"]

    assert build("--map", tmp_path / "map.svg", "--quiet", "--resume")[0] == 0

    assert sorted(os.listdir(tmp_path)) == ["map.svg", "scene.json"]


def test_the_folder_one_stands_in_has_its_name(build, monkeypatch, mapped, tmp_path):
    monkeypatch.chdir(mapped.folder)

    assert build(source=".")[0] == 0

    assert CognitiveMap.load(tmp_path / "scene.json").name == "walk"


def test_events_go_as_json_lines(build, tmp_path):
    log = tmp_path / "log.jsonl"

    assert build("--json-log", log, "--quiet")[0] == 0

    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["event"] for event in events[-2:]] == ["frame", "summary"]
    assert events[-1]["ended"] == "complete"
    assert events[-1]["keyframes"] == len(events) - 1


class TestRefused:
    def test_a_file_that_is_there(self, build, tmp_path):
        (tmp_path / "scene.json").write_text("mine")

        code, _, err = build()

        assert code == 2
        assert "scene.json' is there already; name another file" in err
        assert (tmp_path / "scene.json").read_text() == "mine"

    @pytest.mark.parametrize(
        ("more", "told"),
        [
            (("--map", "map.gif"), "must be .svg or .png"),
            (("--export", "map.obj"), "must be .glb or .ply or .rrd"),
            (("--resume",), "there is no"),
            (("--every", "0"), "every must be at least 1"),
            (("--intrinsics", "1,2"), "--intrinsics '1,2': expected 4 numbers"),
            (("--threshold", "toilet"), "expected NUMBER or PHRASE=NUMBER"),
            (("--geometry", "no-such"), "no-such"),
            (("--geometry", "odometry,,"), "expected a name"),
            (("--layout", "tum"), "rgb.txt"),
        ],
    )
    def test_flags_out_of_range(self, build, more, told, tmp_path):
        code, out, err = build(*more)

        assert (code, out) == (2, "")
        assert told in err
        assert len(err.splitlines()) == 1
        assert not [name for name in os.listdir(tmp_path) if name.startswith("scene")]

    def test_a_video_without_geometry_says_who_could_tell_it(self, run, tmp_path, mapped):
        from groundplane.testing.captures import write_capture

        video = write_capture(tmp_path, mapped.frames[:4], layout="video")

        code, _, err = run("map", video, "--find", "toilet", "--out", tmp_path / "scene.json")

        assert code == 2
        assert "depth, intrinsics, pose must be known of its frames" in err
        assert "--geometry depth-pro,odometry" in err

    def test_one_file_for_two_outputs(self, build, tmp_path):
        log, twice = tmp_path / "scene.json", tmp_path / "a.ply"

        code, _, err = build("--json-log", log)
        assert (code, "--json-log" in err, "--out writes" in err) == (2, True, True)
        code, _, err = build("--export", twice, "--export", twice)
        assert (code, "--export writes" in err) == (2, True)
        drawn = tmp_path / "map.svg"
        code, _, err = build("--map", drawn, out=drawn)
        assert (code, "--out writes" in err) == (2, True)
        assert os.listdir(tmp_path) == []

    def test_no_phrase(self, build):
        code, _, err = build(find=" , ")

        assert code == 2
        assert "name what to look for" in err


def test_the_state_of_a_job_lies_beside_its_file(tmp_path):
    job = mapping.MapJob(source="walk.mp4", find="tv", out=tmp_path / "scene.json")

    assert job.state == tmp_path / "scene.json.state"
