import numpy as np
import pytest
import torch
from torchvision.ops import nms

import groundplane
from groundplane.core.boxes import clip
from groundplane.core.detection import DetectRequest, Outcome
from groundplane.core.errors import InputError, WeightsError
from groundplane.core.feature_cache import shared_cache
from groundplane.core.regions import Regions
from groundplane.plugins import owlv2
from groundplane.plugins.owlv2 import Owlv2Detector, Owlv2Options
from groundplane.testing.checkpoints_owlv2 import save_owlv2
from groundplane.testing.detectors import DetectorContract, make_image

PHRASES = ("red dog", "cup", "small wooden table")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_owlv2(tmp_path_factory.mktemp("owlv2"))


@pytest.fixture(scope="module")
def shared(folder):
    return Owlv2Detector(Owlv2Options(weights=str(folder)))


@pytest.fixture(scope="module")
def plain(folder):
    """Keeps all that the network scores, as the reference does."""
    options = Owlv2Options(weights=str(folder), overlap=1.0, floor=0.0, most=10_000)
    return Owlv2Detector(options)


@pytest.fixture(scope="module")
def reference(folder):
    """transformers' own model and processor."""
    import transformers

    model = transformers.Owlv2ForObjectDetection.from_pretrained(folder).eval()
    return model, transformers.Owlv2Processor.from_pretrained(folder)


def noise(width: int, height: int, seed: int = 0):
    """A picture that differs from place to place at every scale."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3), dtype=np.uint8)
    fine = rng.integers(-20, 21, (height, width, 3))
    blocks = coarse.repeat(16, 0).repeat(16, 1)[:height, :width]
    return make_image(np.clip(blocks + fine, 0, 255).astype(np.uint8))


def one(detector, image, *phrases, **rest):
    return detector.detect([DetectRequest(image=image, phrases=phrases, **rest)])[0]


def by_transformers(reference, image, phrase, *, threshold):
    model, processor = reference
    text = [[f"a photo of a {phrase}"]]
    inputs = processor(
        images=image.pixels, text=text, return_tensors="pt", input_data_format="channels_last"
    )
    with torch.no_grad():
        outputs = model(**inputs)
    width, height = image.size
    return processor.post_process_grounded_object_detection(
        outputs, threshold=threshold, target_sizes=[(height, width)], text_labels=text
    )[0]


def ranked(boxes, scores, size):
    """Boxes within the picture, best first."""
    boxes = clip(boxes, size)
    inside = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    order = scores[inside].argsort(descending=True)
    return boxes[inside][order], scores[inside][order]


def of_phrase(regions: Regions, phrase: int):
    mine = regions.phrase_ids == phrase
    return regions.boxes[mine], regions.scores[mine]


class TestContract(DetectorContract):
    @pytest.fixture
    def detector(self, shared):
        return shared


class TestAgainstTransformers:
    @pytest.mark.parametrize("size", [(160, 100), (96, 96), (97, 300), (500, 333), (20, 7), (1, 1)])
    def test_boxes_and_scores_are_equal(self, plain, reference, size):
        image = noise(*size)
        result = one(plain, image, *PHRASES, thresholds=(0.1,) * 3)
        for index, phrase in enumerate(PHRASES):
            expected = by_transformers(reference, image, phrase, threshold=0.1)
            boxes, scores = ranked(expected["boxes"], expected["scores"], size)
            got_boxes, got_scores = of_phrase(result.regions, index)
            assert len(got_boxes) == len(boxes) > 0 or size == (1, 1)
            torch.testing.assert_close(got_scores, scores, rtol=0, atol=1e-4)
            torch.testing.assert_close(got_boxes, boxes, rtol=0, atol=1e-3 * max(size))

    def test_the_best_phrase_of_a_patch_is_that_of_the_reference(self, plain, reference):
        """Asked together there, with each patch under one phrase only."""
        model, processor = reference
        image = noise(160, 100)
        text = [[f"a photo of a {phrase}" for phrase in PHRASES]]
        inputs = processor(images=image.pixels, text=text, return_tensors="pt")
        with torch.no_grad():
            outputs = model(**inputs)
        expected = processor.post_process_grounded_object_detection(
            outputs, threshold=0.0, target_sizes=[(100, 160)], text_labels=text
        )[0]
        result = one(plain, image, *PHRASES, thresholds=(0.0,) * 3)
        assert len(result.regions) > len(expected["boxes"])
        for index in range(3):
            mine = expected["labels"] == index
            boxes, scores = ranked(expected["boxes"][mine], expected["scores"][mine], (160, 100))
            got_boxes, got_scores = of_phrase(result.regions, index)
            gap = (got_boxes[None] - boxes[:, None]).abs().amax(dim=2)
            nearest = gap.min(dim=1)
            assert nearest.values.max() < 0.2
            torch.testing.assert_close(got_scores[nearest.indices], scores, rtol=0, atol=1e-4)

    def test_the_comparison_would_notice_a_shift(self, plain, reference):
        image = noise(160, 100)
        expected = by_transformers(reference, image, PHRASES[0], threshold=0.1)
        boxes, _ = ranked(expected["boxes"], expected["scores"], (160, 100))
        got, _ = of_phrase(one(plain, image, PHRASES[0]).regions, 0)
        with pytest.raises(AssertionError):
            torch.testing.assert_close(got + 1, boxes, rtol=0, atol=0.16)

    def test_duplicates_are_dropped_as_torchvision_drops_them(self, shared, plain):
        image = noise(160, 100)
        boxes, scores = of_phrase(one(plain, image, "cup", thresholds=(0.02,)).regions, 0)
        kept = nms(boxes, scores, 0.5)[:100]
        got, _ = of_phrase(one(shared, image, "cup", thresholds=(0.02,)).regions, 0)
        torch.testing.assert_close(got, boxes[kept])

    @pytest.mark.parametrize("size", [(600, 400), (100, 300)])
    def test_pictures_are_prepared_as_by_transformers(self, reference, size):
        image = noise(*size)
        expected = reference[1].image_processor(image.pixels, return_tensors="pt")
        mean, std = (torch.tensor(v)[:, None, None] for v in (owlv2._MEAN, owlv2._STD))
        got = (owlv2._square(image, 96, torch.device("cpu")) - mean) / std
        torch.testing.assert_close(got, expected["pixel_values"][0], rtol=0, atol=2e-5)

    def test_a_very_long_picture_needs_no_square_of_its_length(self, monkeypatch):
        monkeypatch.setattr(owlv2, "_LONGEST", 400)
        image = make_image(np.full((300, 60_000, 3), 128, dtype=np.uint8))
        square = owlv2._square(image, 96, torch.device("cpu"))
        assert square.shape == (3, 96, 96)
        assert square[:, 0].mean() > 0.1
        assert square[:, 3:].abs().max() == 0


class TestFrame:
    """OWLv2 pads below and to the right: a box is in shares of the square's side."""

    @pytest.mark.parametrize(
        ("size", "expected"),
        [
            ((640, 480), [160.0, 320.0, 480.0, 480.0]),
            ((480, 640), [160.0, 320.0, 480.0, 480.0]),
            ((640, 640), [160.0, 320.0, 480.0, 480.0]),
        ],
    )
    def test_a_box_lands_where_it_was_seen(self, shared, monkeypatch, size, expected):
        placed(monkeypatch, shared, [0.25, 0.5, 0.75, 0.75])
        result = one(shared, noise(*size, seed=5), "cup", thresholds=(0.0,))
        assert result.regions.boxes[0].tolist() == expected

    def test_a_box_in_the_padding_is_no_box(self, shared, monkeypatch):
        placed(monkeypatch, shared, [0.1, 0.8, 0.2, 0.9])
        result = one(shared, noise(640, 480, seed=6), "cup", thresholds=(0.0,))
        assert len(result.candidates) == 0
        assert result.outcomes == (Outcome.NONE,)


def placed(monkeypatch, detector, box):
    """The network proposes one box only, whatever it sees."""
    encoded = detector._encoded_at_once

    def same(images):
        made = encoded(images)
        for one_made in made:
            one_made.boxes.copy_(torch.tensor(box))
        return made

    monkeypatch.setattr(detector, "_key", ("owlv2", "placed", str(box)))
    monkeypatch.setattr(detector, "_encoded_at_once", same)


class TestPhrases:
    def test_what_is_found_for_one_does_not_depend_on_the_others(self, shared):
        image = noise(160, 100)
        alone = one(shared, image, "cup").regions
        among = one(shared, image, *(f"thing {i}" for i in range(300)), "cup").regions
        boxes, scores = of_phrase(among, 300)
        torch.testing.assert_close(boxes, alone.boxes)
        torch.testing.assert_close(scores, alone.scores, rtol=0, atol=1e-5)

    def test_each_phrase_has_its_own_threshold(self, shared):
        image = noise(160, 100)
        scores = one(shared, image, "cup", thresholds=(0.0,)).regions.scores
        least = (scores[0] + scores[1]).item() / 2
        result = one(shared, image, "cup", "cup", thresholds=(least, 0.0))
        assert (result.regions.phrase_ids == 0).sum() == 1
        assert (result.regions.phrase_ids == 1).sum() == len(scores)

    def test_other_thresholds_need_no_second_look(self, shared):
        image = noise(160, 100)
        low = one(shared, image, *PHRASES, thresholds=(0.05, 0.3, 0.6))
        high = one(shared, image, *PHRASES, thresholds=(0.5, 0.5, 0.5))
        again = high.at((0.05, 0.3, 0.6))
        assert again.regions.ids == low.regions.ids
        assert torch.equal(again.regions.boxes, low.regions.boxes)
        assert again.outcomes == low.outcomes

    def test_a_phrase_that_is_too_long_is_said_to_be(self, shared):
        result = one(shared, noise(160, 100), "zyx " * 12, "cup")
        assert result.outcomes[0] is Outcome.CANNOT
        assert result.outcomes[1] is not Outcome.CANNOT
        assert "tokens" in result.note
        assert "owlv2 reads 24" in result.note

    def test_an_empty_phrase_is_said_to_name_nothing(self, shared):
        result = one(shared, noise(160, 100), " ")
        assert result.outcomes == (Outcome.CANNOT,)
        assert "names nothing" in result.note

    def test_a_template_is_put_around_the_phrase(self, folder, shared):
        bare = Owlv2Detector(Owlv2Options(weights=str(folder), template="{}"))
        image = noise(160, 100)
        same = one(bare, image, "a photo of a cup").regions
        torch.testing.assert_close(same.scores, one(shared, image, "cup").regions.scores)
        assert not torch.equal(same.scores, one(bare, image, "cup").regions.scores)

    def test_braces_in_a_phrase_are_only_text(self, shared):
        assert one(shared, noise(160, 100), "{0} {x}").regions.phrases == ("{0} {x}",)


class TestExemplars:
    def test_the_query_is_the_embedding_of_the_patch_under_the_box(self, shared):
        image = noise(160, 160)
        encoding = shared.encode([image])[0]
        patch = 14
        query = owlv2._exemplar_query(encoding, encoding.boxes[patch])
        fit = owlv2.iou(encoding.boxes[patch][None], encoding.boxes)[0]
        rivals = torch.nonzero(fit >= 0.8 * fit.max()).flatten()
        assert patch in rivals
        assert any(torch.equal(query, encoding.embeddings[i]) for i in rivals)

    def test_a_thing_is_most_like_itself(self, folder):
        """With the network's scale the same everywhere, only the likeness counts."""
        detector = Owlv2Detector(Owlv2Options(weights=str(folder)))
        with torch.no_grad():
            for part in (detector._model.class_head.logit_shift,):
                part.weight.zero_()
            detector._model.class_head.logit_scale.weight.zero_()
        detector._key = ("owlv2", "flat")
        image = noise(160, 160)
        encoding = detector.encode([image])[0]
        box = tuple((encoding.boxes[14] * 160).tolist())
        result = one(detector, image, "that thing", exemplars=(box,), thresholds=(0.0,))
        best = result.regions.boxes[0]
        fits = owlv2.iou(torch.tensor([box]), best[None])[0, 0]
        assert fits > 0.5

    def test_a_text_and_an_exemplar_are_asked_together(self, shared):
        image = noise(160, 160)
        result = one(
            shared,
            image,
            "cup",
            "it",
            exemplars=(None, (10.0, 10.0, 60.0, 60.0)),
            thresholds=(0, 0),
        )
        alone = one(shared, image, "cup", thresholds=(0,))
        torch.testing.assert_close(of_phrase(result.regions, 0)[0], alone.regions.boxes)
        assert (result.regions.phrase_ids == 1).any()

    @pytest.mark.parametrize(
        "box",
        [(200.0, 0.0, 210.0, 9.0), (50.0, 50.0, 50.0, 90.0), (float("nan"), 0.0, 9.0, 9.0)],
    )
    def test_an_exemplar_that_holds_nothing_is_refused(self, shared, box):
        result = one(shared, noise(160, 100), "it", exemplars=(box,))
        assert result.outcomes == (Outcome.CANNOT,)
        assert "holds nothing" in result.note

    def test_an_exemplar_that_no_proposal_overlaps_still_finds_something(self, shared, monkeypatch):
        placed(monkeypatch, shared, [0.1, 0.1, 0.2, 0.2])
        box = (150.0, 150.0, 155.0, 155.0)
        result = one(shared, noise(160, 160, seed=9), "it", exemplars=(box,), thresholds=(0,))
        assert result.outcomes == (Outcome.FOUND,)


class TestBatches:
    def test_a_picture_is_encoded_once(self, shared, monkeypatch):
        shared_cache().clear()
        seen = []
        encoded = shared._encoded_at_once
        monkeypatch.setattr(
            shared, "_encoded_at_once", lambda images: seen.append(len(images)) or encoded(images)
        )
        image, other = noise(160, 100), noise(80, 90)
        requests = [
            DetectRequest(image=picture, phrases=(phrase,))
            for picture in (image, other, image)
            for phrase in ("cup", "dog")
        ]
        shared.prefetch([image, other])
        assert seen == [2]
        shared.detect(requests)
        shared.detect(requests)
        assert seen == [2]

    def test_little_memory_takes_fewer_pictures_at_a_time(self, shared, monkeypatch):
        shared_cache().clear()
        images = [noise(90, 60, seed=seed) for seed in range(5)]
        seen = []
        encoded = shared._encoded_at_once

        def small(some):
            seen.append(len(some))
            if len(some) > 1:
                raise torch.OutOfMemoryError("no room")
            return encoded(some)

        monkeypatch.setattr(shared, "_encoded_at_once", small)
        results = shared.detect([DetectRequest(image=i, phrases=("cup",)) for i in images])
        assert seen.count(1) == 5
        monkeypatch.undo()
        shared_cache().clear()
        again = shared.detect([DetectRequest(image=i, phrases=("cup",)) for i in images])
        for got, expected in zip(results, again, strict=True):
            torch.testing.assert_close(got.regions.boxes, expected.regions.boxes, rtol=0, atol=1e-3)

    def test_one_transfer_a_batch(self, shared, monkeypatch):
        images = [noise(90, 60, seed=seed) for seed in range(4)]
        requests = [DetectRequest(image=i, phrases=PHRASES) for i in images]
        copies = []
        copy = torch.Tensor.cpu
        monkeypatch.setattr(torch.Tensor, "cpu", lambda self: copies.append(1) or copy(self))
        inner = shared._result
        before = []

        def result(*given):
            before.append(len(copies))
            return inner(*given)

        monkeypatch.setattr(shared, "_result", result)
        shared.detect(requests)
        assert before[0] == 1

    def test_what_is_given_can_be_computed_with(self, shared):
        """Tensors of torch's inference mode cannot be: they refuse to be written to."""
        regions = one(shared, noise(90, 60), "cup").regions
        assert not regions.boxes.is_inference()
        assert not regions.scores.is_inference()


class TestRefused:
    def test_no_weights_are_named_with_what_to_give(self):
        with pytest.raises(InputError, match="needs the option 'weights'"):
            groundplane.load("detectors", "owlv2", device="cpu")

    def test_other_weights_are_refused_by_their_kind(self, tmp_path):
        from groundplane.testing.checkpoints import save_grounding_dino

        folder = save_grounding_dino(tmp_path)
        with pytest.raises(
            WeightsError, match=r"expected weights of the kind owlv2.*grounding-dino"
        ):
            Owlv2Detector(Owlv2Options(weights=str(folder)))

    @pytest.mark.parametrize(
        "bad",
        [
            {"threshold": 2.0},
            {"floor": -0.1},
            {"overlap": float("nan")},
            {"most": 0},
            {"batch": 0},
            {"template": "a photo"},
            {"template": "{} {}"},
        ],
    )
    def test_an_option_out_of_range_is_refused(self, bad):
        with pytest.raises(InputError, match=f"option {next(iter(bad))}"):
            Owlv2Options(weights="x", **bad)

    def test_weights_that_overflow_are_said_to(self, folder):
        detector = Owlv2Detector(Owlv2Options(weights=str(folder)))
        with torch.no_grad():
            detector._model.class_head.logit_shift.bias.fill_(float("nan"))
        with pytest.raises(groundplane.GroundplaneError, match="not finite"):
            one(detector, noise(160, 100), "cup")


def test_it_is_loaded_by_its_name(folder):
    detector = groundplane.load("detectors", "owlv2", device="cpu", weights=str(folder))
    assert detector.vocabulary is None
    assert detector.capabilities.prompts == {"text", "exemplar"}
