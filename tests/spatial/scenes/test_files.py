"""Scene files: what is read, what is refused and how, and that nothing is lost on the way."""

from __future__ import annotations

import copy
import json
import math
import os
import random
import re
from pathlib import Path

import jsonschema
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import SceneError
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.scenes import files as scene_files

ROOT = Path(__file__).resolve().parents[3]
APARTMENT = ROOT / "examples" / "apartment.json"
SCHEMA = json.loads((ROOT / "docs" / "schemas" / "map.schema.json").read_text())
FORMAT_PAGE = ROOT / "docs" / "scene-format.md"
VSI = ROOT / ".." / "shared" / "data" / "vsi" / "scenes.json"
EYE = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
FUZZ = int(os.environ.get("GROUNDPLANE_FUZZ", "400"))

needs_vsi = pytest.mark.skipif(not VSI.exists(), reason="the VSI-Bench scenes are not here")


def box(**changes):
    return {"label": "cup", "center": [0, 0, 0], "size": [1, 1, 1], **changes}


def own(*objects, **changes):
    head = {"format": "groundplane-map", "version": 1}
    return {**head, "objects": list(objects) or [box()], **changes}


def vsi(**changes):
    eye = [1, 0, 0, 0, 1, 0, 0, 0, 1]
    cup = {"centroid": [1, 2, 3], "axesLengths": [1, 1, 2], "normalizedAxes": eye, **changes}
    return {
        "dataset": "scannet",
        "room_size": 12.5,
        "room_center": [0, 0, 0],
        "object_counts": {"cup": 1},
        "object_bbox": {"cup": [cup]},
    }


def refusal(data, tmp_path, name="scene.json"):
    """The message for a file with this content; it must be one line that names the file."""
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    with pytest.raises(SceneError) as caught:
        CognitiveMap.load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 1000
    return message.removeprefix(f"{path}: ")


# Content, and what the message must say after the file's name.
NUMBER = "expected a number, got"
BAD_OBJECTS = {
    "objects[0].center: expected a value, but it is missing": {"label": "cup", "size": [1, 1, 1]},
    "objects[0].center[1]: expected a finite number of at most 1000000 in size, got NaN": box(
        center=[0, math.nan, 0]
    ),
    "objects[0].size[2]: expected a finite number of at most 1000000 in size, got -Infinity": box(
        size=[1, 1, -math.inf]
    ),
    "objects[0].center[0]: expected a finite number of at most 1000000 in size, got a whole": box(
        center=[10**400, 0, 0]
    ),
    f"objects[0].center[0]: {NUMBER} '1'": box(center=["1", 0, 0]),
    f"objects[0].center[0]: {NUMBER} true": box(center=[True, 0, 0]),
    f"objects[0].center[0]: {NUMBER} null": box(center=[None, 0, 0]),
    "objects[0].center: expected a list of 3 numbers, got a list of 2": box(center=[0, 0]),
    "objects[0].center: expected a list of 3 numbers, got 'abc'": box(center="abc"),
    "objects[0].size: expected three positive numbers": box(size=[1, -1, 1]),
    "objects[0].axes: expected orthonormal rows": box(axes=[[1, 0, 0], [0, 2, 0], [0, 0, 1]]),
    "objects[0].axes: expected right-handed": box(axes=[[1, 0, 0], [0, 1, 0], [0, 0, -1]]),
    "objects[0].axes: expected a list of 3": box(axes=[[1, 0, 0]]),
    "objects[0].axes[1]: expected a list of 3 numbers": box(axes=[[1, 0, 0], 1, [0, 0, 1]]),
    "objects[0].yaw: expected either 'axes' or 'yaw'": box(
        axes=[[1, 0, 0], [0, 1, 0], [0, 0, 1]], yaw=3
    ),
    f"objects[0].yaw: {NUMBER} 'north'": box(yaw="north"),
    "objects[0].front: expected a direction": box(front=[0, 0, 0]),
    "objects[0].score: expected a number from 0 to 1, got 1.5": box(score=1.5),
    "objects[0].first_seen: expected a number of at least 0, got -1": box(first_seen=-1),
    "objects[0].lable: expected one of": {"lable": "cup", "center": [0, 0, 0], "size": [1, 1, 1]},
    "Did you mean 'label'": {"lable": "cup", "center": [0, 0, 0], "size": [1, 1, 1]},
    "objects[0].label: expected a text, got 3": box(label=3),
    "objects[0].label: expected a text of 1 to 200": box(label="x" * 10_000),
    "objects[0].label: expected a text of 1 to 200 characters, got '  '": box(label="  "),
    "objects[0].label: expected a text without control": box(label="cup\n"),
    "objects[0].id: expected a text without control": box(id="\ud800"),
    "objects[0].attributes: expected an object of texts": box(attributes=["red"]),
    "objects[0].attributes.color: expected a text, got 3": box(attributes={"color": 3}),
    "objects[0].regions: expected a list, got 'r1'": box(regions="r1"),
    "objects[0]: expected an object, got null": None,
}
BAD_SCENES = {
    "objects: expected at least one object": own(objects=[]),
    "objects: expected at least one object, got a list of 0": own(objects=[], notes=[]),
    "notes: expected a list, got 'dark'": own(notes="dark"),
    "notes[1]: expected a text, got 3": own(notes=["dark", 3]),
    "notes[0]: expected a text of 1 to 2000 characters": own(notes=["x" * 2001]),
    "notes: expected at most 100 notes": own(notes=["dark"] * 101),
    "objects: expected a list, got an object": own(objects={"a": 1}),
    "objects[1].id: expected an id that objects[0] has not, got 'a'": own(box(id="a"), box(id="a")),
    "objects: expected a value, but it is missing": {"format": "groundplane-map", "version": 1},
    "version: expected at most 1, got version 2, which is newer": own(version=2),
    "version: expected the number 1, got true": own(version=True),
    "version: expected a value": {"format": "groundplane-map", "objects": [box()]},
    "format: expected 'groundplane-map', got 'coco'": own(format="coco"),
    "counts.cup: expected a whole number of at least 0, got 1.5": own(counts={"cup": 1.5}),
    "counts.cup: expected a whole number of at least 0, got -1": own(counts={"cup": -1}),
    f"counts.cup: {NUMBER} true": own(counts={"cup": True}),
    "room.polygon: expected 3 to 10000 points": own(room={"polygon": [[0, 0], [1, 1]]}),
    "room.polygon: expected an outline that does not cross itself": own(
        room={"polygon": [[0, 0], [1, 1], [1, 0], [0, 1]]}
    ),
    "room.polygon[1]: expected a list of 2": own(room={"polygon": [[0, 0], [1], [1, 0]]}),
    "room.area: expected a positive number, got 0": own(room={"area": 0}),
    "room.size: expected one of area, polygon": own(room={"size": 3}),
    "scale: expected 'metric' or 'relative', got 'feet'": own(scale="feet"),
    "scale: expected 'metric' or 'relative', got a list of 1": own(scale=["metric"]),
    f"floor: {NUMBER} null": own(floor=None),
    "name: expected a text, got 3": own(name=3),
    "obejcts: expected one of": own(obejcts=[]),
    "scenes.a: expected a scene, got 1": {
        "format": "groundplane-map",
        "version": 1,
        "scenes": {"a": 1},
    },
    "expected at least one scene, got none": {
        "format": "groundplane-map",
        "version": 1,
        "scenes": {},
    },
    "expected a JSON object at the top, got a list of 0": [],
    "expected a scene with 'format': 'groundplane-map'": {"objects": [box()]},
    "Is 'fromat' 'format'?": {"fromat": "groundplane-map"},
    "expected a scene with": {},
    "object_bbox.cup[0].centroid: expected a value": {
        "object_bbox": {"cup": [{"axesLengths": [1, 1, 1]}]}
    },
    "object_bbox: expected at least one object": {**vsi(), "object_bbox": {}},
    "object_bbox: expected the boxes by label under one key": {**vsi(), "object_bboxes": {}},
    "object_bbox.cup[0].axesLengths: expected three positive": vsi(axesLengths=[0, 1, 1]),
    "object_bbox.cup[0].normalizedAxes: expected a list of 9": vsi(normalizedAxes=[1, 0, 0]),
    "object_bbox.cup[0].normalizedAxes: expected orthonormal": vsi(normalizedAxes=[1] * 9),
    "object_bbox.cup[0].first_seen: expected a number of at least 0": vsi(first_seen=-2),
    "first_seen.cap: expected one of cup": {**vsi(), "first_seen": {"cap": 1}},
    "room_size: expected a positive number, got 0": {**vsi(), "room_size": 0},
    "object_counts.cup: expected a whole number": {**vsi(), "object_counts": {"cup": 0.5}},
}
BAD_BYTES = {
    "expected JSON, got an error in line 1, column 1": b"hello",
    "expected JSON, got an error in line 2, column 4": b'{"a":\n 1 b}',
    "(the file ends too early)": json.dumps(own()).encode()[:-20],
    "expected UTF-8 text, got byte 0xff in line 2": b'{\n"\xff": 1}',
    "nested too deeply": b'{"format": ' + b"[" * 100_000,
    "got one of over 4300 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "objects[0].label: expected each key once": json.dumps(own())
    .replace('"label"', '"label": "a", "label"')
    .encode(),
    "got an error in line 1, column 1": b"",
    "expected at most 10000000 values": b'{"a": [' + b"[]," * 5_100_000,
}


@pytest.mark.parametrize("message", BAD_OBJECTS)
def test_a_bad_object_is_refused_with_its_field(message, tmp_path):
    assert message in refusal(own(BAD_OBJECTS[message]), tmp_path)


@pytest.mark.parametrize("message", BAD_SCENES)
def test_a_bad_scene_is_refused_with_its_field(message, tmp_path):
    assert message in refusal(BAD_SCENES[message], tmp_path)


@pytest.mark.parametrize("message", BAD_BYTES)
def test_bad_bytes_are_refused_with_their_place(message, tmp_path):
    assert message in refusal(BAD_BYTES[message], tmp_path)


def test_the_good_forms_of_the_bad_ones_are_read(tmp_path):
    """Without this, a reader that refuses everything would pass the tests above."""
    for number, record in enumerate((own(), vsi(), {"a": vsi()}, own(box(yaw=90, score=1)))):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(record))
        assert len(CognitiveMap.load(path)) == 1


def test_a_missing_file_names_the_near_ones(tmp_path):
    (tmp_path / "kitchen.json").write_text("{}")

    with pytest.raises(SceneError, match=r"no such file\. Did you mean 'kitchen\.json'"):
        CognitiveMap.load(tmp_path / "kichen.json")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (".", "got a folder"),
        ("no/file.json", "Nor is there a folder"),
        ("a\0b", "expected a file name"),
        ("x" * 5000, "cannot be read"),
        ("\ud800.json", "no such file|expected a file name"),
    ],
)
def test_a_path_that_is_no_file_is_refused_in_one_line(tmp_path, name, message):
    with pytest.raises(SceneError, match=message) as caught:
        CognitiveMap.load(f"{tmp_path}/{name}")
    assert "\n" not in str(caught.value)


def test_too_many_objects_are_refused(tmp_path):
    line = json.dumps(box())
    many = ", ".join([line] * (scene_files.OBJECT_LIMIT + 1))
    text = json.dumps(own()).replace(line, many)

    assert "expected at most 100000 objects" in refusal(text.encode(), tmp_path)


def test_a_file_that_is_far_too_large_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(scene_files.FILE_LIMIT + 1)  # takes no space on the disk

    with pytest.raises(SceneError, match="expected at most 256 MB, got 256 MB"):
        CognitiveMap.load(path)


def test_the_parser_stops_at_too_many_json_objects(tmp_path):
    text = '{"format": "groundplane-map", "version": 1, "objects": [' + "{}," * 400_001

    assert "400000 JSON objects in a file" in refusal(text.encode(), tmp_path)


class TestChoosing:
    def file(self, tmp_path, name="rooms.json"):
        path = tmp_path / name
        scenes = {"kitchen": {"objects": [box()]}, "hall": {"objects": [box(), box()]}}
        path.write_text(json.dumps({"format": "groundplane-map", "version": 1, "scenes": scenes}))
        return path

    def test_a_scene_is_named_by_argument_or_by_the_path(self, tmp_path):
        path = self.file(tmp_path)

        assert CognitiveMap.scenes(path) == ("kitchen", "hall")
        assert CognitiveMap.load(path, scene="hall").ids == ("cup-1", "cup-2")
        assert CognitiveMap.load(f"{path}#kitchen").name == "kitchen"

    def test_a_file_name_may_hold_the_mark(self, tmp_path):
        path = self.file(tmp_path, "a#b.json")

        assert CognitiveMap.load(f"{path}#hall").name == "hall"
        assert CognitiveMap.scenes(path) == ("kitchen", "hall")

    @pytest.mark.parametrize(
        ("part", "scene", "message"),
        [
            ("", None, "holds 2 scenes; name one"),
            ("#kichen", None, "no scene 'kichen'.* Did you mean 'kitchen'"),
            ("#", None, "no scene ''"),
            ("#hall", "kitchen", "names one scene, but 'kitchen' is asked for too"),
        ],
    )
    def test_an_unclear_choice_is_refused(self, tmp_path, part, scene, message):
        with pytest.raises(SceneError, match=message):
            CognitiveMap.load(f"{self.file(tmp_path)}{part}", scene=scene)


def test_yaw_turns_counter_clockwise_from_above():
    scene = CognitiveMap.from_record(own(box(size=[2, 1, 1], yaw=30)), source="test")

    half = math.sqrt(3) / 2
    expected = [[half, 0.5, 0], [-0.5, half, 0], [0, 0, 1]]
    assert torch.allclose(scene.objects.axes[0], torch.tensor(expected, dtype=torch.float64))


def test_both_spellings_of_the_vsi_boxes_are_read():
    record = vsi()
    record["object_bboxes"] = record.pop("object_bbox")

    assert CognitiveMap.from_record(record, source="test").ids == ("cup",)


def test_vsi_times_by_box_win_over_those_by_label():
    record = vsi(first_seen=2.0)
    record["object_bbox"]["pan"] = [vsi()["object_bbox"]["cup"][0]]
    record["first_seen"] = {"cup": 9.0, "pan": 4.0}

    assert CognitiveMap.from_record(record, source="test").first_seen.tolist() == [2.0, 4.0]


def same(a, b):
    """Whether two maps say the same within 1e-12."""
    columns = ("name", "ids", "labels", "counts", "floor", "scale", "provenance", "attributes")
    for name in (*columns, "notes"):
        if getattr(a, name) != getattr(b, name):
            return False
    if (a.room is None) != (b.room is None) or (a.room_area is None) != (b.room_area is None):
        return False
    if a.room is not None and not shapely.equals_exact(a.room, b.room, 1e-12):
        return False
    if a.room_area is not None and not math.isclose(a.room_area, b.room_area, rel_tol=1e-12):
        return False
    pairs = [(getattr(a.objects, k), getattr(b.objects, k)) for k in ("centers", "sizes", "axes")]
    pairs += [(a.scores, b.scores), (a.fronts, b.fronts), (a.first_seen, b.first_seen)]
    return all(torch.allclose(x, y, rtol=1e-12, atol=1e-12, equal_nan=True) for x, y in pairs)


CORNER = [[0, 0], [1, 0.1], [0.3, 2]]
WORDS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=20)
NAMES = WORDS.filter(str.strip)
COORDS = st.floats(-1e6, 1e6)
LENGTHS = st.floats(1e-9, 1e6)
OBJECTS = st.fixed_dictionaries(
    {"label": NAMES, "center": st.lists(COORDS, min_size=3, max_size=3)}
    | {"size": st.lists(LENGTHS, min_size=3, max_size=3)},
    optional={
        "yaw": st.floats(-720, 720),
        "front": st.sampled_from([[1, 0, 0], [0, -3, 4], [0.2, 0.3, 0.9]]),
        "score": st.floats(0, 1),
        "attributes": st.dictionaries(NAMES, NAMES, max_size=2),
        "first_seen": st.floats(0, 1e6),
        "regions": st.lists(NAMES, min_size=1, max_size=2),
    },
)
SCENES = st.fixed_dictionaries(
    {"objects": st.lists(OBJECTS, min_size=1, max_size=5)},
    optional={
        "name": NAMES,
        "scale": st.sampled_from(["metric", "relative"]),
        "floor": COORDS,
        "counts": st.dictionaries(NAMES, st.integers(0, 10**6), max_size=2),
        "room": st.sampled_from(
            [{"area": 3.25}, {"polygon": CORNER}, {"polygon": CORNER, "area": 9}]
        ),
        "notes": st.lists(NAMES, max_size=2),
    },
)


@given(record=SCENES)
@settings(max_examples=80, deadline=None)
def test_a_saved_map_is_loaded_the_same_and_fits_the_schema(record, tmp_path_factory):
    path = tmp_path_factory.mktemp("round") / "scene.json"
    scene = CognitiveMap.from_record({**own(), **record}, source="test")

    scene.save(path)

    assert same(CognitiveMap.load(path), scene)
    jsonschema.validate(json.loads(path.read_text()), SCHEMA)
    jsonschema.validate({**own(), **record}, SCHEMA)


@pytest.mark.parametrize(
    "change",
    [
        {"floor": 1e-11},
        {"name": "other"},
        {"counts": {"cup": 2}},
        {"notes": ["The unit is not known."]},
        {"objects": [box(center=[0, 0, 1e-11])]},
        {"objects": [box(first_seen=0)]},
        {"objects": [box(front=[1, 0, 0])]},
    ],
)
def test_the_comparison_sees_a_difference(change):
    plain = CognitiveMap.from_record(own(), source="test")

    assert not same(plain, CognitiveMap.from_record({**own(), **change}, source="test"))


def test_a_map_that_says_why_may_be_empty(tmp_path):
    record = {**own(), "objects": [], "counts": {"sofa": 0}, "notes": ["No sofa was found."]}
    scene = CognitiveMap.from_record(record, source="test")

    scene.save(tmp_path / "scene.json")

    jsonschema.validate(json.loads((tmp_path / "scene.json").read_text()), SCHEMA)
    loaded = CognitiveMap.load(tmp_path / "scene.json")
    assert (len(loaded), loaded.counts, loaded.notes) == (0, {"sofa": 0}, scene.notes)


@needs_vsi
def test_vsi_scenes_stay_the_same_in_the_own_format(tmp_path):
    for name in CognitiveMap.scenes(VSI):
        scene = CognitiveMap.load(VSI, scene=name)
        scene.save(tmp_path / "own.json")
        jsonschema.validate(json.loads((tmp_path / "own.json").read_text()), SCHEMA)
        assert same(CognitiveMap.load(tmp_path / "own.json"), scene)


def test_the_examples_fit_the_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    blocks = re.findall(r"```json\n(.*?)```", FORMAT_PAGE.read_text(), re.S)
    for text in (APARTMENT.read_text(), *blocks):
        jsonschema.validate(json.loads(text), SCHEMA)
        assert len(CognitiveMap.from_record(json.loads(text), source="example")) > 0


@pytest.mark.parametrize(
    "record",
    [
        own(version=2),
        own(colour="red"),
        own(objects=[]),
        own(objects=[], notes=[]),
        own(box(size=[0, 1, 1])),
        own(box(label="a\tb")),
        own(box(yaw=1, axes=EYE)),
        vsi(),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(record):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, SCHEMA)


JUNK = [None, True, 0, -1, 1.5, 1e308, math.nan, math.inf, 10**400, "", "x", "\ud800", "\0"]
JUNK += [0.25, 1, 2, "b", [], [[]], {}, {"a": 1}, [1, 2, 3], ["a"] * 3, "x" * 300, -(10**30)]


def places(value, found):
    """Every container in a document with each of its keys."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in parts:
        found.append((value, key))
        if isinstance(part, dict | list):
            places(part, found)
    return found


def mutated(rng, record):
    """A copy with one to three values dropped, replaced, renamed or added; at times cut bytes."""
    record = copy.deepcopy(record)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        holder, key = rng.choice(places(record, []) or [(record, "format")])
        act = rng.choice(["drop", "replace", "insert", "swap"])
        if act == "drop":
            del holder[key]
        elif act == "replace":
            holder[key] = copy.deepcopy(rng.choice(JUNK))
        elif isinstance(holder, list):
            holder.insert(key, copy.deepcopy(rng.choice(JUNK)))
        else:
            holder[rng.choice(["extra", "\ud800", "", "yaw", "label"])] = rng.choice(JUNK)
        if not record:
            return b"{}"
    data = json.dumps(record).encode()
    if rng.random() < 0.3:
        cut, width = rng.randrange(len(data)), rng.choice([0, 1, 1, 5])
        data = data[:cut] + rng.randbytes(rng.choice([0, 1, 3])) + data[cut + width :]
    return data


def loaded(path):
    """The map, or the message of the SceneError; any other error is a failure."""
    try:
        return CognitiveMap.load(path)
    except SceneError as error:
        return str(error)


def test_a_spoiled_file_gives_a_map_or_a_scene_error(tmp_path):
    rng = random.Random(7)
    full = json.loads(APARTMENT.read_text())
    full["objects"] = full["objects"][:4]
    rich = own(box(axes=EYE, regions=["r"], score=0.5), counts={"a": 2})
    several = {**own(), "scenes": {"a": {"objects": [box()]}}}
    del several["objects"]
    sources = [full, rich, several, vsi(), {"a": vsi(), "b": vsi()}]
    path = tmp_path / "spoiled.json"
    outcomes = {"map": 0, "error": 0}
    for _ in range(FUZZ):
        path.write_bytes(mutated(rng, rng.choice(sources)))
        outcome = loaded(path)
        if isinstance(outcome, str):
            outcomes["error"] += 1
            assert str(path) in outcome
            assert "\n" not in outcome
        else:
            outcomes["map"] += 1
            again = CognitiveMap.from_record(json.loads(outcome.to_json()), source="x")
            assert same(again, outcome)
    assert min(outcomes.values()) > FUZZ // 50  # both ways are taken
