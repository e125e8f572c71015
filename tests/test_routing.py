"""The router over real plugins with tiny random weights: from names and options to masks."""

from __future__ import annotations

import pytest

import groundplane as gp
from groundplane.core.detection import DetectRequest, Outcome
from groundplane.core.feature_cache import shared_cache
from groundplane.core.media import read_image
from groundplane.grounding.router import Terms
from groundplane.grounding.setup import make_router

skimage_data = pytest.importorskip("skimage.data")


@pytest.fixture(scope="module")
def image():
    return read_image(skimage_data.astronaut())


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Options that name the weights of an open-vocabulary detector and of a segmenter."""
    pytest.importorskip("transformers")
    from groundplane.testing.checkpoints_owlv2 import save_owlv2
    from groundplane.testing.checkpoints_sam import save_sam2

    folder = tmp_path_factory.mktemp("weights")
    save_owlv2(folder / "owlv2")
    save_sam2(folder / "sam2")
    return {"owlv2.weights": str(folder / "owlv2"), "sam2.weights": str(folder / "sam2")}


@pytest.fixture
def owlv2(weights):
    return {name: path for name, path in weights.items() if name.startswith("owlv2")}


def test_ask_takes_faces_to_opencv_and_other_words_to_the_weights(image, owlv2):
    asker = gp.Asker(image, options=owlv2, device="cpu")
    faces, cups = asker.ask_many(["How many faces are there?", "How many red cups are there?"])
    assert (faces.value, faces.evidence) == (1, ("face-0",))
    assert cups.status == "answered"
    told = [step.detail for step in cups.trace if step.name == "route"]
    assert len(told) == 1
    assert "'red cup' to detector 'owlv2'" in told[0]


def test_a_second_look_encodes_the_picture_no_more(image, owlv2):
    router = make_router("owlv2", options=owlv2, device="cpu")
    request = DetectRequest(image=image, phrases=("cup",))
    shared_cache().clear()
    first = router.detect([request])[0]
    before = shared_cache().stats
    second = router.detect([request])[0]
    after = shared_cache().stats
    assert after.misses == before.misses
    assert after.hits > before.hits
    assert second.regions.boxes.equal(first.regions.boxes)


def test_boxes_of_two_detectors_get_masks_of_one_segmenter(image, weights):
    router = make_router(
        "opencv,owlv2", segmenter="sam2", options=weights, device="cpu", terms=Terms(masks=True)
    )
    [result] = router.detect([DetectRequest(image=image, phrases=("face", "cup"))])
    assert result.outcomes[0] is Outcome.FOUND
    width, height = image.size
    assert len(result.regions.masks) == len(result.regions) >= 1
    assert {mask.size for mask in result.regions.masks} == {(height, width)}
    told = " ".join(step.detail for step in result.steps)
    assert "to segmenter 'sam2' for masks" in told
