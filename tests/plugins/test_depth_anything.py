"""Depth Anything on tiny weights; the referee is transformers' class with its own processor."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

import groundplane
from groundplane.core.errors import InputError, WeightsError
from groundplane.core.geometry import UNKNOWN_SHIFT, GeometryExpert
from groundplane.plugins import depth_anything
from groundplane.plugins.depth_anything import DepthAnythingGeometry, DepthAnythingOptions
from groundplane.testing.checkpoints_depth import save_depth_anything, save_zoedepth
from groundplane.testing.detectors import make_image, unlike_images
from groundplane.testing.geometry import GeometryContract, make_frame

# One network in one program: what is left is the resizing of pictures, which is within one grey
# level of the processor's, and the order of sums.
CLOSE = 2e-3


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    return {
        kind: save_depth_anything(tmp_path_factory.mktemp(kind), kind=kind)
        for kind in ("relative", "metric")
    }


@pytest.fixture(scope="session")
def experts(folders):
    return {
        kind: groundplane.load("geometry", "depth-anything", device="cpu", weights=str(folder))
        for kind, folder in folders.items()
    }


class TestContract(GeometryContract):
    @pytest.fixture
    def geometry(self, experts):
        return experts["relative"]


class TestContractOfMetric(GeometryContract):
    @pytest.fixture
    def geometry(self, experts):
        return experts["metric"]


def peer_depth(folder, image):
    """What transformers' own pieces make of a picture."""
    model = transformers.DepthAnythingForDepthEstimation.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    inputs = processor(images=image.pixels, return_tensors="pt")
    with torch.no_grad():
        out = model(**inputs)
    size = [(image.size[1], image.size[0])]
    return processor.post_process_depth_estimation(out, target_sizes=size)[0]["predicted_depth"]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_metric_depth_is_that_of_transformers(experts, folders, which):
    image = unlike_images()[which]
    frame = experts["metric"].estimate([make_frame(image)])[0]
    expected = peer_depth(folders["metric"], image)
    assert expected.std() > 0.01, "the referee says the same everywhere: it tells nothing"
    assert torch.allclose(frame.depth, expected.clamp(min=0), rtol=CLOSE, atol=CLOSE)
    assert frame.scale == "metric"
    assert frame.noise.common == 0.1


@pytest.mark.parametrize("which", [0, 1, 2])
def test_relative_depth_is_one_over_the_disparity_of_transformers(experts, folders, which):
    image = unlike_images()[which]
    frame = experts["relative"].estimate([make_frame(image)])[0]
    expected = peer_depth(folders["relative"], image)
    assert expected.std() > 0.01
    seen = expected > 0.1 * expected.max()
    assert torch.allclose(1 / frame.depth[seen], expected[seen], rtol=CLOSE, atol=CLOSE)
    assert frame.scale == "relative"
    assert UNKNOWN_SHIFT in frame.notes


def test_the_comparison_itself_sees_other_weights(tmp_path, folders):
    other = DepthAnythingGeometry(
        DepthAnythingOptions(weights=str(save_depth_anything(tmp_path, kind="metric", seed=1)))
    )
    image = unlike_images()[0]
    depth = other.estimate([make_frame(image)])[0].depth
    assert not torch.allclose(depth, peer_depth(folders["metric"], image), rtol=CLOSE, atol=CLOSE)


def test_the_checkpoint_says_whether_it_is_metric(experts):
    assert DepthAnythingGeometry.capabilities.scale == "relative"
    assert experts["metric"].capabilities.scale == "metric"
    assert experts["relative"].capabilities.gives == {"depth"}
    assert isinstance(experts["metric"], GeometryExpert)


def test_no_disparity_is_far_away_but_not_without_end():
    disparity = torch.tensor([[[2.0, 1.0, 0.0, -1.0]]])
    depth = depth_anything._depth_of(disparity).flatten().tolist()
    assert depth == pytest.approx([0.5, 1.0, 500.0, 500.0])


def test_disparity_that_is_none_at_all_is_unknown():
    assert depth_anything._depth_of(torch.zeros(1, 1, 2)).isnan().all()
    strange = torch.tensor([[[1.0, torch.inf, torch.nan]]])
    assert depth_anything._depth_of(strange).isnan().tolist() == [[[False, True, True]]]


def test_numbers_that_are_not_finite_become_unknown_and_are_noted(folders, monkeypatch):
    expert = DepthAnythingGeometry(DepthAnythingOptions(weights=str(folders["metric"])))
    spoil = depth_anything.resized_values

    def spoiled(values, size, *, mode):
        made = spoil(values, size, mode=mode)
        made[:, 0, :3] = torch.tensor([torch.nan, torch.inf, -1.0])
        return made

    monkeypatch.setattr(depth_anything, "resized_values", spoiled)
    frame = expert.estimate([make_frame(unlike_images()[1])])[0]
    assert frame.depth[0, :3].tolist() == [0.0, 0.0, 0.0]
    assert f"3 of {48 * 80} pixels have no depth" in " ".join(frame.notes)


def test_a_known_camera_stays_and_an_unknown_one_is_assumed_only_where_asked(folders):
    image = unlike_images()[0]
    posed = make_frame(image, pose_known=True)
    options = DepthAnythingOptions(weights=str(folders["metric"]), fov=60.0)
    expert = DepthAnythingGeometry(options)
    assert "intrinsics" in expert.capabilities.gives
    kept, assumed = expert.estimate([posed, make_frame(image)])
    assert kept.camera is posed.camera
    assert assumed.camera.K[0, 0] == pytest.approx(45 / np.tan(np.radians(30)))
    assert assumed.camera.T_world_cam is None
    assert any("60 degrees is assumed" in note for note in assumed.notes)


def test_pictures_of_one_size_are_looked_at_together(experts, monkeypatch):
    sizes = []
    network = experts["metric"]._expert._network
    look = network.predict
    monkeypatch.setattr(
        network, "predict", lambda im, f: sizes.append((len(im), im[0].size)) or look(im, f)
    )
    a, b, _ = unlike_images()
    frames = [make_frame(image, index=i) for i, image in enumerate([a, b, a, b, a])]
    told = experts["metric"].estimate(frames)
    assert sizes == [(3, (90, 120)), (2, (80, 48))]
    assert [frame.index for frame in told] == [0, 1, 2, 3, 4]
    assert torch.allclose(told[0].depth, told[4].depth, rtol=1e-5)


def test_a_full_memory_halves_the_batch(experts, monkeypatch):
    asked = []
    network = experts["metric"]._expert._network
    look = network.predict

    def small(images, focals):
        asked.append(len(images))
        if len(images) > 1:
            raise torch.OutOfMemoryError("full")
        return look(images, focals)

    monkeypatch.setattr(network, "predict", small)
    frames = [make_frame(unlike_images()[0], index=i) for i in range(3)]
    assert [frame.index for frame in experts["metric"].estimate(frames)] == [0, 1, 2]
    assert asked == [3, 1, 2, 1, 1]


def test_a_memory_too_small_for_one_picture_is_told(experts, monkeypatch):
    def full(images, focals):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(experts["metric"]._expert._network, "predict", full)
    with pytest.raises(torch.OutOfMemoryError):
        experts["metric"].estimate([make_frame(unlike_images()[0])])


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (60_000, 57)])
def test_a_picture_that_cannot_be_looked_at_stays_unknown_beside_others(experts, shape):
    strange = make_frame(make_image(np.zeros((*shape, 3), dtype=np.uint8)))
    bad, good = experts["metric"].estimate([strange, make_frame(unlike_images()[0])])
    assert bad.depth is None
    assert any(note.startswith("no depth: a picture of") for note in bad.notes)
    assert good.depth is not None


def test_a_checkpoint_of_another_class_is_refused(tmp_path):
    folder = save_zoedepth(tmp_path)
    with pytest.raises(WeightsError, match="expected weights of the kind depth_anything"):
        DepthAnythingGeometry(DepthAnythingOptions(weights=str(folder)))


def test_no_weights_are_told(tmp_path):
    with pytest.raises(WeightsError, match="option weights"):
        DepthAnythingGeometry(DepthAnythingOptions(weights="nowhere"))
    with pytest.raises(WeightsError, match="safetensors"):
        DepthAnythingGeometry(DepthAnythingOptions(weights=str(tmp_path)))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"do_pad": True}, "without padding"),
        ({"size_divisor": 3}, "size_divisor"),
        ({"do_normalize": False}, "do_normalize"),
        ({"resample": 1}, "resample"),
        ({"size": {"shortest_edge": 3}}, "lacks 'width'"),
        ({"size": {"width": 10**9, "height": 56}}, "1 to 8192"),
        ({"image_std": [0, 0, 0]}, "image_std"),
        ({"image_mean": "red"}, "could not convert"),
        ({"ensure_multiple_of": 13}, "whole patches"),
        ({"rescale_factor": 1.0}, "rescale_factor"),
    ],
)
def test_a_processor_that_asks_for_something_else_is_refused(folders, tmp_path, change, fault):
    folder = tmp_path / "weights"
    shutil.copytree(folders["relative"], folder)
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(WeightsError, match=fault):
        DepthAnythingGeometry(DepthAnythingOptions(weights=str(folder)))


def test_a_checkpoint_without_a_processor_is_refused(folders, tmp_path):
    folder = tmp_path / "weights"
    shutil.copytree(folders["relative"], folder)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match="how pictures are prepared"):
        DepthAnythingGeometry(DepthAnythingOptions(weights=str(folder)))


@pytest.mark.parametrize(
    "option", [{"noise": -1.0}, {"noise": float("nan")}, {"common": 99.0}, {"batch": 0}]
)
def test_options_out_of_range_are_refused(option):
    with pytest.raises(InputError, match=f"option {next(iter(option))}"):
        DepthAnythingOptions(weights="x", **option)


@pytest.mark.parametrize("fov", [-1.0, 180.0, float("nan")])
def test_a_field_of_view_that_no_camera_has_is_refused(fov):
    with pytest.raises(InputError, match="option fov"):
        DepthAnythingOptions(weights="x", fov=fov)


def test_notes_are_told_once(experts):
    frame = make_frame(unlike_images()[0])
    once = experts["relative"].estimate([frame])[0]
    twice = experts["relative"].estimate([replace(once, depth=None)])[0]
    assert twice.notes == once.notes
