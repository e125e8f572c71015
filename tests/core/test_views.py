"""Pixels of a view: those of the pipelines that it replaces, and where they lie."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pictures

from groundplane.core import views
from groundplane.core.errors import InputError, ShapeError
from groundplane.core.features import View, to_unit
from groundplane.core.image import Image
from groundplane.core.views import canvas_to_tower, view_frame, view_pixels
from groundplane.testing.detectors import make_image

SIZES = [(480, 640), (333, 517), (50, 40), (1, 1), (900, 120), (56, 56), (57, 56), (2, 31)]
FITS = ("crop", "pad", "stretch")
Fit = Literal["crop", "pad", "stretch"]


def noise(height: int, width: int, *, seed: int = 0) -> Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return make_image(pixels)


def differences(image: Image, view: View, expected: np.ndarray) -> np.ndarray:
    got = view_pixels([image], view)[0].permute(1, 2, 0).numpy().astype(int)
    assert got.shape == expected.shape
    return np.abs(got - expected.astype(int))


def soft(height: int, width: int) -> Image:
    """As photos are: neighbours are alike, and few are black or white."""
    rng = np.random.default_rng(1)
    few = rng.integers(30, 226, (max(1, height // 8), max(1, width // 8), 3), dtype=np.uint8)
    whole = Pictures.fromarray(few).resize((width, height), Pictures.Resampling.BICUBIC)
    return make_image(np.asarray(whole))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", ["clip", "pil_clip"])
def test_a_crop_is_that_of_the_image_processor_of_clip(size: tuple[int, int], way: str) -> None:
    module = pytest.importorskip(f"transformers.models.clip.image_processing_{way}")
    name = "CLIPImageProcessor" if way == "clip" else "CLIPImageProcessorPil"
    processor = getattr(module, name)(
        size={"shortest_edge": 56},
        crop_size={"height": 56, "width": 56},
        do_normalize=False,
        do_rescale=False,
    )
    image = noise(*size) if way == "clip" else soft(*size)
    kind = "pt" if way == "clip" else "np"
    made = processor(Pictures.fromarray(image.pixels), return_tensors=kind)["pixel_values"][0]
    found = differences(image, View(size=56), np.asarray(made).transpose(1, 2, 0))
    assert found.max() <= 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("band", [16_000_000, 3000])
def test_padding_is_that_of_llava(
    size: tuple[int, int], band: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "_BAND", band)
    image, (height, width) = soft(*size), size
    side = max(size)
    square = Pictures.new("RGB", (side, side), (122, 116, 104))
    square.paste(Pictures.fromarray(image.pixels), ((side - width) // 2, (side - height) // 2))
    expected = np.asarray(square.resize((56, 56), Pictures.Resampling.BICUBIC))
    assert differences(image, View(size=56, fit="pad"), expected).max() <= 1


@pytest.mark.parametrize("fit", FITS)
def test_a_dot_lies_where_the_frame_says(fit: Fit) -> None:
    """A bright square of the picture is found in the canvas at the place that the frame maps."""
    pixels = np.zeros((300, 420, 3), dtype=np.uint8)
    pixels[140:160, 180:200] = 255
    view = View(size=112, fit=fit, fill=(0, 0, 0))
    image = make_image(pixels)
    canvas = view_pixels([image], view)[0, 0].numpy().astype(float)
    y, x = np.meshgrid(np.arange(112) + 0.5, np.arange(112) + 0.5, indexing="ij")
    middle = np.array([[(x * canvas).sum(), (y * canvas).sum()]]) / canvas.sum()
    back = view_frame(view, image.size).points_to_image(middle)[0]
    assert np.abs(back - (190.0, 150.0)).max() < 0.2


@given(
    size=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    side=st.integers(1, 60),
    fit=st.sampled_from(FITS),
)
@settings(max_examples=60, deadline=None)
def test_frames_have_the_canvas_and_show_something(
    size: tuple[int, int], side: int, fit: Fit
) -> None:
    view = View(size=side, fit=fit)
    frame = view_frame(view, size)
    assert frame.canvas == (side, side)
    assert frame.image_size == size
    x0, y0, x1, y1 = frame.visible
    assert 0 <= x0 < x1 <= size[0]
    assert 0 <= y0 < y1 <= size[1]
    if fit != "crop":
        assert np.allclose((x0, y0, x1, y1), (0, 0, *size), atol=1e-6)
    pixels = view_pixels([make_image(np.full((size[1], size[0], 3), 9, np.uint8))], view)
    assert pixels.shape == (1, 3, side, side)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(640, 480), (333, 517), (101, 997)])
def test_views_of_two_sizes_show_the_same_part(fit: Fit, size: tuple[int, int]) -> None:
    """Cell i of one tower is cell i of another, up to the rounding of a resized side."""
    small, large = (to_unit(view_frame(View(size=s, fit=fit), size)) for s in (224, 448))
    corners = np.array([[0.0, 0.0], [float(size[0]), float(size[1])]])
    assert np.abs(small.points(corners) - large.points(corners)).max() < 1 / 200


def test_pictures_keep_their_order_and_stay_as_they_are() -> None:
    images = [noise(30, 50, seed=i) for i in range(4)]
    before = [image.pixels.copy() for image in images]
    whole = view_pixels(images, View(size=24))
    for place, image in enumerate(images):
        assert torch.equal(whole[place], view_pixels([image], View(size=24))[0])
        assert np.array_equal(image.pixels, before[place])


@pytest.mark.parametrize("fit", FITS)
def test_a_picture_of_the_size_wanted_is_not_resampled(fit: Fit) -> None:
    image = noise(40, 40)
    assert differences(image, View(size=40, fit=fit), image.pixels).max() == 0


@pytest.mark.parametrize("fit", FITS)
def test_a_plain_picture_stays_plain(fit: Fit) -> None:
    image = make_image(np.full((77, 33, 3), 200, np.uint8))
    view = View(size=21, fit=fit, fill=(200, 200, 200))
    assert view_pixels([image], view).unique().tolist() == [200]


def test_pixels_that_may_not_be_written_to_are_read() -> None:
    pixels = np.broadcast_to(np.arange(60, dtype=np.uint8)[None, :, None], (20, 60, 3))
    image = Image(pixels=pixels, source=noise(1, 1).source, frame_map=noise(1, 1).frame_map)
    for fit in ("crop", "pad", "stretch"):
        assert view_pixels([image], View(size=8, fit=fit)).shape == (1, 3, 8, 8)


@pytest.mark.parametrize(
    ("shape", "fit"), [((1, 100_000), "crop"), ((100_000, 1), "crop"), ((1, 200_000), "pad")]
)
def test_what_would_become_too_large_is_refused(shape: tuple[int, int], fit: Fit) -> None:
    image = make_image(np.zeros((*shape, 3), np.uint8), name="strip.png")
    view = View(size=448, fit=fit)
    with pytest.raises(InputError, match=r"strip\.png.*at most 40000000 pixels.*cut it"):
        view_pixels([image], view)
    with pytest.raises(InputError, match="cut it"):
        view_frame(view, image.size)


def test_a_long_strip_is_padded_within_bounds() -> None:
    image = make_image(np.zeros((2, 60_000, 3), np.uint8))
    assert view_pixels([image], View(size=56, fit="pad")).shape == (1, 3, 56, 56)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_a_picture_without_pixels_is_refused_by_name(shape: tuple[int, int]) -> None:
    image = make_image(np.zeros((*shape, 3), np.uint8), name="empty.png")
    with pytest.raises(ShapeError, match=r"empty\.png"):
        view_pixels([image], View(size=8))


def test_a_tower_of_another_size_gets_shares_within_black_and_white() -> None:
    stripes = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    stripes[..., ::2] = 255
    shares = canvas_to_tower(stripes, 24)
    assert (float(shares.min()), float(shares.max())) == (0.0, 1.0)
    assert torch.equal(shares, canvas_to_tower(stripes.float(), 24))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("shape", [(2, 3, 8, 9), (2, 4, 8, 8), (3, 8, 8)])
def test_what_is_no_batch_of_canvases_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="expected pixels of shape"):
        canvas_to_tower(torch.zeros(shape), 8)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "told",
    [
        {"filter": "box"},
        {"fit": 3},
        {"size": "32"},
        {"size": 1.5},
        {"size": True},
        {"fill": (1, 2)},
        {"fill": (1, 2, 3, 4)},
        {"fill": ("a", "b", "c")},
        {"fill": (1.5, 2, 3)},
    ],
)
def test_what_is_no_view_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(told))):
        View(**told)
