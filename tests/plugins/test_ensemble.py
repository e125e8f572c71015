import json

import numpy as np
import pytest
from skimage import data as pictures

from groundplane.core.detection import DetectRequest, Outcome
from groundplane.core.errors import InputError, PluginNotFoundError
from groundplane.core.host import load
from groundplane.core.media import read_image
from groundplane.plugins.ensemble import EnsembleDetector, EnsembleOptions
from groundplane.testing.detectors import DetectorContract, make_image

SIZES = {"one.png": (60, 40), "two.png": (40, 80)}


def coco_file(folder, *, words=("cup", "dog", "owl"), shift=0.0):
    """A COCO file about two pictures, with one thing of the first two words in each."""
    document = {
        "images": [
            {"id": i, "file_name": name, "width": size[0], "height": size[1]}
            for i, (name, size) in enumerate(SIZES.items())
        ],
        "categories": [{"id": i, "name": word} for i, word in enumerate(words)],
        "annotations": [
            {
                "id": 10 * image + word,
                "image_id": image,
                "category_id": word,
                "bbox": [2 + 10 * word + shift, 3, 8, 9],
                "area": 72,
                "iscrowd": 0,
                "segmentation": [],
            }
            for image in range(len(SIZES))
            for word in range(2)
        ],
    }
    path = folder / f"{'-'.join(words)}.json"
    path.write_text(json.dumps(document))
    return path


def settings(folder, options):
    path = folder / "members.json"
    path.write_text(options if isinstance(options, str) else json.dumps(options))
    return path


def images():
    return [
        make_image(np.full((h, w, 3), 120, dtype=np.uint8), name=name)
        for name, (w, h) in SIZES.items()
    ]


@pytest.fixture
def two_files(tmp_path):
    """An ensemble of two COCO files that see the same things half a pixel apart."""
    one, two = coco_file(tmp_path), coco_file(tmp_path, words=("cup", "dog", "hat"), shift=0.5)
    options = settings(
        tmp_path,
        {"coco-file@one": {"annotations": str(one)}, "coco-file@two": {"annotations": str(two)}},
    )
    return load(
        "detectors",
        "ensemble",
        device="cpu",
        detectors="coco-file@one,coco-file@two",
        options=str(options),
    )


class TestTogether:
    def test_things_that_both_have_are_given_once(self, two_files):
        request = DetectRequest(image=images()[0], phrases=("dog", "owl", "hat", "fox"))
        [result] = two_files.detect([request])
        assert result.regions.ids == ("coco-file@one/ann-1",)
        assert result.outcomes == (Outcome.FOUND, Outcome.NONE, Outcome.NONE, Outcome.CANNOT)
        assert two_files.vocabulary == ("cup", "dog", "owl", "hat")

    def test_a_face_and_a_file_are_asked_together(self, data_dir, tmp_path):
        truth = data_dir / "coco" / "instances.json"
        if not truth.is_file():
            truth = next((data_dir / "coco").glob("*.json"))
        options = settings(tmp_path, {"coco-file": {"annotations": str(truth)}})
        both = load(
            "detectors",
            "ensemble",
            device="cpu",
            detectors="opencv,coco-file",
            options=str(options),
        )
        image = read_image(data_dir / "coco" / "images" / "000000349860.jpg")
        [result] = both.detect([DetectRequest(image=image, phrases=("face", "person"))])
        assert result.outcomes == (Outcome.FOUND, Outcome.FOUND)
        assert {name.partition("/")[0] for name in result.regions.ids} == {"opencv", "coco-file"}

    def test_a_member_that_cannot_answer_is_named(self, tmp_path):
        options = settings(tmp_path, {"coco-file": {"annotations": str(coco_file(tmp_path))}})
        both = EnsembleDetector(EnsembleOptions(detectors=("opencv", "coco-file"), options=options))
        stranger = make_image(pictures.astronaut(), name="astronaut.png")
        [result] = both.detect([DetectRequest(image=stranger, phrases=("face", "dog"))])
        assert result.outcomes == (Outcome.FOUND, Outcome.CANNOT)
        assert "left out, as it failed: detector 'coco-file'" in result.note

    def test_tiles_show_it_faces_that_are_small(self):
        person = pictures.astronaut()
        wide = np.full((512, 3000, 3), 200, dtype=np.uint8)
        wide[:, :512] = person
        request = DetectRequest(image=make_image(wide), phrases=("face",))
        small = {"detectors": ("opencv",), "tile": 600}
        [result] = EnsembleDetector(EnsembleOptions(**small)).detect([request])
        assert len(result.regions) == 1
        assert "6 tiles of 600 pixels" in result.steps[0].detail


class TestContract(DetectorContract):
    @pytest.fixture
    def detector(self, two_files):
        return two_files

    @pytest.fixture
    def images(self):
        return images()

    # The file describes no other pictures: those are errors, which the contract does not expect.
    test_a_one_pixel_image_is_answered = None
    test_an_image_of_one_grey_is_answered = None


class TestContractWithFaces(DetectorContract):
    @pytest.fixture
    def detector(self, tmp_path):
        options = settings(tmp_path, {"coco-file": {"annotations": str(coco_file(tmp_path))}})
        return EnsembleDetector(
            EnsembleOptions(detectors=("opencv", "coco-file"), options=options, merge="fuse")
        )

    @pytest.fixture
    def phrases(self):
        return ("face", "cup", "eye")

    @pytest.fixture
    def images(self):
        return [*images(), make_image(pictures.astronaut()[:200, 120:330])]

    @pytest.fixture(autouse=True)
    def known_words_only(self, request):
        # Of a picture that the file does not describe, only faces can be known.
        if "says_it_knows" in request.node.name:
            pytest.skip("the file is left out where it does not describe the picture")


class TestBadOptions:
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"detectors": ()}, "expected names of detectors"),
            ({"detectors": ("opencv", "")}, "expected names of detectors"),
            ({"detectors": ("opencv", "opencv")}, "opencv@a,opencv@b"),
            ({"detectors": ("opencv", "ensemble")}, "its own member"),
            ({"weights": (1.0, 2.0)}, "one for each of 1"),
            ({"weights": (0.0,)}, "above 0"),
            ({"deadline": 0.0}, "above 0"),
            ({"tile": -1}, "0 or more"),
            ({"overlap": 0.99}, "overlap from 0 to 0.9"),
            ({"iou": 1.5}, "from 0 to 1"),
        ],
    )
    def test_values_out_of_range_are_refused(self, given, said):
        with pytest.raises(InputError, match=said):
            EnsembleOptions(**{"detectors": ("opencv",), **given})

    def test_members_are_required(self):
        with pytest.raises(InputError, match="needs the option 'detectors'"):
            load("detectors", "ensemble", device="cpu")

    def test_a_member_that_is_not_installed_is_named(self):
        with pytest.raises(PluginNotFoundError, match="opencb"):
            load("detectors", "ensemble", device="cpu", detectors="opencb")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("{", "expected JSON"),
            ("[" * 100_000, "expected JSON"),
            ("[]", "expected an object, name to value"),
            ('{"opencb": {}}', "Did you mean 'opencv'"),
            ('{"opencv": 3}', "option to value"),
            ('{"opencv": {"nose": 3}}', "has no option 'nose'"),
            (" " * (2**20 + 1), "at most 1048576 bytes"),
        ],
    )
    def test_a_file_of_options_that_does_not_fit_is_refused(self, tmp_path, text, said):
        options = EnsembleOptions(detectors=("opencv",), options=settings(tmp_path, text))
        with pytest.raises(InputError, match=said):
            EnsembleDetector(options)

    def test_a_file_that_is_not_there_is_named(self, tmp_path):
        options = EnsembleOptions(detectors=("opencv",), options=tmp_path / "none.json")
        with pytest.raises(InputError, match=r"none\.json: cannot be read"):
            EnsembleDetector(options)
