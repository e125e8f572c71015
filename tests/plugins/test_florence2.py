import json

import numpy as np
import pytest
import torch

import groundplane
from groundplane.core import masks
from groundplane.core.detection import DetectRequest, Outcome
from groundplane.core.errors import InputError, WeightsError
from groundplane.core.feature_cache import shared_cache
from groundplane.plugins import florence2
from groundplane.plugins.florence2 import Florence2Detector, Florence2Options
from groundplane.testing.checkpoints_florence2 import save_florence2
from groundplane.testing.detectors import DetectorContract, make_image

TOKENS = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_florence2(tmp_path_factory.mktemp("florence2"))


@pytest.fixture(scope="module")
def shared(folder):
    return Florence2Detector(Florence2Options(weights=str(folder), tokens=TOKENS, batch=16))


@pytest.fixture(scope="module")
def segmenting(folder):
    options = Florence2Options(weights=str(folder), tokens=TOKENS, task="segment")
    return Florence2Detector(options)


@pytest.fixture(scope="module")
def reference(folder):
    """transformers' own model and processor."""
    import transformers

    model = transformers.Florence2ForConditionalGeneration.from_pretrained(folder).eval()
    return model, transformers.Florence2Processor.from_pretrained(folder)


def noise(width: int, height: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3), dtype=np.uint8)
    return make_image(coarse.repeat(16, 0).repeat(16, 1)[:height, :width].copy())


def one(detector, image, *phrases, **rest):
    return detector.detect([DetectRequest(image=image, phrases=phrases, **rest)])[0]


def says(monkeypatch, detector, *texts, chance=0.5):
    """The model writes these texts in turn, whatever it is asked."""
    answers = iter(texts)

    def ask(questions):
        said = []
        for _ in questions:
            ids = detector._tokenizer(next(answers), add_special_tokens=False)["input_ids"]
            said.append(detector._said(torch.tensor(ids).double(), torch.full((len(ids),), chance)))
        return said

    monkeypatch.setattr(detector, "_ask", ask)


def places(*numbers):
    return "".join(f"<loc_{number}>" for number in numbers)


class TestContract(DetectorContract):
    @pytest.fixture
    def detector(self, shared):
        return shared


class TestAgainstTransformers:
    @pytest.mark.parametrize("size", [(160, 100), (64, 64), (90, 200)])
    @pytest.mark.parametrize("phrase", ["red cup", "dog", "a small wooden table"])
    def test_text_and_boxes_are_equal(self, shared, reference, monkeypatch, size, phrase):
        model, processor = reference
        image = noise(*size, seed=size[0])
        task = "<OPEN_VOCABULARY_DETECTION>"
        inputs = processor(images=image.pixels, text=task + phrase, return_tensors="pt")
        # Resizing differs by a grey level from library to library: both read the same pixels.
        monkeypatch.setattr(
            shared,
            "_encoded",
            lambda _: shared._model.get_image_features(inputs["pixel_values"]).pooler_output[0],
        )
        monkeypatch.setattr(shared, "_key", ("florence2", "reference", size, phrase))
        with torch.no_grad():
            ids = model.generate(**inputs, max_new_tokens=TOKENS, num_beams=1, do_sample=False)
        text = processor.batch_decode(
            ids[:, 1:], skip_special_tokens=False, clean_up_tokenization_spaces=False
        )[0]
        question = florence2._Question(
            image=image, prompt=florence2._TASKS["detect"].format(phrase)
        )
        assert shared._ask([question])[0].text == text

        # Its processor drops boxes without words before them; words are put there.
        worded = text.replace("<loc_", "cup<loc_", 1)
        expected = processor.post_process_generation(worded, task=task, image_size=size)[task]
        boxes = torch.tensor(expected["bboxes"]).reshape(-1, 4).float()
        boxes = torch.cat([boxes.view(-1, 2, 2).amin(1), boxes.view(-1, 2, 2).amax(1)], dim=1)
        boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(dim=1)]
        got = one(shared, image, phrase).regions.boxes
        assert len(boxes) > 0
        # Whole pixels there, cut; the middle of the cell here.
        away = (got[:, None] - boxes[None]).abs().amax(dim=2).min(dim=0).values
        assert away.max() <= 1.0

    def test_pictures_are_prepared_within_a_grey_level(self, shared, reference):
        image = noise(300, 200)
        expected = reference[1].image_processor(image.pixels, return_tensors="pt")["pixel_values"]
        got = florence2.prepare_pixels([image.pixels], shared._rule).values
        assert (got - expected).abs().max() <= 2 / 255 / 0.224

    def test_a_score_is_the_mean_chance_of_its_four_tokens(self, shared, reference):
        model, processor = reference
        image = noise(160, 100)
        question = florence2._Question(image=image, prompt="Locate dog in the image.")
        said = shared._ask([question])[0]
        inputs = processor(
            images=image.pixels, text="<OPEN_VOCABULARY_DETECTION>dog", return_tensors="pt"
        )
        inputs["pixel_values"] = florence2.prepare_pixels([image.pixels], shared._rule).values
        with torch.no_grad():
            out = model.generate(
                **inputs,
                max_new_tokens=TOKENS,
                num_beams=1,
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
            )
        chances = [logits[0].softmax(-1) for logits in out.logits]
        ids = out.sequences[0, 1:].tolist()
        run = [
            (shared._bins[i], p[i].item())
            for i, p in zip(ids, chances, strict=True)
            if i in shared._bins
        ]
        (x0, a), (y0, b), (x1, c), (y1, d) = run[:4]
        corners = min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
        assert said.places[corners] == pytest.approx((a + b + c + d) / 4, abs=1e-5)


class TestReading:
    def test_a_box_is_in_shares_of_the_picture(self, shared, monkeypatch):
        says(monkeypatch, shared, f"cup{places(52, 332, 932, 774)}</s>")
        result = one(shared, noise(640, 480), "cup")
        expected = [[33.6, 159.6, 596.8, 371.76]]
        torch.testing.assert_close(result.regions.boxes, torch.tensor(expected))
        assert result.regions.scores.tolist() == [0.5]

    def test_all_boxes_of_an_answer_belong_to_its_phrase(self, shared, monkeypatch):
        """Whatever words it writes: it was asked for one thing."""
        says(
            monkeypatch,
            shared,
            f"cat dog{places(0, 0, 9, 9, 20, 20, 40, 40)}",
            f"dog{places(5, 5, 70, 70)}cat{places(8, 8, 80, 90)}",
        )
        result = one(shared, noise(100, 100), "cat", "dog")
        assert sorted(result.regions.phrase_ids.tolist()) == [0, 0, 1, 1]

    @pytest.mark.parametrize(
        "text",
        ["", "</s>", "no idea", "<loc_1><loc_2>", "<poly></poly>", "<loc_9><loc_9><loc_9><loc_9>"],
    )
    def test_what_has_no_place_ends_in_none_with_a_note(self, shared, monkeypatch, text):
        says(monkeypatch, shared, text)
        result = one(shared, noise(100, 80), "cup")
        assert result.outcomes == (Outcome.NONE,)
        assert "for 'cup' it wrote no place that can be read" in result.note

    def test_what_is_cut_off_keeps_what_is_whole(self, shared, monkeypatch):
        says(monkeypatch, shared, f"cup{places(10, 10, 50, 50, 60, 60)}")
        result = one(shared, noise(100, 100), "cup")
        assert result.outcomes == (Outcome.FOUND,)
        assert len(result.regions) == 1
        assert "could not be read" in result.note

    def test_corners_in_the_wrong_order_keep_their_score(self, shared, monkeypatch):
        says(monkeypatch, shared, f"cup{places(50, 60, 10, 20)}", chance=0.25)
        result = one(shared, noise(1000, 1000), "cup")
        assert result.regions.boxes.tolist() == [[10.5, 20.5, 50.5, 60.5]]
        assert result.regions.scores.tolist() == [0.25]

    def test_each_phrase_has_its_own_threshold_without_a_new_look(self, shared, monkeypatch):
        says(monkeypatch, shared, f"a{places(1, 1, 50, 50)}", f"b{places(1, 1, 50, 50)}")
        result = one(shared, noise(100, 100), "a", "b", thresholds=(0.4, 0.6))
        assert result.outcomes == (Outcome.FOUND, Outcome.NONE)
        assert result.at((0.6, 0.4)).outcomes == (Outcome.NONE, Outcome.FOUND)

    @pytest.mark.parametrize("phrase", ["<loc_3>", "a </s> cup", "<poly>"])
    def test_a_phrase_cannot_write_the_models_own_tokens(self, shared, phrase):
        result = one(shared, noise(100, 80), phrase)
        assert result.outcomes == (Outcome.CANNOT,)
        assert "angle brackets" in result.note

    def test_a_phrase_that_is_too_long_is_said_to_be(self, shared):
        result = one(shared, noise(100, 80), "zyxwv " * 200)
        assert result.outcomes == (Outcome.CANNOT,)
        assert "florence2 reads 251" in result.note

    def test_the_longest_phrase_that_is_read_is_answered(self, shared):
        phrase = "z"
        while not shared._fault(phrase + "z", None, 0):
            phrase += "z"
        assert len(shared._ids(florence2._TASKS["detect"].format(phrase))) == 251
        assert one(shared, noise(100, 80), phrase).outcomes[0] is not Outcome.CANNOT

    def test_an_answer_is_no_longer_than_the_model_can_write(self, folder):
        detector = Florence2Detector(Florence2Options(weights=str(folder)))
        assert one(detector, noise(100, 80), "cup").regions.phrases == ("cup",)

    def test_an_exemplar_is_said_not_to_be_taken(self, shared):
        result = one(shared, noise(100, 80), "it", exemplars=((1.0, 1.0, 9.0, 9.0),))
        assert result.outcomes == (Outcome.CANNOT,)
        assert "takes no exemplar" in result.note


class TestMasks:
    SQUARE = places(100, 100, 300, 100, 300, 300, 100, 300)
    TRIANGLE = places(500, 500, 900, 500, 900, 900)

    @pytest.mark.parametrize("tags", [("", ""), ("<poly>", "</poly>"), ("cup<poly>", "</poly>")])
    def test_an_outline_becomes_a_mask(self, segmenting, monkeypatch, tags):
        says(monkeypatch, segmenting, tags[0] + self.SQUARE + tags[1] + "</s>")
        result = one(segmenting, noise(200, 100), "cup")
        mask = result.regions.masks[0]
        expected = masks.from_polygons(
            [[20.1, 10.05, 60.1, 10.05, 60.1, 30.05, 20.1, 30.05]], (100, 200)
        )
        assert mask == expected
        assert masks.area(mask) == 40 * 20
        assert result.regions.boxes.tolist() == [[20.0, 10.0, 60.0, 30.0]]

    def test_parts_that_are_set_apart_are_one_thing(self, segmenting, monkeypatch):
        says(monkeypatch, segmenting, f"{self.SQUARE}<sep>{self.TRIANGLE}")
        result = one(segmenting, noise(100, 100), "cup")
        assert len(result.regions) == 1
        assert masks.area(result.regions.masks[0]) > 400 + 700

    @pytest.mark.parametrize("text", ["", places(1, 2, 3), places(5, 5, 5, 5, 5, 5), "cup"])
    def test_what_is_no_outline_ends_in_none(self, segmenting, monkeypatch, text):
        says(monkeypatch, segmenting, text)
        result = one(segmenting, noise(100, 100), "cup")
        assert result.outcomes == (Outcome.NONE,)
        assert "wrote no place" in result.note

    def test_it_says_that_it_gives_masks(self, segmenting, shared):
        assert segmenting.capabilities.masks
        assert not shared.capabilities.masks

    def test_random_weights_give_masks_of_the_pictures_size(self, segmenting):
        result = one(segmenting, noise(120, 80), "red cup", "dog", "tree")
        assert result.regions.masks is not None
        assert all(mask.size == (80, 120) for mask in result.regions.masks)


class TestSurvey:
    def test_objects_have_the_words_that_were_written(self, shared, monkeypatch):
        says(
            monkeypatch,
            shared,
            f"car{places(0, 0, 99, 99)}wheel{places(0, 0, 9, 9, 50, 50, 60, 60)}"
            f"car{places(1, 1, 80, 80)}",
        )
        found = shared.survey([noise(100, 100)])[0]
        assert found.phrases == ("car", "wheel")
        assert sorted(found.labels()) == ["car", "car", "wheel", "wheel"]

    def test_proposals_have_no_words(self, shared, monkeypatch):
        says(monkeypatch, shared, places(0, 0, 99, 99, 5, 5, 20, 20))
        found = shared.survey([noise(100, 100)], task="proposals")[0]
        assert found.phrases == ()
        assert found.phrase_ids.tolist() == [-1, -1]

    def test_phrases_of_a_caption_are_located(self, shared):
        found = shared.survey([noise(100, 100)], task="ground", caption="a cup on a table")[0]
        assert found.image_size == (100, 100)

    @pytest.mark.parametrize(
        ("task", "caption"),
        [("ground", ""), ("objects", "a cup"), ("ground", "<loc_1>")],
    )
    def test_a_caption_goes_with_its_task_only(self, shared, task, caption):
        with pytest.raises(InputError, match="survey: expected a plain caption"):
            shared.survey([noise(100, 100)], task=task, caption=caption)


class TestBatches:
    def test_a_picture_is_encoded_once(self, shared, monkeypatch):
        shared_cache().clear()
        seen = []
        encoded = shared._encoded
        monkeypatch.setattr(shared, "_encoded", lambda image: seen.append(1) or encoded(image))
        image = noise(160, 100)
        for _ in range(2):
            one(shared, image, "cup", "dog", "red tree")
        assert len(seen) == 1

    def test_phrases_of_any_length_are_answered_as_if_alone(self, shared):
        image = noise(160, 100, seed=3)
        phrases = ("cup", "a small red wooden table with a lamp on it", "dog")
        together = one(shared, image, *phrases).regions
        for index, phrase in enumerate(phrases):
            alone = one(shared, image, phrase).regions
            mine = together.phrase_ids == index
            torch.testing.assert_close(together.boxes[mine], alone.boxes)
            torch.testing.assert_close(together.scores[mine], alone.scores, rtol=0, atol=1e-4)

    def test_more_beams_are_taken(self, folder):
        options = Florence2Options(weights=str(folder), tokens=8, beams=2)
        assert one(Florence2Detector(options), noise(80, 80), "cup").regions.phrases == ("cup",)


class TestRefused:
    def test_no_weights_are_named_with_what_to_give(self):
        with pytest.raises(InputError, match="needs the option 'weights'"):
            groundplane.load("detectors", "florence2", device="cpu")

    @pytest.mark.parametrize(
        "bad",
        [{"threshold": -1.0}, {"tokens": 0}, {"beams": 99}, {"batch": 0}, {"task": "ocr"}],
    )
    def test_an_option_out_of_range_is_refused(self, bad, unchecked):
        with pytest.raises(InputError, match=f"option {next(iter(bad))}"):
            Florence2Options(weights="x", **bad)

    def test_a_tokenizer_without_places_is_refused(self, folder, tmp_path):
        for path in folder.iterdir():
            content = path.read_bytes()
            if path.name == "tokenizer.json":
                content = content.replace(b"<loc_77>", b"<lox_77>")
            (tmp_path / path.name).write_bytes(content)
        with pytest.raises(InputError, match="lacks 1 of the 1000 places, such as <loc_77>"):
            Florence2Detector(Florence2Options(weights=str(tmp_path)))

    def test_the_publishers_own_code_is_refused(self, folder, tmp_path):
        """The first checkpoints of Florence-2 bring code that would have to be run."""
        for path in folder.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        file = tmp_path / "config.json"
        mapped = {"auto_map": {"AutoConfig": "configuration_florence2.Florence2Config"}}
        file.write_text(json.dumps(json.loads(file.read_text()) | mapped))
        with pytest.raises(WeightsError, match="runs no code of a checkpoint"):
            Florence2Detector(Florence2Options(weights=str(tmp_path)))


def test_it_is_loaded_by_its_name(folder):
    detector = groundplane.load(
        "detectors", "florence2", device="cpu", weights=str(folder), tokens="8"
    )
    assert detector.vocabulary is None
