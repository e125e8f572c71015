"""`groundplane find`: a line a region; found, none found and cannot are told apart."""

import json

import pytest
from PIL import Image as PILImage

from groundplane.core.media import read_image


@pytest.fixture
def scene(tmp_path):
    """A photo with two cups and a chair, as a COCO instances file has it; and the option for it."""
    photo = tmp_path / "photo.png"
    PILImage.new("RGB", (100, 80), (200, 200, 200)).save(photo)
    boxes = [(1, [10, 10, 20, 20]), (1, [50, 10, 20, 20]), (2, [30, 40, 40, 30])]
    document = {
        "images": [{"id": 1, "file_name": "photo.png", "width": 100, "height": 80}],
        "categories": [{"id": k, "name": n} for k, n in ((1, "cup"), (2, "chair"), (3, "dog"))],
        "annotations": [
            {
                "id": key, "image_id": 1, "category_id": kind, "bbox": box, "iscrowd": 0,
                "area": box[2] * box[3],
                "segmentation": [
                    [box[0], box[1], box[0] + box[2], box[1], box[0], box[1] + box[3]]
                ],
            }
            for key, (kind, box) in enumerate(boxes)
        ],
    }  # fmt: skip
    (tmp_path / "instances.json").write_text(json.dumps(document))
    return photo, ("--option", f"annotations={tmp_path / 'instances.json'}")


@pytest.fixture
def find(run, scene):
    photo, option = scene

    def call(phrases, *more, detector="coco-file"):
        return run("find", photo, phrases, "--detector", detector, *option, *more)

    return call


class TestTable:
    def test_a_line_a_region(self, find):
        code, out, err = find("cups, chair")
        lines = out.splitlines()
        assert (code, err) == (0, "")
        assert lines[0].split() == [
            "cups",
            "1.00",
            "10.0,",
            "10.0,",
            "30.0,",
            "30.0",
            "coco-file",
            "mask",
        ]
        assert [line.split()[0] for line in lines] == ["cups", "cups", "chair"]

    def test_none_and_cannot_are_told_apart(self, find):
        code, out, _ = find("dog, griffin, cup")
        assert code == 0
        assert out.splitlines()[0].split(maxsplit=1) == ["dog", "none found"]
        assert out.splitlines()[1].split(maxsplit=1) == ["griffin", "no expert can look for it"]
        assert "this expert cannot look for 'griffin'" in out

    def test_phrases_are_parted_by_the_commas_of_all_scripts_and_told_once(self, find):
        _, out, _ = find(" cup\uff0cchair、 dog ; cup,, \n")
        assert [line.split()[0] for line in out.splitlines()] == ["cup", "cup", "chair", "dog"]

    def test_nothing_that_can_be_looked_for_is_a_fault(self, find):
        code, out, err = find("griffin, unicorn")
        assert code == 2
        assert out.count("no expert can look for it") == 2
        assert "cannot look for 'griffin'" in err
        assert len(err.splitlines()) == 1


class TestJson:
    def test_every_phrase_has_its_regions(self, find):
        code, out, _ = find("cup, dog", "--json")
        record = json.loads(out)
        assert (code, record["image"], record["size"]) == (0, "photo.png", [100, 80])
        cup, dog = record["phrases"]
        assert (cup["phrase"], cup["outcome"], dog["outcome"]) == ("cup", "found", "none")
        assert [row["box"] for row in cup["regions"]] == [[10, 10, 30, 30], [50, 10, 70, 30]]
        assert cup["regions"][0]["mask"]["size"] == [80, 100]
        assert cup["regions"][0]["source"] == "coco-file"
        assert dog["regions"] == []
        assert record["steps"]


class TestThresholds:
    def test_for_all_or_for_one(self, find):
        assert "cup" in find("cup", "--threshold", "1.0")[1]
        _, out, _ = find("cup, chair", "--threshold", "0.5", "--threshold", "cup=1")
        assert len(out.splitlines()) == 3

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (["high"], "expected NUMBER or PHRASE=NUMBER"),
            (["2"], "expected a number from 0 to 1"),
            (["nan"], "expected a number from 0 to 1"),
            (["cupp=0.5"], "is none of the phrases. Did you mean 'cup'?"),
            (["cup=0.5"], "'chair' has none"),
        ],
    )
    def test_what_is_no_threshold_is_named(self, find, given, said):
        flags = [flag for text in given for flag in ("--threshold", text)]
        code, _, err = find("cup, chair", *flags)
        assert code == 2
        assert said in err


class TestDrawing:
    def test_the_picture_shows_what_was_found(self, find, tmp_path):
        out = tmp_path / "marked.png"
        assert find("cup, chair", "--out", out)[0] == 0
        assert read_image(out).size[0] >= 1000

    def test_nothing_found_is_a_plain_picture(self, find, tmp_path):
        assert find("dog", "--out", tmp_path / "marked.svg")[0] == 0
        assert b"<svg" in (tmp_path / "marked.svg").read_bytes()

    def test_a_picture_that_cannot_be_written_is_said_first(self, find, tmp_path):
        code, out, err = find("cup", "--out", tmp_path / "marked.gif")
        assert (code, out) == (2, "")
        assert "must be .svg or .png" in err


class TestFaults:
    @pytest.mark.parametrize("phrases", ["", " , ,", "、"])
    def test_no_phrases(self, find, phrases):
        code, _, err = find(phrases)
        assert code == 2
        assert "name what to look for" in err

    def test_an_unknown_expert(self, find):
        code, _, err = find("cup", detector="coco-fil")
        assert code == 2
        assert "coco-file" in err
        assert len(err.splitlines()) == 1

    def test_an_unknown_segmenter(self, find):
        code, _, err = find("cup", "--segmenter", "sammy")
        assert code == 2
        assert "sammy" in err

    def test_no_photo(self, run, tmp_path):
        code, _, err = run("find", tmp_path / "none.png", "cup", "--detector", "opencv")
        assert code == 2
        assert "none.png" in err


def test_a_weights_expert_without_weights_says_what_to_give(run, scene):
    code, _, err = run("find", scene[0], "cup", "--detector", "owlv2")
    assert code == 2
    assert "weights" in err


def test_why_nobody_can_look_is_said_expert_for_expert(run, scene):
    code, out, err = run("find", scene[0], "griffin")
    assert code == 2
    assert "  detector 'opencv' for 'griffin': knows: face, eye" in out.splitlines()
    assert "'owlv2' for 'griffin': needs the option 'weights'" in out
    assert err.startswith("groundplane: no expert can look for 'griffin'")
