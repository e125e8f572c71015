"""ZoeDepth on tiny weights; the referee is transformers' class with its own processor."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import transformers

import groundplane
from groundplane.core.errors import InputError, WeightsError
from groundplane.plugins.zoedepth import ZoeDepthGeometry, ZoeDepthOptions
from groundplane.testing.checkpoints_depth import save_depth_anything, save_zoedepth
from groundplane.testing.detectors import unlike_images
from groundplane.testing.geometry import GeometryContract, make_frame

CLOSE = 1e-4  # the same operations in one program; only their order of sums may differ


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    return {n: save_zoedepth(tmp_path_factory.mktemp(f"zoe{n}"), heads=n) for n in (1, 2)}


@pytest.fixture(scope="session")
def experts(folders):
    return {
        n: groundplane.load("geometry", "zoedepth", device="cpu", weights=str(folder))
        for n, folder in folders.items()
    }


class TestContract(GeometryContract):
    @pytest.fixture
    def geometry(self, experts):
        return experts[1]


class TestContractOfTwoHeads(GeometryContract):
    @pytest.fixture
    def geometry(self, experts):
        return experts[2]


def peer_depth(folder, image, *, flip=False):
    model = transformers.ZoeDepthForDepthEstimation.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    pixels = processor(images=image.pixels, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        out = model(pixel_values=pixels)
        turned = model(pixel_values=pixels.flip(-1)) if flip else None
    told = processor.post_process_depth_estimation(
        out, source_sizes=[(image.size[1], image.size[0])], outputs_flipped=turned
    )
    return told[0]["predicted_depth"]


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("heads", [1, 2])
def test_depth_is_that_of_transformers(experts, folders, heads, which):
    image = unlike_images()[which]
    frame = experts[heads].estimate([make_frame(image)])[0]
    expected = peer_depth(folders[heads], image)
    assert expected.std() > 1e-3, "the referee says the same everywhere: it tells nothing"
    assert torch.allclose(frame.depth, expected, rtol=CLOSE, atol=CLOSE)
    assert frame.scale == "metric"


def test_the_mirrored_look_is_that_of_transformers(experts, folders):
    image = unlike_images()[0]
    expert = ZoeDepthGeometry(ZoeDepthOptions(weights=str(folders[1]), flip=True))
    frame = expert.estimate([make_frame(image)])[0]
    expected = peer_depth(folders[1], image, flip=True)
    assert torch.allclose(frame.depth, expected, rtol=CLOSE, atol=CLOSE)
    once = experts[1].estimate([make_frame(image)])[0]
    assert not torch.allclose(once.depth, expected, rtol=CLOSE, atol=CLOSE)


def test_the_comparison_itself_sees_other_weights(folders, tmp_path):
    other = ZoeDepthGeometry(ZoeDepthOptions(weights=str(save_zoedepth(tmp_path, seed=1))))
    image = unlike_images()[0]
    depth = other.estimate([make_frame(image)])[0].depth
    assert not torch.allclose(depth, peer_depth(folders[1], image), rtol=CLOSE, atol=CLOSE)


def test_a_field_of_view_that_is_stated_gives_intrinsics(folders):
    expert = ZoeDepthGeometry(ZoeDepthOptions(weights=str(folders[1]), fov=90.0))
    frame = expert.estimate([make_frame(unlike_images()[1])])[0]
    assert frame.camera.K[0, 0] == pytest.approx(40.0)
    assert expert.capabilities.gives == {"depth", "intrinsics"}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"ensure_multiple_of": 24}, "whole patches"),
        ({"keep_aspect_ratio": False, "size": {"width": 50, "height": 64}}, "whole patches"),
        ({"resample": 0}, "resample"),
    ],
)
def test_a_processor_that_does_not_fit_is_refused(folders, tmp_path, change, fault):
    there = tmp_path / "weights"
    shutil.copytree(folders[1], there)
    path = there / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(WeightsError, match=fault):
        ZoeDepthGeometry(ZoeDepthOptions(weights=str(there)))


def test_a_multiple_written_as_a_share_is_understood(folders, tmp_path):
    there = tmp_path / "weights"
    shutil.copytree(folders[1], there)
    path = there / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "ensure_multiple_of": 1 / 32}))
    expert = ZoeDepthGeometry(ZoeDepthOptions(weights=str(there)))
    assert expert.estimate([make_frame(unlike_images()[0])])[0].depth is not None


def test_a_checkpoint_of_another_class_is_refused(tmp_path):
    folder = save_depth_anything(tmp_path)
    with pytest.raises(WeightsError, match="expected weights of the kind zoedepth"):
        ZoeDepthGeometry(ZoeDepthOptions(weights=str(folder)))


def test_options_out_of_range_are_refused():
    with pytest.raises(InputError, match="option batch"):
        ZoeDepthOptions(weights="x", batch=0)
