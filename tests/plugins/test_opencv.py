import threading
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from skimage import data as pictures

from groundplane.core.boxes import from_xywh, iou
from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import InputError, PluginBrokenError
from groundplane.core.image import Image
from groundplane.core.media import read_image
from groundplane.grounding.router import Router
from groundplane.plugins.opencv import OpenCVDetector, OpenCVOptions
from groundplane.testing.detectors import DetectorContract, make_image

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder ../shared/data is absent")

# Seen by eye on the photos: the faces that the detector finds, left, top, width, height.
FACES = {
    "coco/images/000000229358.jpg": (271, 94, 49, 49),
    "coco/images/000000349860.jpg": (347, 20, 32, 32),
    "coco/images/000000475546.jpg": (227, 148, 30, 30),
    "coco/images/000000547503.jpg": (263, 151, 31, 31),
    "awkward/pillow/hopper.png": (36, 22, 54, 54),
}


@pytest.fixture(scope="module")
def shared() -> OpenCVDetector:
    return OpenCVDetector(OpenCVOptions())


def astronaut() -> Image:
    return make_image(pictures.astronaut())


def find(
    detector: OpenCVDetector | Router, image: Image, *phrases: str, least=None
) -> DetectResult:
    request = DetectRequest(image=image, phrases=phrases, thresholds=least)
    return detector.detect([request])[0]


def boxes_of(result: DetectResult, phrase: int) -> torch.Tensor:
    return result.regions.boxes[result.regions.phrase_ids == phrase]


class TestContract(DetectorContract):
    @pytest.fixture
    def detector(self, shared):
        return shared

    @pytest.fixture
    def images(self):
        person = pictures.astronaut()
        return [
            make_image(person),
            make_image(person[:200, 120:330]),
            make_image(pictures.coffee()),
        ]


class TestAstronaut:
    def test_there_is_one_face(self, shared):
        result = find(shared, astronaut(), "face")
        assert result.regions.boxes.tolist() == [[177, 66, 272, 161]]
        assert result.outcomes == (Outcome.FOUND,)

    def test_both_eyes_are_found_within_the_face(self, shared):
        result = find(shared, astronaut(), "eyes")
        truth = from_xywh(torch.tensor([[187.0, 86, 30, 30], [233, 90, 27, 27]]))
        found = result.regions.boxes[result.regions.boxes[:, 0].argsort()]
        assert iou(found, truth).diagonal().min() > 0.6
        assert len(found) == 2

    def test_the_score_of_a_clear_face_is_high(self, shared):
        assert 0.75 < find(shared, astronaut(), "face").regions.scores.item() < 1

    def test_a_threshold_above_the_score_leaves_none(self, shared):
        result = find(shared, astronaut(), "face", least=(0.95,))
        assert result.outcomes == (Outcome.NONE,)
        assert len(result.regions) == 0

    def test_a_lower_threshold_gives_the_same_and_more(self):
        detector = OpenCVDetector(OpenCVOptions(min_neighbors=1))
        usual = find(detector, astronaut(), "face")
        eager = find(detector, astronaut(), "face", least=(0.0,))
        assert eager.regions.ids[: len(usual.regions)] == usual.regions.ids
        assert eager.regions.boxes[: len(usual.regions)].tolist() == usual.regions.boxes.tolist()
        assert len(eager.regions) > len(usual.regions)

    def test_eyes_do_not_follow_the_threshold_of_faces(self, shared):
        result = find(shared, astronaut(), "face", "eye", least=(0.99, 0.5))
        assert result.outcomes == (Outcome.NONE, Outcome.FOUND)

    def test_each_phrase_gets_its_own_regions(self, shared):
        result = find(shared, astronaut(), "face", "the faces")
        assert result.regions.ids == ("face-0", "face-0/1")
        assert result.regions.phrase_ids.tolist() == [0, 1]

    def test_a_large_picture_is_searched_smaller_and_boxes_are_scaled_back(self, shared):
        large = cv2.resize(pictures.astronaut(), (2048, 2048), interpolation=cv2.INTER_CUBIC)
        found = find(shared, make_image(large), "face").regions.boxes
        truth = from_xywh(torch.tensor([[177.0, 66, 95, 95]])) * 4
        assert len(found) == 1
        assert iou(found, truth).item() > 0.85

    def test_pixels_that_cannot_be_written_to_will_do(self, shared):
        image = astronaut()
        image.pixels.flags.writeable = False
        assert len(find(shared, image, "face").regions) == 1

    def test_pixels_with_a_stride_will_do(self, shared):
        wide = np.repeat(pictures.astronaut(), 2, axis=1)
        image = make_image(pictures.astronaut())
        strided = Image(pixels=wide[:, ::2], source=image.source, frame_map=image.frame_map)
        assert find(shared, strided, "face").regions.boxes.tolist() == [[177, 66, 272, 161]]

    def test_threads_get_what_one_gets_alone(self, shared):
        images = [astronaut(), make_image(pictures.astronaut()[:, ::-1])] * 2
        alone = [find(shared, image, "face", "eye").regions.boxes.tolist() for image in images]
        together: list[object] = [None] * len(images)

        def work(index: int) -> None:
            result = find(shared, images[index], "face", "eye")
            together[index] = result.regions.boxes.tolist()

        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(images))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert together == alone


class FakeCascades:
    """Proposes one face; each look at it then gives the next count."""

    def __init__(self, counts) -> None:
        self.counts = list(counts)

    def find(self, name, grey, **_):
        if grey.shape == (300, 300):
            return [((100, 100, 80, 80), 9)]
        # The face begins 40 pixels inside the judged crop; the far box must not be counted.
        return [((0, 0, 80, 80), 999), ((42, 40, 80, 80), self.counts.pop(0))]


class TestScore:
    @pytest.fixture
    def image(self):
        return make_image(np.zeros((300, 300, 3), np.uint8))

    @pytest.mark.parametrize("weakest", range(12))
    def test_the_weakest_of_twelve_looks_decides(self, monkeypatch, image, weakest):
        detector = OpenCVDetector(OpenCVOptions())
        counts = [36] * 12
        counts[weakest] = 12 if weakest % 2 else 11
        monkeypatch.setattr(detector, "_cascades", FakeCascades(counts))
        result = find(detector, image, "face")
        assert result.regions.scores.tolist() == ([0.5] if weakest % 2 else [])

    def test_the_score_rises_with_the_agreement(self, monkeypatch, image):
        detector = OpenCVDetector(OpenCVOptions())
        scores = []
        for count in (12, 36, 1188):
            monkeypatch.setattr(detector, "_cascades", FakeCascades([count] * 12))
            scores += find(detector, image, "face").regions.scores.tolist()
        assert scores == pytest.approx([0.5, 0.75, 0.99])

    def test_eyes_are_looked_for_only_in_faces_that_are_sure(self, monkeypatch, image):
        detector = OpenCVDetector(OpenCVOptions())
        monkeypatch.setattr(detector, "_cascades", FakeCascades([6] * 12))
        monkeypatch.setattr(detector, "_eyes", lambda *_: pytest.fail("an unsure face was used"))
        result = find(detector, image, "face", "eye", least=(0.1, 0.1))
        assert result.outcomes == (Outcome.FOUND, Outcome.NONE)


class TestNoFace:
    @pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket", "camera"])
    def test_no_face_is_seen_where_no_face_looks_at_us(self, shared, name):
        pixels = getattr(pictures, name)()
        rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
        result = find(shared, make_image(rgb), "face", "eye")
        assert result.outcomes == (Outcome.NONE, Outcome.NONE)
        assert "only upright frontal faces" in result.note

    def test_without_the_judges_there_would_be_false_faces(self):
        detector = OpenCVDetector(OpenCVOptions(min_neighbors=1))
        cat = make_image(pictures.chelsea())
        assert find(detector, cat, "face", least=(0.0,)).outcomes == (Outcome.FOUND,)
        assert find(detector, cat, "face").outcomes == (Outcome.NONE,)


class TestWords:
    def test_another_word_cannot_be_looked_for(self, shared):
        result = find(shared, astronaut(), "sofa", "face")
        assert result.outcomes == (Outcome.CANNOT, Outcome.FOUND)
        assert result.note == "this expert cannot look for 'sofa'; it knows: face, eye"

    def test_thousands_of_other_words_leave_a_note_that_can_be_read(self, shared):
        words = tuple(f"thing number {number}" for number in range(3000))
        result = find(Router.of(shared, name="opencv"), astronaut(), *words)
        assert set(result.outcomes) == {Outcome.CANNOT}
        assert "'thing number 0'" in result.note
        assert len(result.note) < 10_000

    def test_what_it_cannot_check_is_not_claimed(self, shared):
        result = find(shared, astronaut(), "smiling face")
        assert result.outcomes == (Outcome.CANNOT,)
        assert "cannot check 'smiling'" in result.note
        assert len(result.regions) == 0

    def test_nothing_is_searched_when_nothing_can_be_found(self, shared, monkeypatch):
        monkeypatch.setattr(shared, "_faces", lambda *_, **__: pytest.fail("searched"))
        assert find(shared, astronaut(), "sofa").outcomes == (Outcome.CANNOT,)


class TestSetUp:
    @pytest.mark.parametrize(
        ("name", "value"),
        [("scale", 1.0), ("scale", float("nan")), ("min_neighbors", 0), ("min_score", 1.5),
         ("min_side", 3), ("max_side", 0)],
    )  # fmt: skip
    def test_an_option_out_of_range_is_named(self, name, value):
        with pytest.raises(InputError, match=f"option {name}: expected"):
            OpenCVOptions(**{name: value})

    def test_opencv_without_cascades_is_told_with_the_fix(self, monkeypatch, tmp_path):
        monkeypatch.setattr(cv2, "data", SimpleNamespace(haarcascades=str(tmp_path)))
        with pytest.raises(PluginBrokenError, match=r"expected OpenCV 4 .*pip install .*<5"):
            OpenCVDetector(OpenCVOptions())

    def test_opencv_without_the_classifier_is_told_too(self, monkeypatch):
        monkeypatch.delattr(cv2, "CascadeClassifier")
        with pytest.raises(PluginBrokenError, match="expected OpenCV 4"):
            OpenCVDetector(OpenCVOptions())

    def test_a_shorter_least_side_loses_the_face(self):
        strict = OpenCVDetector(OpenCVOptions(min_side=150))
        assert find(strict, astronaut(), "face").outcomes == (Outcome.NONE,)

    def test_tensors_are_put_on_the_device(self):
        detector = OpenCVDetector(OpenCVOptions(), device="meta")
        regions = find(detector, make_image(np.zeros((30, 30, 3), np.uint8)), "face").regions
        assert regions.boxes.device.type == "meta"


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(width=st.integers(1, 60), height=st.integers(1, 60), seed=st.integers(0, 99))
def test_any_small_picture_is_answered_inside_its_frame(shared, width, height, seed):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    regions = find(shared, make_image(noise), "face", "eye", least=(0.0, 0.0)).regions
    assert (regions.boxes >= 0).all()
    assert (regions.boxes[:, 2:] <= torch.tensor([width, height])).all()


@needs_data
class TestPhotos:
    @pytest.mark.slow
    def test_every_face_found_is_a_true_one(self, shared):
        photos = sorted((DATA / "photos").glob("*.jp*g"))
        photos += sorted((DATA / "coco" / "images").glob("*.jpg"))
        assert len(photos) == 51
        found = {}
        for photo in photos:
            for box in find(shared, read_image(photo), "face").regions.boxes.tolist():
                found.setdefault(photo.name, []).append(box)
        truth = {name.split("/")[-1]: box for name, box in FACES.items() if "coco" in name}
        assert set(found) == set(truth)
        for name, boxes in found.items():
            assert len(boxes) == 1, name
            overlap = iou(torch.tensor(boxes), from_xywh(torch.tensor([truth[name]]).float()))
            assert overlap.item() > 0.7, name

    @pytest.mark.parametrize("name", FACES)
    def test_eyes_lie_in_the_upper_part_of_the_face(self, shared, name):
        x, y, side, _ = FACES[name]
        result = find(shared, read_image(DATA / name), "eye", "face")
        eyes = boxes_of(result, 0)
        assert 1 <= len(eyes) <= 2
        assert (eyes[:, 0] >= x - 3).all()
        assert (eyes[:, 2] <= x + side + 3).all()
        assert (eyes[:, 1] >= y).all()
        assert (eyes[:, 3] <= y + 0.65 * side).all()
