"""Features of boxes: each cell counts by the area that it shares with the box."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from groundplane.core.errors import InputError
from groundplane.core.features import FeatureGrid
from groundplane.core.frames import Frame
from groundplane.grounding.region_features import cell_shares, region_features

_FRAMES = {
    "crop": Frame.cropped((64, 48), shortest=32, crop=32),
    "pad": Frame.padded((64, 48)).then(Frame.resized((64, 64), (32, 32))),
    "stretch": Frame.resized((64, 48), (32, 32)),
}


def _boxes(seed: int, count: int = 6) -> Tensor:
    pick = np.random.default_rng(seed)
    x, y = np.sort(pick.uniform(0, 64, (count, 2))), np.sort(pick.uniform(0, 48, (count, 2)))
    return torch.from_numpy(np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1)).float()


@given(kind=st.sampled_from(sorted(_FRAMES)), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_shares_equal_the_overlap_with_each_cell(kind: str, seed: int) -> None:
    frame, grid, boxes = _FRAMES[kind], (4, 5), _boxes(seed)
    tokens = torch.zeros(1, 20, 1)
    cells = FeatureGrid(tokens=tokens, grid=grid, patch=8.0, frames=(frame,)).cell_boxes(0)
    found = cell_shares(frame, grid, boxes)
    for i, box in enumerate(boxes.double().tolist()):
        for j, cell in enumerate(cells.tolist()):
            wide = max(0.0, min(box[2], cell[2]) - max(box[0], cell[0]))
            high = max(0.0, min(box[3], cell[3]) - max(box[1], cell[1]))
            share = wide * high / ((box[2] - box[0]) * (box[3] - box[1]))
            assert abs(float(found[i, j]) - share) < 1e-5


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_box_equals_the_mean_over_its_pixels(seed: int) -> None:
    # Cells of 8 by 8 pixels, boxes of whole pixels: the plain way is to spread cells to pixels.
    pick = np.random.default_rng(seed)
    tokens = torch.from_numpy(pick.normal(size=(4, 4, 3))).float()
    x, y = np.sort(pick.choice(33, 2, replace=False)), np.sort(pick.choice(33, 2, replace=False))
    pixels = tokens.repeat_interleave(8, 0).repeat_interleave(8, 1)
    plain = functional.normalize(pixels[y[0] : y[1], x[0] : x[1]].mean((0, 1)), dim=0)
    frame = Frame.original((32, 32))
    grid = FeatureGrid(tokens=tokens.view(1, 16, 3), grid=(4, 4), patch=8.0, frames=(frame,))
    box = torch.tensor([[x[0], y[0], x[1], y[1]]]).float()
    torch.testing.assert_close(region_features(grid, box).vectors[0], plain, atol=1e-5, rtol=0)


def _grid(frame: Frame) -> FeatureGrid:
    return FeatureGrid(tokens=torch.eye(16)[None], grid=(4, 4), patch=8.0, frames=(frame,))


def test_what_a_crop_cuts_off_is_not_seen() -> None:
    boxes = torch.tensor([[0.0, 0, 8, 48], [8.0, 0, 24, 48], [0.0, 0, 16, 48]])
    found = region_features(_grid(_FRAMES["crop"]), boxes)
    assert found.seen.tolist() == pytest.approx([0.0, 1.0, 0.5], abs=1e-6)
    assert found.vectors[0].tolist() == [0.0] * 16


def test_beyond_the_picture_is_cut_not_counted() -> None:
    found = region_features(_grid(_FRAMES["pad"]), torch.tensor([[-50.0, -50, 16, 16]]))
    assert found.seen.tolist() == [pytest.approx(1.0)]


def test_a_box_smaller_than_a_cell_is_that_cell() -> None:
    found = region_features(_grid(_FRAMES["stretch"]), torch.tensor([[1.0, 1.0, 1.01, 1.01]]))
    assert found.vectors[0].tolist() == pytest.approx([1.0] + [0.0] * 15)


def test_a_box_without_area_was_not_seen() -> None:
    found = region_features(
        _grid(_FRAMES["stretch"]), torch.tensor([[5.0, 5, 5, 9], [9.0, 9, 5, 5]])
    )
    assert found.seen.tolist() == [0.0, 0.0]


def test_no_boxes_give_no_rows() -> None:
    found = region_features(_grid(_FRAMES["stretch"]), torch.zeros(0, 4))
    assert (len(found), tuple(found.vectors.shape), tuple(found.sizes.shape)) == (
        0,
        (0, 16),
        (0, 2),
    )


@pytest.mark.parametrize("edge", [float("nan"), float("inf")])
def test_an_edge_that_is_no_number_is_refused(edge: float) -> None:
    with pytest.raises(InputError, match="finite"):
        region_features(_grid(_FRAMES["crop"]), torch.tensor([[0.0, 0, edge, 4]]))


@pytest.mark.parametrize("picture", [-1, 1])
def test_another_picture_is_refused(picture: int) -> None:
    with pytest.raises(InputError, match="expected a picture"):
        region_features(_grid(_FRAMES["crop"]), torch.zeros(0, 4), picture=picture)
