import json

import numpy as np
import pytest
import torch
from skimage import data as pictures

from groundplane.core.detection import DetectRequest, Outcome
from groundplane.core.errors import InputError, PluginNotFoundError, WeightsError
from groundplane.core.host import load
from groundplane.plugins.gated import GatedDetector, GatedOptions, SiglipGate
from groundplane.testing.checkpoints_siglip import save_siglip
from groundplane.testing.detectors import DetectorContract, make_image

PHRASES = ("red dog", "cup", "small wooden table", "猫 ☕")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_siglip(tmp_path_factory.mktemp("siglip"))


@pytest.fixture(scope="module")
def gate(folder):
    return SiglipGate(GatedOptions(detector="opencv", weights=str(folder)))


def noise(seed, width=90, height=60):
    cells = np.random.default_rng(seed).integers(0, 256, (height // 6, width // 6, 3))
    return make_image(cells.repeat(6, 0).repeat(6, 1).astype(np.uint8))


def requests_of(*images, phrases=PHRASES):
    return [DetectRequest(image=image, phrases=phrases) for image in images]


class TestSiglip:
    def test_it_says_what_transformers_says(self, folder, gate):
        import transformers
        from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

        model = transformers.SiglipModel.from_pretrained(folder).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        processor = SiglipImageProcessorPil.from_pretrained(folder)
        images = [noise(0), noise(1, 60, 120)]
        texts = [f"This is a photo of {phrase}." for phrase in PHRASES]
        inputs = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
        seen = processor(images=[image.pixels for image in images], return_tensors="pt")
        with torch.no_grad():
            logits = model(
                input_ids=inputs["input_ids"], pixel_values=seen["pixel_values"]
            ).logits_per_image
        ours = torch.tensor(gate.presence(requests_of(*images)))
        # Pictures are resized within a grey level of Pillow's.
        assert torch.allclose(ours, logits.sigmoid(), rtol=0, atol=0.02)
        assert ours.std() > 0.05

    def test_a_batch_equals_its_single_requests(self, gate):
        images = [noise(seed) for seed in range(3)]
        together = gate.presence(requests_of(*images))
        assert together == [gate.presence(requests_of(image))[0] for image in images]

    def test_nothing_asked_is_nothing_said(self, gate):
        assert gate.presence([]) == []
        assert gate.presence(requests_of(noise(0), phrases=())) == [()]

    def test_a_long_phrase_is_cut(self, gate):
        [(probability,)] = gate.presence(requests_of(noise(0), phrases=("very " * 500 + "cup",)))
        assert 0 <= probability <= 1


class TestGated:
    def ask(self, detector, image, *phrases):
        return detector.detect([DetectRequest(image=image, phrases=phrases)])[0]

    def test_a_face_that_the_gate_doubts_is_none(self, folder):
        face = make_image(pictures.astronaut())
        gate = SiglipGate(GatedOptions(detector="opencv", weights=str(folder)))
        [(probability,)] = gate.presence(requests_of(face, phrases=("face",)))
        for least, outcome in (
            (probability - 0.01, Outcome.FOUND),
            (probability + 0.01, Outcome.NONE),
        ):
            detector = load(
                "detectors",
                "gated",
                device="cpu",
                detector="opencv",
                weights=str(folder),
                min_presence=least,
            )
            result = self.ask(detector, face, "face")
            assert result.outcomes == (outcome,)
            assert result.presence == (pytest.approx(probability),)

    def test_options_of_the_detector_come_from_a_file(self, tmp_path):
        path = tmp_path / "inner.json"
        path.write_text(json.dumps({"min_score": 0.99}))
        detector = GatedDetector(
            GatedOptions(detector="opencv", options=path, negatives=("statue",))
        )
        assert self.ask(detector, make_image(pictures.astronaut()), "face").outcomes == (
            Outcome.NONE,
        )


class TestContract(DetectorContract):
    @pytest.fixture
    def detector(self, folder):
        return GatedDetector(
            GatedOptions(
                detector="opencv", weights=str(folder), min_presence=0.0, negatives=("eye",)
            )
        )

    @pytest.fixture
    def images(self):
        person = pictures.astronaut()
        return [make_image(person[:200, 120:330]), make_image(pictures.coffee()[:100, :150])]


class TestBadOptions:
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"detector": ""}, "name of another detector"),
            ({"detector": "gated"}, "name of another detector"),
            ({"weights": ""}, "option weights"),
            ({"min_presence": 1.5}, "min_presence: expected 0 to 1"),
            ({"iou": float("nan")}, "iou: expected 0 to 1"),
            ({"template": "a photo"}, "one '{}'"),
        ],
    )
    def test_values_out_of_range_are_refused(self, given, said):
        with pytest.raises(InputError, match=said):
            GatedOptions(**{"detector": "opencv", "weights": "folder", **given})

    def test_a_detector_that_is_not_installed_is_named(self):
        with pytest.raises(PluginNotFoundError, match="opencb"):
            GatedDetector(GatedOptions(detector="opencb", negatives=("a",)))

    def test_weights_that_are_not_there_are_named(self):
        with pytest.raises(WeightsError, match="no-such-folder"):
            GatedDetector(GatedOptions(detector="opencv", weights="no-such-folder"))

    @pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, '{"nose": 1}'])
    def test_a_file_of_options_that_does_not_fit_is_refused(self, tmp_path, text):
        path = tmp_path / "inner.json"
        path.write_text(text)
        with pytest.raises(InputError, match=r"inner\.json|nose"):
            GatedDetector(GatedOptions(detector="opencv", options=path, negatives=("a",)))

    def test_a_file_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            GatedDetector(
                GatedOptions(detector="opencv", options=tmp_path / "no.json", negatives=("a",))
            )

    @pytest.mark.parametrize(
        "settings",
        [{"resample": 7}, {"image_mean": [1]}, {"image_std": "x"}, {"image_std": [[], 1, 1]}],
    )
    def test_a_preprocessor_that_is_not_known_is_refused(self, folder, tmp_path, settings):
        for file in folder.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        path = tmp_path / "preprocessor_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))
        with pytest.raises(InputError, match="three numbers and a resample"):
            SiglipGate(GatedOptions(detector="opencv", weights=str(tmp_path)))
