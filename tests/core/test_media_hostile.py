"""Pictures that must be refused: bombs, broken files, mutants; and folders of pictures."""

from __future__ import annotations

import io
import logging
import os
import random
import struct
import threading
import warnings
import zlib

import pytest
from mutants import mutant_of, seed_files
from pictures import encode_picture, make_chunk, make_png, refusal_of
from PIL import Image as PILImage
from PIL import ImageFile, UnidentifiedImageError

from groundplane.core.errors import MediaError
from groundplane.core.media import MediaLimits, list_images, read_image

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
        read_image(make_png((2, 2), raw=bytes(6)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(
            make_png((9400, 9400), depth=1, raw=bytes(9400 * 1176)), "88360000|9400 x 9400"
        ),
        pytest.param(make_png((11000, 11000)), "11000 x 11000"),
        pytest.param(make_png((60000, 60000)), "3600000000 pixels"),
        pytest.param(make_png((1, 100000)), "1 x 100000 pixels are longer than 200 to 1"),
        pytest.param(make_png((100000, 1)), "100000 x 1 pixels are longer"),
    ],
    ids=["9400", "11000", "60000", "tall", "wide"],
)
def test_bombs_are_refused_from_the_header(data, message, no_decoding):
    refusal = refusal_of(data, name="bomb.png")
    assert any(part in refusal for part in message.split("|"))
    assert "'bomb.png'" in refusal


def test_raised_limits_let_a_large_picture_pass(monkeypatch):
    data = make_png((300, 2), raw=bytes(602))
    with pytest.raises(MediaError, match="max_pixels"):
        read_image(data, limits=MediaLimits(max_pixels=599))
    # Pillow warns of a bomb from here on; the caller has allowed it.
    monkeypatch.setattr(PILImage, "MAX_IMAGE_PIXELS", 400)
    assert read_image(data, limits=MediaLimits(max_pixels=600)).size == (300, 2)


def test_too_many_bytes_are_refused_unread(tmp_path):
    path = tmp_path / "big.png"
    path.write_bytes(make_png((2, 2), raw=bytes(6)) + bytes(1000))
    limits = MediaLimits(max_bytes=500)
    assert "more than 500 bytes" in refusal_of(path, limits=limits)
    assert "more than 500 bytes" in refusal_of(path.read_bytes(), limits=limits)


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
    data = encode_picture(PILImage.new("RGB", (2, 2), "red"), "PPM")
    assert "format PPM is not allowed" in refusal_of(data)
    assert read_image(data, limits=MediaLimits(formats=("PPM",))).size == (2, 2)
    png = make_png((2, 2), raw=bytes(6))
    assert "format PNG is not allowed; allowed: PPM" in refusal_of(
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
        refusal = refusal_of(tmp_path / name)
        assert message in refusal
        assert str(tmp_path) not in refusal
    assert "it is a folder" in refusal_of(tmp_path)


def test_a_given_name_stands_in_the_message_and_in_the_image(tmp_path):
    assert "'upload 7'" in refusal_of(tmp_path / "missing.jpg", name="upload 7")
    assert read_image(make_png((2, 2), raw=bytes(6)), name="upload 7").source.name == "upload 7"


def test_a_name_with_line_breaks_stays_on_one_line():
    assert r"a\nb\x1b[31m" in refusal_of(b"", name="a\nb\x1b[31m")


def test_text_and_short_files_are_no_pictures(tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("Not a picture, only a few words.\n")
    assert "'notes.jpg': it is not a picture of a known format; allowed: JPEG" in refusal_of(path)
    assert "4 bytes are too few" in refusal_of(b"\x89PNG")


def test_errors_are_chained_from_their_cause():
    data = encode_picture(PILImage.effect_noise((64, 64), 50), "JPEG")
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
    return make_png((2, 2), raw=bytes(6), extra=make_chunk(b"zTXt", packed) * chunks)


@pytest.mark.parametrize("chunks", [1, 70])
def test_png_text_that_swells_is_refused(chunks):
    data = _text_bomb(chunks=chunks)
    assert len(data) < 200_000
    assert "header is broken (ValueError" in refusal_of(data)


def test_broken_exif_leaves_the_picture_upright():
    data = encode_picture(
        PILImage.new("RGB", (7, 5)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f junk"
    )
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
        assert "its TIFF header is broken" in refusal_of(many_samples)
        monkeypatch.setattr(PILImage, "MAX_IMAGE_PIXELS", 400)
        read_image(make_png((300, 2), raw=bytes(602)))
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
    assert "enough" in refusal_of(b"anything")
    thread.join()
    assert caught == [True]


def test_warnings_after_a_read_are_seen_again():
    read_image(make_png((2, 2), raw=bytes(6)))
    with pytest.warns(UserWarning, match="seen"):
        warnings.warn("seen", stacklevel=1)


def test_pillows_settings_are_left_alone():
    before = (PILImage.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    read_image(make_png((2, 2), raw=bytes(6)))
    refusal_of(make_png((9400, 9400)))
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
        data = mutant_of(seeds[number % len(seeds)], rng)
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
    `GROUNDPLANE_FUZZ=1000000 pytest tests/core/test_media_hostile.py -k mutant`; the mutants from
    2,000 on are new ones. A failure notes the mutant's number, which alone rebuilds it.
    """
    seeds = [seed for seed in seed_files() if seed.startswith((b"II", b"MM")) == tiff]
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
