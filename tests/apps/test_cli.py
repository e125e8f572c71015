"""The command line: what each command prints, writes and returns when all is well."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest
from PIL import Image as PILImage
from skimage import data as skimage_data

import groundplane

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / ".." / "shared" / "data"
APARTMENT = str(ROOT / "examples" / "apartment.json")
SCHEMA = json.loads((ROOT / "docs" / "schemas" / "record.schema.json").read_text())
HEAVY = ("torch", "numpy", "jaxtyping", "rich", "matplotlib", "cv2")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder ../shared/data is absent")


@pytest.fixture
def face(tmp_path):
    path = tmp_path / "astronaut.png"
    PILImage.fromarray(skimage_data.astronaut()).save(path)
    return path


def apart(*arguments, **more):
    """Run the command line as users do, in a process of its own."""
    command = [sys.executable, "-m", "groundplane", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def records(out):
    found = [json.loads(line) for line in out.splitlines()]
    for record in found:
        jsonschema.validate(record, SCHEMA)
    return found


class TestAsk:
    def test_the_sentence_comes_with_what_it_rests_on(self):
        done = apart("ask", APARTMENT, "How far is the sofa from the tv?")
        assert done.stderr == ""
        assert done.returncode == 0
        assert done.stdout.splitlines() == [
            "The sofa is 2.60 m from the tv.",
            "  rests on: sofa, tv",
            "  measure: closest points of the oriented boxes, exact",
            "  frame of reference: world, z up; needs no viewer",
        ]

    def test_the_choice_is_shown(self, run):
        code, out, err = run("ask", APARTMENT, "Is the bed taller than the sofa?\nA. yes\nB. no")
        assert (code, err) == (0, "")
        assert "  choice: B\n" in out

    def test_json_is_one_valid_record(self, run):
        code, out, err = run("ask", APARTMENT, "How far is the lamp from the sofa?", "--json")
        assert (code, err) == (0, "")
        record = json.loads(out)
        jsonschema.validate(record, SCHEMA)
        assert (record["value"], record["unit"]) == (pytest.approx(0.15), "m")

    def test_letters_beyond_ascii_are_printed_as_they_are(self, run):
        _, out, _ = run("ask", APARTMENT, "How big is this room?", "--json")
        assert "m²" in out
        _, out, _ = run("ask", APARTMENT, "Où est le café ☕?", "--json")
        assert json.loads(out)["question"] == "Où est le café ☕?"
        assert "café ☕" in out

    def test_a_terminal_without_the_letters_gets_a_record_all_the_same(self):
        env = {"PYTHONIOENCODING": "ascii", "PATH": "", "PYTHONPATH": str(ROOT)}
        done = apart("ask", APARTMENT, "How big is this room?", "--json", env=env)
        assert json.loads(done.stdout)["text"].endswith("m².")
        assert apart("ask", APARTMENT, "How big is this room?", env=env).returncode == 0

    def test_an_open_question_is_asked_back_with_code_0(self, run):
        code, out, err = run("ask", APARTMENT, "How tall is the window?", "--json")
        assert (code, err, json.loads(out)["status"]) == (0, "", "ambiguous")

    @needs_data
    def test_what_needs_the_video_has_code_0(self, run):
        scene = f"{DATA}/vsi/scenes.json#42446103"
        code, out, err = run("ask", scene, "What appears first, the sofa or the tv?")
        assert (code, err) == (0, "")
        assert "cannot be told from boxes: needs the video" in out

    @needs_data
    def test_a_photo_with_the_annotators_file(self, run):
        photo = DATA / "coco" / "images" / "000000475546.jpg"
        options = ("--detector", "coco-file", "--option")
        annotations = f"annotations={DATA}/coco/instances.json"
        question = "How many people are there?"
        code, out, err = run("ask", photo, question, *options, annotations, "--json")
        assert (code, err) == (0, "")
        record = json.loads(out)
        jsonschema.validate(record, SCHEMA)
        assert (record["value"], len(record["regions"])) == (6, 6)

    def test_options_of_the_expert_are_converted(self, run, face):
        arguments = ("ask", face, "How many faces are there?", "--json", "--device", "cpu")
        _, out, _ = run(*arguments)
        assert json.loads(out)["value"] == 1
        _, out, _ = run(*arguments, "--option", "min_score=0.99", "--option", "max_side=512")
        assert json.loads(out)["value"] == 0


class TestMap:
    QUESTION = "How far is the lamp from the tv?"

    def picture(self, path):
        if path.suffix == ".svg":
            tree = ElementTree.parse(path)
            assert tree.getroot().tag.endswith("svg")
            return " ".join(tree.getroot().itertext())
        with PILImage.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
        return None

    @pytest.mark.parametrize("ending", ["svg", "png", "SVG"])
    def test_a_scene_is_drawn(self, run, tmp_path, ending):
        path = tmp_path / f"map.{ending}"
        code, out, err = run("ask", APARTMENT, self.QUESTION, "--map", path)
        assert (code, err) == (0, "")
        assert "from the tv." in out
        self.picture(path.rename(tmp_path / f"map.{ending.lower()}"))
        assert [file.name for file in tmp_path.iterdir()] == [f"map.{ending.lower()}"]

    @pytest.mark.parametrize("ending", ["svg", "png"])
    def test_a_photo_is_drawn(self, run, tmp_path, face, ending):
        path = tmp_path / f"photo.{ending}"
        code, _, err = run("ask", face, "How many faces are there?", "--map", path)
        assert (code, err) == (0, "")
        self.picture(path)

    def test_the_picture_names_the_evidence_and_the_answer(self, run, tmp_path):
        path = tmp_path / "map.svg"
        run("ask", APARTMENT, self.QUESTION, "--map", path)
        text = path.read_text()
        assert "lamp" in text
        other = tmp_path / "other.svg"
        run("ask", APARTMENT, "How far is the bed from the stove?", "--map", other)
        assert other.read_text() != text

    def test_a_viewpoint_is_drawn(self, run, tmp_path):
        path = tmp_path / "map.svg"
        question = "Standing at the sofa facing the tv, where is the bookshelf?"
        code, out, _ = run("ask", APARTMENT, question, "--map", path)
        assert code == 0
        assert "facing" in out
        self.picture(path)

    def test_an_old_picture_is_replaced(self, run, tmp_path):
        path = tmp_path / "map.svg"
        path.write_text("old")
        run("ask", APARTMENT, self.QUESTION, "--map", path)
        self.picture(path)


class TestQuestions:
    def ask(self, run, tmp_path, content):
        path = tmp_path / "questions.txt"
        path.write_bytes(content)
        code, out, err = run("ask", APARTMENT, "--questions", path)
        return code, records(out), err

    def test_one_record_a_line_in_order(self, run, tmp_path):
        text = b"How many chairs are there?\nHow many windows are there?\nHow tall is the tv?\n"
        code, found, err = self.ask(run, tmp_path, text)
        assert (code, err) == (0, "")
        assert [record["value"] for record in found] == [4, 2, pytest.approx(0.7)]
        assert [record["question"] for record in found] == text.decode().splitlines()

    def test_failures_stand_at_their_lines_and_are_counted(self, run, tmp_path):
        lines = ["How many chairs are there?", "", "blorf", "How far is the piano from the bed?",
                 "How many windows are there?", "", ""]  # fmt: skip
        code, found, err = self.ask(run, tmp_path, "\n".join(lines).encode())
        assert code == 1
        assert err == "groundplane: 3 of 5 questions could not be answered\n"
        assert [record["question"] for record in found] == lines[:5]
        assert [record["status"] for record in found] == [
            "answered", "not_understood", "not_understood", "unknown_object", "answered",
        ]  # fmt: skip
        assert "it is empty" in found[1]["text"]

    @pytest.mark.parametrize(
        "content",
        [
            b"How many chairs are there?\r\nIs there a tv?\r\n",
            b"\xef\xbb\xbfHow many chairs are there?\nIs there a tv?",
            b"How many chairs are there?\nIs there a tv?\r\n\r\n\r\n",
        ],
    )
    def test_line_ends_and_marks_of_other_systems(self, run, tmp_path, content):
        code, found, err = self.ask(run, tmp_path, content)
        assert (code, err) == (0, "")
        assert [record["question"] for record in found] == [
            "How many chairs are there?", "Is there a tv?",
        ]  # fmt: skip
        assert [record["value"] for record in found] == [4, True]

    def test_a_mark_inside_a_line_parts_no_line(self, run, tmp_path):
        text = "How many chairs\u2028are there?\nIs there\x0ca tv?\n"
        code, found, _ = self.ask(run, tmp_path, text.encode())
        assert code == 0
        assert [record["value"] for record in found] == [4, True]

    def test_more_than_a_batch_keeps_its_order(self, run, tmp_path):
        things = [("chair", 4), ("sofa", 1), ("window", 2)] * 100
        text = "".join(f"How many {name}s are there?\n" for name, _ in things)
        _, found, _ = self.ask(run, tmp_path, text.encode())
        assert [record["value"] for record in found] == [count for _, count in things]


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path, face):
        folder = tmp_path / "photos"
        folder.mkdir()
        face.rename(folder / "b.png")
        PILImage.new("RGB", (60, 40)).save(folder / "c.png")
        return folder

    def test_one_line_a_photo_and_their_sum(self, run, folder):
        code, out, err = run("ask", folder, "How many faces are there?")
        assert (code, err) == (0, "")
        first, second, last = out.splitlines()
        assert first == "b.png: There is a face."
        assert second.startswith("c.png: There are no faces.")
        assert last == "All 2 photos together: 1"

    def test_an_unreadable_photo_is_an_error_record_among_others(self, run, folder):
        (folder / "a.jpg").write_bytes(b"no picture")
        code, out, err = run("ask", folder, "How many faces are there?", "--json")
        assert code == 1
        assert err == "groundplane: 1 of 3 photos gave no answer\n"
        found = records(out)
        assert [record["source"] for record in found] == ["a.jpg", "b.png", "c.png"]
        assert [record["status"] for record in found] == ["cannot_detect", "answered", "answered"]
        assert "a.jpg" in found[0]["text"]
        _, out, _ = run("ask", folder, "How many faces are there?")
        assert out.startswith("a.jpg: error: cannot read picture")


class TestEvaluate:
    EYE = (1, 0, 0, 0, 1, 0, 0, 0, 1)

    @pytest.fixture
    def files(self, tmp_path):
        box = {"axesLengths": [1, 1, 2], "normalizedAxes": self.EYE}
        cups, tv, sofa = (
            [{**box, "centroid": [x, y, 0]} for x, y in places]
            for places in ([(0, 0), (3, 0)], [(0, 5)], [(0, 9)])
        )
        scene = {
            "room_size": 12.0, "object_counts": {"cup": 2, "tv": 1, "sofa": 1},
            "object_bbox": {"cup": cups, "tv": tv, "sofa": sofa},
        }  # fmt: skip
        (tmp_path / "scenes.json").write_text(json.dumps({"one": scene}))
        rows = [
            ("object_counting", "How many cup(s) are in this room?", None, "2"),
            ("room_size_estimation", "What is the size of this room?", None, "24"),
            ("object_rel_distance", "Which of these objects (cup, sofa) is the closest to the tv?",
             ["A. cup", "B. sofa"], "A"),
        ]  # fmt: skip
        lines = [
            {
                "id": i + 7,
                "scene": "one",
                "question_type": t,
                "question": q,
                "options": o,
                "answer": a,
            }
            for i, (t, q, o, a) in enumerate(rows)
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / "qa.jsonl").write_text(text)
        return tmp_path

    def evaluate(self, run, files, *more):
        scenes, questions = files / "scenes.json", files / "qa.jsonl"
        return run("evaluate", "vsibench", "--scenes", scenes, "--questions", questions, *more)

    def test_the_json_has_the_documented_shape(self, run, files):
        out = files / "out.json"
        code, table, err = self.evaluate(run, files, "--json", out)
        assert (code, err) == (0, "")
        assert "object_counting" in table
        result = json.loads(out.read_text())
        assert result == {
            "tasks": {
                "object_counting": {"n": 1, "score": 1.0, "covered": 1, "covered_score": 1.0},
                "room_size_estimation": {"n": 1, "score": 0.1, "covered": 1, "covered_score": 0.1},
                "object_rel_distance": {"n": 1, "score": 0.0, "covered": 1, "covered_score": 0.0},
            },
            "mean": pytest.approx(1.1 / 3),
            "items": [
                {"id": 7, "answer": 2.0, "score": 1.0, "status": "answered"},
                {"id": 8, "answer": 12.0, "score": 0.1, "status": "answered"},
                {"id": 9, "answer": "B", "score": 0.0, "status": "answered"},
            ],
        }

    def test_the_table_tells_scores_and_misses(self, run, files):
        _, table, _ = self.evaluate(run, files)
        (row,) = [line for line in table.splitlines() if line.startswith("room_size")][:1]
        assert row.split() == ["room_size_estimation", "1", "0.1000", "1", "0.1000"]
        assert "answered 12, official 24" in table
        assert "official" not in self.evaluate(run, files, "--misses", "0")[1]

    def test_the_two_distances(self, run, files):
        assert self.evaluate(run, files, "--distance", "exact")[0] == 0
        code, out, err = self.evaluate(run, files, "--distance", "guessed")
        assert (code, out) == (2, "")
        assert "expected 'sampled' or 'exact', got 'guessed'" in err


class TestOther:
    def test_version(self, run):
        assert run("--version") == (0, f"groundplane {groundplane.__version__}\n", "")

    @pytest.mark.parametrize("command", [(), ("ask",), ("evaluate", "vsibench"), ("plugins",)])
    def test_help_tells_every_option(self, run, command):
        code, out, err = run(*command, "--help")
        assert (code, err) == (0, "")
        assert "Usage: " in out
        wanted = {
            (): ["ask", "plugins", "doctor", "evaluate", "--version"],
            ("ask",): ["--questions", "--json", "--map", "--detector", "--option", "--device"],
            ("evaluate", "vsibench"): ["--scenes", "--questions", "--json", "--distance"],
            ("plugins",): ["--check", "--json"],
        }[command]
        for word in wanted:
            assert re.search(rf"(^|\s){word}\b", out), word

    def test_plugins(self):
        done = apart("plugins")
        assert (done.returncode, done.stderr) == (0, "")
        names = {line.split()[1] for line in done.stdout.splitlines()[1:] if line.strip()}
        assert names >= {"opencv", "coco-file", "planner"}
        listed = json.loads(apart("plugins", "--json").stdout)
        assert {row["name"] for row in listed["plugins"]} >= {"opencv", "coco-file", "planner"}

    def test_doctor(self):
        done = apart("doctor", "--json")
        assert done.returncode in (0, 1), done.stderr
        assert json.loads(done.stdout)


class TestLightImport:
    CALL = (
        "import sys; sys.argv = ['groundplane', *{arguments!r}]\n"
        "try:\n    {code}\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(*sorted({heavy!r} & set(sys.modules)), file=sys.stderr)"
    )

    def loaded(self, code, *arguments):
        """The heavy modules that code loads in a process of its own."""
        text = self.CALL.format(arguments=arguments, code=code, heavy=set(HEAVY))
        command = [sys.executable, "-c", text]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr.split()

    @pytest.mark.parametrize(
        "arguments", [("--help",), ("--version",), ("plugins",), ("ask", "--help")]
    )
    def test_light_commands_load_nothing_heavy(self, arguments):
        assert self.loaded("from groundplane.apps.entry import main; main()", *arguments) == []

    def test_importing_the_package_loads_nothing_heavy(self):
        assert self.loaded("import groundplane; dir(groundplane)") == []

    def test_the_check_can_fail(self):
        assert self.loaded("import torch") == ["numpy", "torch"]
        assert "torch" in self.loaded("import groundplane; groundplane.CognitiveMap")
