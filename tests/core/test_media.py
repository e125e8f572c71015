"""Reading pictures: awkward ones, bombs, broken ones, and the way back to stored pixels."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import random
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from PIL import ImageCms, ImageFile, UnidentifiedImageError

from groundplane.core.errors import MediaError
from groundplane.core.media import MediaLimits, list_images, read_image

_AWKWARD = Path(__file__).resolve().parents[2] / ".." / "shared" / "data/awkward"
_INDEX = _AWKWARD / "index.jsonl"
_ROWS = [json.loads(line) for line in _INDEX.read_text().splitlines()] if _INDEX.exists() else []
_needs_awkward = pytest.mark.skipif(not _ROWS, reason="needs ../shared/data/awkward")
_ALLOWED = MediaLimits().formats


def _encoded(picture, format_, **options):
    stream = io.BytesIO()
    picture.save(stream, format_, **options)
    return stream.getvalue()


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(size, *, depth=8, color=0, raw=b"", extra=b""):
    """A PNG of given header and raw rows, which need not fit each other."""
    header = struct.pack(">IIBBBBB", *size, depth, color, 0, 0, 0)
    body = _chunk(b"IHDR", header) + extra + _chunk(b"IDAT", zlib.compress(raw, 9))
    return b"\x89PNG\r\n\x1a\n" + body + _chunk(b"IEND", b"")


def _refusal(source, **options):
    """The message with which a source is refused; one line, naming it, with a cause."""
    with pytest.raises(MediaError) as caught:
        read_image(source, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    return message


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
        message = _refusal(path)
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
    return _encoded(PILImage.fromarray(pixels), format_, exif=exif)


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
    assert np.abs(np.subtract(_pixel(_encoded(lab, "TIFF")), color)).max() <= 6


@pytest.mark.parametrize("transparency", [1, b"\xff\x00\x80"])
def test_palette_transparency_is_laid_on_white(transparency):
    picture = PILImage.new("P", (3, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60, 0, 0, 0])
    picture.putdata([0, 1, 2])
    data = _encoded(picture, "PNG", transparency=transparency)
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
    data = _png((2, 1), depth=depth, color=color, raw=b"\0" + raw, extra=_chunk(b"tRNS", key))
    assert read_image(data).pixels[0, :, 0].tolist() == expected


def test_cmyk_jpeg_is_not_a_negative():
    red = PILImage.new("CMYK", (8, 8), (0, 255, 255, 0))
    # JPEG keeps colours to a few levels.
    assert np.abs(np.subtract(_pixel(_encoded(red, "JPEG")), (255, 0, 0))).max() <= 6


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
    pixels = read_image(_encoded(PILImage.fromarray(values), format_)).pixels
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
    assert read_image(_encoded(picture, "TIFF")).pixels[0, :, 0].tolist() == expected


def test_sixteen_bit_white_is_zero_tiff_is_turned_round():
    picture = PILImage.fromarray(np.array([[0, 65535]], dtype=np.uint16))
    data = _encoded(picture, "TIFF", tiffinfo={262: 0})
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
    assert message in _refusal(array)


def test_limits_hold_for_arrays_and_open_pictures_too():
    limits = MediaLimits(max_pixels=5)
    assert "2 x 3" in _refusal(np.zeros((3, 2), dtype=np.uint8), limits=limits)
    assert "2 x 3" in _refusal(PILImage.new("L", (2, 3)), limits=limits)


@pytest.mark.parametrize("format_", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_many_frames_the_first_is_taken(format_):
    frames = [PILImage.new("RGB", (9, 6), (20 * i, 0, 0)) for i in range(12)]
    options = {"lossless": True} if format_ == "WEBP" else {}
    data = _encoded(frames[3], format_, save_all=True, append_images=frames, **options)
    assert _pixel(data) == (60, 0, 0)


# Limits --------------------------------------------------------------------------------------


@pytest.fixture
def no_decoding(monkeypatch):
    """Fail where a pixel would be decoded."""

    def load(*_):
        pytest.fail("the picture was decoded")

    monkeypatch.setattr(PILImage.Image, "load", load)
    monkeypatch.setattr(ImageFile.ImageFile, "load", load)


def test_the_decoding_alarm_works(no_decoding):
    with pytest.raises(pytest.fail.Exception, match="was decoded"):
        read_image(_png((2, 2), raw=bytes(6)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(_png((9400, 9400), depth=1, raw=bytes(9400 * 1176)), "88360000|9400 x 9400"),
        pytest.param(_png((11000, 11000)), "11000 x 11000"),
        pytest.param(_png((60000, 60000)), "3600000000 pixels"),
        pytest.param(_png((1, 100000)), "1 x 100000 pixels are longer than 200 to 1"),
        pytest.param(_png((100000, 1)), "100000 x 1 pixels are longer"),
    ],
    ids=["9400", "11000", "60000", "tall", "wide"],
)
def test_bombs_are_refused_from_the_header(data, message, no_decoding):
    refusal = _refusal(data, name="bomb.png")
    assert any(part in refusal for part in message.split("|"))
    assert "'bomb.png'" in refusal


def test_raised_limits_let_a_large_picture_pass(monkeypatch):
    data = _png((300, 2), raw=bytes(602))
    with pytest.raises(MediaError, match="max_pixels"):
        read_image(data, limits=MediaLimits(max_pixels=599))
    # Pillow warns of a bomb from here on; the caller has allowed it.
    monkeypatch.setattr(PILImage, "MAX_IMAGE_PIXELS", 400)
    assert read_image(data, limits=MediaLimits(max_pixels=600)).size == (300, 2)


def test_too_many_bytes_are_refused_unread(tmp_path):
    path = tmp_path / "big.png"
    path.write_bytes(_png((2, 2), raw=bytes(6)) + bytes(1000))
    limits = MediaLimits(max_bytes=500)
    assert "more than 500 bytes" in _refusal(path, limits=limits)
    assert "more than 500 bytes" in _refusal(path.read_bytes(), limits=limits)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_pixels": 0},
        {"max_aspect": 0.5},
        {"max_aspect": float("nan")},
        {"max_bytes": -1},
        {"formats": ()},
        {"formats": ("JPEG", "JPG")},
    ],
)
def test_senseless_limits_are_refused(wrong):
    with pytest.raises(MediaError, match="media limits"):
        MediaLimits(**wrong)


def test_the_allowlist_can_be_changed():
    data = _encoded(PILImage.new("RGB", (2, 2), "red"), "PPM")
    assert "format PPM is not allowed" in _refusal(data)
    assert read_image(data, limits=MediaLimits(formats=("PPM",))).size == (2, 2)
    png = _png((2, 2), raw=bytes(6))
    assert "format PNG is not allowed; allowed: PPM" in _refusal(
        png, limits=MediaLimits(formats=("PPM",))
    )


# Broken and hostile files --------------------------------------------------------------------


def test_missing_files_folders_and_empty_files_are_refused(tmp_path):
    (tmp_path / "empty.jpg").touch()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    for name, message in [
        ("missing.jpg", "no such file"),
        ("empty.jpg", "empty"),
        ("pipe.jpg", "not a regular file"),
        ("loop.jpg", "symbolic links"),
        ("nul\0.jpg", "malformed"),
    ]:
        refusal = _refusal(tmp_path / name)
        assert message in refusal
        assert str(tmp_path) not in refusal
    assert "it is a folder" in _refusal(tmp_path)


def test_a_given_name_stands_in_the_message_and_in_the_image(tmp_path):
    assert "'upload 7'" in _refusal(tmp_path / "missing.jpg", name="upload 7")
    assert read_image(_png((2, 2), raw=bytes(6)), name="upload 7").source.name == "upload 7"


def test_a_name_with_line_breaks_stays_on_one_line():
    assert r"a\nb\x1b[31m" in _refusal(b"", name="a\nb\x1b[31m")


def test_text_and_short_files_are_no_pictures(tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("Not a picture, only a few words.\n")
    assert "'notes.jpg': it is not a picture of a known format; allowed: JPEG" in _refusal(path)
    assert "4 bytes are too few" in _refusal(b"\x89PNG")


def test_errors_are_chained_from_their_cause():
    data = _encoded(PILImage.effect_noise((64, 64), 50), "JPEG")
    with pytest.raises(MediaError, match="cut off") as caught:
        read_image(data[: len(data) // 2])
    assert isinstance(caught.value.__cause__, OSError)


def _tiff(*, next_directory=0, **changed):
    """A grey TIFF of 2 by 2 pixels, 1 2 3 4, with one directory at byte 12."""
    tags = {256: 2, 257: 2, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 2, 279: 4}
    tags |= {int(tag.removeprefix("tag_")): value for tag, value in changed.items()}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = struct.pack("<2sHI", b"II", 42, 12) + bytes([1, 2, 3, 4])
    return head + struct.pack("<H", len(tags)) + directory + struct.pack("<I", next_directory)


def test_a_tiff_whose_directories_run_in_a_circle_is_read():
    assert read_image(_tiff(next_directory=12)).pixels[:, :, 0].tolist() == [[1, 2], [3, 4]]


def _text_bomb(*, chunks):
    packed = b"key\0\0" + zlib.compress(bytes(2**20 if chunks > 1 else 2**24), 9)
    return _png((2, 2), raw=bytes(6), extra=_chunk(b"zTXt", packed) * chunks)


@pytest.mark.parametrize("chunks", [1, 70])
def test_png_text_that_swells_is_refused(chunks):
    data = _text_bomb(chunks=chunks)
    assert len(data) < 200_000
    assert "header is broken (ValueError" in _refusal(data)


def test_broken_exif_leaves_the_picture_upright():
    data = _encoded(PILImage.new("RGB", (7, 5)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f junk")
    assert read_image(data).size == (7, 5)


# Warnings, logs and Pillow's own settings ----------------------------------------------------


def test_pillow_writes_nothing_on_the_terminal(capfd, monkeypatch):
    # As in a program that has set up neither warnings nor logging.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        many_samples = _tiff(tag_277=60000)
        with pytest.raises(UnidentifiedImageError):
            PILImage.open(io.BytesIO(many_samples), formats=["TIFF"])
        noisy = capfd.readouterr().err
        assert "its TIFF header is broken" in _refusal(many_samples)
        monkeypatch.setattr(PILImage, "MAX_IMAGE_PIXELS", 400)
        read_image(_png((300, 2), raw=bytes(602)))
    assert noisy
    assert capfd.readouterr() == ("", "")


def test_other_threads_keep_their_warnings(monkeypatch):
    reading, warned = threading.Event(), threading.Event()
    caught = []

    def elsewhere():
        reading.wait(10)
        with pytest.warns(UserWarning, match="mine"):
            warnings.warn("mine", stacklevel=1)
        caught.append(True)
        warned.set()

    def slow_open(*_, **__):
        warnings.warn("of Pillow", stacklevel=1)
        reading.set()
        assert warned.wait(10)
        raise OSError("enough")

    monkeypatch.setattr(PILImage, "open", slow_open)
    thread = threading.Thread(target=elsewhere)
    thread.start()
    assert "enough" in _refusal(b"anything")
    thread.join()
    assert caught == [True]


def test_warnings_after_a_read_are_seen_again():
    read_image(_png((2, 2), raw=bytes(6)))
    with pytest.warns(UserWarning, match="seen"):
        warnings.warn("seen", stacklevel=1)


def test_pillows_settings_are_left_alone():
    before = (PILImage.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    read_image(_png((2, 2), raw=bytes(6)))
    _refusal(_png((9400, 9400)))
    assert before == (PILImage.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


# Folders -------------------------------------------------------------------------------------


def test_pictures_of_a_folder_are_listed_sorted_and_from_all_levels(tmp_path):
    names = ["b.JPG", "a.png", "sub/deep/c.TiFf", "sub/d.webp", "z.gif", "e.bmp", "f.jpeg"]
    for name in [*names, "notes.txt", "jpg", ".hidden.png", ".cache/x.png", "sub.png.zip"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "folder.png").mkdir()
    found = list_images(tmp_path)
    assert found == sorted(tmp_path / name for name in names)
    assert list_images(str(tmp_path)) == found


def test_linked_folders_are_not_entered(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "round").symlink_to(tmp_path)
    (tmp_path / "linked.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone.png")
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "linked.png"]


def test_folders_without_pictures_are_refused_by_name(tmp_path):
    (tmp_path / "notes.txt").touch()
    for path, message in [
        (tmp_path, "holds no picture"),
        (tmp_path / "missing", "does not exist"),
        (tmp_path / "notes.txt", "is a file"),
    ]:
        with pytest.raises(MediaError, match=message) as caught:
            list_images(path)
        assert repr(str(path)) in str(caught.value)


# Fuzz ----------------------------------------------------------------------------------------


def _seed_files():
    """Small pictures in every format, with what hangs on them: EXIF, palettes, frames, keys."""
    rng = np.random.default_rng(0)
    rgb = PILImage.fromarray(rng.integers(0, 256, (13, 17, 3), dtype=np.uint8))
    grey = PILImage.fromarray(rng.integers(0, 65536, (13, 17), dtype=np.uint16))
    rgba, palette = rgb.convert("RGBA"), rgb.quantize(16)
    exif = PILImage.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    frames = {"save_all": True, "append_images": [rgb.rotate(90), rgb]}
    yield from (
        _encoded(rgb, "JPEG", exif=exif),
        _encoded(rgb, "JPEG", progressive=True, restart_marker_blocks=1),
        _encoded(rgb.convert("CMYK"), "JPEG"),
        _encoded(rgb, "PNG", exif=exif),
        _encoded(palette, "PNG", transparency=3),
        _encoded(grey, "PNG"),
        _encoded(rgba, "PNG", **frames),
        _png((2, 1), depth=2, raw=b"\0\x90", extra=_chunk(b"tRNS", b"\0\2")),
        _encoded(palette, "GIF", transparency=3),
        _encoded(rgb, "GIF", **frames),
        _encoded(rgb, "WEBP", exif=exif),
        _encoded(rgba, "WEBP", lossless=True),
        _encoded(rgb, "WEBP", **frames),
        _encoded(rgb, "BMP"),
        _encoded(palette, "BMP"),
        _encoded(rgba, "BMP"),
        _encoded(rgb, "TIFF", exif=exif),
        _encoded(grey, "TIFF", compression="tiff_lzw"),
        _encoded(rgb, "TIFF", compression="jpeg"),
        _encoded(rgb.convert("1"), "TIFF", compression="group4"),
        _encoded(rgba, "TIFF", compression="tiff_adobe_deflate", **frames),
        _encoded(grey.convert("F"), "TIFF"),
        _encoded(rgb.convert("YCbCr"), "TIFF"),
    )


def _mutant(data, rng):
    """The same bytes after one to four changes."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) or 1)
        length = rng.choice((1, 2, 4, 8, rng.randint(1, 64)))
        match rng.randrange(6):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                data[at : at + length] = rng.choice((b"\0", b"\xff", b"\x7f", b"\1")) * length
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = rng.randbytes(length)
            case 4:
                source = rng.randrange(len(data) or 1)
                data[at:at] = data[source : source + length]
            case _ if rng.random() < 0.3:
                del data[at:]
    return bytes(data)


def _fix_png_sums(data):
    """Right check sums for a PNG's chunks, so that changes get past them."""
    fixed, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        fixed += _chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + length])
        at += 12 + length
    return bytes(fixed)


def _outcome(data, limits):
    """The image, or the error with which the bytes are refused; any other error passes."""
    try:
        return read_image(data, limits=limits)
    except MediaError as error:
        return error


def _fuzz(seeds, num_mutants):
    """Read mutants of the seeds; give what came out and how often."""
    limits = MediaLimits(max_pixels=1_000_000)
    for seed in seeds:
        read_image(seed, limits=limits)
    outcomes = {"image": 0, "error": 0}
    for number in range(num_mutants):
        rng = random.Random(number)
        data = _mutant(seeds[number % len(seeds)], rng)
        if data.startswith(b"\x89PNG\r\n\x1a\n") and rng.random() < 0.7:
            data = _fix_png_sums(data)
        try:
            outcome = _outcome(data, limits)
        except BaseException as error:
            error.add_note(f"mutant {number}")
            raise
        if isinstance(outcome, MediaError):
            assert str(outcome).isprintable(), number
            outcomes["error"] += 1
        else:
            assert outcome.pixels.size <= 3 * limits.max_pixels, number
            outcomes["image"] += 1
    return outcomes


@pytest.mark.parametrize("tiff", [False, True], ids=["no TIFF", "TIFF"])
def test_any_mutant_gives_an_image_or_a_media_error(tiff, capfd):
    """Change small files at random and read them: 2,000 by default, always the same ones.

    For the full form set GROUNDPLANE_FUZZ to the number of mutants, such as
    `GROUNDPLANE_FUZZ=1000000 pytest tests/core/test_media.py -k mutant`; the mutants from
    2,000 on are new ones. A failure notes the mutant's number, which alone rebuilds it.
    """
    seeds = [seed for seed in _seed_files() if seed.startswith((b"II", b"MM")) == tiff]
    outcomes = _fuzz(seeds, int(os.environ.get("GROUNDPLANE_FUZZ", "2000")) // 2)
    written = capfd.readouterr()
    assert written.out == ""
    # libtiff, in C, writes its errors straight to file descriptor 2, which is the whole
    # process's; Python's side must be silent here too.
    assert tiff or written.err == ""
    assert "UserWarning" not in written.err
    assert "Traceback" not in written.err
    # Both ways out were taken: the changes are neither too small nor too large.
    assert min(outcomes.values()) > sum(outcomes.values()) / 20
