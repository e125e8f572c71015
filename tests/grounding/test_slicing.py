from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core import masks
from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import DetectorError, InputError
from groundplane.core.regions import Regions
from groundplane.grounding.slicing import SlicedDetector, tiles
from groundplane.testing.detectors import DetectorContract, make_image

RED, BLUE = (255, 0, 0), (0, 0, 255)


class Blobs:
    """Finds patches of one colour as tight boxes; knows `red` and `blue`.

    Like a network that sees pictures at a fixed size, it misses what is smaller than a share of
    the picture's longer side.
    """

    vocabulary = ("red", "blue")
    capabilities = Capabilities(prompts=frozenset({"vocabulary"}))

    def __init__(self, *, least_share=0.0, with_masks=False, with_candidates=True):
        self.least_share, self.with_masks = least_share, with_masks
        self.with_candidates = with_candidates
        self.calls = []

    def detect(self, requests):
        self.calls.append([request.image.size for request in requests])
        return [self.answer(request) for request in requests]

    def answer(self, request):
        rows = []
        for phrase_id, phrase in enumerate(request.phrases):
            patches = self.patches(request.image.pixels, phrase)
            rows += [(box, patch, 0.9, phrase_id) for box, patch in patches]
        size = request.image.size
        regions = Regions(
            ids=tuple(f"b{i}" for i in range(len(rows))),
            boxes=torch.tensor([row[0] for row in rows], dtype=torch.float32).reshape(-1, 4),
            scores=torch.tensor([row[2] for row in rows], dtype=torch.float32),
            phrases=request.phrases,
            phrase_ids=torch.tensor([row[3] for row in rows], dtype=torch.long),
            image_size=size,
            masks=tuple(masks.encode(row[1]) for row in rows) if self.with_masks and rows else None,
            sources=("blobs",) * len(rows),
        )
        outcomes = tuple(
            Outcome.NONE if phrase in self.vocabulary else Outcome.CANNOT
            for phrase in request.phrases
        )
        seen = DetectResult(regions=regions, outcomes=outcomes, candidates=regions)
        seen = seen.at(request.thresholds or (0.5,) * len(outcomes))
        return (
            seen
            if self.with_candidates
            else DetectResult(regions=seen.regions, outcomes=seen.outcomes)
        )

    def patches(self, pixels, colour):
        from scipy import ndimage

        if colour not in self.vocabulary:
            return
        wanted = (pixels == np.array(RED if colour == "red" else BLUE)).all(axis=2)
        labels, _ = ndimage.label(wanted)
        for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
            box = (columns.start, rows.start, columns.stop, rows.stop)
            longer = max(box[2] - box[0], box[3] - box[1])
            if longer >= self.least_share * max(pixels.shape[:2]):
                yield box, labels == number


def picture(size, *things):
    pixels = np.full((size[1], size[0], 3), 128, dtype=np.uint8)
    for (x0, y0, x1, y1), colour in things:
        pixels[y0:y1, x0:x1] = colour
    return make_image(pixels)


def find(detector, image, *phrases, least=None):
    request = DetectRequest(image=image, phrases=phrases or ("red",), thresholds=least)
    return detector.detect([request])[0]


def boxes_of(result):
    return sorted(result.regions.boxes.tolist())


class TestTiles:
    @settings(max_examples=200, deadline=None)
    @given(
        st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
        st.integers(100, 900),
        st.floats(0.0, 0.5),
    )
    def test_they_cover_the_picture_and_overlap_enough(self, size, tile, overlap):
        cut = tiles(size, tile=tile, overlap=overlap)
        for axis, side in enumerate(size):
            spans = sorted({(box[axis], box[axis + 2]) for box in cut})
            assert spans[0][0] == 0
            assert spans[-1][1] == side
            assert all(stop - start == min(tile, side) for start, stop in spans)
            for (_, stop), (start, _) in pairwise(spans):
                assert stop - start >= int(tile * overlap) - 1
        assert len(set(cut)) == len(cut)

    def test_a_picture_of_one_tile_is_one_tile(self):
        assert tiles((100, 100), tile=100, overlap=0.5) == [(0, 0, 100, 100)]

    @pytest.mark.parametrize(
        "bad", [{"tile": 0}, {"tile": 9, "overlap": 0.95}, {"tile": 9, "overlap": -0.1}]
    )
    def test_numbers_out_of_range_are_refused(self, bad):
        with pytest.raises(InputError, match="tiles: expected"):
            tiles((10, 10), **bad)

    def test_too_many_tiles_are_refused(self):
        with pytest.raises(InputError, match="Try a larger tile"):
            tiles((100_000, 100_000), tile=100)


class TestSlicing:
    def test_small_things_are_found_where_the_whole_view_misses_them(self):
        things = [((30, 40, 50, 60), RED), ((700, 500, 716, 520), RED)]
        image = picture((800, 600), *things)
        blobs = Blobs(least_share=0.05)
        assert len(find(blobs, image).regions) == 0
        found = find(SlicedDetector(blobs, tile=256), image)
        assert boxes_of(found) == [list(box) for box, _ in things]
        assert found.outcomes == (Outcome.FOUND,)

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(st.integers(0, 7), st.integers(0, 5), st.integers(4, 60), st.integers(4, 60)),
            max_size=8,
        ),
        st.booleans(),
    )
    def test_each_thing_is_found_once_wherever_it_is(self, cells, with_masks):
        places = {(c, r): (c * 90, r * 90, c * 90 + w, r * 90 + h) for c, r, w, h in cells}
        image = picture((720, 540), *((box, RED) for box in places.values()))
        sliced = SlicedDetector(Blobs(with_masks=with_masks), tile=200, overlap=0.35)
        found = find(sliced, image)
        assert boxes_of(found) == sorted([float(v) for v in box] for box in places.values())
        for box, mask in zip(found.regions.boxes.tolist(), found.regions.masks or (), strict=False):
            assert list(masks.bounding_box(mask)) == box

    @pytest.mark.parametrize("box", [(10, 200, 780, 240), (150, 150, 650, 450), (0, 0, 800, 600)])
    @pytest.mark.parametrize("with_masks", [False, True])
    def test_a_thing_larger_than_any_tile_is_one_thing(self, box, with_masks):
        found = find(
            SlicedDetector(Blobs(with_masks=with_masks), tile=256), picture((800, 600), (box, RED))
        )
        assert boxes_of(found) == [list(box)]

    def test_pieces_that_no_view_shows_whole_are_put_together(self):
        class NearSighted(Blobs):
            def patches(self, pixels, colour):
                return [] if pixels.shape[1] > 300 else super().patches(pixels, colour)

        box = (40, 100, 760, 130)
        found = find(
            SlicedDetector(NearSighted(with_masks=True), tile=256), picture((800, 256), (box, RED))
        )
        assert boxes_of(found) == [list(box)]
        assert masks.area(found.regions.masks[0]) == 720 * 30

    def test_a_box_comes_back_from_the_view_that_shows_it_whole(self):
        class Wobbly(Blobs):
            """Scores what is cut higher."""

            def answer(self, request):
                result = super().answer(request)
                if request.image.size == (400, 200):
                    return result
                high = Regions(
                    ids=result.regions.ids,
                    boxes=result.regions.boxes,
                    scores=torch.full((len(result.regions),), 0.95),
                    phrases=result.regions.phrases,
                    phrase_ids=result.regions.phrase_ids,
                    image_size=result.regions.image_size,
                )
                return DetectResult(regions=high, outcomes=result.outcomes, candidates=high)

        box = (100, 50, 330, 90)
        found = find(
            SlicedDetector(Wobbly(), tile=200, overlap=0.2), picture((400, 200), (box, RED))
        )
        assert boxes_of(found) == [list(box)]
        assert found.regions.scores.tolist() == pytest.approx([0.95])

    def test_phrases_are_kept_apart(self):
        image = picture((500, 300), ((10, 10, 40, 40), RED), ((400, 200, 440, 260), BLUE))
        found = find(SlicedDetector(Blobs(), tile=128), image, "blue", "red", "green")
        assert found.regions.labels() == ("blue", "red") or found.regions.labels() == (
            "red",
            "blue",
        )
        assert found.outcomes == (Outcome.FOUND, Outcome.FOUND, Outcome.CANNOT)

    def test_all_views_of_all_requests_are_one_call(self):
        blobs = Blobs()
        images = [picture((500, 300)), picture((90, 90)), picture((300, 300))]
        requests = [DetectRequest(image=image, phrases=("red",)) for image in images]
        results = SlicedDetector(blobs, tile=200).detect(requests)
        assert [result.regions.image_size for result in results] == [i.size for i in images]
        assert len(blobs.calls) == 1
        assert blobs.calls[0].count((200, 200)) == 6 + 4

    def test_a_step_says_what_was_looked_at(self):
        found = find(SlicedDetector(Blobs(), tile=200), picture((500, 300)))
        assert [step.detail for step in found.steps] == [
            "6 tiles of 200 pixels and the whole picture"
        ]

    def test_exemplars_are_looked_at_in_the_whole_picture(self):
        blobs = Blobs()
        request = DetectRequest(
            image=picture((500, 300)), phrases=("red",), exemplars=((0.0, 0.0, 5.0, 5.0),)
        )
        SlicedDetector(blobs, tile=200).detect([request])
        assert blobs.calls == [[(500, 300)]]

    def test_candidates_at_thresholds_are_the_look_at_them(self):
        image = picture((500, 300), ((10, 10, 40, 40), RED))
        sliced = SlicedDetector(Blobs(), tile=200)
        assert find(sliced, image, least=(0.95,)).outcomes == (Outcome.NONE,)
        assert boxes_of(find(sliced, image, least=(0.95,)).at((0.9,))) == [[10, 10, 40, 40]]
        assert (
            find(SlicedDetector(Blobs(with_candidates=False), tile=200), image).candidates is None
        )


class TestWhatIsWrapped:
    def test_its_words_and_abilities_are_its_own(self):
        sliced = SlicedDetector(Blobs(), tile=200)
        assert sliced.vocabulary == ("red", "blue")
        assert sliced.capabilities == Blobs.capabilities

    def test_a_wrong_number_of_results_is_named(self):
        class Short(Blobs):
            def detect(self, requests):
                return super().detect(requests)[1:]

        with pytest.raises(DetectorError, match="6 results for 7 requests"):
            find(SlicedDetector(Short(), tile=200), picture((500, 300)))

    def test_a_result_that_breaks_the_contract_is_named(self):
        class Outside(Blobs):
            def answer(self, request):
                result = super().answer(request)
                object.__setattr__(result.regions, "boxes", result.regions.boxes + 900)
                return result

        with pytest.raises(DetectorError, match="leaves the image"):
            find(SlicedDetector(Outside(), tile=200), picture((500, 300), ((0, 0, 9, 9), RED)))

    def test_a_limit_out_of_range_is_refused(self):
        with pytest.raises(InputError, match="iou from 0 to 1"):
            SlicedDetector(Blobs(), tile=200, iou=1.5)


class TestContract(DetectorContract):
    @pytest.fixture
    def detector(self):
        return SlicedDetector(Blobs(), tile=60, overlap=0.3)

    @pytest.fixture
    def images(self):
        return [
            picture((160, 120), ((10, 10, 40, 50), RED), ((90, 20, 150, 100), BLUE)),
            picture((90, 200), ((10, 10, 80, 190), RED)),
            picture((50, 50), ((5, 5, 20, 20), BLUE)),
        ]
