"""Calibration from photos to fused tokens, with encoders and a projector as models have them."""

from __future__ import annotations

import pytest
import torch

import groundplane
from groundplane.core.calibrated_fusion import CalibratedAdditive
from groundplane.core.calibrating import calibrate
from groundplane.core.fusion.operator import ProjectorRule
from groundplane.core.fusion.projectors import make_projector
from groundplane.core.fusion.resampling import resample
from groundplane.core.media import list_images, read_image
from groundplane.core.towers.tower import TowerShape
from groundplane.testing.checkpoints_towers import save_clip, save_dinov2

pytest.importorskip("transformers")
WIDTH = 24


@pytest.fixture(scope="module")
def grids(tmp_path_factory, data_dir):
    folder = tmp_path_factory.mktemp("towers")
    images = [read_image(path) for path in list_images(data_dir / "coco" / "images")[:10]]
    saved = {"clip": save_clip(folder / "clip"), "dinov2": save_dinov2(folder / "dino")}
    return [
        groundplane.load("encoders", name, device="cpu", weights=str(path)).encode(images)
        for name, path in saved.items()
    ]


@pytest.fixture(scope="module")
def projector():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make_projector(ProjectorRule(), 32, WIDTH)


def _fitted(source, target, projector):
    tokens = resample(source.tokens, source.grid, target.grid)
    with torch.no_grad():
        return tokens, calibrate(zip(tokens, projector(target.tokens), strict=True))


def test_the_second_encoder_s_tokens_are_fused_behind_the_projector(grids, projector):
    clip, dino = grids
    tokens, found = _fitted(dino, clip, projector)
    assert found.num_tokens == 6 * clip.tokens.shape[1]
    assert found.explained < 0.9
    towers = [
        TowerShape(name="clip", grid=clip.grid, width=clip.width),
        TowerShape(name="dinov2", grid=dino.grid, width=dino.width),
    ]
    fused = CalibratedAdditive(towers, projector, found.map, share=0.5)([clip.tokens, dino.tokens])
    mapped = tokens.double() @ found.map.weight.T + found.map.bias
    truth = 0.5 * projector(clip.tokens).double() + 0.5 * mapped
    torch.testing.assert_close(fused.tokens.double(), truth, atol=1e-4, rtol=0)


def test_an_encoder_onto_itself_is_explained_wholly_and_another_is_not(grids):
    clip, dino = grids
    linear = make_projector(ProjectorRule(kind="linear"), 32, WIDTH)
    own, other = (_fitted(source, clip, linear)[1].explained for source in (clip, dino))
    assert own > 0.9999
    assert other < 0.9
