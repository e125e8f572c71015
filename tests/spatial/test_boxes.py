"""Corners, hull, heights and footprints of oriented boxes."""

import math

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import ShapeError
from groundplane.spatial.boxes import Boxes3D


def random_boxes(count, *, seed):
    generator = torch.Generator().manual_seed(seed)
    options = {"generator": generator, "dtype": torch.float64}
    axes, _ = torch.linalg.qr(torch.randn(count, 3, 3, **options))
    return Boxes3D(
        centers=torch.randn(count, 3, **options) * 3,
        sizes=torch.rand(count, 3, **options) * 2,
        axes=axes,
    )


def turned_about_z(degrees):
    angle = math.radians(degrees)
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, s, 0], [-s, c, 0], [0, 0, 1]], dtype=torch.float64)


def one_box(center, size, axes=None):
    return Boxes3D(
        centers=torch.tensor([center], dtype=torch.float64),
        sizes=torch.tensor([size], dtype=torch.float64),
        axes=(torch.eye(3, dtype=torch.float64) if axes is None else axes)[None],
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("centers", torch.zeros(2, 2)), ("sizes", torch.zeros(3, 3)), ("axes", torch.zeros(2, 9))],
)
def test_wrong_shape_is_refused(name, value):
    fields = {"centers": torch.zeros(2, 3), "sizes": torch.zeros(2, 3)}
    fields |= {"axes": torch.eye(3).expand(2, 3, 3), name: value}

    with pytest.raises((ShapeError, TypeError)):  # the shape-checking hook may come first
        Boxes3D(**fields)


def test_rows_of_axes_are_the_axes():
    box = one_box((0, 0, 0), (4, 2, 1), turned_about_z(90))

    low, high = box.hull()

    # The longest side lies along y: read by columns it would turn the other way, so compare a
    # quarter turn that is not symmetric.
    torch.testing.assert_close(high - low, torch.tensor([[2.0, 4.0, 1.0]], dtype=torch.float64))
    corner = one_box((0, 0, 0), (4, 2, 1), turned_about_z(30)).corners()[0, -1]
    want = 2 * turned_about_z(30)[0] + 1 * turned_about_z(30)[1] + 0.5 * turned_about_z(30)[2]
    torch.testing.assert_close(corner, want)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31))
def test_hull_just_holds_the_corners(seed):
    boxes = random_boxes(20, seed=seed)

    low, high = boxes.hull()

    torch.testing.assert_close(boxes.corners().amin(dim=1), low)
    torch.testing.assert_close(boxes.corners().amax(dim=1), high)


def test_vertical_is_the_hull_along_z():
    boxes = random_boxes(20, seed=3)

    bottom, top = boxes.vertical()

    torch.testing.assert_close(bottom, boxes.corners()[..., 2].amin(dim=1))
    torch.testing.assert_close(top, boxes.corners()[..., 2].amax(dim=1))


def test_footprint_of_an_upright_box_is_its_rectangle():
    footprint = one_box((1, 2, 5), (4, 2, 1), turned_about_z(30)).footprints()[0]

    assert footprint.area == pytest.approx(8)
    assert (footprint.centroid.x, footprint.centroid.y) == pytest.approx((1, 2))
    along = turned_about_z(30)[0, :2].numpy()
    assert footprint.buffer(1e-9).covers(shapely.Point(np.array([1, 2]) + 1.99 * along))


def test_footprint_of_a_tilted_box_is_wider():
    tilt = torch.tensor(
        [[math.sqrt(0.5), 0, math.sqrt(0.5)], [0, 1, 0], [-math.sqrt(0.5), 0, math.sqrt(0.5)]],
        dtype=torch.float64,
    )

    footprint = one_box((0, 0, 0), (2, 1, 2), tilt).footprints()[0]

    assert footprint.area == pytest.approx(2 * math.sqrt(2))


def test_footprints_cover_every_corner_and_no_more():
    boxes = random_boxes(50, seed=9)
    corners = boxes.corners()[..., :2].numpy()

    footprints = boxes.footprints()

    assert shapely.covers(shapely.buffer(footprints, 1e-9)[:, None], shapely.points(corners)).all()
    outline = shapely.get_coordinates(footprints)
    nearest = np.abs(outline[:, None] - corners.reshape(1, -1, 2)).sum(axis=-1).min(axis=1)
    assert nearest.max() == 0


def test_footprint_of_an_upright_sheet_is_a_line():
    footprint = one_box((0, 0, 1), (2, 0, 1)).footprints()[0]

    assert footprint.length == pytest.approx(2)
    assert footprint.area == 0


def test_no_boxes_have_no_footprints():
    none = random_boxes(0, seed=0)

    assert none.footprints().shape == (0,)
    assert none.vertical()[0].shape == (0,)


def test_index_and_device_keep_the_columns_together():
    boxes = random_boxes(5, seed=1)
    covariance = torch.arange(5 * 36, dtype=torch.float64).reshape(5, 6, 6)
    full = Boxes3D(centers=boxes.centers, sizes=boxes.sizes, axes=boxes.axes, covariance=covariance)

    picked = full.to("cpu")[torch.tensor([3, 1])]

    assert len(picked) == 2
    assert torch.equal(picked.centers, boxes.centers[[3, 1]])
    assert torch.equal(picked.axes, boxes.axes[[3, 1]])
    assert picked.covariance is not None
    assert torch.equal(picked.covariance, covariance[[3, 1]])
