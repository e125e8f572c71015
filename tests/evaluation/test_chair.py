"""CHAIR: which objects captions name, and how many of them are not there, by hand."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.evaluation.chair import evaluate_chair, read_captions
from groundplane.evaluation.chair_words import CaptionReader

_NAMES = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, "
    "fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, "
    "bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, "
    "sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, "
    "bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, "
    "broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, "
    "dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, "
    "toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush"
)
COCO = _NAMES.split(", ")
READER = CaptionReader(COCO)


def named(caption):
    return [mention.category for mention in READER.read(caption)]


class TestWords:
    def test_every_category_is_named_by_its_own_name(self):
        assert len(COCO) == 80
        for name in COCO:
            assert named(f"Here is the {name}.") == [name], name

    @pytest.mark.parametrize(
        ("caption", "categories"),
        [
            ("Two men on motorbikes near a hydrant", ["person", "motorcycle", "fire hydrant"]),
            ("A hot dog and a dog on a hot day", ["hot dog", "dog"]),
            ("teddy bears, polar bears", ["teddy bear", "bear"]),
            ("A baby elephant next to a baby", ["elephant", "person"]),
            ("A passenger train full of passengers", ["train", "person"]),
            ("People wait at the bus stop by the train station", ["person"]),
            ("A toilet seat and toilet paper", ["toilet"]),
            ("A cat in a bow tie", ["cat", "tie"]),
            ("A glass of wine beside a wine glass", ["wine glass", "wine glass"]),
            ("An orange cat eats an orange", ["cat", "orange"]),
            ("A slice of orange and two oranges", ["orange", "orange"]),
            ("Knives, mice, geese and sheep", ["knife", "mouse", "bird", "sheep"]),
            ("A COUCH; a Sofa: a settee!", ["couch", "couch", "couch"]),
            ("the man's phone", ["person", "cell phone"]),
            ("A plant by the seat, a glass of milk and a light", []),
            ("一只狗", []),
            ("🐕 \u0301", []),
            ("", []),
        ],
    )
    def test_what_a_caption_names(self, caption, categories):
        assert named(caption) == categories

    def test_what_is_named_is_told_as_it_is_written(self):
        mentions = READER.read("Two Fire Hydrants")
        assert [(m.words, m.category) for m in mentions] == [("fire hydrants", "fire hydrant")]

    def test_categories_of_other_data_sets_are_known_by_name_and_synonym(self):
        reader = CaptionReader(["trash bin", "griffin"])
        assert [m.category for m in reader.read("Griffins by a garbage can, a man")] == [
            "griffin",
            "trash bin",
        ]

    @given(st.text(max_size=200))
    def test_any_text_is_read(self, text):
        assert set(named(text)) <= set(COCO)

    @given(st.lists(st.sampled_from(COCO), max_size=8))
    def test_a_list_of_names_is_read_back(self, names):
        assert named(", and then, ".join(names)) == names


@pytest.fixture
def files(tmp_path):
    """Captions and annotations: picture 1 holds a person and a dog, picture 2 nothing."""

    def write(captions, **changes):
        document = {
            "images": [{"id": 1}, {"id": 2}],
            "categories": [
                {"id": 5, "name": "person"},
                {"id": 6, "name": "dog"},
                {"id": 7, "name": "cat"},
            ],
            "annotations": [
                {"id": k, "image_id": 1, "category_id": c, "bbox": [0, 0, 1, 1], "area": 1}
                for k, c in enumerate((5, 6, 6))
            ],
        } | changes
        (tmp_path / "i.json").write_text(json.dumps(document))
        (tmp_path / "c.json").write_text(json.dumps(captions))
        return tmp_path / "c.json", tmp_path / "i.json"

    return write


def caption(image, text):
    return {"image_id": image, "caption": text}


class TestNumbers:
    def test_by_hand(self, files):
        # Four things named, two of them not there; of three captions two name such a thing; of
        # two things in picture 1, seen by two captions, one and none are named.
        result = evaluate_chair(
            *files(
                [caption(1, "A man with a cat"), caption(1, "Grass"), caption(2, "a dog, no cat")]
            )
        )
        assert result.num_mentions == 4
        assert result.chair_i == 3 / 4
        assert result.chair_s == 2 / 3
        assert result.recall == 1 / 4

    def test_the_truth_hallucinates_nothing_and_a_wrong_word_is_seen(self, files):
        right = evaluate_chair(*files([caption(1, "A woman walks two dogs")]))
        assert (right.chair_i, right.chair_s, right.recall) == (0, 0, 1)
        wrong = evaluate_chair(*files([caption(1, "A woman walks two cats")]))
        assert (wrong.chair_i, wrong.chair_s, wrong.recall) == (0.5, 1, 0.5)
        assert [m.words for m in wrong.items[0].hallucinated] == ["cats"]

    def test_a_number_of_nothing_is_none(self, files):
        result = evaluate_chair(*files([caption(2, "Grass")]))
        assert (result.chair_i, result.chair_s, result.recall) == (None, 0, None)
        assert result.record()["chair_i"] is None

    def test_what_people_say_of_the_picture_is_there(self, files, tmp_path):
        given = files([caption(2, "A cat")])
        path = tmp_path / "r.json"
        path.write_text(json.dumps({"annotations": [caption(2, "a kitten"), caption(9, "a dog")]}))
        assert evaluate_chair(*given).chair_s == 1
        assert evaluate_chair(*given, references=path).chair_s == 0

    def test_annotations_of_coco_as_captions_are_all_there(self, data_dir, tmp_path):
        path = data_dir / "coco" / "instances.json"
        document = json.loads(path.read_text())
        names = {c["id"]: c["name"] for c in document["categories"]}
        there = {}
        for row in document["annotations"]:
            there.setdefault(row["image_id"], set()).add(names[row["category_id"]])
        rows = [caption(k, "There is: " + ", and then, ".join(v)) for k, v in there.items()]
        (tmp_path / "c.json").write_text(json.dumps(rows))
        result = evaluate_chair(tmp_path / "c.json", path)
        assert (result.chair_i, result.recall) == (0, 1)
        rows[0] = caption(rows[0]["image_id"], "A giraffe drives a hair drier")
        (tmp_path / "c.json").write_text(json.dumps(rows))
        assert evaluate_chair(tmp_path / "c.json", path).chair_i > 0


class TestFiles:
    def test_the_forms_that_are_read(self, tmp_path):
        rows = [caption(1, "a"), caption("2", "b")]
        forms = {
            "list.json": json.dumps(rows),
            "lines.jsonl": "\n".join(map(json.dumps, rows)),
            "coco.json": json.dumps({"annotations": rows}),
            "chair.json": json.dumps({"overall": {}, "imgToEval": dict(enumerate(rows))}),
        }
        for name, text in forms.items():
            (tmp_path / name).write_text(text)
            assert [(c.image, c.text) for c in read_captions(tmp_path / name)] == [
                ("1", "a"),
                ("2", "b"),
            ]

    @pytest.mark.parametrize(
        ("captions", "said"),
        [
            ([], "there are none in it"),
            ([{"caption": "a"}], r"\[0\]\.image_id: expected text, but it is missing"),
            ([caption(1, None)], r"\[0\]\.caption: expected text, got None"),
            ([caption(12, "a")], "picture '12' is not among the 2 of 'i.json'"),
            ("text", "expected a list of objects, got 'text'"),
        ],
    )
    def test_a_fault_is_named(self, files, captions, said):
        with pytest.raises(InputError, match=said):
            evaluate_chair(*files(captions))
