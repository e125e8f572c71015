"""Depth Pro on tiny weights; the referee is transformers' class with its own processor."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import transformers

import groundplane
from groundplane.core.errors import InputError, WeightsError
from groundplane.plugins import depth_pro
from groundplane.plugins.depth_pro import DepthProGeometry, DepthProOptions
from groundplane.testing.checkpoints_depth import save_depth_anything, save_depth_pro
from groundplane.testing.detectors import make_image, unlike_images
from groundplane.testing.geometry import GeometryContract, make_frame

CLOSE = 1e-4  # the same operations in one program; only their order of sums may differ


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return save_depth_pro(tmp_path_factory.mktemp("depth-pro"))


@pytest.fixture(scope="session")
def expert(folder):
    return groundplane.load("geometry", "depth-pro", device="cpu", weights=str(folder))


@pytest.fixture(scope="session")
def blind(tmp_path_factory):
    """One that tells no field of view."""
    folder = save_depth_pro(tmp_path_factory.mktemp("blind"), tells_focal=False)
    return DepthProGeometry(DepthProOptions(weights=str(folder)))


class TestContract(GeometryContract):
    @pytest.fixture
    def geometry(self, expert):
        return expert


class TestContractWithoutFieldOfView(GeometryContract):
    @pytest.fixture
    def geometry(self, blind):
        return blind


def peer_result(folder, image):
    model = transformers.DepthProForDepthEstimation.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    inputs = processor(images=image.pixels, return_tensors="pt")
    with torch.no_grad():
        out = model(**inputs)
    size = [(image.size[1], image.size[0])]
    return processor.post_process_depth_estimation(out, target_sizes=size)[0]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_depth_and_focal_length_are_those_of_transformers(expert, folder, which):
    image = unlike_images()[which]
    frame = expert.estimate([make_frame(image)])[0]
    expected = peer_result(folder, image)
    depth = expected["predicted_depth"]
    seen = depth < 9_999
    assert seen.float().mean() > 0.2
    assert depth[seen].std() > 0.01, "the referee says the same everywhere: it tells nothing"
    assert torch.allclose(frame.depth[seen], depth[seen], rtol=CLOSE)
    assert (frame.depth[~seen] == 0).all()
    focal = float(expected["focal_length"])
    assert frame.camera.K[0, 0] == pytest.approx(focal, rel=CLOSE)
    assert frame.camera.K[:2, 2].tolist() == [image.size[0] / 2, image.size[1] / 2]
    assert any("focal length is estimated" in note for note in frame.notes)


def test_the_comparison_itself_sees_other_weights(folder, tmp_path):
    other = DepthProGeometry(DepthProOptions(weights=str(save_depth_pro(tmp_path, seed=1))))
    image = unlike_images()[0]
    depth = other.estimate([make_frame(image)])[0].depth
    assert not torch.allclose(depth, peer_result(folder, image)["predicted_depth"], rtol=CLOSE)


def test_a_known_focal_length_stays_and_scales_the_depth(expert):
    image = unlike_images()[0]
    guessed = expert.estimate([make_frame(image)])[0]
    frame = make_frame(image, pose_known=True)
    known = expert.estimate([frame])[0]
    assert known.camera is frame.camera
    ratio = frame.camera.K[0, 0] / guessed.camera.K[0, 0]
    both = (known.depth > 0) & (guessed.depth > 0)
    assert torch.allclose(known.depth[both], guessed.depth[both] * ratio, rtol=1e-4)


def test_a_stated_field_of_view_is_taken_before_the_estimated_one(folder):
    expert = DepthProGeometry(DepthProOptions(weights=str(folder), fov=90.0))
    image = unlike_images()[1]
    stated = expert.estimate([make_frame(image)])[0]
    assert stated.camera.K[0, 0] == pytest.approx(40.0)
    assert any("90 degrees is assumed" in note for note in stated.notes)
    assert not any("estimated from the picture" in n and "focal" in n for n in stated.notes)


def test_a_checkpoint_without_field_of_view_needs_intrinsics(blind, folder):
    assert blind.capabilities.needs == {"intrinsics"}
    with pytest.raises(InputError, match="got none of frame 7"):
        blind.estimate([make_frame(unlike_images()[0], index=7)])


def test_a_field_of_view_that_no_camera_has_gives_no_depth_and_says_so(folder, monkeypatch):
    expert = DepthProGeometry(DepthProOptions(weights=str(folder)))
    network = expert._expert._network
    bias = network._model.fov_model.head.layers[-1].bias
    monkeypatch.setattr(bias, "data", torch.full_like(bias, 1e6))
    frame = expert.estimate([make_frame(unlike_images()[1])])[0]
    assert (frame.depth == 0).all()
    assert frame.camera is None
    assert f"{48 * 80} of {48 * 80} pixels have no depth" in " ".join(frame.notes)


def test_what_is_too_far_to_tell_is_unknown():
    inverse = torch.tensor([[[0.5, 0.0, 1e-4, 1e9, torch.nan, torch.inf]]])
    depth = depth_pro._depth_of(inverse)[0, 0]
    assert depth[:4].tolist() == pytest.approx([2.0, 0.0, 0.0, 1e-4])
    assert depth[4:].isnan().all()


@pytest.mark.parametrize("shape", [(1, 40), (40, 1)])
def test_a_line_of_pixels_is_answered(expert, shape):
    frame = expert.estimate([make_frame(make_image(np.full((*shape, 3), 9, dtype=np.uint8)))])[0]
    assert frame.depth.shape == shape


@pytest.mark.parametrize(
    "change",
    [{"size": {"height": 32, "width": 32}}, {"do_pad": True}, {"keep_aspect_ratio": True}],
)
def test_a_processor_that_does_not_fit_the_network_is_refused(folder, tmp_path, change):
    there = tmp_path / "weights"
    shutil.copytree(folder, there)
    path = there / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(WeightsError, match="at least 64 pixels a side"):
        DepthProGeometry(DepthProOptions(weights=str(there)))


def test_a_checkpoint_of_another_class_is_refused(tmp_path):
    folder = save_depth_anything(tmp_path)
    with pytest.raises(WeightsError, match="expected weights of the kind depth_pro"):
        DepthProGeometry(DepthProOptions(weights=str(folder)))
