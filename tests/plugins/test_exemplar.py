"""The detector of examples, over an encoder of colours: alone, and around another detector."""

from __future__ import annotations

import json
from pathlib import Path

import plain_encoders
import pytest
import torch
from PIL import Image as PILImage
from squares import BOXES, picture_of_squares

import groundplane
from groundplane.core.boxes import iou
from groundplane.core.detection import DetectRequest, Outcome
from groundplane.core.errors import InputError, PluginNotFoundError
from groundplane.plugins.exemplar import ExemplarDetectorPlugin, ExemplarOptions
from groundplane.testing.checkpoints_towers import save_dinov2
from groundplane.testing.detectors import DetectorContract


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Options: red things are cups, and blue ones are taken for them."""
    folder = tmp_path_factory.mktemp("exemplars")
    PILImage.fromarray(picture_of_squares().pixels).save(folder / "a.png")
    (folder / "cells.json").write_text(json.dumps({"cells": 12}))
    rows = [
        {"phrase": "cup", "image": "a.png", "boxes": [BOXES["red"]], "negative": [BOXES["blue"]]},
        {"phrase": "jar", "image": "a.png", "boxes": [BOXES["blue"]]},
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    # What a detector of words says: that both squares are cups.
    boxes = [BOXES["red"], BOXES["blue"]]
    (folder / "coco.json").write_text(
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "a.png", "width": 96, "height": 96}],
                "categories": [{"id": 1, "name": "cup"}],
                "annotations": [
                    {"id": n, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 1024,
                     "bbox": [x0, y0, x1 - x0, y1 - y0]}
                    for n, (x0, y0, x1, y1) in enumerate(boxes)
                ],
            }
        )
    )  # fmt: skip
    (folder / "inner.json").write_text(json.dumps({"annotations": str(folder / "coco.json")}))
    plain_encoders.install(folder / "installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder / "installed"))
        yield (
            folder,
            {
                "encoder": "colours",
                "encoder_options": folder / "cells.json",
                "exemplars": folder / "rows.jsonl",
            },
        )


@pytest.fixture(scope="module")
def plugin(given):
    return groundplane.load("detectors", "exemplar", device="cpu", **given[1])


def ask(plugin, *phrases, image=None):
    shown = picture_of_squares() if image is None else image
    return plugin.detect([DetectRequest(image=shown, phrases=phrases)])[0]


def test_what_is_like_the_example_is_found(plugin):
    assert plugin.vocabulary == ("cup", "jar")
    result = ask(plugin, "cup", "jar")
    for place, name in enumerate(("red", "blue")):
        mine = result.regions.boxes[result.regions.phrase_ids == place]
        assert float(iou(mine[:1], torch.tensor([BOXES[name]]).float())) > 0.5


def test_other_words_for_it_are_understood_and_others_are_not(plugin):
    result = ask(plugin, "cups", "sofa", "green cup")
    assert result.outcomes == (Outcome.FOUND, Outcome.CANNOT, Outcome.CANNOT)
    assert "cannot look for 'sofa'; it knows: cup, jar" in result.note
    assert "cannot check 'green'" in result.note


def test_an_exemplar_of_the_request_comes_before_the_file_s(plugin):
    box = tuple(map(float, BOXES["blue"]))
    image = picture_of_squares()
    request = DetectRequest(image=image, phrases=("cup", "thing"), exemplars=(box, box))
    mine = plugin.detect([request])[0].regions
    assert torch.equal(mine.boxes[mine.phrase_ids == 0], mine.boxes[mine.phrase_ids == 1])


def test_what_a_negative_example_is_nearer_to_is_not_found(given):
    folder, options = given
    plugin = groundplane.load("detectors", "exemplar", device="cpu", **options, threshold=0.0)
    without = folder / "without.jsonl"
    rows = [json.loads(line) for line in options["exemplars"].read_text().splitlines()]
    without.write_text("\n".join(json.dumps(row | {"negative": []}) for row in rows))
    bare = groundplane.load(
        "detectors", "exemplar", device="cpu", **options | {"exemplars": without}, threshold=0.0
    )
    blue = torch.tensor([BOXES["blue"]]).float()
    overlaps = [float(iou(ask(one, "cup").regions.boxes, blue).max()) for one in (plugin, bare)]
    assert overlaps[0] < 0.5 < overlaps[1]


def test_a_detector_s_boxes_are_checked(given):
    folder, options = given
    guard = groundplane.load(
        "detectors", "exemplar", device="cpu", **options, detector="coco-file",
        detector_options=folder / "inner.json", reject=-1.0,
    )  # fmt: skip
    assert guard.vocabulary == ("cup",)
    from groundplane.core.media import read_image

    result = ask(guard, "cup", image=read_image(folder / "a.png"))
    assert result.regions.boxes.tolist() == [list(map(float, BOXES["red"]))]
    assert "unlike the exemplars: 'cup'" in result.note


def test_dinov2_stands_behind_it(given, tmp_path):
    pytest.importorskip("transformers")
    inner = {"weights": str(save_dinov2(tmp_path / "dino")), "fit": "stretch"}
    (tmp_path / "dino.json").write_text(json.dumps(inner))
    options = given[1] | {"encoder": "dinov2", "encoder_options": tmp_path / "dino.json"}
    result = ask(groundplane.load("detectors", "exemplar", device="cpu", **options), "jar")
    # Of random weights no more can be said than that the example itself is like itself.
    assert result.outcomes == (Outcome.FOUND,)
    assert float(result.regions.scores[0]) > 0.9


class TestContract(DetectorContract):
    @pytest.fixture
    def detector(self, plugin):
        return plugin


class TestBadOptions:
    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"encoder": ""}, "name of an encoder"),
            ({"threshold": 1.5}, "threshold: expected 0 to 1"),
            ({"overlap": float("nan")}, "overlap: expected 0 to 1"),
            ({"reject": 2.0}, "reject: expected -1 to 1"),
            ({"detector": "exemplar"}, "another detector, got itself"),
            ({"detector_options": Path("x.json")}, "there is no detector"),
        ],
    )
    def test_values_out_of_range_are_refused(self, given, changed, said):
        with pytest.raises(InputError, match=said):
            ExemplarOptions(**given[1] | changed)

    def test_who_is_not_installed_is_named(self, given):
        for changed in ({"encoder": "dinov22"}, {"detector": "opencb"}):
            with pytest.raises(PluginNotFoundError, match=r"dinov22|opencb"):
                ExemplarDetectorPlugin(ExemplarOptions(**given[1] | changed))

    def test_a_file_of_options_that_is_not_there_is_named(self, given):
        options = ExemplarOptions(**given[1] | {"encoder_options": given[0] / "gone.json"})
        with pytest.raises(InputError, match=r"option 'encoder_options': .*gone\.json"):
            ExemplarDetectorPlugin(options)
