"""Reading pictures: awkward ones, every colour mode, and the way back to stored pixels."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from pictures import encode_picture, make_chunk, make_png, refusal_of
from PIL import Image as PILImage
from PIL import ImageCms

from groundplane.core.media import MediaLimits, read_image

_AWKWARD = Path(__file__).resolve().parents[2] / ".." / "shared" / "data/awkward"
_INDEX = _AWKWARD / "index.jsonl"
_ROWS = [json.loads(line) for line in _INDEX.read_text().splitlines()] if _INDEX.exists() else []
_needs_awkward = pytest.mark.skipif(not _ROWS, reason="needs ../shared/data/awkward")
_ALLOWED = MediaLimits().formats


# The awkward files ---------------------------------------------------------------------------


def _expected_size(row):
    width, height = row["size"]
    return (height, width) if row.get("exif_orientation", 1) >= 5 else (width, height)


def _is_readable(row):
    # The index loaded a picture again after its EXIF data had already failed to load with it;
    # Pillow gives such a second load without an error.
    return row.get("load") == "ok" and row["format"] in _ALLOWED and "exif_error" not in row


def _check_against_index(row, image):
    assert image.size == _expected_size(row)


@_needs_awkward
@pytest.mark.parametrize("row", _ROWS, ids=lambda row: row["file"])
def test_awkward_file_is_read_or_refused_as_pillow_says(row, capfd):
    path = _AWKWARD / row["file"]
    if _is_readable(row):
        image = read_image(path)
        _check_against_index(row, image)
        assert image.source.name == path.name
        assert image.source.content_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    else:
        message = refusal_of(path)
        assert f"{path.name!r}" in message
        assert str(path.parent) not in message
        if row.get("format", "PNG") not in _ALLOWED:
            assert f"format {row['format']} is not allowed" in message
    assert capfd.readouterr() == ("", "")


@_needs_awkward
def test_the_awkward_referee_covers_all_kinds_and_sees_a_wrong_size():
    assert len(_ROWS) == 63
    assert sum(map(_is_readable, _ROWS)) == 54
    row = next(row for row in _ROWS if row["file"].endswith("Landscape_6.jpg"))
    image = read_image(_AWKWARD / row["file"])
    with pytest.raises(AssertionError):
        _check_against_index({**row, "exif_orientation": 1}, image)


def _thumbnail(pixels):
    small = PILImage.fromarray(pixels).resize((24, 16), PILImage.Resampling.BOX)
    return np.asarray(small, dtype=np.float64)


@_needs_awkward
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_of_every_orientation_look_alike(orientation):
    upright = read_image(_AWKWARD / "exif_orientation/Landscape_0.jpg").pixels
    other = read_image(_AWKWARD / f"exif_orientation/Landscape_{orientation}.jpg").pixels
    difference = np.abs(_thumbnail(other) - _thumbnail(upright)).mean()
    mirrored = np.abs(_thumbnail(other[:, ::-1]) - _thumbnail(upright)).mean()
    # The files were compressed one by one: they differ by about one level.
    assert difference < 3
    assert mirrored > 20


# Orientation ---------------------------------------------------------------------------------


def _with_orientation(pixels, orientation, format_="PNG"):
    exif = PILImage.Exif()
    exif[0x0112] = orientation
    return encode_picture(PILImage.fromarray(pixels), format_, exif=exif)


# Stored pixel (column, row) -> upright pixel, of a stored picture 7 wide and 5 high.
_UPRIGHT = {
    1: lambda x, y: (x, y),
    2: lambda x, y: (6 - x, y),
    3: lambda x, y: (6 - x, 4 - y),
    4: lambda x, y: (x, 4 - y),
    5: lambda x, y: (y, x),
    6: lambda x, y: (4 - y, x),
    7: lambda x, y: (4 - y, 6 - x),
    8: lambda x, y: (y, 6 - x),
}


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_frame_map_leads_from_upright_pixels_to_stored_pixels(orientation, format_):
    stored = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    image = read_image(_with_orientation(stored, orientation, format_))
    height, width = image.pixels.shape[:2]
    y, x = np.mgrid[:height, :width].reshape(2, -1)
    # Pixel centres lie at half pixels, and must come out there.
    mapped = image.frame_map.points(np.stack([x, y], axis=1) + 0.5) - 0.5
    column, row = mapped.astype(int).T
    assert np.array_equal(mapped, np.stack([column, row], axis=1))
    assert np.array_equal(stored[row, column], image.pixels[y, x])
    for sx, sy, ux, uy in zip(column, row, x, y, strict=True):
        assert _UPRIGHT[orientation](sx, sy) == (ux, uy)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_frame_map_takes_the_whole_picture_to_the_whole_file(orientation):
    image = read_image(_with_orientation(np.zeros((5, 7, 3), dtype=np.uint8), orientation))
    whole = np.array([[0.0, 0.0, *image.size]])
    assert image.frame_map.boxes(whole).tolist() == [[0, 0, 7, 5]]


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_unknown_orientation_is_upright(orientation):
    image = read_image(_with_orientation(np.zeros((5, 7, 3), dtype=np.uint8), orientation))
    assert image.size == (7, 5)
    assert image.frame_map.matrix.tolist() == [[1, 0, 0], [0, 1, 0]]


# Colour --------------------------------------------------------------------------------------


def _pixel(source):
    return tuple(read_image(source).pixels[0, 0].tolist())


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 77, (77, 77, 77)),
        ("LA", (0, 0), (255, 255, 255)),
        ("LA", (40, 255), (40, 40, 40)),
        ("La", (0, 0), (255, 255, 255)),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGBX", (1, 2, 3, 0), (1, 2, 3)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("RGBa", (0, 0, 0, 0), (255, 255, 255)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("CMYK", (0, 0, 0, 255), (0, 0, 0)),
        ("YCbCr", (200, 128, 128), (200, 200, 200)),
        ("HSV", (0, 255, 255), (255, 0, 0)),
        ("I;16", 0, (0, 0, 0)),
        ("I;16", 65535, (255, 255, 255)),
        ("I", 65535, (255, 255, 255)),
        ("F", 1.0, (255, 255, 255)),
    ],
)
def test_every_mode_becomes_rgb_on_white(mode, color, expected):
    assert _pixel(PILImage.new(mode, (2, 2), color)) == expected


@pytest.mark.parametrize("color", [(255, 255, 255), (0, 0, 0), (200, 30, 40), (20, 120, 220)])
def test_lab_becomes_the_rgb_that_it_was(color):
    picture = PILImage.new("RGB", (2, 2), color)
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.applyTransform(picture, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    # LAB is stored in whole steps, which are coarse for dark channels.
    assert np.abs(np.subtract(_pixel(encode_picture(lab, "TIFF")), color)).max() <= 6


@pytest.mark.parametrize("transparency", [1, b"\xff\x00\x80"])
def test_palette_transparency_is_laid_on_white(transparency):
    picture = PILImage.new("P", (3, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60, 0, 0, 0])
    picture.putdata([0, 1, 2])
    data = encode_picture(picture, "PNG", transparency=transparency)
    shade = 0 if transparency == 1 else 255 - 128
    expected = [[10, 20, 30], [255, 255, 255], [shade, shade, shade]]
    assert read_image(data).pixels[0].tolist() == expected


@pytest.mark.parametrize(
    ("depth", "color", "raw", "key", "expected"),
    [
        pytest.param(1, 0, b"\x40", b"\0\0", [255, 255], id="1 bit grey"),
        pytest.param(2, 0, b"\x90", b"\0\2", [255, 85], id="2 bit grey"),
        pytest.param(4, 0, b"\x91", b"\0\x09", [255, 17], id="4 bit grey"),
        pytest.param(8, 0, b"\x09\x11", b"\0\x09", [255, 17], id="8 bit grey"),
        pytest.param(16, 0, b"\x09\x01\x80\x80", b"\x09\x01", [255, 128], id="16 bit grey"),
        pytest.param(
            16, 2, b"\x09\x01" * 3 + b"\x80\x80" * 3, b"\x09\x01" * 3, [255, 128], id="16 bit RGB"
        ),
    ],
)
def test_png_transparent_colour_is_laid_on_white(depth, color, raw, key, expected):
    data = make_png(
        (2, 1), depth=depth, color=color, raw=b"\0" + raw, extra=make_chunk(b"tRNS", key)
    )
    assert read_image(data).pixels[0, :, 0].tolist() == expected


def test_cmyk_jpeg_is_not_a_negative():
    red = PILImage.new("CMYK", (8, 8), (0, 255, 255, 0))
    # JPEG keeps colours to a few levels.
    assert np.abs(np.subtract(_pixel(encode_picture(red, "JPEG")), (255, 0, 0))).max() <= 6


@pytest.mark.parametrize(
    ("format_", "largest", "white"),
    [
        ("PNG", 700, 65535),
        ("TIFF", 65535, 65535),
        ("TIFF", 40000, 65535),
        ("TIFF", 4095, 4095),
        ("TIFF", 700, 1023),
        ("TIFF", 200, 255),
    ],
)
def test_sixteen_bit_grey_is_scaled_by_the_stated_white(format_, largest, white):
    values = np.array([[0, largest // 3, largest]], dtype=np.uint16)
    pixels = read_image(encode_picture(PILImage.fromarray(values), format_)).pixels
    assert pixels[0, :, 1].tolist() == np.rint(values[0] * (255.0 / white)).astype(int).tolist()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 51.0, 255.0], [0, 51, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([-5.0, -5.0, -5.0], [0, 0, 0]),
        ([float("nan"), 1.0, float("inf")], [0, 255, 255]),
        ([float("nan")] * 3, [0, 0, 0]),
    ],
)
def test_float_grey_is_scaled_by_its_range(values, expected):
    picture = PILImage.fromarray(np.array([values], dtype=np.float32))
    assert read_image(encode_picture(picture, "TIFF")).pixels[0, :, 0].tolist() == expected


def test_sixteen_bit_white_is_zero_tiff_is_turned_round():
    picture = PILImage.fromarray(np.array([[0, 65535]], dtype=np.uint16))
    data = encode_picture(picture, "TIFF", tiffinfo={262: 0})
    assert read_image(data).pixels[0, :, 0].tolist() == [255, 0]


# Sources -------------------------------------------------------------------------------------


def test_path_string_bytes_and_open_picture_give_the_same_pixels(tmp_path):
    data = _with_orientation(np.arange(105, dtype=np.uint8).reshape(5, 7, 3), 6)
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    with PILImage.open(path) as opened:
        images = [read_image(path), read_image(str(path)), read_image(data), read_image(opened)]
    for image in images[1:]:
        assert np.array_equal(image.pixels, images[0].pixels)
        assert np.array_equal(image.frame_map.matrix, images[0].frame_map.matrix)
    assert [image.source.name for image in images] == [
        "picture.png",
        "picture.png",
        "<bytes>",
        "picture.png",
    ]
    assert {image.source.content_hash for image in images[:3]} == {hashlib.sha256(data).hexdigest()}


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 3), (2, 3, 4)])
def test_arrays_are_taken_as_grey_rgb_and_rgba(shape):
    values = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    if shape[-1] == 4:
        values[..., 3] = 255
    image = read_image(values[:, ::-1], name="mine")
    expected = values[:, ::-1] if values.ndim == 3 else values[:, ::-1, None]
    assert np.array_equal(image.pixels, np.broadcast_to(expected[..., :3], (2, 3, 3)))
    assert image.source.name == "mine"


def test_array_hash_depends_on_pixels_and_shape_only():
    pixels = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    digest = read_image(pixels).source.content_hash
    assert read_image(pixels.copy(), name="other").source.content_hash == digest
    assert read_image(pixels.reshape(4, 3, 3)).source.content_hash != digest
    assert read_image(pixels + np.uint8(1)).source.content_hash != digest


def test_an_image_shares_no_memory_with_the_array():
    pixels = np.zeros((2, 3, 3), dtype=np.uint8)
    image = read_image(pixels)
    image.pixels[:] = 9
    assert not pixels.any()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3, 3)), "float64"),
        (np.zeros((2, 3, 2), dtype=np.uint8), r"(2, 3, 2)"),
        (np.zeros(3, dtype=np.uint8), r"(3,)"),
        (np.zeros((0, 3, 3), dtype=np.uint8), "no pixels"),
    ],
)
def test_arrays_of_other_types_and_shapes_are_refused(array, message):
    assert message in refusal_of(array)


def test_limits_hold_for_arrays_and_open_pictures_too():
    limits = MediaLimits(max_pixels=5)
    assert "2 x 3" in refusal_of(np.zeros((3, 2), dtype=np.uint8), limits=limits)
    assert "2 x 3" in refusal_of(PILImage.new("L", (2, 3)), limits=limits)


@pytest.mark.parametrize("format_", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_many_frames_the_first_is_taken(format_):
    frames = [PILImage.new("RGB", (9, 6), (20 * i, 0, 0)) for i in range(12)]
    options = {"lossless": True} if format_ == "WEBP" else {}
    data = encode_picture(frames[3], format_, save_all=True, append_images=frames, **options)
    assert _pixel(data) == (60, 0, 0)
