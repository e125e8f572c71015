"""The auto-annotation function, called by cvat-sdk's own driver; no server is needed for it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from cvat_sdk import models
from cvat_sdk.auto_annotation import DetectionFunctionSpec, driver
from cvat_sdk.masks import decode_mask
from PIL import Image as PILImage

from groundplane.annotation.items import Picture
from groundplane.annotation.looking import failed_record
from groundplane.annotation.prompts import read_prompts
from groundplane.annotation.spec import JobSpec
from groundplane.apps.cvat_function import CvatFunction, create
from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord
from groundplane.core.errors import DetectorError, InputError, PluginNotFoundError
from groundplane.core.hub import need_library
from groundplane.core.masks import RleMask, decode, encode, from_polygons

PIXELS = np.zeros((30, 40), dtype=bool)
PIXELS[2:9, 3:8] = PIXELS[20:25, 30:39] = True
PIXELS[4:6, 4:6] = False


class Stub:
    """Finds the same regions in each picture."""

    def __init__(self, mask: RleMask | None, *, fails: bool = False) -> None:
        self.mask, self.fails = mask, fails
        self.seen: list[Picture] = []

    seconds: dict[str, float] = {}  # noqa: RUF012 - as the protocol has it
    lacking: dict[str, str] = {}  # noqa: RUF012
    largest: int | None = None

    def look(self, pictures: Sequence[Picture]) -> list[AnnotationRecord]:
        self.seen += pictures
        return [self._record(picture) for picture in pictures]

    def _record(self, picture: Picture) -> AnnotationRecord:
        if self.fails:
            return failed_record(picture, "detect", "detector 'stub' failed")
        regions = AnnotatedRegions(
            ids=("r0", "r1"),
            boxes=np.array([[3.0, 2.0, 39.0, 25.0], [0.0, 0.0, 4.5, 5.25]]),
            scores=np.array([0.9, 0.2]),
            prompt_ids=np.array([0, 1]),
            class_ids=np.array([0, 1]),
            kept=np.array([True, False]),
            masks=None if self.mask is None else (self.mask, None),
        )
        return AnnotationRecord(
            path=picture.path, content_hash="", status="done", size=picture.size, regions=regions
        )

    def close(self) -> None:
        pass


def function(looker: Stub, *, segmenter: str | None = None, skip: bool = False) -> CvatFunction:
    spec = JobSpec(source="cvat", classes=read_prompts("dog, cat"), segmenter=segmenter)
    return CvatFunction(
        spec,
        looker,
        library=need_library("cvat_sdk.auto_annotation", who="test"),
        skip_failures=skip,
    )


def drive(made: CvatFunction, *, label_type: str = "any", **context: object) -> list:
    """One picture through the driver's own checks, with a task's labels of other ids."""
    labels = [
        models.Label(id=70 + i, name=name, type=label_type, attributes=[], sublabels=[])
        for i, name in enumerate(["cat", "dog"])
    ]
    mapper = driver._AnnotationMapper(
        logging.getLogger("test"),
        made.spec.labels,
        labels,
        allow_unmatched_labels=False,
        conv_mask_to_poly=bool(context.get("conv_mask_to_poly", False)),
    )
    call = driver._DetectionFunctionContextImpl(frame_name="a/1.jpg", **context)
    shapes = made.detect(call, PILImage.new("RGB", (40, 30)))
    tags, mapped = mapper.validate_and_remap(shapes, 5)
    assert tags == []
    return mapped


def test_the_drivers_checks_pass_and_labels_match_by_name() -> None:
    made = function(Stub(None))
    assert isinstance(made.spec, DetectionFunctionSpec)
    (shape,) = drive(made, label_type="rectangle")
    assert (shape.type.value, shape.label_id, shape.frame) == ("rectangle", 71, 5)
    assert shape.points == [3.0, 2.0, 39.0, 25.0]
    assert shape.score == 0.9


@pytest.mark.parametrize(("least", "found"), [(None, [71]), (0.1, [71, 70]), (0.95, [])])
def test_a_threshold_of_cvat_takes_the_place_of_the_experts(least, found: list[int]) -> None:
    shapes = drive(function(Stub(None)), conf_threshold=least)
    assert [shape.label_id for shape in shapes] == found


def test_masks_are_those_of_the_segmenter() -> None:
    made = function(Stub(encode(PIXELS)), segmenter="sam")
    (shape,) = drive(made, label_type="mask")
    assert (decode_mask(shape.points, image_width=40, image_height=30) == PIXELS).all()


def test_masks_become_polygons_of_one_group_where_cvat_wants_them() -> None:
    made = function(Stub(encode(PIXELS)), segmenter="sam")
    shapes = drive(made, label_type="polygon", conv_mask_to_poly=True)
    assert [shape.type.value for shape in shapes] == ["polygon", "polygon"]
    assert {shape.group for shape in shapes} == {1}
    filled = decode(from_polygons([shape.points for shape in shapes], (30, 40)))
    assert (filled == PIXELS).all()


def test_a_region_without_a_mask_is_told_not_drawn(caplog: pytest.LogCaptureFixture) -> None:
    made = function(Stub(encode(np.zeros((30, 40), dtype=bool))), segmenter="sam")
    assert drive(made, label_type="mask") == []
    assert "without a mask" in caplog.text


def test_a_failure_ends_the_call_or_is_skipped_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(DetectorError, match="stub"):
        drive(function(Stub(None, fails=True)))
    assert drive(function(Stub(None, fails=True), skip=True)) == []
    assert "a/1.jpg" in caplog.text


def test_turned_pictures_are_looked_at_upright() -> None:
    looker = Stub(None)
    image = PILImage.new("RGB", (40, 30))
    image.getexif()[0x0112] = 6
    call = driver._DetectionFunctionContextImpl(frame_name="a.jpg")
    function(looker).detect(call, image)
    assert looker.seen[0].size == (30, 40)


def test_create_takes_the_parameters_of_the_command_line(data_dir: Path) -> None:
    made = create("face: head", detector="opencv", options="min_score=0.4; ", device="cpu")
    assert [(label.name, label.type) for label in made.spec.labels] == [("head", "rectangle")]
    call = driver._DetectionFunctionContextImpl(frame_name="blank.png")
    assert made.detect(call, PILImage.new("RGB", (64, 64))) == []
    made.close()


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"prompts": " "}, InputError, "name what to look for"),
        ({"prompts": "dog:"}, InputError, "'dog' has no class"),
        ({"prompts": "dog", "options": "a"}, InputError, "key=value"),
        ({"prompts": "dog", "detector": "no-such"}, PluginNotFoundError, "no-such"),
    ],
)
def test_bad_parameters_are_named(given: dict, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        create(**given, device="cpu")
