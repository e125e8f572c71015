from pathlib import Path

import numpy as np
import pytest

from groundplane.core.claims import Verdict
from groundplane.core.errors import DetectorError, InputError, MediaError
from groundplane.core.image import Image
from groundplane.spatial.map import CognitiveMap
from groundplane.testing.detectors import make_image
from groundplane.testing.scenes import SceneBuilder
from groundplane.verifying import Trust, verifier, verify, verify_many


@pytest.fixture
def scene() -> CognitiveMap:
    return (
        SceneBuilder()
        .add("table", at=(0, 0, 0.4), size=(1, 1, 0.8))
        .add("cup", at=(0, 0, 0.85), size=(0.1, 0.1, 0.1), attributes={"color": "red"})
        .add("chair", at=(2, 0, 0.5), size=(0.5, 0.5, 1))
        .add("chair", at=(4, 0, 0.5), size=(0.5, 0.5, 1))
        .build()
    )


@pytest.fixture
def image() -> Image:
    return make_image(np.full((40, 60, 3), 128, np.uint8))


def test_a_scene_tells_of_all_kinds_of_claims(scene: CognitiveMap) -> None:
    text = "Two chairs. A red cup is on the table. The cup is 1.20 m from the table. No sofa."
    marked = verify(scene, text).marked()
    assert marked == (
        "Two chairs [supported]. A red cup [supported] is on the table [supported]. The cup is "
        "1.20 m from the table [contradicted]. No sofa [supported]."
    )


def test_a_scene_that_states_no_fronts_and_no_view_says_so(scene: CognitiveMap) -> None:
    finding = verify(scene, "The cup is left of the table.").findings[-1]
    assert finding.verdict is Verdict.CANNOT_TELL
    assert "nobody is named who looks" in finding.reason


def test_a_saved_scene_is_read_from_its_file(scene: CognitiveMap, tmp_path: Path) -> None:
    scene.save(tmp_path / "room.json")
    assert verify(tmp_path / "room.json", "There is a cup.").findings[0].expert == "map"


def test_a_photo_is_looked_at_by_the_expert_that_is_named(data_dir: Path) -> None:
    folder = data_dir / "coco"
    result = verify(
        folder / "images" / "000000000790.jpg",
        "There is a dog right of the clock. There are three people. The dog barks.",
        detector="coco-file", options={"annotations": folder / "instances.json"}, device="cpu",
    )  # fmt: skip
    assert result.marked() == (
        "There is a dog [supported] right of the clock [supported]. There are three people "
        "[contradicted]. The dog barks."
    )
    assert result.unread[0].text == "barks"
    assert result.findings[0].expert == "coco-file"


def test_what_an_expert_cannot_look_for_cannot_be_told(image: Image) -> None:
    finding = verify(image, "There is a sofa.", detector="opencv", device="cpu").findings[0]
    assert finding.verdict is Verdict.CANNOT_TELL
    assert "cannot look for 'sofa'" in finding.reason


def test_one_expert_serves_many_photos(image: Image) -> None:
    judge = verifier("opencv", device="cpu")
    results = verify_many(judge, [image, image], [["There is a face."], ["No faces.", "Hm."]])
    assert [len(group) for group in results] == [1, 2]
    assert results[0][0].findings[0].verdict is Verdict.CONTRADICTED


def test_an_expert_that_fails_is_named() -> None:
    class Broken:
        vocabulary = None

        def detect(self, requests: object) -> object:
            raise RuntimeError("no memory")

    image = make_image(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DetectorError, match="no memory"):
        verify(image, "There is a dog.", detector=Broken(), device="cpu")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "more", [{"detector": "opencv"}, {"options": {"a": 1}}, {"trust": Trust()}]
)
def test_a_scene_takes_no_expert(scene: CognitiveMap, more: dict[str, object]) -> None:
    with pytest.raises(InputError, match="is a scene and no expert looks at it"):
        verify(scene, "A cup.", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", ["", "  "])
def test_an_empty_source_is_refused(bad: str) -> None:
    with pytest.raises(InputError, match="the source is empty"):
        verify(bad, "A cup.")


@pytest.mark.usefixtures("unchecked")
def test_a_source_of_another_type_is_refused() -> None:
    with pytest.raises(InputError, match="expected a CognitiveMap, an Image or a path, got int"):
        verify(3, "A cup.")  # type: ignore[arg-type]


def test_a_photo_that_is_not_there_is_an_error_with_its_name() -> None:
    with pytest.raises(MediaError, match=r"none\.jpg"):
        verify("none.jpg", "A cup.", detector="opencv", device="cpu")
