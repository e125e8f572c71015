"""Experts that know the truth keep the contracts, and err as told, whatever the order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from groundplane.core.detection import DetectRequest, Outcome
from groundplane.core.errors import DetectorError, InputError, ShapeError
from groundplane.core.masks import decode
from groundplane.core.segmentation import SegmentRequest
from groundplane.testing.detectors import DetectorContract, make_image, unlike_images
from groundplane.testing.rooms.oracle import OracleDetector, OracleErrors
from groundplane.testing.rooms.oracle_segmenter import OracleSegmenter
from groundplane.testing.rooms.replay import Replay
from groundplane.testing.segmenters import SegmenterContract

LABELS = {1: "sofa", 2: "chair", 3: "chair", 7: "cup"}


def picture(number=0):
    noise = np.random.default_rng(number).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    return make_image(noise, name=f"seen/{number:05d}.png")


def truth(number=0):
    """A sofa, two chairs and a cup of 2 x 3 pixels; they shift with the number."""
    ids = np.zeros((60, 80), dtype=np.int32)
    ids[10:40, 5:45] = 1
    ids[20:50, 40:60] = 2
    ids[5:30, 62 : 74 - number % 5] = 3
    ids[50:53, 10:12] = 7
    return ids


def replay(num=1):
    kept = Replay(LABELS, name="made")
    for number in range(num):
        kept.add(picture(number), truth(number))
    return kept


def look(errors=None, phrases=("sofa", "chair"), number=0, **options):
    detector = OracleDetector(replay(number + 1), errors, **options)
    return detector.detect([DetectRequest(image=picture(number), phrases=phrases)])[0]


class TestDetectorContract(DetectorContract):
    @pytest.fixture
    def images(self):
        return [picture(0), picture(1), make_image(unlike_images()[0].pixels, name="wide.png")]

    @pytest.fixture
    def phrases(self):
        return ("sofa", "chair", "cup")

    @pytest.fixture
    def detector(self, images):
        kept = replay(2)
        for shape in ((120, 90), (1, 1), (40, 60)):
            for level in (0, 128, 255):
                grey = np.full((*shape, 3), level, dtype=np.uint8)
                kept.add(make_image(grey), np.zeros(shape, dtype=np.int32))
        wide = np.zeros((120, 90), dtype=np.int32)
        wide[20:60, 10:50] = 2
        kept.add(images[2], wide)
        noisy = OracleErrors(miss=0.1, jitter=2, bleed=1, false_alarms=2, spread=0.1, flicker=0.2)
        return OracleDetector(kept, noisy)


class TestSegmenterContract(SegmenterContract):
    @pytest.fixture
    def images(self):
        return [picture(0), picture(1), unlike_images()[0]]

    @pytest.fixture
    def segmenter(self, images):
        kept = replay(2)
        wide = np.zeros((120, 90), dtype=np.int32)
        wide[20:110, 10:80] = 2
        kept.add(images[2], wide)
        return ShownAll(kept)


class ShownAll:
    """Shows the segmenter the pictures that the contract makes up, as bare walls."""

    capabilities = OracleSegmenter.capabilities

    def __init__(self, kept):
        self.kept, self.segmenter = kept, OracleSegmenter(kept)

    def segment(self, requests):
        for image in (request.image for request in requests):
            try:
                self.kept.name_of(image)
            except DetectorError:
                self.kept.add(image, np.zeros(image.pixels.shape[:2], dtype=np.int32))
        return self.segmenter.segment(requests)


def test_without_errors_masks_and_boxes_are_the_truth():
    regions = look(phrases=("couch", "chairs")).regions
    assert regions.labels() == ("couch", "chairs", "chairs")
    ids = truth()
    for mask, id in zip(regions.masks, (1, 2, 3), strict=True):
        assert np.array_equal(decode(mask), ids == id)
    assert regions.boxes.tolist() == [[5, 10, 40 + 5, 40], [40, 20, 60, 50], [62, 5, 74, 30]]


def test_what_shows_too_few_pixels_is_not_seen():
    assert look(phrases=("cup",)).outcomes == (Outcome.NONE,)
    assert look(OracleErrors(least_pixels=6), phrases=("cup",)).outcomes == (Outcome.FOUND,)


def test_furniture_that_is_not_there_is_none_and_other_words_cannot_be_looked_for():
    result = look(phrases=("bathtub", "spaceship", "blue chair"))
    assert result.outcomes == (Outcome.NONE, Outcome.CANNOT, Outcome.CANNOT)
    assert "spaceship" in result.note


def test_a_picture_that_was_not_shown_is_refused():
    detector = OracleDetector(replay())
    with pytest.raises(DetectorError, match="none of the 1"):
        detector.detect([DetectRequest(image=picture(3), phrases=("sofa",))])


def test_a_picture_of_another_size_is_refused():
    small = make_image(np.zeros((6, 8, 3), dtype=np.uint8), name="00000.png")
    with pytest.raises(DetectorError, match="80 x 60"):
        OracleDetector(replay()).detect([DetectRequest(image=small, phrases=("sofa",))])


def test_a_picture_read_again_from_another_file_is_found_by_its_name():
    again = make_image(picture().pixels // 2, name="other/folder/00000.png")
    result = OracleDetector(replay()).detect([DetectRequest(image=again, phrases=("sofa",))])[0]
    assert result.outcomes == (Outcome.FOUND,)


def test_ids_without_a_label_or_of_another_size_are_refused():
    with pytest.raises(InputError, match="no label"):
        Replay({1: "sofa"}).add(picture(), truth())
    with pytest.raises(ShapeError, match="ids"):
        Replay(LABELS).add(picture(), truth()[:5])
    with pytest.raises(InputError, match="65535"):
        Replay({0: "sofa"})


def sights(errors, num=100, phrases=("sofa", "chair")):
    """What is seen in many pictures of the same three things."""
    detector = OracleDetector(replay(num), errors)
    asked = [DetectRequest(image=picture(i), phrases=phrases) for i in range(num)]
    return [result.regions for result in detector.detect(asked)]


@pytest.mark.parametrize("name", ["miss", "flicker"])
def test_a_share_of_sights_is_missed_or_called_otherwise(name):
    regions = sights(OracleErrors(**{name: 0.3}), phrases=("sofa",))
    # Of 100 sights; the standard deviation is 4.6.
    true = sum(any(id.endswith("-1") for id in r.ids) for r in regions)
    assert 70 - 18 <= true <= 70 + 18


def test_what_is_lost_or_confused_is_so_in_all_pictures():
    for errors in (OracleErrors(lost=0.5, seed=3), OracleErrors(confusion=0.5, seed=3)):
        seen = [frozenset(i.split("-")[1] for i in r.ids) for r in sights(errors, num=12)]
        assert len(set(seen)) == 1
    all_lost = sights(OracleErrors(lost=1.0), num=3)
    assert [len(r) for r in all_lost] == [0, 0, 0]


def test_confused_things_are_called_by_a_word_of_the_room():
    result = look(OracleErrors(confusion=1.0), phrases=("sofa", "chair", "cup"))
    names = dict(zip(result.regions.ids, result.regions.labels(), strict=True))
    assert set(names) == {"00000-1", "00000-2", "00000-3"}
    assert names["00000-1"] in ("chair", "cup")


def test_jitter_moves_boxes_by_as_much_as_told_and_leaves_masks():
    plain, moved = sights(None), sights(OracleErrors(jitter=2.0))
    off = torch.cat([a.boxes - b.boxes for a, b in zip(plain, moved, strict=True)])
    inner = off[:, [0, 1]]  # no sides there at which a box would be cut off
    assert 1.8 < float(inner.std()) < 2.2
    assert abs(float(inner.mean())) < 0.2
    assert plain[0].masks == moved[0].masks


def test_bleeding_masks_are_wider_or_narrower():
    areas = [decode(r.masks[0]).sum() for r in sights(OracleErrors(bleed=1.5), num=40)]
    true = decode(look().regions.masks[0]).sum()
    assert min(areas) < true < max(areas)


def test_false_alarms_are_as_many_as_told_and_lie_on_no_thing():
    regions = sights(OracleErrors(false_alarms=2.0))
    alarms = [(r, i) for r in regions for i, id in enumerate(r.ids) if "--" in id]
    assert 100 < len(alarms) <= 230  # of 200; those on things, here on half, are left out
    for r, i in alarms[:20]:
        number = int(r.ids[i].split("-")[0])
        assert (truth(number)[decode(r.masks[i])] == 0).all()
        assert float(r.scores[i]) == pytest.approx(0.45)


def test_errors_depend_on_neither_the_order_nor_what_else_is_asked():
    errors = OracleErrors(miss=0.3, jitter=3, bleed=1, flicker=0.2, spread=0.1, seed=5)
    detector = OracleDetector(replay(8), errors)
    asked = [DetectRequest(image=picture(i), phrases=("chair",)) for i in range(8)]
    forth, back = detector.detect(asked), detector.detect(asked[::-1])[::-1]
    wide = [replace(request, phrases=("cup", "chair", "sofa")) for request in asked]
    for one, two, three in zip(forth, back, detector.detect(wide), strict=True):
        assert torch.equal(one.regions.boxes, two.regions.boxes)
        chairs = three.regions.boxes[three.regions.phrase_ids == 1]
        assert torch.equal(one.regions.boxes, chairs)


def test_another_seed_gives_other_errors():
    one, two = (look(OracleErrors(jitter=2, seed=seed)).regions.boxes for seed in (0, 1))
    assert not torch.equal(one, two)


def test_without_masks_there_are_boxes_only():
    assert look(masks=False).regions.masks is None


@pytest.mark.parametrize(
    ("name", "value"), [("miss", 1.5), ("lost", -0.1), ("jitter", -1), ("bleed", float("nan"))]
)
def test_errors_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(InputError, match=name):
        OracleErrors(**{name: value})


def segment(**prompts):
    return OracleSegmenter(replay()).segment([SegmentRequest(image=picture(), **prompts)])[0]


def test_a_box_gives_the_thing_with_the_box_most_alike():
    regions = segment(boxes=torch.tensor([[41.0, 18.0, 61.0, 52.0], [4.0, 12.0, 44.0, 41.0]]))
    assert [int(decode(mask).sum()) for mask in regions.masks] == [600, int((truth() == 1).sum())]


def test_points_name_what_is_under_them_and_off_points_what_is_not_meant():
    points = torch.tensor([[[50.0, 30.0], [52.0, 30.0]], [[50.0, 30.0], [50.0, 31.0]]])
    regions = segment(points=points, point_labels=torch.tensor([[1, 1], [1, 0]]))
    assert [int(decode(mask).sum()) for mask in regions.masks] == [600, 0]


def test_walls_are_no_things():
    regions = segment(points=torch.tensor([[[1.0, 1.0]]]))
    assert float(regions.scores[0]) == 0.0
    assert not decode(regions.masks[0]).any()


def test_embeddings_are_refused():
    with pytest.raises(InputError, match="embeddings"):
        segment(embeddings=torch.zeros(1, 1, 4))
