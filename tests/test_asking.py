"""Asking in Python: what a reply holds, how it ends, and that no expert can spoil it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage
from skimage import data as skimage_data

import groundplane as gp
from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.errors import DetectorError, InputError, MediaError, PluginNotFoundError
from groundplane.core.lexicon import plural
from groundplane.core.orchestrator import Budget
from groundplane.core.regions import Regions
from groundplane.testing.detectors import make_image
from groundplane.testing.scenes import SceneBuilder

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / ".." / "shared" / "data"
APARTMENT = ROOT / "examples" / "apartment.json"
VSI = DATA / "vsi" / "scenes.json"
COCO = DATA / "coco"
SCHEMA = json.loads((ROOT / "docs" / "schemas" / "record.schema.json").read_text())
RECORD_PAGE = ROOT / "docs" / "record.md"
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder ../shared/data is absent")


@pytest.fixture(scope="module")
def apartment():
    return gp.CognitiveMap.load(APARTMENT)


@pytest.fixture(scope="module")
def astronaut():
    return make_image(skimage_data.astronaut(), name="astronaut")


def coco(photo, question):
    """Ask of a photo whose expert is the annotators' file."""
    return gp.ask(photo, question, detector="coco-file", annotations=COCO / "instances.json")


def assert_valid(reply):
    """The record is valid, plain JSON, and says what the reply says."""
    record = json.loads(json.dumps(reply.record(), allow_nan=False))
    VALIDATOR.validate(record)
    assert record["status"] == reply.status.value
    assert record["text"] == reply.text
    return record


class Fake:
    """An expert that finds one box for every word, or does what it is told."""

    def __init__(self, do=None, vocabulary=("cat", "dog")):
        self.vocabulary = vocabulary
        self.do = do
        self.asked = []

    def detect(self, requests):
        self.asked += [request.phrases for request in requests]
        return [self.do(r) if self.do else found(r) for r in requests]


def found(request, *, box=(0.0, 0.0, 5.0, 5.0), score=0.9):
    count = len(request.phrases)
    regions = Regions(
        ids=tuple(f"r{i}" for i in range(count)),
        boxes=torch.tensor([box] * count, dtype=torch.float32).view(-1, 4),
        scores=torch.full((count,), score),
        phrases=request.phrases,
        phrase_ids=torch.arange(count),
        sources=("fake",) * count,
        image_size=request.image.size,
    )
    return DetectResult(regions=regions, outcomes=(Outcome.FOUND,) * count)


GREY = make_image(np.full((20, 30, 3), 90, dtype=np.uint8), name="grey")


class TestScenes:
    @needs_data
    def test_the_ten_lines_of_the_issue(self):
        scene = gp.CognitiveMap.load(VSI, scene="42446103")
        answer = gp.ask(scene, "Which of these objects (chair, tv, sofa) is closest to the stove?")
        assert answer.text == "The chair is closest to the stove."
        assert (answer.status, answer.value, answer.unit) == ("answered", "chair", None)
        assert answer.evidence == ("chair-1", "stove")
        steps = [step.detail for step in answer.trace]
        assert "distance: chair 3.473 m, tv 4.611 m, sofa 3.519 m" in steps
        assert_valid(answer)

    def test_a_number_comes_with_unit_measure_and_frame(self, apartment):
        reply = gp.ask(apartment, "How far is the lamp from the sofa?")
        assert reply.value == pytest.approx(0.15)
        assert (reply.unit, reply.evidence) == ("m", ("lamp", "sofa"))
        assert "closest points" in reply.answer.measure
        assert reply.frame == "world, z up; needs no viewer"
        assert reply.regions is None

    def test_the_trace_goes_from_the_query_to_the_text(self, apartment):
        names = [step.name for step in gp.ask(apartment, "How many chairs are there?").trace]
        first = [names.index(name) for name in ("query", "resolved", "select", "answer", "text")]
        assert first == sorted(first)
        assert names[-1] == "done"

    @pytest.mark.parametrize("source", [APARTMENT, str(APARTMENT)])
    def test_a_path_is_a_source(self, source):
        assert gp.ask(source, "How many chairs are there?").value == 4

    def test_a_scene_of_several_is_named_behind_a_hash(self, tmp_path):
        one = json.loads(APARTMENT.read_text())
        body = {key: one[key] for key in one if key not in ("format", "version")}
        document = {"format": "groundplane-map", "version": 1, "scenes": {"a": body, "b": body}}
        path = tmp_path / "two.json"
        path.write_text(json.dumps(document))
        assert gp.ask(f"{path}#b", "How many chairs are there?").value == 4

    @given(st.permutations(["sofa", "tv", "bed", "lamp", "stove", "plant", "rug"]))
    @settings(max_examples=25, deadline=None)
    def test_mentions_cut_the_text_to_names_of_their_objects(self, apartment, names):
        first, second = names[:2]
        reply = gp.ask(apartment, f"How far is the {first} from the {second}?")
        cut = [(reply.text[slice(*m.span)].lower(), m.ids) for m in reply.mentions]
        assert cut == [(f"the {first}", (first,)), (f"the {second}", (second,))]


class TestChoices:
    QUESTION = "Which is closest to the door: the sink, the bed or the tv?"

    @pytest.mark.parametrize(
        ("choices", "letter"),
        [(("bed", "sink", "tv"), "B"), (("A. tv", "B. bed", "C. sink"), "C"),
         (("tv", "bed"), None), ((), None)],
    )  # fmt: skip
    def test_the_answer_becomes_a_letter(self, apartment, choices, letter):
        reply = gp.ask(apartment, self.QUESTION, choices=choices)
        assert (reply.value, reply.choice) == ("sink", letter)
        assert_valid(reply)

    def test_options_may_stand_behind_the_question(self, apartment):
        reply = gp.ask(apartment, self.QUESTION + "\nA. bed\nB. tv\nC. sink")
        assert (reply.value, reply.choice) == ("sink", "C")

    def test_no_answer_has_no_letter(self, apartment):
        reply = gp.ask(apartment, "How far is the piano from the bed?", choices=("1.0", "2.0"))
        assert (reply.status, reply.choice) == (gp.Status.UNKNOWN_OBJECT, None)


class TestMany:
    def test_replies_come_in_order_across_batches(self, apartment):
        things = [("chair", 4), ("sofa", 1), ("window", 2)] * 200
        replies = list(gp.Asker(apartment).ask_many(f"How many {a}s are there?" for a, _ in things))
        assert [reply.value for reply in replies] == [count for _, count in things]
        assert [reply.question for reply in replies] == [
            f"How many {name}s are there?" for name, _ in things
        ]

    def test_replies_stream_before_the_questions_end(self, apartment):
        taken = []

        def endless():
            while True:
                taken.append(1)
                yield "How many chairs are there?"

        replies = gp.Asker(apartment).ask_many(endless())
        assert next(replies).value == 4
        assert len(taken) <= 256

    def test_a_question_may_bring_its_options(self, apartment):
        (reply,) = gp.Asker(apartment).ask_many([(TestChoices.QUESTION, ("bed", "sink"))])
        assert reply.choice == "B"

    def test_no_questions_give_no_replies(self, apartment):
        assert list(gp.Asker(apartment).ask_many([])) == []


STATUS_QUESTIONS = {
    "answered": "How far is the lamp from the sofa?",
    "unknown_object": "How far is the piano from the bed?",
    "not_understood": "Tell me a joke about physics",
    "needs_video": "In what order do the sofa and the chair appear?",
    "cannot_detect": "How big is this room?",
}


@pytest.fixture(scope="module")
def bare():
    """A scene that states neither room nor first sights."""
    builder = SceneBuilder()
    for i, label in enumerate(("lamp", "sofa", "bed", "chair", "chair", "window", "window")):
        builder.add(label, at=(i, 0, 0.5), size=(0.5, 0.5, 1 + i / 10))
    return builder.build()


class TestRecords:
    @pytest.mark.parametrize("status", STATUS_QUESTIONS)
    def test_a_record_of_every_status_is_valid(self, bare, status):
        reply = gp.ask(bare, STATUS_QUESTIONS[status])
        assert reply.status.value == status
        assert_valid(reply)

    @pytest.mark.parametrize("question", ["How tall is the chair?", "Is the sofa left of the bed?"])
    def test_an_open_question_says_what_is_open(self, bare, question):
        reply = gp.ask(bare, question)
        assert reply.status is gp.Status.AMBIGUOUS
        assert not reply.failed
        assert_valid(reply)

    @pytest.mark.parametrize(
        ("question", "kind"),
        [("How many chairs are there?", int), ("How tall is the sofa?", float),
         ("Is there a lamp?", bool), ("What is next to the bed?", tuple),
         ("Which is closest to the bed: the lamp or the sofa?", str)],
    )  # fmt: skip
    def test_values_of_every_kind_are_valid(self, bare, question, kind):
        reply = gp.ask(bare, question)
        assert type(reply.value) is kind
        record = assert_valid(reply)
        assert type(record["value"]) is (list if kind is tuple else kind)

    @pytest.mark.parametrize(
        "change",
        [
            {"status": "fine"}, {"value": None}, {"unit": None}, {"unit": "furlong"}, {"text": ""},
            {"choice": "first"}, {"evidence": ["sofa", "sofa"]}, {"interval": [1.0]},
            {"trace": [{"name": "x"}]}, {"regions": [{"id": "a"}]}, {"status": "cannot_detect"},
            {"more": 1}, {"value": "x"}, {"value": [1.0]}, {"frame": ""}, {"source": None},
        ],
    )  # fmt: skip
    def test_the_schema_refuses_a_wrong_record(self, bare, change):
        record = gp.ask(bare, STATUS_QUESTIONS["answered"]).record()
        VALIDATOR.validate(record)
        assert not VALIDATOR.is_valid({**record, **change})

    @pytest.mark.parametrize("key", SCHEMA["required"])
    def test_the_schema_misses_no_key(self, bare, key):
        record = gp.ask(bare, STATUS_QUESTIONS["answered"]).record()
        del record[key]
        assert not VALIDATOR.is_valid(record)

    def test_the_page_tells_of_every_key_status_and_unit(self):
        page = RECORD_PAGE.read_text()
        properties = SCHEMA["properties"]
        assert set(properties) == set(SCHEMA["required"])
        assert set(properties["status"]["enum"]) == {status.value for status in gp.Status}
        units = [unit for unit in properties["unit"]["enum"] if unit is not None]
        for word in (*properties, *properties["status"]["enum"], *units):
            assert f"`{word}`" in page

    def test_the_example_on_the_page_is_what_comes_out(self, apartment):
        example = json.loads(re.search(r"```json\n(.*?)```", RECORD_PAGE.read_text(), re.S)[1])
        VALIDATOR.validate(example)
        record = gp.ask(apartment, example["question"]).record()
        steps = {step["name"] for step in record.pop("trace")}
        assert steps >= {step["name"] for step in example.pop("trace")}
        assert record == {**example, "value": pytest.approx(example["value"])}


class TestPhotos:
    def test_the_one_face_of_the_astronaut(self, astronaut):
        reply = gp.ask(astronaut, "How many faces are there?")
        assert (reply.value, reply.unit) == (1, "count")
        (region,) = assert_valid(reply)["regions"]
        x0, y0, x1, y1 = region["box"]
        # The face's middle, by eye, in the standard picture of 512 pixels.
        assert x0 < 224 < x1
        assert y0 < 115 < y1
        assert x1 - x0 < 150
        assert region["id"] == reply.evidence[0]

    def test_the_eyes_of_the_astronaut(self, astronaut):
        reply = gp.ask(astronaut, "Is there an eye in the picture?")
        assert reply.value is True
        assert {region["label"] for region in assert_valid(reply)["regions"]} == {"eye"}

    def test_a_word_outside_the_vocabulary_is_cannot_detect(self, astronaut):
        reply = gp.ask(astronaut, "How many dogs are there?")
        assert reply.status is gp.Status.CANNOT_DETECT
        assert reply.value is None
        assert "o expert can look for 'dog': opencv knows: face, eye; not ready: " in reply.text
        assert_valid(reply)

    def test_a_photo_is_not_measured_in_metres(self, astronaut):
        reply = gp.ask(astronaut, "How tall is the face in cm?")
        assert reply.status is gp.Status.CANNOT_DETECT
        assert "pixels" in reply.text
        assert_valid(reply)

    @needs_data
    def test_an_office_without_a_face(self):
        reply = gp.ask(DATA / "photos" / "office.jpg", "How many faces are there?")
        assert (reply.status, reply.value, reply.source) == ("answered", 0, "office.jpg")
        assert_valid(reply)

    @needs_data
    @pytest.mark.parametrize("name", [790, 229358, 475546, 547503, 252219])
    def test_coco_counts_are_the_annotators(self, name):
        document = json.loads((COCO / "instances.json").read_text())
        names = {row["id"]: row["name"] for row in document["categories"]}
        rows = [row for row in document["annotations"] if row["image_id"] == name]
        assert rows
        photo = COCO / "images" / f"{name:012}.jpg"
        for label in sorted({names[row["category_id"]] for row in rows}):
            mine = [row for row in rows if names[row["category_id"]] == label]
            if any(row["iscrowd"] for row in mine):
                continue
            reply = coco(photo, f"How many {plural(label)} are there?")
            assert reply.value == len(mine), label
            assert set(reply.evidence) == {f"ann-{row['id']}" for row in mine}
            boxes = {region["id"]: region["box"] for region in assert_valid(reply)["regions"]}
            for row in mine:
                x, y, w, h = row["bbox"]
                assert boxes[f"ann-{row['id']}"] == pytest.approx([x, y, x + w, y + h], abs=0.01)

    @needs_data
    def test_faces_in_a_coco_photo(self):
        reply = gp.ask(COCO / "images" / "000000349860.jpg", "How many faces are there?")
        assert reply.value == 1

    @needs_data
    def test_a_photo_that_the_file_lacks_is_cannot_detect(self):
        reply = coco(DATA / "photos" / "office.jpg", "How many chairs are there?")
        assert reply.status is gp.Status.CANNOT_DETECT
        assert "office.jpg" in reply.text
        assert_valid(reply)


class TestFolders:
    @pytest.fixture
    def folder(self, tmp_path):
        face = PILImage.fromarray(skimage_data.astronaut())
        (tmp_path / "sub").mkdir()
        face.save(tmp_path / "b.png")
        PILImage.new("RGB", (60, 40)).save(tmp_path / "sub" / "c.png")
        (tmp_path / "a.jpg").write_bytes(b"no picture")
        return tmp_path

    def test_every_photo_gets_a_reply_or_its_error(self, folder):
        outcomes = list(gp.Asker(folder).ask_all("How many faces are there?"))
        (name, error), *replies = outcomes
        assert name == "a.jpg"
        assert isinstance(error, MediaError)
        assert [(reply.source, reply.value) for reply in replies] == [
            ("b.png", 1),
            ("sub/c.png", 0),
        ]
        for reply in replies:
            assert_valid(reply)

    def test_one_question_of_one_source_is_refused_with_the_way_out(self, folder):
        asker = gp.Asker(folder)
        assert asker.scene is asker.image is None
        with pytest.raises(InputError, match="3 photos; use ask_all"):
            asker.ask("How many faces are there?")
        with pytest.raises(InputError, match="use ask_all"):
            next(asker.ask_many(["How many faces are there?"]))

    def test_ask_all_of_a_scene_is_one_reply(self, apartment):
        assert [r.value for r in gp.Asker(apartment).ask_all("How many chairs are there?")] == [4]

    def test_a_folder_without_photos_is_refused(self, tmp_path):
        with pytest.raises(MediaError, match="holds no picture"):
            gp.Asker(tmp_path)


def fail(error):
    def do(request):
        raise error

    return do


def other_phrases(request):
    return found(type(request)(image=request.image, phrases=("bird",)))


NONSENSE = {
    "expected a DetectResult, got str": lambda request: "two dogs",
    "expected a DetectResult, got NoneType": lambda request: None,
    "a box that is not finite": lambda request: found(request, box=(0, 0, float("nan"), 5)),
    "a box that leaves the image": lambda request: found(request, box=(0, 0, 500, 5)),
    "right or bottom comes first": lambda request: found(request, box=(9, 0, 5, 5)),
    "a score that is not in [0, 1]": lambda request: found(request, score=7.0),
    "expected the phrases": other_phrases,
}


class TestExperts:
    def test_a_detector_may_be_given_itself(self):
        fake = Fake()
        reply = gp.ask(GREY, "How many dogs are there?", detector=fake)
        assert (reply.value, reply.evidence) == (1, ("r0",))
        assert fake.asked == [("dog",)]
        assert_valid(reply)

    @pytest.mark.parametrize("error", [RuntimeError("out of memory"), SystemExit(3)])
    def test_one_that_raises_is_named(self, error):
        reply = gp.ask(GREY, "How many dogs are there?", detector=Fake(fail(error)))
        assert reply.status is gp.Status.CANNOT_DETECT
        assert reply.text.startswith("Detector 'Fake' failed on 'grey'")
        assert type(error).__name__ in reply.text
        assert_valid(reply)

    @pytest.mark.parametrize("what", NONSENSE)
    def test_one_that_returns_nonsense_is_named(self, what):
        reply = gp.ask(GREY, "How many dogs are there?", detector=Fake(NONSENSE[what]))
        assert reply.status is gp.Status.CANNOT_DETECT
        assert reply.text.startswith("Detector 'Fake' broke its contract")
        assert what in reply.text
        assert_valid(reply)

    def test_one_that_hangs_is_given_up_and_named(self):
        release = threading.Event()

        def hang(request):
            release.wait(60)
            return found(request)

        asker = gp.Asker(GREY, detector=Fake(hang), budget=Budget(deadline=0.2))
        try:
            reply = asker.ask("How many dogs are there?")
        finally:
            release.set()
        assert reply.status is gp.Status.CANNOT_DETECT
        assert "no result within 0.2 s" in reply.text
        assert "Fake" in reply.text
        assert_valid(reply)

    def test_a_failure_harms_no_other_question(self):
        def do(request):
            if "cat" in request.phrases:
                raise RuntimeError("no cats")
            return found(request)

        asked = ["How many dogs are there?", "How many cats are there?", "Is there a dog?"]
        replies = list(gp.Asker(GREY, detector=Fake(do)).ask_many(asked))
        assert [reply.value for reply in replies] == [1, None, True]

    @pytest.mark.parametrize("vocabulary", [["dog"], (1, 2), "dog"])
    def test_a_vocabulary_of_nonsense_is_refused(self, vocabulary):
        with pytest.raises(DetectorError, match="'Fake' broke its contract: expected a vocabulary"):
            gp.Asker(GREY, detector=Fake(vocabulary=vocabulary))

    def test_an_expert_of_any_words_gets_the_question_s_words(self):
        fake = Fake(vocabulary=None)
        assert gp.ask(GREY, "How many unicorns are there?", detector=fake).value == 1
        assert fake.asked == [("unicorn",)]

    @pytest.mark.parametrize(
        ("expert", "why"),
        [
            ("3", "InputError: detector: expected the name of a plugin or an object with"),
            ("Broken()", "DetectorError: detector 'Broken' failed to say what it knows: ZeroDiv"),
        ],
    )
    def test_what_is_no_detector_is_refused(self, expert, why):
        # In a process of its own: the type checks of these tests would refuse it before us.
        code = (
            "import numpy as np, groundplane as gp\n"
            "from groundplane.core.image import FrameMap, Image, Source\n"
            "class Broken:\n    vocabulary = property(lambda self: 1 / 0)\n"
            "    def detect(self, requests): ...\n"
            "image = Image(pixels=np.zeros((9, 9, 3), np.uint8), frame_map=FrameMap.identity(),\n"
            "    source=Source(name='grey', content_hash='0'))\n"
            f"gp.ask(image, 'How many dogs are there?', detector={expert})"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.stderr.splitlines()[-1].startswith(f"groundplane.core.errors.{why}")

    def test_an_unknown_plugin_is_refused_with_near_names(self):
        with pytest.raises(PluginNotFoundError, match="Did you mean 'opencv'"):
            gp.ask(GREY, "How many faces are there?", detector="opencb")

    def test_options_that_nobody_takes_are_refused(self, apartment):
        with pytest.raises(InputError, match="no expert looks at it; leave out the option 'scale'"):
            gp.ask(apartment, "How many chairs are there?", scale=2)
        with pytest.raises(InputError, match="Fake is made already; leave out the option 'scale'"):
            gp.ask(GREY, "How many dogs are there?", detector=Fake(), scale=2)

    def test_an_empty_source_is_refused(self):
        with pytest.raises(InputError, match="the source is empty"):
            gp.ask(" ", "How many chairs are there?")
