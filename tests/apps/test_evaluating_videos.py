"""`groundplane evaluate vsibench --videos`: the page, going on, what is missing or refused."""

import json
import shutil

import pytest
from vsi_rooms import meta_of

from groundplane.testing.rooms.making import make_room
from groundplane.testing.rooms.question import facts_of
from groundplane.testing.rooms.questions import make_questions

TASKS = ("object_counting", "room_size_estimation", "object_abs_distance")


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A scene with its capture and true masks, and one that nobody has a video of."""
    folder = tmp_path_factory.mktemp("bench")
    room = make_room(9)
    room.save(folder / "videos" / room.name, step=60, size=(160, 120))
    records = [each.record() for each in make_questions(room, tasks=TASKS)]
    records.append(records[0] | {"id": "gone", "scene": "scene0000_99"})
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, records)))
    (folder / "meta.json").write_text(json.dumps({room.name: meta_of(facts_of(room))}))
    return folder


@pytest.fixture
def evaluate(run, bench):
    def call(*arguments):
        return run(
            "evaluate", "vsibench", "--questions", bench / "questions.jsonl",
            "--videos", bench / "videos", "--scenes", bench / "meta.json",
            "--detector", "coco-file",
            "--option", f"annotations={bench}/videos/{{scene}}/coco.json", *arguments,
        )  # fmt: skip

    return call


def test_page_maps_and_json_are_written_and_a_run_goes_on(evaluate, bench, tmp_path):
    out, told = tmp_path / "out", tmp_path / "all.json"
    code, text, _ = evaluate("--out", out, "--json", told)
    assert code == 1
    assert text.splitlines()[0].split() == ["task", "boxes", "videos"]
    assert "1 of 2 scenes not mapped:\n  scene0000_99: there is no video of it" in text
    record = json.loads(told.read_text())
    assert list(record["failures"]) == ["scene0000_99"]
    assert record["conditions"][1]["recall"] > 0.9
    [scene] = (out / "maps").glob("*.json")
    assert json.loads(scene.read_text())["objects"]
    page = (out / "index.html").read_text()
    assert "Not mapped" in page
    assert "laid over the true boxes" in page
    assert page.count("data:image/svg+xml;base64,") >= 2
    log = (out / "rooms.jsonl").read_bytes()
    shutil.rmtree(out / "maps")
    again = evaluate("--out", out)
    assert (again[0], again[1].splitlines()[0]) == (1, text.splitlines()[0])
    assert (out / "rooms.jsonl").read_bytes() == log
    assert not (out / "maps").exists()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--distance", "exact"], "--distance"),
        (["--json", "/nowhere/x.json"], "there is no such folder"),
        (["--every", "0"], "every must be at least 1"),
        (["--option", "no-value"], "expected key=value"),
        (["--videos", "/nowhere"], "No such file"),
        (["--geometry", "fog"], "fog"),
    ],
)
def test_bad_input_is_one_line(evaluate, arguments, what):
    code, _, err = evaluate(*arguments)
    assert code == 2
    assert what in err
    assert err.count("\n") == 1


def test_neither_boxes_nor_videos_is_told(run, bench):
    code, _, err = run("evaluate", "vsibench", "--questions", bench / "questions.jsonl")
    assert code == 2
    assert "--scenes FILE" in err
    assert "--videos FOLDER" in err


def test_flags_of_videos_need_videos(run, bench):
    code, _, err = run(
        "evaluate", "vsibench", "--questions", bench / "questions.jsonl",
        "--scenes", bench / "meta.json", "--geometry", "odometry",
    )  # fmt: skip
    assert code == 2
    assert "--geometry is for --videos FOLDER" in err
