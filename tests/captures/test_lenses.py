"""Pictures and depth under another lens, against OpenCV and against loops over pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from groundplane.captures.lenses import (
    Lens,
    lens_matrix,
    resample_depth,
    shrink,
    straighten,
    unturned,
)
from groundplane.core.errors import InputError
from groundplane.core.image import FrameMap, Image, Source
from groundplane.core.media import read_image

BENT = (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)


def image(pixels, content_hash="a"):
    return Image(
        pixels=pixels,
        source=Source(name="x", content_hash=content_hash),
        frame_map=FrameMap.identity(),
    )


def plain_resample(depth, source, K, size):
    """Pixel by pixel: the ray of the middle, bent, and the pixel of the depth that it hits."""
    out = np.zeros((size[1], size[0]), dtype=np.float32)
    k1, k2, p1, p2, k3 = source.distortion
    for row in range(size[1]):
        for column in range(size[0]):
            x, y, _ = np.linalg.inv(K) @ [column + 0.5, row + 0.5, 1]
            r2 = x * x + y * y
            radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
            bent = [
                x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
                y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
                1,
            ]
            u, v, _ = source.K @ bent
            if 0 <= u < depth.shape[1] and 0 <= v < depth.shape[0]:
                out[row, column] = depth[int(v), int(u)]
    return out


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**31),
    st.tuples(st.integers(1, 30), st.integers(1, 20)),
    st.tuples(st.integers(1, 30), st.integers(1, 20)),
    st.sampled_from([(0.0,) * 5, BENT]),
)
def test_depth_is_that_of_the_plain_way(seed, size, source_size, distortion):
    rng = np.random.default_rng(seed)
    depth = rng.random((source_size[1], source_size[0]), dtype=np.float32) + 1
    f, g, c, d = rng.uniform(5, 30, 4)
    source = Lens(K=np.array([[f, 0, c], [0, g, d], [0, 0, 1.0]]), distortion=distortion)
    f, g, c, d = rng.uniform(5, 30, 4)
    K = np.array([[f, 0, c], [0, g, d], [0, 0, 1.0]])
    assert np.array_equal(
        resample_depth(depth, source, K, size), plain_resample(depth, source, K, size)
    )


def test_depth_under_its_own_lens_is_left_alone():
    depth = np.ones((4, 6), dtype=np.float32)
    K = np.array([[5.0, 0, 3], [0, 5, 2], [0, 0, 1]])
    assert resample_depth(depth, Lens(K=K), K, (6, 4)) is depth


def test_no_depth_is_a_mean_of_two():
    depth = np.where(np.arange(64) < 31, 1.0, 5.0).astype(np.float32)[None].repeat(48, 0)
    K = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
    told = resample_depth(depth, Lens(K=K, distortion=BENT), K * [[1.37], [1.37], [1]], (88, 66))
    assert set(np.unique(told)) <= {0.0, 1.0, 5.0}


def test_straightened_pictures_are_those_of_opencv():
    rng = np.random.default_rng(0)
    pixels = cv2.GaussianBlur(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8), (0, 0), 2)
    K = np.array([[103.46, 0, 64.22], [0, 103.3, 51.56], [0, 0, 1]])
    told = straighten(image(pixels), Lens(K=K, distortion=BENT))
    centred = K - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    plain = cv2.undistort(pixels, centred, np.array(BENT))
    # OpenCV rounds its maps to 1/32 of a pixel.
    assert np.abs(told.pixels.astype(int) - plain).max() <= 2
    assert told.source.content_hash != "a"


def test_a_straight_lens_leaves_the_picture():
    picture = image(np.zeros((4, 4, 3), dtype=np.uint8))
    assert straighten(picture, Lens(K=np.eye(3))) is picture


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [((64, 48), 32, (32, 24)), ((1, 100), 10, (1, 10)), ((5, 3), 5, (5, 3)), ((3, 1), 1, (1, 1))],
)
def test_pictures_are_shrunk_to_the_longer_side(size, longest, expected):
    picture = image(np.full((size[1], size[0], 3), 7, dtype=np.uint8))
    small = shrink(picture, longest)
    assert small.size == expected
    assert (small.pixels == 7).all()
    corner = small.frame_map.points(np.array([expected], dtype=float))
    assert np.allclose(corner, [size])


def test_videos_without_a_hash_stay_without():
    small = shrink(image(np.zeros((8, 8, 3), dtype=np.uint8), content_hash=""), 4)
    assert small.source.content_hash == ""


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_pictures_come_back_as_stored(tmp_path, orientation):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    exif = PILImage.Exif()
    exif[0x0112] = orientation
    PILImage.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    picture = unturned(read_image(tmp_path / "a.png"))
    assert np.array_equal(picture.pixels, pixels)
    assert np.array_equal(picture.frame_map.matrix, FrameMap.identity().matrix)


@pytest.mark.parametrize("numbers", [(0, 1, 1, 1), (1, -1, 1, 1), (1, 1, float("nan"), 1)])
def test_impossible_intrinsics_are_refused(numbers):
    with pytest.raises(InputError, match="here: expected finite intrinsics"):
        lens_matrix(tuple(map(float, numbers)), where="here")
