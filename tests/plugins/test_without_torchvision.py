"""Experts that need no torchvision run beside a torch that has none."""

import json
import subprocess
import sys

import pytest

from groundplane.testing.checkpoints_depth import (
    save_depth_anything,
    save_depth_pro,
    save_zoedepth,
)
from groundplane.testing.checkpoints_florence2 import save_florence2
from groundplane.testing.checkpoints_owlv2 import save_owlv2

PROGRAM = """
import importlib.metadata, importlib.util, json, sys

HIDDEN = ("torchvision", "timm", "scipy")
find, version = importlib.util.find_spec, importlib.metadata.version

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def find_visible(name, *rest):
    return None if name.partition(".")[0] in HIDDEN else find(name, *rest)

def version_of_visible(name):
    if name in HIDDEN:
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)

sys.meta_path.insert(0, Hide())
importlib.util.find_spec, importlib.metadata.version = find_visible, version_of_visible

import numpy as np
import groundplane
from groundplane.core.detection import DetectRequest
from groundplane.testing.detectors import make_image
from groundplane.testing.geometry import make_frame

image = make_image(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8))
request = DetectRequest(image=image, phrases=("red cup", "dog"))
for name, folder in json.loads(sys.argv[2]).items():
    expert = groundplane.load("geometry", name, device="cpu", weights=folder)
    print(name, *expert.estimate([make_frame(image)])[0].depth.shape)
for name, folder in json.loads(sys.argv[1]).items():
    options = {"tokens": 20} if name == "florence2" else {}
    detector = groundplane.load("detectors", name, device="cpu", weights=folder, **options)
    print(name, len(detector.detect([request])[0].outcomes))
"""


DETECTORS = {"owlv2": save_owlv2, "florence2": save_florence2}
DEPTHS = {
    "depth-anything": save_depth_anything,
    "depth-pro": save_depth_pro,
    "zoedepth": save_zoedepth,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return [
        {name: str(save(tmp_path_factory.mktemp(name))) for name, save in made.items()}
        for made in (DETECTORS, DEPTHS)
    ]


def test_detectors_and_depth_networks_run_without_it(folders):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(json.dumps, folders)],
        capture_output=True,
        text=True,
        check=False,
    )
    told = [*(f"{name} 60 90" for name in DEPTHS), *(f"{name} 2" for name in DETECTORS)]
    assert done.stdout.splitlines() == told, done.stderr
