"""`groundplane evaluate coco|pope|chair|refcoco`: tables, JSON, and one line for a fault."""

import json

import pytest


@pytest.fixture
def coco(data_dir):
    return data_dir / "coco" / "instances.json"


@pytest.fixture
def expert(data_dir, coco):
    """Flags for an expert that plays the annotations back."""
    images = data_dir / "coco" / "images"
    return "--images", images, "--detector", "coco-file", "--option", f"annotations={coco}"


@pytest.fixture
def write(tmp_path):
    def to(name, content):
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return path

    return to


class TestCoco:
    def test_the_twelve_numbers_in_print_and_in_json(self, run, data_dir, coco, tmp_path):
        detections, out = data_dir / "coco_ap" / "detections.json", tmp_path / "o.json"
        expected = json.loads((data_dir / "coco_ap" / "expected.json").read_text())["stats"]
        code, table, err = run(
            "evaluate", "coco", "--annotations", coco, "--detections", detections, "--json", out
        )
        assert (code, err) == (0, "")
        printed = [line.split() for line in table.splitlines()[:12]]
        assert {name: float(value) for name, value in printed} == expected
        stats = json.loads(out.read_text())["stats"]
        assert {name: round(value, 6) for name, value in stats.items()} == expected
        assert "502 detections, 476 annotations, 36 pictures; boxes" in table

    def test_an_expert_that_looks(self, run, coco, expert):
        code, table, _ = run("evaluate", "coco", "--annotations", coco, *expert)
        assert (code, table.split()[:2]) == (0, ["AP", "1.000000"])

    def test_detections_of_strange_categories_are_told(self, run, data_dir, coco, write):
        rows = json.loads((data_dir / "coco_ap" / "detections.json").read_text())
        rows[0]["category_id"] = 1234
        path = write("d.json", rows)
        code, _, err = run("evaluate", "coco", "--annotations", coco, "--detections", path)
        assert code == 0
        assert err == (
            "groundplane: 1 detections are of categories that the annotations lack and are not "
            "counted: 1234\n"
        )


class TestPope:
    @pytest.fixture
    def questions(self, data_dir):
        return data_dir / "pope" / "coco_pope_random_first60.jsonl"

    def test_five_numbers_and_the_wrong_ones(self, run, questions, write, tmp_path):
        rows = [json.loads(line) for line in questions.read_text().splitlines()]
        answers = [{"answer": row["label"].title()} for row in rows]
        answers[0] = {"answer": "No."}
        out = tmp_path / "o.json"
        code, table, _ = run(
            "evaluate", "pope", "--questions", questions, "--answers", write("a.json", answers),
            "--json", out,
        )  # fmt: skip
        assert code == 0
        assert table.splitlines()[0].split() == ["accuracy", "0.9833"]
        assert "1 (COCO_val2014_000000310196.jpg): Is there a snowboard in the image? yes" in table
        assert json.loads(out.read_text())["items"][0]["verdict"] == "no"

    def test_an_expert_that_looks(self, run, expert, data_dir, tmp_path, coco):
        document = json.loads(coco.read_text())
        picture = document["images"][0]
        here = {a["category_id"] for a in document["annotations"] if a["image_id"] == picture["id"]}
        rows = [
            {
                "image": picture["file_name"],
                "text": f"Is there a {category['name']} in the image?",
                "label": "yes" if category["id"] in here else "no",
            }
            for category in document["categories"]
        ]
        path = tmp_path / "q.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        code, table, _ = run("evaluate", "pope", "--questions", path, *expert)
        assert (code, table.split()[:2]) == (0, ["accuracy", "1.0000"])

    def test_as_many_answers_as_questions(self, run, questions, write):
        path = write("a.json", [{"answer": "Yes"}])
        code, out, err = run("evaluate", "pope", "--questions", questions, "--answers", path)
        assert (code, out) == (2, "")
        assert "expected one for each of 60 questions, got 1" in err


class TestChair:
    def test_two_numbers_and_what_is_not_there(self, run, coco, write, tmp_path):
        rows = [
            {"image_id": 160012, "caption": "Two pizzas and a bottle"},
            {"image_id": 160012, "caption": "A pizza and a giraffe"},
        ]
        out = tmp_path / "o.json"
        code, table, _ = run(
            "evaluate", "chair", "--captions", write("c.json", rows), "--annotations", coco,
            "--json", out,
        )  # fmt: skip
        assert code == 0
        assert [line.split() for line in table.splitlines()[:2]] == [
            ["CHAIR_i", "25.00"],
            ["CHAIR_s", "50.00"],
        ]
        assert "160012: 'giraffe' (giraffe): A pizza and a giraffe" in table
        assert json.loads(out.read_text())["chair_i"] == 25.0


class TestRefcoco:
    @pytest.fixture
    def expressions(self, write):
        rows = [
            {"expression": "bottle", "file_name": "000000160012.jpg", "bbox": [2, 1, 107, 389]},
            {"expression": "person", "file_name": "000000160012.jpg", "bbox": [0, 0, 9, 9]},
        ]
        return write("e.json", rows)

    def test_boxes_of_a_file(self, run, expressions, write):
        given = write("p.json", [{"bbox": [2, 1, 109, 390]}, {"bbox": None}])
        command = ("evaluate", "refcoco", "--expressions", expressions, "--predictions", given)
        code, table, _ = run(*command, "--box-form", "xywh")
        assert code == 0
        assert table.splitlines()[1].split()[:3] == ["all", "2", "0.5000"]
        assert "2 (000000160012.jpg): 'person': overlap 0.00, no box" in table
        code, _, err = run(*command)
        assert code == 2
        assert "--box-form xyxy or --box-form xywh" in err

    def test_an_expert_that_looks(self, run, expressions, expert):
        code, table, _ = run(
            "evaluate", "refcoco", "--expressions", expressions, "--box-form", "xywh", *expert
        )
        assert (code, table.splitlines()[1].split()[:3]) == (0, ["all", "2", "0.5000"])

    def test_a_pickle_is_refused_with_the_reason(self, run, tmp_path):
        path = tmp_path / "refs(unc).p"
        path.write_bytes(b"\x80\x02]q\x00.")
        code, _, err = run("evaluate", "refcoco", "--expressions", path, "--predictions", path)
        assert code == 2
        assert "can run any code when it is opened" in err


class TestFaultsOfTheCall:
    @pytest.mark.parametrize(
        ("more", "said"),
        [
            ((), "give --detections FILE, or --images FOLDER with --detector NAME"),
            (("--detections", "d", "--detector", "opencv"), "not both and not neither"),
            (("--images", "i"), "belong together; one is missing"),
            (("--detections", "d", "--option", "a=b"), "--option is for an expert"),
            (("--detections", "d", "--iou-type", "boxes"), "expected 'bbox' or 'segm'"),
            (("--detections", "d", "--json", "no/such/o.json"), "there is no such folder"),
        ],
    )
    def test_results_or_an_expert(self, run, coco, more, said):
        code, out, err = run("evaluate", "coco", "--annotations", coco, *more)
        assert (code, out) == (2, "")
        assert said in err
        assert len(err.splitlines()) == 1
