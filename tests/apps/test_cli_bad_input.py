"""Bad input: one clear line on stderr, code 2, nothing on stdout, nothing half-written."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from PIL import Image as PILImage

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / ".." / "shared" / "data"
APARTMENT = str(ROOT / "examples" / "apartment.json")
SCHEMA = json.loads((ROOT / "docs" / "schemas" / "record.schema.json").read_text())
QUESTION = "How many chairs are there?"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder ../shared/data is absent")


@pytest.fixture
def refused(run):
    """Run what must be refused; gives the one line that says why."""

    def call(*arguments):
        code, out, err = run(*arguments)
        check_refusal(code, out, err)
        return err.strip()

    return call


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    PILImage.new("RGB", (60, 40)).save(path)
    return path


def check_refusal(code, out, err):
    assert code == 2
    assert out == ""
    assert err.startswith("groundplane: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err


def tree(folder):
    """Every file below a folder with its content."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "wrong",
    [
        (0, "", "groundplane: x\n"), (1, "", "groundplane: x\n"), (2, "x", "groundplane: x\n"),
        (2, "", ""), (2, "", "groundplane: x\nand more\n"), (2, "", "Traceback ...\n"),
    ],
)  # fmt: skip
def test_the_check_can_fail(wrong):
    with pytest.raises(AssertionError):
        check_refusal(*wrong)


class TestQuestions:
    def test_an_object_that_is_not_there_tells_what_is(self, refused):
        line = refused("ask", APARTMENT, "How far is the piano from the bed?")
        assert "'piano'" in line
        for there in ("door (1)", "stove (1)", "chair (4)", "shoes (1)"):
            assert there in line

    def test_what_is_not_understood_tells_what_is(self, refused):
        line = refused("ask", APARTMENT, "Tell me a joke about physics")
        assert "Tell me a joke about physics" in line
        assert "Forms that are: " in line
        assert line.count(" | ") >= 5

    @pytest.mark.parametrize("question", ["", "   ", "\n"])
    def test_an_empty_question(self, refused, question):
        assert "it is empty" in refused("ask", APARTMENT, question)

    @pytest.mark.parametrize("question", ["why " * 2000, "x" * 100_000])
    def test_a_question_too_long_is_cut_in_the_message(self, refused, question):
        assert len(refused("ask", APARTMENT, question)) < 1500

    @pytest.mark.parametrize("question", ["How far is the piano from the bed?", "blorf", ""])
    def test_with_json_the_record_is_on_stdout_too(self, run, question):
        code, out, err = run("ask", APARTMENT, question, "--json")
        check_refusal(code, "", err)
        record = json.loads(out)
        jsonschema.validate(record, SCHEMA)
        assert record["value"] is None
        assert " ".join(record["text"].split()) in err

    def test_what_the_expert_does_not_know(self, refused, photo):
        line = refused("ask", photo, "How many dogs are there?")
        assert "No expert can look for 'dog': opencv knows: face, eye" in line

    def test_bytes_that_are_no_text(self):
        command = [sys.executable, "-m", "groundplane", "ask", APARTMENT, b"caf\xe9?", "--json"]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == 2
        assert b"Traceback" not in done.stderr
        assert json.loads(done.stdout)["status"] == "not_understood"

    def test_a_question_and_a_file_of_questions(self, refused, tmp_path):
        path = tmp_path / "q.txt"
        path.write_text(QUESTION)
        for arguments in ((), (QUESTION, "--questions", path)):
            line = refused("ask", APARTMENT, *arguments)
            assert "give one question, or --questions FILE" in line

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "there are none in it"),
            (b"\n\r\n  \n", "there are none in it"),
            (b"How many\xff\xfe?", "not UTF-8 at byte 8"),
        ],
    )
    def test_a_file_of_questions_without_any(self, refused, tmp_path, content, why):
        path = tmp_path / "q.txt"
        path.write_bytes(content)
        assert f"'q.txt': {why}" in refused("ask", APARTMENT, "--questions", path)

    def test_a_file_of_questions_that_cannot_be_read(self, refused, tmp_path):
        missing = refused("ask", APARTMENT, "--questions", tmp_path / "none.txt")
        assert "'none.txt': cannot be read: No such file" in missing
        folder = refused("ask", APARTMENT, "--questions", tmp_path)
        assert "cannot be read" in folder


def scene(**changes):
    document = json.loads(Path(APARTMENT).read_text())
    return {**document, **changes}


def with_object(**changes):
    document = scene()
    document["objects"] = copy.deepcopy(document["objects"])
    document["objects"][3] |= changes
    return document


def without(key):
    document = with_object()
    del document["objects"][3][key]
    return document


SKEW = [[1, 0, 0], [0.5, 1, 0], [0, 0, 1]]
TWO = {"format": "groundplane-map", "version": 1, "scenes": {
    name: {"objects": scene()["objects"]} for name in ("kitchen", "bedroom")}}  # fmt: skip
BAD_SCENES = {
    "objects[3].center: expected a value, but it is missing": without("center"),
    "objects[3].label: expected a value, but it is missing": without("label"),
    "objects[3].center[1]: expected a finite number": with_object(center=[0, float("nan"), 0]),
    "objects[3].size: expected three positive numbers": with_object(size=[0, 1, 1]),
    "objects[3].size: expected three": with_object(size=[1, 1, -0.5]),
    "objects[3].axes": with_object(axes=SKEW),
    "objects[7].id: expected an id that objects[3] has not": with_object(id="chair-1"),
    "expected UTF-8 text, got byte 0xff in line 1": b'{"format": "\xff"}',
    "expected JSON, got an error in line 1, column 1": b"a scene",
    "(the file ends too early)": Path(APARTMENT).read_bytes()[:700],
    "got the keys": {"rooms": []},
    "expected a JSON object at the top": [1, 2],
    "holds 2 scenes; name one": TWO,
}


class TestScenes:
    @pytest.mark.parametrize("why", BAD_SCENES)
    def test_a_malformed_scene_names_file_and_field(self, refused, tmp_path, why):
        content = BAD_SCENES[why]
        path = tmp_path / "scene.json"
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        path.write_bytes(data)
        before = tree(tmp_path)
        line = refused("ask", path, QUESTION, "--json", "--map", tmp_path / "map.svg")
        assert why in line
        assert "scene.json" in line
        assert tree(tmp_path) == before

    def test_a_million_objects(self, tmp_path):
        path = tmp_path / "scene.json"
        item = '{"label":"cup","center":[0,0,0],"size":[1,1,1]}'
        head = '{"format":"groundplane-map","version":1,"objects":['
        path.write_text(head + ",".join([item]) + f",{item}" * 999_999 + "]}")
        # In a process of its own: the type checks of these tests take longer than the reading.
        command = [sys.executable, "-m", "groundplane", "ask", str(path), QUESTION]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        check_refusal(done.returncode, done.stdout, done.stderr)
        assert "expected at most 100000 objects" in done.stderr

    def test_a_missing_file_tells_near_names(self, refused, tmp_path):
        (tmp_path / "kitchen.json").write_text("{}")
        line = refused("ask", tmp_path / "kitchn.json", QUESTION)
        assert "there is no such file. Did you mean 'kitchen.json'?" in line

    @pytest.mark.parametrize("source", ["", "x" * 5000, "no/such/place.json", "a\nb.json"])
    def test_a_source_that_no_file_has(self, refused, source):
        refused("ask", source, QUESTION)

    def test_an_unknown_scene_tells_near_names(self, refused, tmp_path):
        path = tmp_path / "two.json"
        path.write_text(json.dumps(TWO))
        line = refused("ask", f"{path}#kitchn", QUESTION)
        assert "there is no scene 'kitchn'; there are: kitchen, bedroom." in line
        assert "Did you mean 'kitchen'?" in line

    @needs_data
    def test_many_scenes_and_none_chosen(self, refused):
        line = refused("ask", DATA / "vsi" / "scenes.json", QUESTION)
        assert "holds 88 scenes; name one" in line
        assert "and 82 more" in line
        near = refused("ask", f"{DATA}/vsi/scenes.json#42446013", QUESTION)
        assert "Did you mean" in near
        assert "'42446103'" in near


class TestPhotos:
    def test_a_file_that_is_no_picture(self, refused, tmp_path):
        path = tmp_path / "broken.jpg"
        path.write_bytes(b"\xff\xd8\xff\xe0 and nothing more")
        assert "cannot read picture" in refused("ask", path, "How many faces are there?")

    def test_a_scene_named_like_a_photo(self, refused, tmp_path):
        path = tmp_path / "scene.png"
        path.write_bytes(Path(APARTMENT).read_bytes())
        line = refused("ask", path, QUESTION)
        assert "scene.png" in line
        assert "picture" in line

    def test_a_photo_named_like_a_scene(self, refused, photo):
        line = refused("ask", photo.rename(photo.with_suffix(".json")), QUESTION)
        assert "photo.json: expected UTF-8 text" in line

    def test_a_missing_photo(self, refused, tmp_path):
        assert "none.jpg" in refused("ask", tmp_path / "none.jpg", QUESTION)

    def test_an_empty_folder(self, refused, tmp_path):
        line = refused("ask", tmp_path, "How many faces are there?")
        assert "holds no picture; expected files ending in" in line

    def test_a_folder_takes_no_file_of_questions(self, refused, photo):
        questions = photo.with_name("q.txt")
        questions.write_text(QUESTION)
        line = refused("ask", photo.parent, "--questions", questions)
        assert "takes one question, not --questions" in line


class TestExperts:
    @pytest.mark.parametrize(
        ("name", "near"), [("opencb", "'opencv'"), ("coco-fil", "'coco-file'")]
    )
    def test_an_unknown_expert_tells_near_names(self, refused, photo, name, near):
        line = refused("ask", photo, QUESTION, "--detector", name)
        assert f"detector {name!r} is not installed; available: coco-file, " in line
        assert f"Did you mean {near}?" in line

    @pytest.mark.parametrize(
        ("pairs", "why"),
        [
            (["scale"], "--option 'scale': expected key=value"),
            (["=2"], "--option '=2': expected key=value"),
            (["scale=2", "scale=3"], "--option 'scale' is given twice"),
            (["scael=2"], "no option 'scael'"),
            (["scale=big"], "'big'"),
            (["min_side=2.5"], "'2.5'"),
            (["scale=nan"], "nan"),
        ],
    )
    def test_a_malformed_option(self, refused, photo, pairs, why):
        options = [word for pair in pairs for word in ("--option", pair)]
        assert why in refused("ask", photo, "How many faces are there?", *options)

    def test_an_option_tells_near_names(self, refused, photo):
        line = refused("ask", photo, QUESTION, "--option", "scael=2")
        assert "Did you mean 'scale'" in line

    def test_a_missing_option(self, refused, photo):
        line = refused("ask", photo, QUESTION, "--detector", "coco-file")
        assert "needs the option 'annotations'" in line

    def test_an_option_for_a_scene(self, refused):
        line = refused("ask", APARTMENT, QUESTION, "--option", "scale=2")
        assert "no expert looks at it; leave out the option 'scale'" in line

    def test_an_unknown_device(self, refused, photo):
        line = refused("ask", photo, QUESTION, "--device", "abacus")
        assert "unknown device 'abacus'" in line


class TestOutputs:
    @pytest.mark.parametrize("command", ["ask", "vsibench"])
    @pytest.mark.parametrize("place", ["none/x.svg", "folder.svg", "/proc/x.svg", "file.txt/x.svg"])
    def test_a_place_that_cannot_be_written(self, refused, tmp_path, command, place):
        (tmp_path / "folder.svg").mkdir()
        (tmp_path / "file.txt").write_text("here")
        scenes, questions = tmp_path / "scenes.json", tmp_path / "qa.jsonl"
        scenes.write_bytes(Path(APARTMENT).read_bytes())
        row = {"scene": "apartment", "question_type": "object_counting", "answer": "4"}
        questions.write_text(json.dumps({**row, "question": QUESTION}))
        before = tree(tmp_path)
        path = tmp_path / place
        if command == "ask":
            line = refused("ask", APARTMENT, QUESTION, "--json", "--map", path)
        else:
            files = ("--scenes", scenes, "--questions", questions)
            line = refused("evaluate", "vsibench", *files, "--json", path)
        assert path.name in line
        assert tree(tmp_path) == before

    @pytest.mark.parametrize("name", ["x.jpg", "x", "x.svg.txt", "svg"])
    def test_a_picture_of_another_kind(self, refused, tmp_path, name):
        line = refused("ask", APARTMENT, QUESTION, "--map", tmp_path / name)
        assert "the ending must be .svg or .png" in line
        assert tree(tmp_path) == {}

    def test_no_picture_of_a_question_that_failed(self, refused, tmp_path):
        path = tmp_path / "map.svg"
        path.write_text("old")
        refused("ask", APARTMENT, "How far is the piano from the bed?", "--map", path)
        assert path.read_text() == "old"

    def test_a_picture_of_many(self, refused, photo):
        questions = photo.with_name("q.txt")
        questions.write_text(QUESTION)
        picture = photo.with_name("map.svg")
        for arguments in ((APARTMENT, "--questions", questions), (photo.parent, QUESTION)):
            assert "--map draws one question" in refused("ask", *arguments, "--map", picture)

    def test_a_reader_that_leaves_early(self, tmp_path):
        path = tmp_path / "q.txt"
        path.write_text(f"{QUESTION}\n" * 600)
        command = [sys.executable, "-m", "groundplane", "ask", APARTMENT, "--questions", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert json.loads(process.stdout.readline())["value"] == 4
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait() == 141

    def test_a_reader_that_was_never_there(self):
        read, write = os.pipe()
        os.close(read)
        command = [sys.executable, "-m", "groundplane", "ask", APARTMENT, QUESTION]
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
        os.close(write)
        assert (done.returncode, done.stderr) == (141, b"")

    def test_streams_that_were_closed_before_the_start(self):
        words = f"{sys.executable} -m groundplane ask {APARTMENT} '{QUESTION}' >&-"
        done = subprocess.run(words, shell=True, stderr=subprocess.PIPE, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert subprocess.run(f"{words} 2>&-", shell=True, check=False).returncode == 0

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
    def test_a_full_disk(self):
        command = [sys.executable, "-m", "groundplane", "ask", APARTMENT, QUESTION, "--json"]
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                command, stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )
        check_refusal(done.returncode, "", done.stderr)
        assert "stdout cannot be written: No space left on device" in done.stderr


class TestEvaluate:
    @pytest.mark.parametrize("which", ["scenes", "questions"])
    def test_a_missing_file_is_named(self, refused, tmp_path, which):
        files = {"scenes": APARTMENT, "questions": tmp_path / "qa.jsonl"}
        row = {"scene": "apartment", "question_type": "object_counting", "answer": "4"}
        files["questions"].write_text(json.dumps({**row, "question": QUESTION}))
        files[which] = tmp_path / "none.json"
        arguments = [word for key, path in files.items() for word in (f"--{key}", path)]
        assert "none.json" in refused("evaluate", "vsibench", *arguments)
