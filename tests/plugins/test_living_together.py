"""All experts in one process: nobody's library breaks another's."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from groundplane.testing.checkpoints import save_grounding_dino
from groundplane.testing.checkpoints_florence2 import save_florence2
from groundplane.testing.checkpoints_grounding_dino_py import save_grounding_dino_pair
from groundplane.testing.checkpoints_owlv2 import save_owlv2
from groundplane.testing.checkpoints_sam import save_sam, save_sam2, save_sam3

LIBRARIES = ("cv2", "groundingdino", "segment_anything", "supervision", "torchvision")
for library in ("transformers", *LIBRARIES):
    pytest.importorskip(library)

# The package pins supervision 0.6.0 and opencv-python: both must have been kept away.
PROGRAM = """
import json, sys
import numpy as np
import torch
import groundplane
from groundplane.core.detection import DetectRequest
from groundplane.core.segmentation import SegmentRequest
from groundplane.testing.detectors import make_image

image = make_image(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8))
request = DetectRequest(image=image, phrases=("red cup", "dog"))
face = DetectRequest(image=image, phrases=("face",))
boxes = torch.tensor([[10.0, 10.0, 50.0, 40.0]])
made, said = [], {}
for kind, name, options in json.loads(sys.argv[1]):
    made.append((kind, name, groundplane.load(kind, name, device="cpu", **options)))
# Only now, when all are loaded: the first ones must still run.
for kind, name, expert in made:
    if kind == "detectors":
        result = expert.detect([face if name == "opencv" else request])[0]
        said[f"{kind}/{name}"] = [outcome.value for outcome in result.outcomes]
    else:
        regions = expert.segment([SegmentRequest(image=image, boxes=boxes)])[0]
        said[f"{kind}/{name}"] = ["masks" if regions.masks else "none"]
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def experts(tmp_path_factory):
    """Kind, name and options of every expert that has weights, and of the face detector."""
    root = tmp_path_factory.mktemp("experts")
    small = {"shortest": 72, "longest": 120}
    sam3 = {"weights": str(save_sam3(root / "sam3"))}
    dino = save_grounding_dino(root / "grounding-dino")
    mm_dino = save_grounding_dino(root / "mm-grounding-dino", variant="mm-grounding-dino")
    _, package = save_grounding_dino_pair(root / "pair")
    yield [
        ("detectors", "grounding-dino-py", {"weights": str(package), **small}),
        ("detectors", "grounding-dino", {"weights": str(dino)}),
        ("detectors", "mm-grounding-dino", {"weights": str(mm_dino)}),
        ("detectors", "owlv2", {"weights": str(save_owlv2(root / "owlv2"))}),
        ("detectors", "florence2", {"weights": str(save_florence2(root / "f2")), "tokens": 20}),
        ("detectors", "sam3", sam3),
        ("segmenters", "sam", {"weights": str(save_sam(root / "sam"))}),
        ("segmenters", "sam2", {"weights": str(save_sam2(root / "sam2"))}),
        ("segmenters", "sam3", sam3),
        ("detectors", "opencv", {}),
    ]
    shutil.rmtree(root)  # 240 MB, which pytest would keep


@pytest.mark.slow
@pytest.mark.parametrize("turned", [False, True])
def test_all_experts_load_and_run_in_one_process(experts, turned):
    order = experts[::-1] if turned else experts
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(order)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)  # and nothing else was printed
    assert said.keys() == {f"{kind}/{name}" for kind, name, _ in experts}
    for name, outcomes in said.items():
        assert set(outcomes) <= {"found", "none", "masks"}, f"{name}: {outcomes}"
    assert said["detectors/grounding-dino-py"] == ["found", "found"]
    assert said["detectors/opencv"] == ["none"]


def test_the_one_opencv_is_the_headless_build_of_version_4():
    import cv2

    names = {str(d.metadata["Name"]).lower() for d in importlib.metadata.distributions()}
    assert {name for name in names if name.startswith("opencv")} == {"opencv-python-headless"}
    assert cv2.__version__.startswith("4.")
    assert hasattr(cv2, "CascadeClassifier")
    assert "GUI:                           NONE" in cv2.getBuildInformation()


def test_supervision_is_newer_than_the_one_that_the_package_pins():
    import supervision

    pinned = importlib.metadata.requires("groundingdino-py")
    assert "supervision==0.6.0" in [line.replace(" ", "") for line in pinned or ()]
    release = tuple(int(part) for part in importlib.metadata.version("supervision").split(".")[:2])
    assert release >= (0, 27)
    # What the rest of groundplane exchanges with it.
    detections = supervision.Detections(xyxy=np.array([[0.0, 0.0, 4.0, 4.0]]))
    assert len(detections) == 1
